//! A file of JSON lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ctrlz_core::event::Event;

use crate::send::{Letter, Refused};

/// More bytes than an event has; so far back the last line of a file is looked for.
const LAST_LINE: u64 = 1 << 20;

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
        let first = self.open.is_none();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => open_at(self.path)?,
        };
        if first {
            mend(&mut open)?;
            // What was written, but not written down, before a crash.
            if written(&mut open, letter)? {
                self.open = Some(open);
                return Ok(());
            }
        }
        let length = letter.text.len() as u64 + 1;
        if open.size > 0 && open.size + length > self.max_size {
            self.rotate()?;
            open = open_at(self.path)?;
        }
        let mut line = Vec::with_capacity(letter.text.len() + 1);
        line.extend_from_slice(letter.text.as_bytes());
        line.push(b'\n');
        open.file.write_all(&line)?;
        open.size += length;
        self.open = Some(open);
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
    let file = options.custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(Open { size: found.len(), file })
}

/// Ends a line that a full disk or a crash left without its end.
fn mend(open: &mut Open) -> io::Result<()> {
    if open.size == 0 {
        return Ok(());
    }
    let tail = tail(open)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = (tail.len() - whole) as u64;
    if rest > 0 {
        open.size -= rest;
        open.file.set_len(open.size)?;
    }
    Ok(())
}

/// Whether the last line is that event.
fn written(open: &mut Open, letter: Letter<'_>) -> io::Result<bool> {
    let tail = tail(open)?;
    let last = tail.strip_suffix(b"\n").unwrap_or_default().rsplit(|byte| *byte == b'\n').next();
    let event = last.and_then(|line| serde_json::from_slice::<Event>(line).ok());
    Ok(event.is_some_and(|event| {
        event.source == letter.source && event.id == letter.number.to_string()
    }))
}

fn tail(open: &mut Open) -> io::Result<Vec<u8>> {
    open.file.seek(SeekFrom::Start(open.size.saturating_sub(LAST_LINE)))?;
    let mut tail = Vec::new();
    (&open.file).take(LAST_LINE).read_to_end(&mut tail)?;
    Ok(tail)
}
