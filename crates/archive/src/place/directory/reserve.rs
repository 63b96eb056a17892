//! Space that is kept back for taking names away.
//!
//! Whoever wants to empty a full disk takes snapshots out first, for which the index has to be
//! written anew; the blobs go afterwards.

use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};

use super::remove_if_there;

/// How much is kept back at least, in bytes.
const LEAST: u64 = 256 << 10;

/// From how many times as many free bytes on it is kept back.
const ENOUGH: u64 = 16;

/// Keeps space back at `path` for an index of `size` bytes, when there is enough. Without it a place
/// is as good until the disk is full, so nothing fails for want of it: some file systems cannot
/// promise space at all.
pub(super) fn keep(path: &Path, size: usize) {
    let size = (size as u64).saturating_mul(2).max(LEAST);
    // With room to grow, so that it is not made anew each time.
    if path.symlink_metadata().is_ok_and(|there| there.is_file() && there.len() >= size) {
        return;
    }
    let size = size.next_power_of_two();
    let is_enough =
        path.parent().and_then(|folder| rustix::fs::statvfs(folder).ok()).is_some_and(|about| {
            about.f_bavail.saturating_mul(about.f_frsize) >= size.saturating_mul(ENOUGH)
        });
    if !is_enough {
        return;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = flags | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) else { return };
    let whole = rustix::io::retry_on_intr(|| {
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size)
    });
    if whole.is_err() {
        // Half of it is none.
        let _ = remove_if_there(path);
    }
}

/// Gives up what is kept back at `path`, when that is why `error` came; whether there was any.
pub(super) fn give_up(path: &Path, error: &io::Error) -> io::Result<bool> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => remove_if_there(path),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_the_index_and_goes_only_for_want_of_space() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("reserve");
        keep(&path, 100);
        assert_eq!(path.metadata()?.len(), LEAST);
        keep(&path, 1 << 20);
        assert_eq!(path.metadata()?.len(), 2 << 20);
        assert!(!give_up(&path, &io::ErrorKind::PermissionDenied.into())?);
        assert!(give_up(&path, &io::ErrorKind::StorageFull.into())?);
        assert!(!give_up(&path, &io::ErrorKind::StorageFull.into())?);
        Ok(())
    }

    #[test]
    fn what_stands_in_the_way_stays_and_is_not_written_to() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (path, target) = (folder.path().join("reserve"), folder.path().join("target"));
        std::fs::write(&target, "mine")?;
        std::os::unix::fs::symlink(&target, &path)?;
        keep(&path, 100);
        assert_eq!(std::fs::read(&target)?, b"mine");
        assert!(path.is_symlink());
        Ok(())
    }
}
