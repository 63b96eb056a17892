//! A tenant's processes on disk: a folder for each that had much to say or ran for long, and one file for
//! all others.
//!
//! What is written here outlives the service, also one that is killed. Nothing is synced: a machine that
//! loses its power may lose the last seconds of it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctrlz_core::id::OperationId;
use ctrlz_core::time::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::prune::{Since, prune};
use super::segments::{self, Writer};
use super::{Ended, Kind, Piece, Stream};
use crate::problem::Problem;

/// Where a store has it.
const FOLDER: &str = "logs";
/// What is known of a process, in its folder: a line for its beginning, its operation and its end each.
pub(super) const ABOUT: &str = "process.jsonl";
/// Those without a folder, a line each; and those before them.
const SHORT: &str = "short.jsonl";
pub(super) const OLDER: &str = "short.old.jsonl";
/// From which size on a new file is begun for those without a folder.
const SHORT_SIZE: u64 = 1 << 20;
/// How many ended processes are told of, of each sort.
pub(super) const REMEMBERED: usize = 512;

/// How much of what processes wrote is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Bytes of each process.
    pub process: u64,
    /// Bytes of all of a tenant's processes; those that run keep their last segments beyond it.
    pub tenant: u64,
    /// For how long after its end.
    pub age: Duration,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { process: 16 << 20, tenant: 256 << 20, age: Duration::from_secs(7 * 86_400) }
    }
}

/// A process as it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) sandbox: String,
    pub(super) title: String,
    pub(super) started: Timestamp,
    pub(super) terminal: bool,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    /// How many bytes it wrote, to both streams.
    pub(super) written: u64,
    pub(super) outcome: Outcome,
}

/// What came of a process, without its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Answer(Value),
    Problem(Problem),
}

impl From<&Ended> for Outcome {
    fn from(ended: &Ended) -> Self {
        match ended {
            Ok(answer) => Self::Answer(answer.clone()),
            Err(problem) => Self::Problem(problem.clone()),
        }
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Problem(problem) => Err(problem),
        }
    }
}

/// A line about a process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Begun(About),
    Journaled(OperationId),
    Ended(End),
}

/// A process without a folder.
#[derive(Debug, Serialize, Deserialize)]
struct Short {
    about: About,
    operation: Option<OperationId>,
    end: End,
    /// Stream, offset, and what was written, in base64.
    output: Vec<(Stream, u64, String)>,
}

/// A process as it was stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) about: About,
    pub(super) operation: Option<OperationId>,
    /// `None` when the service that ran it ended before.
    pub(super) end: Option<End>,
    pub(super) output: Output,
}

/// Where the output of a stored process is.
#[derive(Debug)]
pub(super) enum Output {
    Folder(PathBuf),
    Pieces(Vec<Piece>),
}

/// A tenant's processes.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(super) folder: PathBuf,
    pub(super) bounds: LogBounds,
    pub(super) since: Mutex<Since>,
    /// Held while a line is added to the file of those without a folder.
    short: Mutex<()>,
}

impl Shelf {
    /// That of a store.
    pub(super) fn of(store: &Path, bounds: LogBounds) -> Self {
        let folder = store.join(FOLDER);
        Self { folder, bounds, since: Mutex::default(), short: Mutex::default() }
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    /// Makes room for a process that runs.
    pub(super) fn begin(self: &Arc<Self>, about: About) -> io::Result<Entry> {
        self.make()?;
        let folder = self.folder.join(&about.id);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let begin = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            let options = options.append(true).create_new(true).mode(0o600);
            let mut file = options.open(folder.join(ABOUT))?;
            // Whoever looks at it now has done so in no time.
            flock(&file, FlockOperation::LockExclusive)?;
            add(&mut file, &Line::Begun(about))?;
            Ok(file)
        };
        let file = begin().inspect_err(|_| {
            // What is left of it tells nothing, and goes with the next that are too old.
            let _ = fs::remove_dir_all(&folder);
        })?;
        if self.since().note_begun() {
            prune(self);
        }
        let writer = Writer::new(folder.clone(), self.bounds.process);
        Ok(Entry { shelf: Arc::clone(self), folder, file, writer })
    }

    pub(super) fn since(&self) -> std::sync::MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one that has ended and has no folder.
    pub(super) fn add_short(
        &self,
        about: About,
        operation: Option<OperationId>,
        end: End,
        output: &[Piece],
    ) -> io::Result<()> {
        let encoded = |piece: &Piece| (piece.stream, piece.offset, STANDARD.encode(&piece.bytes));
        let short = Short { about, operation, end, output: output.iter().map(encoded).collect() };
        // Before it, so that what was cut off there is a line of its own.
        let mut line = vec![b'\n'];
        serde_json::to_writer(&mut line, &short)?;
        let path = self.folder.join(SHORT);
        let _alone = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let mut file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make()?;
                open()?
            }
            opened => opened?,
        };
        if file.metadata()?.len() >= SHORT_SIZE {
            fs::rename(&path, self.folder.join(OLDER))?;
            file = open()?;
        }
        file.write_all(&line)
    }

    /// One that does not run.
    pub(super) fn find(&self, id: &str) -> io::Result<Option<Stored>> {
        // It comes from a client, and is looked for as a name.
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        if let Some(stored) = stored(&self.folder.join(id))? {
            return Ok(Some(stored));
        }
        let found = self.short(1, &|line| contains(line, id.as_bytes()), &|one| one.about.id == id);
        Ok(found?.pop())
    }

    /// Those that do not run, in no order.
    pub(super) fn all(&self) -> io::Result<Vec<Stored>> {
        let mut found = self.short(REMEMBERED, &|_| true, &|_| true)?;
        for folder in folders(&self.folder)? {
            found.extend(stored(&folder)?);
        }
        Ok(found)
    }

    /// Of those without a folder the last ones that are wanted.
    fn short(
        &self,
        most: usize,
        may_be: &dyn Fn(&[u8]) -> bool,
        is_wanted: &dyn Fn(&Stored) -> bool,
    ) -> io::Result<Vec<Stored>> {
        let mut found = Vec::new();
        for name in [SHORT, OLDER] {
            let text = match fs::read(self.folder.join(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read?,
            };
            let lines = text.rsplit(|byte| *byte == b'\n').filter(|line| may_be(line));
            // One that was cut off is none.
            let parsed = lines.filter_map(|line| serde_json::from_slice::<Short>(line).ok());
            let wanted = parsed.map(Stored::from).filter(|one| is_wanted(one));
            found.extend(wanted.take(most.saturating_sub(found.len())));
        }
        Ok(found)
    }

    /// Writes down how one ended that the service before this one ran.
    pub(super) fn conclude(&self, id: &str, end: End) -> io::Result<()> {
        let path = self.folder.join(id).join(ABOUT);
        let mut file = OpenOptions::new().append(true).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        add(&mut file, &Line::Ended(end))
    }
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|part| part == word)
}

impl From<Short> for Stored {
    fn from(short: Short) -> Self {
        let decoded = short.output.into_iter().filter_map(|(stream, offset, text)| {
            let bytes = STANDARD.decode(text).ok()?.into();
            Some(Piece { stream, offset, bytes })
        });
        let output = Output::Pieces(decoded.collect());
        Self { about: short.about, operation: short.operation, end: Some(short.end), output }
    }
}

/// The folders of processes.
pub(super) fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    Ok(entries.flatten().filter(is_folder).map(|entry| entry.path()).collect())
}

/// Whether a process runs, here or in another service, whose file about it is open.
pub(super) fn is_running(about: &File) -> bool {
    flock(about, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// The process of a folder, unless it runs, or is not known any more.
fn stored(folder: &Path) -> io::Result<Option<Stored>> {
    let mut file = match File::open(folder.join(ABOUT)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut found = parsed(&text, folder);
    if found.as_ref().is_some_and(|found| found.end.is_none()) {
        if is_running(&file) {
            return Ok(None);
        }
        // It may have ended just before.
        text.clear();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        found = parsed(&text, folder);
    }
    Ok(found)
}

fn parsed(text: &[u8], folder: &Path) -> Option<Stored> {
    let (mut about, mut operation, mut end) = (None, None, None);
    let lines = text.split(|byte| *byte == b'\n');
    for line in lines.filter_map(|line| serde_json::from_slice(line).ok()) {
        match line {
            Line::Begun(begun) => about = Some(begun),
            Line::Journaled(id) => operation = Some(id),
            Line::Ended(ended) => end = Some(ended),
        }
    }
    Some(Stored { about: about?, operation, end, output: Output::Folder(folder.to_owned()) })
}

/// Adds a line, all of it or nothing.
fn add(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let size = file.metadata()?.len();
    file.write_all(&text).inspect_err(|_| {
        // Without it, what comes next is not read either, which is as if it had not been written.
        let _ = file.set_len(size);
    })
}

/// A process that runs, as long as this is held.
#[derive(Debug)]
pub(crate) struct Entry {
    shelf: Arc<Shelf>,
    pub(super) folder: PathBuf,
    file: File,
    writer: Writer,
}

impl Entry {
    /// Writes down under which operation it is journaled.
    pub(super) fn journaled(&mut self, operation: OperationId) -> io::Result<()> {
        add(&mut self.file, &Line::Journaled(operation))
    }

    /// Adds what it wrote.
    pub(super) fn append(&mut self, pieces: &[Piece]) -> io::Result<()> {
        let most = self.shelf.bounds.tenant;
        if self.shelf.since().is_due(most) {
            prune(&self.shelf);
        }
        let is_crowded = self.shelf.since().is_crowded(most);
        let written = self.writer.append(pieces, is_crowded)?;
        self.shelf.since().note_written(written);
        Ok(())
    }

    /// Writes down how it ended.
    pub(crate) fn end(mut self, written: u64, ended: &Ended) -> io::Result<()> {
        add(&mut self.file, &Line::Ended(End { written, outcome: ended.into() }))
    }
}

/// Up to where the process of a folder wrote, as far as that was stored.
pub(super) fn written(stored: &Stored) -> u64 {
    match (&stored.end, &stored.output) {
        (Some(end), _) => end.written,
        // What cannot be read is not there for anybody.
        (None, Output::Folder(folder)) => segments::end(folder).unwrap_or_default(),
        (None, Output::Pieces(pieces)) => pieces.last().map_or(0, Piece::end),
    }
}

#[cfg(test)]
mod tests;
