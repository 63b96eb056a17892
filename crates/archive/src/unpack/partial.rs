//! The directory in which a tree is made until it is whole.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::remove::{clear, remove};
use crate::error::ArchiveError;

/// Lies in it, so that it is told from a directory of the user's with the same name.
const MARK: &str = "ctrlz-restore";
/// What becomes the directory that was asked for.
const TREE: &str = "tree";

/// `DIRECTORY.partial`, locked; removed when it is dropped.
///
/// ```text
/// DIRECTORY.partial/ctrlz-restore   says that it is ours
/// DIRECTORY.partial/tree/           what becomes DIRECTORY
/// ```
#[derive(Debug)]
pub(super) struct Partial {
    parent: OwnedFd,
    /// What is to be made, and what is there meanwhile, as names in `parent`.
    name: OsString,
    partial: OsString,
    /// Open and locked as long as someone works in it.
    open: OwnedFd,
    shown: PathBuf,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn occupied(path: &Path) -> ArchiveError {
    let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    ArchiveError::Io { action: "create", path: path.to_owned(), source }
}

impl Partial {
    /// Makes it; what an earlier restore to the same directory left when it was killed is removed.
    pub(super) fn create(directory: &Path) -> Result<Self, ArchiveError> {
        let name = directory.file_name().ok_or_else(|| {
            ArchiveError::io("create", directory)(std::io::Error::from(
                std::io::ErrorKind::InvalidInput,
            ))
        })?;
        let above = match directory.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::openat(CWD, above, flags, Mode::empty())
            .map_err(ArchiveError::io("open", above))?;
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(occupied(directory)),
            Err(errno) => return Err(ArchiveError::io("look at", directory)(errno)),
        }
        let mut partial = name.to_owned();
        partial.push(".partial");
        let shown = above.join(&partial);
        let open = Self::make(&parent, &partial, &shown)?;
        let this = Self { parent, name: name.to_owned(), partial, open, shown };
        this.furnish()?;
        Ok(this)
    }

    fn make(parent: &OwnedFd, partial: &OsStr, shown: &Path) -> Result<OwnedFd, ArchiveError> {
        let failed = |errno: Errno| ArchiveError::io("create", shown)(errno);
        // Twice, since what is in the way may be removed.
        for last in [false, true] {
            match rustix::fs::mkdirat(parent, partial, Mode::RWXU) {
                Ok(()) => {
                    let open = rustix::fs::openat(parent, partial, DIRECTORY, Mode::empty())
                        .map_err(failed)?;
                    rustix::fs::flock(&open, FlockOperation::NonBlockingLockExclusive)
                        .map_err(failed)?;
                    return Ok(open);
                }
                Err(Errno::EXIST) if !last => {
                    let open = rustix::fs::openat(parent, partial, DIRECTORY, Mode::empty())
                        .map_err(failed)?;
                    let ours = rustix::fs::statat(&open, MARK, AtFlags::SYMLINK_NOFOLLOW).is_ok();
                    let lock = FlockOperation::NonBlockingLockExclusive;
                    if rustix::fs::flock(&open, lock).is_err() {
                        return Err(occupied(shown));
                    }
                    let removed = if ours {
                        discard(parent, partial)
                    } else {
                        // An empty one is what a kill leaves before it is marked, or after.
                        rustix::fs::unlinkat(parent, partial, AtFlags::REMOVEDIR)
                    };
                    match removed {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(occupied(shown)),
                        Err(errno) => return Err(ArchiveError::io("remove", shown)(errno)),
                    }
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(occupied(shown))
    }

    fn furnish(&self) -> Result<(), ArchiveError> {
        let failed = |errno: Errno| ArchiveError::io("prepare", &self.shown)(errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(&self.open, MARK, flags, Mode::RUSR).map_err(failed)?;
        // A default ACL of the directory above would be given to everything that is made here.
        for name in ["system.posix_acl_default", "system.posix_acl_access"] {
            match rustix::fs::fremovexattr(&self.open, name) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        // A set-group-id directory gives its group away as well.
        rustix::fs::fchmod(&self.open, Mode::RWXU).map_err(failed)?;
        rustix::fs::mkdirat(&self.open, TREE, Mode::RWXU).map_err(failed)
    }

    /// The tree that is being made, open.
    pub(super) fn tree(&self) -> Result<OwnedFd, ArchiveError> {
        rustix::fs::openat(&self.open, TREE, DIRECTORY, Mode::empty())
            .map_err(ArchiveError::io("open", self.shown.join(TREE)))
    }

    /// Where the tree lies, for messages.
    pub(super) fn shown(&self) -> PathBuf {
        self.shown.join(TREE)
    }

    /// Gives the tree its name, once it is on disk when that was asked for.
    pub(super) fn publish(self, durable: bool) -> Result<(), ArchiveError> {
        if durable {
            rustix::fs::syncfs(&self.open).map_err(ArchiveError::io("sync", &self.shown))?;
        }
        let no_replace = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.open, TREE, &self.parent, &self.name, no_replace)
            .map_err(ArchiveError::io("create", self.shown.with_file_name(&self.name)))?;
        if durable {
            rustix::fs::fsync(&self.parent).map_err(ArchiveError::io("sync", &self.shown))?;
        }
        // Dropped, it removes what is left.
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next restore to the same place.
        let _ = discard(&self.parent, &self.partial);
    }
}

/// Removes what is ours. The mark goes last: a kill on the way must not make it a stranger's.
fn discard(parent: &OwnedFd, partial: &OsStr) -> Result<(), Errno> {
    let open = rustix::fs::openat(parent, partial, DIRECTORY, Mode::empty())?;
    clear(&open, |name| name == MARK.as_bytes())?;
    remove(parent, partial.as_bytes())
}
