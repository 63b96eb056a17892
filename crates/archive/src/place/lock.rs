//! flock(2) on a file of a directory place: it is gone with the process that held it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use crate::ArchiveError;

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// With others of the same kind.
    Shared,
    /// Alone.
    Alone,
}

impl Lock {
    /// Takes the lock `path`, waiting `patience` for those who hold it; `None` when they still do.
    pub(super) fn take(
        path: &Path,
        way: Way,
        patience: Duration,
    ) -> Result<Option<Self>, ArchiveError> {
        let failed = |errno: Errno| ArchiveError::io("lock", path)(errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(open(path, flags, Mode::from_raw_mode(0o666)).map_err(failed)?);
        let operation = match way {
            Way::Shared => FlockOperation::NonBlockingLockShared,
            Way::Alone => FlockOperation::NonBlockingLockExclusive,
        };
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let left = patience.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}
