//! The turn to freeze and thaw what runs in a sandbox, by flock(2) on a file of its own.
//!
//! The file says which processes are frozen for a moment. Whoever dies in that moment leaves it written,
//! and the kernel drops the lock: so the next one that gets the turn knows what has to go on.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ctrlz_core::id::SandboxId;
use ctrlz_core::store::{FreezeTurn, Momentary, StoreError, TakenTurn};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::lock;

/// Longer than any list of processes that is worth keeping.
const MOST: usize = 1 << 20;

struct Turn {
    file: File,
}

impl FreezeTurn for Turn {
    fn note(&self, frozen: Option<&Momentary>) -> io::Result<()> {
        self.file.set_len(0)?;
        match frozen {
            Some(frozen) => self.file.write_all_at(&serde_json::to_vec(frozen)?, 0),
            None => Ok(()),
        }
    }
}

/// The file whose lock stands for the turn.
pub(crate) fn path(store: &Path, sandbox: SandboxId) -> PathBuf {
    lock::path(store, sandbox).with_extension("freezing")
}

/// See [`ctrlz_core::store::Store::freeze_turn`].
pub(crate) fn turn(path: &Path, wait: bool) -> Result<Option<TakenTurn>, StoreError> {
    let file = match open(path, OFlags::CREATE) {
        // Nobody has locked anything in this store yet.
        Err(Errno::NOENT) => {
            let folder = path.parent().unwrap_or(path);
            std::fs::create_dir_all(folder).map_err(failed)?;
            open(path, OFlags::CREATE)
        }
        file => file,
    };
    let file = file.map_err(|errno| failed(errno.into()))?;
    let how = match wait {
        true => FlockOperation::LockExclusive,
        false => FlockOperation::NonBlockingLockExclusive,
    };
    match rustix::io::retry_on_intr(|| rustix::fs::flock(&file, how)) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(failed(errno.into())),
    }
    let file = File::from(file);
    let left = noted(&file).map_err(failed)?;
    Ok(Some((Box::new(Turn { file }), left)))
}

/// See [`ctrlz_core::store::Store::momentary`].
pub(crate) fn momentary(path: &Path) -> Result<Option<Momentary>, StoreError> {
    match open(path, OFlags::empty()) {
        Ok(file) => noted(&File::from(file)).map_err(failed),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(errno.into())),
    }
}

fn open(path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
}

/// What cannot be read was cut short when it was written, which is before anything is frozen.
fn noted(file: &File) -> io::Result<Option<Momentary>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(MOST).min(MOST);
    let mut text = vec![0; length];
    let read = file.read_at(&mut text, 0)?;
    Ok(serde_json::from_slice(text.get(..read).unwrap_or_default()).ok())
}

fn failed(source: io::Error) -> StoreError {
    StoreError::Failed { action: "take the turn to freeze a sandbox", source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_gets_the_turn_learns_what_is_frozen() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = path(dir.path(), SandboxId(1));
        assert_eq!(momentary(&path).expect("look"), None);
        let (held, left) = turn(&path, true).expect("take").expect("free");
        assert_eq!(left, None);
        assert!(turn(&path, false).expect("try").is_none(), "it is taken");
        let frozen = Momentary { process: 7, stopped_before: vec![8] };
        held.note(Some(&frozen)).expect("noted");
        assert_eq!(momentary(&path).expect("look").as_ref(), Some(&frozen));
        // As when it dies.
        drop(held);
        let (held, left) = turn(&path, false).expect("take").expect("free");
        assert_eq!(left, Some(frozen));
        held.note(None).expect("noted");
        drop(held);
        let (_held, left) = turn(&path, true).expect("take").expect("free");
        assert_eq!((left, momentary(&path).expect("look")), (None, None));
    }
}
