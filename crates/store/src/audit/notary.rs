//! The log's key and its checkpoints on disk.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use ctrlz_core::store::{Store, StoreError};
use ctrlz_core::time::Timestamp;

use super::chain::{Start, hash};
use super::checkpoint::Checkpoint;
use super::export::Bundle;
use super::keys::{KeyError, SigningKey, Verifier};

/// Events that are read at once.
const PAGE: u32 = 4096;

/// Why a checkpoint could not be signed or read.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// A file.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was done to it.
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key is not one.
    #[error("the key {} cannot be used", path.display())]
    Key {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs how far the log of a store has come.
///
/// ```text
/// STORE/audit/key            the private key, for its owner only
/// STORE/audit/key.pub        the public key
/// STORE/audit/NUMBER.note    one checkpoint
/// ```
#[derive(Debug)]
pub struct Notary {
    directory: PathBuf,
}

impl Notary {
    /// Of the store in `store`.
    #[must_use]
    pub fn of(store: &Path) -> Self {
        Self { directory: store.join("audit") }
    }

    /// The public key; nothing before anything was signed.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn verifier(&self) -> Result<Option<Verifier>, NotaryError> {
        Ok(self.key()?.map(|key| key.verifier()))
    }

    fn key(&self) -> Result<Option<SigningKey>, NotaryError> {
        let path = self.directory.join("key");
        let Some(text) = read(&path)? else { return Ok(None) };
        SigningKey::parse(&text).map(Some).map_err(|source| NotaryError::Key { path, source })
    }

    /// The key, made when there is none. Of several processes that make one, all use the first.
    fn key_or_new(&self, source: &str) -> Result<SigningKey, NotaryError> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let name = format!("ctrlz-log-{}", source.strip_prefix("urn:uuid:").unwrap_or(source));
        let path = self.directory.join("key");
        let mut seed = [0; 32];
        let mut random = std::fs::File::open("/dev/urandom")
            .map_err(failed("open", Path::new("/dev/urandom")))?;
        io::Read::read_exact(&mut random, &mut seed)
            .map_err(failed("read", Path::new("/dev/urandom")))?;
        let key = SigningKey::new(&name, &seed)
            .map_err(|source| NotaryError::Key { path: path.clone(), source })?;
        match self.write_new("key", &format!("{}\n", key.secret_text())) {
            Ok(()) => {}
            Err(NotaryError::File { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                return self.key()?.ok_or(NotaryError::File {
                    action: "read",
                    path,
                    source: io::ErrorKind::NotFound.into(),
                });
            }
            Err(error) => return Err(error),
        }
        // For people; the private key tells it as well.
        let _ = self.write_new("key.pub", &format!("{}\n", key.verifier()));
        Ok(key)
    }

    /// Signs that the log of `store` has come as far as it has; answers the note, or nothing when
    /// the last event is covered by one already, or there is no event.
    ///
    /// # Errors
    /// A failure to read the log, or to read or write a file.
    pub fn sign(
        &self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Option<Checkpoint>, NotaryError> {
        let head = store.log_head()?;
        let name = format!("{:019}.note", head.last);
        if head.last == 0 || read(&self.directory.join(&name))?.is_some() {
            return Ok(None);
        }
        let Some(last) = store.events(head.last - 1, 1)?.pop() else { return Ok(None) };
        let key = self.key_or_new(&head.source)?;
        let checkpoint = Checkpoint {
            source: head.source,
            number: last.number,
            hash: hash(&last.text),
            time: now.rfc3339(),
        };
        match self.write_new(&name, &checkpoint.sign(&key)) {
            Err(NotaryError::File { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                Ok(None)
            }
            result => result.map(|()| Some(checkpoint)),
        }
    }

    /// The number of the newest event that a checkpoint covers, by the names of the files; 0 for
    /// none.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn signed_to(&self) -> Result<i64, NotaryError> {
        Ok(self.numbers()?.last().copied().unwrap_or(0))
    }

    /// When the newest checkpoint was written, by the clock of then; nothing for none.
    ///
    /// # Errors
    /// A directory or a file that cannot be looked at.
    pub fn signed_at(&self) -> Result<Option<SystemTime>, NotaryError> {
        let number = self.signed_to()?;
        if number == 0 {
            return Ok(None);
        }
        let path = self.directory.join(format!("{number:019}.note"));
        let written = std::fs::metadata(&path).and_then(|found| found.modified());
        written.map(Some).map_err(failed("look at", &path))
    }

    /// The newest checkpoint, as a signed note.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn newest(&self) -> Result<Option<String>, NotaryError> {
        match self.signed_to()? {
            0 => Ok(None),
            number => read(&self.directory.join(format!("{number:019}.note"))),
        }
    }

    fn numbers(&self) -> Result<Vec<i64>, NotaryError> {
        let list = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            list => list.map_err(failed("list", &self.directory))?,
        };
        let mut numbers = Vec::new();
        for entry in list {
            let name = entry.map_err(failed("list", &self.directory))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".note"));
            numbers.extend(number.and_then(|number| number.parse::<i64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The events from number `from` to number `to` (all when `None`) of `store`, with the
    /// checkpoints that are about them or what follows.
    ///
    /// # Errors
    /// A failure to read the log or a file.
    pub fn bundle(
        &self,
        store: &dyn Store,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<Bundle, NotaryError> {
        let head = store.log_head()?;
        let from = from.unwrap_or(1).max(1);
        let last = to.unwrap_or(i64::MAX);
        let mut start = Start::of_log(&head.source);
        if from > 1
            && let Some(before) = store.events(from - 2, 1)?.pop()
        {
            start = Start { before: before.number, hash: hash(&before.text), ..start };
        }
        let mut events = Vec::new();
        let mut after = from - 1;
        loop {
            let page = store.events(after, PAGE)?;
            let Some(newest) = page.last() else { break };
            after = newest.number;
            events.extend(page.into_iter().filter(|e| e.number <= last).map(|event| event.text));
            if after >= last {
                break;
            }
        }
        let mut checkpoints = Vec::new();
        for number in self.numbers()? {
            // One beyond `to` would say that the part was cut, which was asked for.
            if number >= start.before.max(1) && number <= last {
                let path = self.directory.join(format!("{number:019}.note"));
                checkpoints.extend(read(&path)?);
            }
        }
        Ok(Bundle { start, events, checkpoints })
    }

    /// Writes a file whole and to the disk, or not at all; it must not exist.
    fn write_new(&self, name: &str, content: &str) -> Result<(), NotaryError> {
        let directory = &self.directory;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("create the directory", directory))?;
        let path = directory.join(name);
        let (mut file, partial) = new_partial(&path).map_err(failed("write", &path))?;
        let mut written = || -> io::Result<()> {
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            // Unlike a rename, a link never replaces what another process put there.
            std::fs::hard_link(&partial, &path)?;
            std::fs::File::open(directory)?.sync_all()
        };
        let result = written();
        // Litter, if it stays.
        let _ = std::fs::remove_file(&partial);
        result.map_err(failed("write", &path))
    }
}

/// A new file beside `path`. Others, in this process or not, may be making theirs.
fn new_partial(path: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let mut partial = path.to_owned().into_os_string();
        partial.push(format!(".{}.{turn}.partial", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return Ok((file?, partial.into())),
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, NotaryError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NotaryError {
    let path = path.to_owned();
    move |source| NotaryError::File { action, path, source }
}
