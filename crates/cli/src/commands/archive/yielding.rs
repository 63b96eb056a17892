//! Archiving in the background, which gives way: to whoever archives because somebody waits for it,
//! to whoever asks for an end, and with the process that asked for it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ctrlz_sys::signal::{self, SignalFd};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid};

use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// The exit code of who gave way and has more to do (`EX_TEMPFAIL` of sysexits.h).
pub(crate) const YIELDED: u8 = 75;

/// How often it is looked whether to give way.
const LOOK: Duration = Duration::from_millis(50);
/// What has not ended by itself within this time is cut off, as a crash would, after which nothing
/// is lost: it may wait for a slow disk or a far machine.
const GRACE: Duration = Duration::from_secs(1);

/// The lowest priority there is (sched(7)); the priority of input and output follows it
/// (ioprio_set(2)).
const NICE: i32 = 19;

fn open(memory: &Path, name: &str) -> Result<File, Failure> {
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "archive", &error);
    DirBuilder::new().recursive(true).mode(0o700).create(memory).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(memory.join(name)).map_err(failed)
}

fn lock(file: &File, how: FlockOperation) -> Result<(), Failure> {
    let failed = |errno: Errno| Failure::caused(OWN_FAILURE, "archive", &errno);
    flock(file, how).map_err(failed)
}

const WANTED: &str = "wanted";

/// Says, until it is dropped, that somebody waits for the archive.
pub(super) struct Wanted(File);

impl Wanted {
    pub(super) fn raise(memory: &Path) -> Result<Self, Failure> {
        let file = open(memory, WANTED)?;
        // Held alone only for the moment of a look.
        lock(&file, FlockOperation::LockShared)?;
        Ok(Self(file))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        // Closing does the same, unless a child has it, too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Work in the background, of which there is one at a time for each archive.
pub(super) struct Yielding {
    over: Arc<AtomicBool>,
    holds: Arc<AtomicBool>,
    _lock: File,
}

impl Yielding {
    /// Begins it at the lowest priority, before there is a thread. With `of_parent` it also ends with
    /// the process that started it.
    ///
    /// # Errors
    /// `busy` when there is one already.
    pub(super) fn begin(memory: &Path, of_parent: bool) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "archive", &error);
        let parent = getppid().filter(|_| of_parent);
        let file = open(memory, "apply.lock")?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let message = "another process does what archive.yaml asks for";
                return Err(Failure::new(REFUSED, "busy", message));
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // Without it, it is done at the priority that the caller has.
        let _ = rustix::process::nice(NICE);
        let signals = signal::take_all().map_err(failed)?;
        let (over, holds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let watcher = Watcher {
            wanted: open(memory, WANTED)?,
            signals,
            parent,
            over: Arc::clone(&over),
            holds: Arc::clone(&holds),
        };
        std::thread::Builder::new()
            .name("ctrlz-yields".to_owned())
            .spawn(move || watcher.watch())
            .map_err(failed)?;
        Ok(Self { over, holds, _lock: file })
    }

    /// Whether to end.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Does what others wait for that want the archive, who come first.
    pub(super) fn while_holding<T>(&self, work: impl FnOnce() -> T) -> T {
        self.holds.store(true, Ordering::Relaxed);
        let done = work();
        self.holds.store(false, Ordering::Relaxed);
        done
    }
}

struct Watcher {
    wanted: File,
    signals: SignalFd,
    parent: Option<Pid>,
    over: Arc<AtomicBool>,
    holds: Arc<AtomicBool>,
}

impl Watcher {
    fn watch(self) {
        let mut since: Option<Instant> = None;
        loop {
            std::thread::sleep(LOOK);
            if since.is_none() && self.is_over() {
                self.over.store(true, Ordering::Relaxed);
                since = Some(Instant::now());
            }
            if since.is_some_and(|since| since.elapsed() >= GRACE) {
                std::process::exit(YIELDED.into());
            }
        }
    }

    fn is_over(&self) -> bool {
        let asked = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
        while let Ok(Some(received)) = self.signals.receive() {
            if asked.iter().any(|signal| signal.as_raw() == received.signal) {
                return true;
            }
        }
        if self.parent.is_some() && getppid() != self.parent {
            return true;
        }
        self.holds.load(Ordering::Relaxed) && self.is_wanted()
    }

    fn is_wanted(&self) -> bool {
        match flock(&self.wanted, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let _ = flock(&self.wanted, FlockOperation::Unlock);
                false
            }
            Err(errno) => errno == Errno::WOULDBLOCK,
        }
    }
}
