//! Space that is kept back for the steps that give space back.
//!
//! To discard changes or to remove a sandbox, a line of the journal has to be written and folders
//! have to be made. On a full disk that would fail, and so would every way to empty it.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

const NAME: &str = "reserve";

/// How much is kept back, in bytes: some hundred pages of the database, and what it takes to
/// recover a sandbox.
const SIZE: u64 = 1 << 20;

/// Below how many free bytes it is given up.
const LOW: u64 = SIZE;

/// From how many free bytes on it is kept back again.
const ENOUGH: u64 = 16 * SIZE;

/// Gives the reserve of the store in `dir` up when the disk is nearly full.
///
/// # Errors
/// When the file system cannot be asked, or the reserve not be removed.
pub fn spend(dir: &Path) -> io::Result<()> {
    match free(dir)? {
        Some(free) if free < LOW => match std::fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Keeps space back for the store in `dir` when none is and there is enough. File systems that
/// cannot promise space have no reserve.
///
/// # Errors
/// When the file system cannot be asked, or the file not be made.
pub fn refill(dir: &Path) -> io::Result<()> {
    if free(dir)?.is_some_and(|free| free >= ENOUGH) { keep(dir) } else { Ok(()) }
}

/// See [`refill`]; whatever is free.
pub(crate) fn keep(dir: &Path) -> io::Result<()> {
    let path = dir.join(NAME);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    };
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        Ok(()) => Ok(()),
        Err(errno) => {
            // Half a reserve is none.
            rustix::fs::unlinkat(rustix::fs::CWD, &path, AtFlags::empty())?;
            match errno {
                Errno::OPNOTSUPP | Errno::NOSPC | Errno::DQUOT => Ok(()),
                errno => Err(errno.into()),
            }
        }
    }
}

/// Free bytes for ordinary users; `None` when there is no such folder.
fn free(dir: &Path) -> io::Result<Option<u64>> {
    match rustix::fs::statvfs(dir) {
        Ok(about) => Ok(Some(about.f_bavail.saturating_mul(about.f_frsize))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_back_is_kept_once_and_stays_while_there_is_space() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        keep(dir.path())?;
        let reserve = dir.path().join(NAME);
        assert_eq!(reserve.metadata()?.len(), SIZE);
        keep(dir.path())?;
        refill(dir.path())?;
        spend(dir.path())?;
        assert!(reserve.exists());
        spend(&dir.path().join("absent"))?;
        refill(&dir.path().join("absent"))
    }
}
