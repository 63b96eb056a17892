//! A file of JSON lines.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Deserialize;

use crate::send::{Letter, Refused};

/// More bytes than an event has; so far back it is looked for events that are in the file already.
const TAIL: u64 = 1 << 20;
/// So many bytes are written before they are settled; less than is looked back.
const UNSETTLED: u64 = TAIL / 2;
/// What an event begins with.
const MARK: &[u8] = b"{\"specversion\"";

/// What an event is recognised by.
#[derive(PartialEq, Eq, Hash, Deserialize)]
struct Known {
    source: String,
    id: String,
}

/// Appends to a file and rotates it.
pub(crate) struct Writer<'c> {
    path: &'c Path,
    max_size: u64,
    keep: u32,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
    /// Bytes that a power cut may still take.
    unsettled: u64,
    /// What was there when it was opened.
    known: HashSet<Known>,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(path: &'c Path, max_size: u64, keep: u32) -> Self {
        Self { path, max_size, keep, open: None }
    }

    pub(crate) fn send(&mut self, letter: Letter<'_>) -> Result<(), Refused> {
        self.append(letter).map_err(|error| {
            // Whatever was open may be half written or gone; the next attempt looks again.
            self.open = None;
            Refused::now(format!("cannot write {}: {error}", self.path.display()))
        })
    }

    fn append(&mut self, letter: Letter<'_>) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let mut open = open_at(self.path)?;
                look_back(&mut open)?;
                open
            }
        };
        let event = Known { source: letter.source.to_owned(), id: letter.number.to_string() };
        // What was written, but not written down, before a crash.
        if open.known.contains(&event) {
            self.open = Some(open);
            return Ok(());
        }
        let length = letter.text.len() as u64 + 1;
        if open.size > 0 && open.size + length > self.max_size {
            open.file.sync_data()?;
            self.rotate()?;
            open = open_at(self.path)?;
        }
        let mut line = Vec::with_capacity(letter.text.len() + 1);
        line.extend_from_slice(letter.text.as_bytes());
        line.push(b'\n');
        open.file.write_all(&line)?;
        open.size += length;
        open.unsettled += length;
        self.open = Some(open);
        Ok(())
    }

    /// What is written down nowhere is looked for in the last part of this file only, so it must
    /// neither grow beyond that nor be rotated away.
    pub(crate) fn must_settle(&self, letter: Letter<'_>) -> bool {
        let length = letter.text.len() as u64 + 1;
        self.open.as_ref().is_some_and(|open| {
            open.unsettled > 0
                && (open.unsettled + length > UNSETTLED || open.size + length > self.max_size)
        })
    }

    /// Brings it to the disk.
    pub(crate) fn settle(&mut self) -> Result<(), Refused> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = open.file.sync_data() {
            self.open = None;
            return Err(Refused::now(format!("cannot write {}: {error}", self.path.display())));
        }
        open.unsettled = 0;
        Ok(())
    }

    /// `PATH` becomes `PATH.1`, that becomes `PATH.2`, and so on; the last one goes.
    fn rotate(&self) -> io::Result<()> {
        let numbered = |number: u32| -> PathBuf {
            let mut name = self.path.to_owned().into_os_string();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            name.into()
        };
        for number in (0..self.keep).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }
}

fn open_at(path: &Path) -> io::Result<Open> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    // Events tell what a user does, which is nobody else's business.
    let options = options.read(true).append(true).create(true).mode(0o600);
    // A link may lead to a file that is somebody else's.
    let flags = OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(Open { size: found.len(), file, unsettled: 0, known: HashSet::new() })
}

/// Ends a line that a full disk or a crash left without its end, and learns what is there.
fn look_back(open: &mut Open) -> io::Result<()> {
    open.file.seek(SeekFrom::Start(open.size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    (&open.file).take(TAIL).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = tail.get(whole..).unwrap_or_default();
    if rest.starts_with(MARK) && serde_json::from_slice::<Known>(rest).is_err() {
        // Half an event, which is still to be delivered.
        open.size -= rest.len() as u64;
        open.file.set_len(open.size)?;
        tail.truncate(whole);
    } else if !rest.is_empty() {
        // Somebody else's line, or an event that lacks nothing else.
        open.file.write_all(b"\n")?;
        open.size += 1;
    }
    let lines = tail.split(|byte| *byte == b'\n');
    open.known = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    // Whoever wrote it may not have come so far as to settle it.
    open.file.sync_data()
}
