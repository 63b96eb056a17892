//! How far a sink has come.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// Why a sink's own files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct SinkError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SinkError {
    let path = path.to_owned();
    move |source| SinkError { action, path, source }
}

/// Where a sink stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// The log that it is about.
    pub source: String,
    /// The number of the last event that it took, or that became a dead letter.
    pub number: i64,
    /// Events that it took.
    pub delivered: u64,
    /// Dead letters that are kept.
    pub dead: u64,
    /// Events that the log no longer had.
    pub lost: u64,
    /// Failed attempts for the next event.
    pub failures: u32,
    /// What the last one failed of; empty after a success.
    pub error: String,
    /// Not to be tried before, in seconds since 1970.
    pub not_before: i64,
}

/// The folder of a sink, in use by this process alone.
pub(crate) struct Desk {
    folder: PathBuf,
    lock: File,
}

impl Drop for Desk {
    /// Closing it would not do: what another thread starts has the descriptor, too, until its exec.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Desk {
    /// Of the sink `name`; nothing when another process delivers to it now.
    pub(crate) fn take(sinks: &Path, name: &str) -> Result<Option<Self>, SinkError> {
        let folder = sinks.join(name);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(failed("create the folder", &folder))?;
        let path = folder.join("lock");
        let lock = options().open(&path).map_err(failed("open", &path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { folder, lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed("lock", &path)(errno.into())),
        }
    }

    pub(crate) fn dead_letters(&self) -> PathBuf {
        self.folder.join(crate::dead::FILE)
    }

    pub(crate) fn read(&self) -> Result<Option<Position>, SinkError> {
        read(&self.folder)
    }

    /// Writes the position whole or not at all.
    pub(crate) fn write(&self, position: &Position) -> Result<(), SinkError> {
        self.prepare(position)?;
        self.put()
    }

    /// Puts what was prepared in place.
    pub(crate) fn put(&self) -> Result<(), SinkError> {
        let path = self.folder.join("position");
        std::fs::rename(self.prepared(), &path).map_err(failed("write", &path))
    }

    /// Writes beside the position what it is to be, which is all that needs space.
    pub(crate) fn prepare(&self, position: &Position) -> Result<(), SinkError> {
        let path = self.prepared();
        let all = || -> io::Result<()> {
            let mut file = options().truncate(true).open(&path)?;
            file.write_all(&serde_json::to_vec(position)?)?;
            file.write_all(b"\n")?;
            // Else a power cut may leave the new name with nothing in it.
            file.sync_data()
        };
        all().map_err(failed("write", &path))
    }

    fn prepared(&self) -> PathBuf {
        self.folder.join("position.partial")
    }
}

pub(crate) fn options() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// The position in a sink's folder; nothing when it never began.
pub(crate) fn read(folder: &Path) -> Result<Option<Position>, SinkError> {
    let path = folder.join("position");
    match std::fs::read(&path) {
        Ok(text) => {
            let mut position: Position = serde_json::from_slice(&text)
                .map_err(|error| failed("understand", &path)(error.into()))?;
            // The file of dead letters says how many there are: some may have gone since.
            let letters = crate::dead::read(&folder.join(crate::dead::FILE))?;
            position.dead = letters.len() as u64;
            Ok(Some(position))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}
