//! One daemon for each store, and how the one before it ended.
//!
//! The file `daemon.lock` is held as long as a daemon runs, and says which one: a line of JSON with
//! its process and since when it runs, and another when a panic is about to end it. One that ends as
//! it should empties the file. So what a daemon finds there is about one that was killed, or
//! aborted, or was on a machine that stopped.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// The file is read no further: nothing writes so much.
const MOST: u64 = 1 << 16;

/// A command that asks whether a daemon runs holds the lock for a moment, too, which is no daemon.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Runs { pid: u32, since: String },
    Panicked { task: String, panic: String },
}

/// Held as long as the daemon runs.
pub(super) struct Lock {
    file: File,
}

fn path(store: &Path) -> PathBuf {
    store.join("daemon.lock")
}

/// Takes the lock; answers as well how the daemon before ended, unless it ended as it should.
pub(super) fn take(store: &Path) -> Result<(Lock, Option<String>), Failure> {
    let path = path(store);
    let failed = |error: std::io::Error| {
        let message = format!("cannot lock {}", path.display());
        Failure::new(OWN_FAILURE, "daemon", message).detail(error.to_string())
    };
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.read(true).append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
    let mut attempts = 0;
    while let Err(errno) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if errno != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(errno.into()));
        }
        if attempts == ATTEMPTS {
            let message = format!("a daemon runs already for {}", store.display());
            return Err(Failure::new(REFUSED, "busy", message));
        }
        attempts += 1;
        std::thread::sleep(PAUSE);
    }
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    (&file).take(MOST).read_to_end(&mut text).map_err(failed)?;
    Ok((Lock { file }, end_of(&String::from_utf8_lossy(&text))))
}

/// How a daemon ended that left `text`; nothing when it left none.
fn end_of(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return None;
    }
    let mut which = "the daemon before this one".to_owned();
    let mut how = "was killed, or the machine stopped".to_owned();
    for line in text.lines() {
        // A line that was cut short says no more than that there was one.
        match serde_json::from_str(line) {
            Ok(Line::Runs { pid, since }) => {
                which = format!("the daemon before this one (process {pid}, since {since})");
            }
            Ok(Line::Panicked { task, panic }) => {
                how = format!("ended by an error in ctrlz, in its task {task}: {panic}");
            }
            Err(_) => {}
        }
    }
    Some(format!("{which} {how}"))
}

impl Lock {
    /// Writes down who runs, instead of who ran.
    pub(super) fn begin(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        let since = clock::now().rfc3339();
        write(&mut self.file, &Line::Runs { pid: std::process::id(), since })
    }

    /// It ended as it should.
    pub(super) fn end(self) -> std::io::Result<()> {
        self.file.set_len(0)
    }

    /// Lets a panic that ends the process be written down; what it says goes to standard error
    /// first, as ever. A panic that a task survives is told by the task's supervisor.
    pub(super) fn note_panics(&self) -> std::io::Result<()> {
        let file = self.file.try_clone()?;
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            print(panic);
            if !aborts() {
                return;
            }
            let thread = std::thread::current();
            let task = thread.name().unwrap_or("?").to_owned();
            let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
            let said = panic.payload_as_str().unwrap_or("a panic without a message");
            let panic = format!("{said}{}", place.unwrap_or_default());
            // No allocation of SQLite's, no lock: nothing is needed that the panic may have left.
            let _ = write(&mut &file, &Line::Panicked { task, panic });
            #[cfg(feature = "faults")]
            std::process::abort();
        }));
        Ok(())
    }
}

/// Whether a panic ends the process, as it does in releases.
#[cfg(not(feature = "faults"))]
fn aborts() -> bool {
    cfg!(panic = "abort")
}

/// Whether a panic is to end the process, as it does in releases.
#[cfg(feature = "faults")]
fn aborts() -> bool {
    cfg!(panic = "abort") || super::fault::aborts()
}

fn write(file: &mut impl std::io::Write, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

/// Whether a daemon runs for the store.
pub(crate) fn is_running(store: &Path) -> bool {
    let Ok(file) = File::open(path(store)) else { return false };
    let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
    free == Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_says_how_it_ended() {
        assert_eq!(end_of(""), None);
        assert_eq!(end_of("\n"), None);
        let runs = "{\"pid\":7,\"since\":\"2026-01-31T12:00:00Z\"}\n";
        assert_eq!(
            end_of(runs).expect("an end"),
            "the daemon before this one (process 7, since 2026-01-31T12:00:00Z) was killed, or the \
             machine stopped"
        );
        let panicked = format!("{runs}{{\"task\":\"tracker\",\"panic\":\"oh (a.rs:1)\"}}\n");
        assert!(
            end_of(&panicked)
                .expect("an end")
                .ends_with("ended by an error in ctrlz, in its task tracker: oh (a.rs:1)")
        );
        let cut = end_of("{\"pid\":7,\"si").expect("an end");
        assert_eq!(cut, "the daemon before this one was killed, or the machine stopped");
    }

    #[test]
    fn one_that_ends_as_it_should_leaves_nothing() {
        let store = tempfile::tempdir().expect("a folder");
        let (mut lock, before) = take(store.path()).expect("the lock");
        assert_eq!(before, None);
        lock.begin().expect("written");
        assert!(is_running(store.path()));
        assert!(take(store.path()).is_err());
        lock.end().expect("written");
        assert!(!is_running(store.path()));
        let (mut lock, before) = take(store.path()).expect("the lock");
        assert_eq!(before, None);
        lock.begin().expect("written");
        drop(lock);
        let (_, before) = take(store.path()).expect("the lock");
        let before = before.expect("it did not end as it should");
        assert!(before.contains(&format!("process {}", std::process::id())), "{before}");
    }
}
