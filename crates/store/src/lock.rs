//! Exclusive use of a sandbox, by flock(2) on a file of its own.
//!
//! The kernel drops the lock when the last descriptor of the open file closes, so a dead process
//! holds nothing. A child that is cloned without exec shares the descriptor and keeps the lock
//! while it lives.
//!
//! The file also names the process that works in the sandbox, see [`crate::occupant`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use ctrlz_core::id::SandboxId;
use ctrlz_core::store::{Occupancy, SandboxLock, StoreError};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::occupant;

/// The folder of lock files in the store's directory.
const LOCKS: &str = "locks";

const ACTION: &str = "lock the sandbox";

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}", path.display())]
struct LockError {
    step: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Holds the lock while it lives.
struct HeldLock {
    file: File,
}

impl SandboxLock for HeldLock {
    fn share(&self, pid: u32, process: BorrowedFd<'_>) -> io::Result<()> {
        occupant::note(&self.file, pid, process)
    }
}

/// The file whose lock stands for the sandbox.
pub(crate) fn path(store: &Path, sandbox: SandboxId) -> PathBuf {
    store.join(LOCKS).join(sandbox.0.to_string())
}

/// Takes the lock.
///
/// `exists` is asked before the file is made, so that no file appears for a sandbox that is
/// gone; it answers [`StoreError::NoSandbox`] then. `waiting` is as in
/// [`ctrlz_core::store::Store::lock`]; `Ok(None)` means that it declined.
pub(crate) fn take(
    path: &Path,
    exists: &dyn Fn() -> Result<(), StoreError>,
    waiting: &mut dyn FnMut(u32) -> bool,
) -> Result<Taken, StoreError> {
    let mut asked = false;
    loop {
        let file = match open(path, OFlags::empty()) {
            Err(Errno::NOENT) => {
                exists()?;
                create(path)?
            }
            other => other.map_err(|errno| failed("open", path, errno.into()))?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let holder = holder(&file);
                if !asked && !waiting(holder) {
                    return Ok(Taken::Declined { holder });
                }
                asked = true;
                rustix::io::retry_on_intr(|| {
                    rustix::fs::flock(&file, FlockOperation::LockExclusive)
                })
                .map_err(|errno| failed("wait for", path, errno.into()))?;
            }
            Err(errno) => return Err(failed("lock", path, errno.into())),
        }
        // Removing the sandbox removes the file; then this lock is on a file that nobody else
        // will open.
        if is_current(&file, path)? {
            let file = File::from(file);
            let gone = occupant::wait_for_end(&file, &mut |pid| asked || waiting(pid))
                .map_err(|errno| failed("wait for the user of", path, errno.into()))?;
            if let Err(holder) = gone {
                return Ok(Taken::Declined { holder });
            }
            // The number is a courtesy to those who wait; the lock holds without it.
            let _ = file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0);
            return Ok(Taken::Held(Box::new(HeldLock { file })));
        }
    }
}

/// The process that works in the sandbox, when it lives.
pub(crate) fn occupant(path: &Path) -> Result<Option<u32>, StoreError> {
    match open(path, OFlags::empty()) {
        Ok(file) => Ok(occupant::alive(&File::from(file)).map(|(pid, _)| pid)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed("open", path, errno.into())),
    }
}

/// What came of [`take`].
pub(crate) enum Taken {
    Held(Box<dyn SandboxLock>),
    Declined { holder: u32 },
}

/// Who holds the lock, and who works in the sandbox. The lock is tried in a way that keeps others
/// from it for no longer than that takes, and only when somebody is noted who lives: then it is
/// held, or was until a moment ago.
pub(crate) fn occupancy(path: &Path) -> Result<Occupancy, StoreError> {
    let file = match open(path, OFlags::empty()) {
        Err(Errno::NOENT) => return Ok(Occupancy { holder: None, process: None }),
        other => File::from(other.map_err(|errno| failed("open", path, errno.into()))?),
    };
    let process = occupant::alive(&file);
    let pid = holder(&file);
    let free = || match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(failed("try", path, errno.into())),
    };
    let holder = if pid != 0 && !free()? { Some(pid) } else { None };
    Ok(Occupancy { holder, process })
}

fn open(path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
}

fn create(path: &Path) -> Result<OwnedFd, StoreError> {
    match open(path, OFlags::CREATE) {
        Err(Errno::NOENT) => {
            let folder = path.parent().unwrap_or(path);
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|source| failed("create the folder", folder, source))?;
            open(path, OFlags::CREATE)
        }
        other => other,
    }
    .map_err(|errno| failed("create", path, errno.into()))
}

fn is_current(file: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    let held = rustix::fs::fstat(file).map_err(|errno| failed("examine", path, errno.into()))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok(named.ino() == held.st_ino && named.dev() == held.st_dev),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("examine", path, error)),
    }
}

/// The process id in the file, 0 when it cannot be told.
fn holder(file: impl AsFd) -> u32 {
    let mut text = [0; 16];
    let read = rustix::io::pread(&file, &mut text, 0).unwrap_or(0);
    let noted = text
        .get(..read)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.split_whitespace().next()?.parse().ok());
    noted.filter(|pid| may_hold(*pid, file.as_fd())).unwrap_or(0)
}

/// Whether a process has the file open, as its holder has. The number in the file may be that of an
/// earlier holder, and by now of a process that has nothing to do with it. Of one that may not be asked
/// the number is believed.
fn may_hold(pid: u32, file: BorrowedFd<'_>) -> bool {
    let Ok(own) = rustix::fs::fstat(file) else { return false };
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    entries.flatten().any(|entry| {
        let named = std::fs::metadata(entry.path());
        named.is_ok_and(|named| named.ino() == own.st_ino && named.dev() == own.st_dev)
    })
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Failed {
        action: ACTION,
        source: Box::new(LockError { step, path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever ends the holder of a sandbox must not end what has its number by now.
    #[test]
    fn a_process_that_has_nothing_to_do_with_it_is_no_holder() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("lock");
        let exists = || Ok(());
        let Taken::Held(_lock) = take(&path, &exists, &mut |_| false).expect("take") else {
            panic!("it is free");
        };
        let holder = || match take(&path, &exists, &mut |_| false).expect("try") {
            Taken::Held(_) => panic!("it is held"),
            Taken::Declined { holder } => holder,
        };
        assert_eq!(holder(), std::process::id());
        assert_eq!(occupancy(&path).expect("look").holder, Some(std::process::id()));
        let mut other = std::process::Command::new("sleep").arg("600").spawn().expect("start");
        let file = open(&path, OFlags::empty()).map(File::from).expect("open");
        file.write_all_at(format!("{:<10}\n", other.id()).as_bytes(), 0).expect("write");
        let found = (holder(), occupancy(&path).expect("look").holder);
        other.kill().expect("kill");
        other.wait().expect("wait");
        assert_eq!(found, (0, None));
    }
}
