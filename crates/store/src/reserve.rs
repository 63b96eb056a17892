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

/// Keeps space back for the store in `dir` when there is enough. What is kept back already stays.
///
/// # Errors
/// When the file system cannot be asked.
pub fn refill(dir: &Path) -> io::Result<()> {
    if free(dir)?.is_some_and(|free| free >= ENOUGH) {
        keep(dir);
    }
    Ok(())
}

/// See [`refill`]; whatever is free. Without a reserve a store is as good until the disk is full,
/// so nothing fails for want of one: some file systems cannot promise space at all.
pub(crate) fn keep(dir: &Path) {
    let path = dir.join(NAME);
    // The file may be there without its space: whoever made it may have died before.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) else { return };
    let whole = rustix::io::retry_on_intr(|| {
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE)
    });
    if whole.is_err() {
        // Half a reserve is none; the next time may have more luck with what cannot be removed.
        let _ = rustix::fs::unlinkat(rustix::fs::CWD, &path, AtFlags::empty());
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
    use rustix::fs::FileType;

    use super::*;

    fn kept_back(dir: &Path) -> io::Result<u64> {
        Ok(dir.join(NAME).metadata()?.len())
    }

    #[test]
    fn what_is_kept_back_is_kept_once_and_stays_while_there_is_space() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        keep(dir.path());
        assert_eq!(kept_back(dir.path())?, SIZE);
        keep(dir.path());
        refill(dir.path())?;
        spend(dir.path())?;
        assert_eq!(kept_back(dir.path())?, SIZE);
        spend(&dir.path().join("absent"))?;
        refill(&dir.path().join("absent"))
    }

    #[test]
    fn a_reserve_that_was_made_and_not_filled_is_filled() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join(NAME), "")?;
        refill(dir.path())?;
        assert_eq!(kept_back(dir.path())?, SIZE);
        Ok(())
    }

    #[test]
    fn where_no_space_can_be_promised_there_is_no_reserve() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(NAME);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // With this the pipe opens at once.
        let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        keep(dir.path());
        assert!(path.symlink_metadata().is_err());
        Ok(())
    }

    #[test]
    fn what_stands_in_the_way_stays_and_is_not_written_to() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let target = dir.path().join("target");
        std::fs::write(&target, "mine")?;
        std::os::unix::fs::symlink(&target, dir.path().join(NAME))?;
        keep(dir.path());
        assert_eq!(std::fs::read(&target)?, b"mine");
        assert!(dir.path().join(NAME).is_symlink());
        Ok(())
    }
}
