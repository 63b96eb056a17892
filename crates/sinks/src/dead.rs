//! Events that a sink would not take.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::position::{SinkError, failed, options};

pub(crate) const FILE: &str = "dead-letters.jsonl";

/// An event that was given up, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event's number.
    pub number: i64,
    /// The last failure.
    pub error: String,
    /// Attempts.
    pub attempts: u32,
    /// When it was given up, in seconds since 1970.
    pub time: i64,
    /// The event, byte for byte.
    pub event: String,
}

/// Keeps one more, on the disk before the answer.
pub(crate) fn keep(path: &Path, letter: &DeadLetter) -> Result<(), SinkError> {
    let all = || -> io::Result<()> {
        let mut line = serde_json::to_vec(letter)?;
        line.push(b'\n');
        let mut file = options().open(path)?;
        // Where a full disk or a crash cut a line short, the next one would become part of it.
        let whole = end_of_whole_lines(&mut file)?;
        file.seek(SeekFrom::Start(whole))?;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        if serde_json::from_slice::<DeadLetter>(&rest).is_ok() {
            // It lacks nothing but its end.
            file.write_all(b"\n")?;
        } else {
            file.set_len(whole)?;
            file.seek(SeekFrom::Start(whole))?;
        }
        file.write_all(&line)?;
        file.sync_data()
    };
    all().map_err(failed("write", path))
}

/// Where the last line ends that has an end.
fn end_of_whole_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(piece.len() as u64);
        let length = usize::try_from(end - start).unwrap_or(piece.len());
        let piece = piece.get_mut(..length).unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// All that were kept. A last line that a crash cut short is passed over: its event is still to
/// be delivered.
pub(crate) fn read(path: &Path) -> Result<Vec<DeadLetter>, SinkError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(failed("read", path))?,
    };
    let mut letters = Vec::new();
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(letter) => letters.push(letter),
            Err(_) if !text.ends_with('\n') && text.ends_with(line) => {}
            Err(error) => return Err(failed("understand", path)(error.into())),
        }
    }
    Ok(letters)
}

/// Replaces all of them, whole or not at all.
pub(crate) fn replace(path: &Path, letters: &[DeadLetter]) -> Result<(), SinkError> {
    let partial = path.with_extension("partial");
    let all = || -> io::Result<()> {
        let mut text = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut text, letter)?;
            text.push(b'\n');
        }
        let mut file = options().truncate(true).open(&partial)?;
        file.write_all(&text)?;
        file.sync_data()?;
        std::fs::rename(&partial, path)
    };
    all().map_err(failed("write", path))
}
