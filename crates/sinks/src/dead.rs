//! Events that a sink would not take.

use std::io::{self, Write};
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
        let mut file = options().write(false).append(true).open(path)?;
        file.write_all(&line)?;
        file.sync_data()
    };
    all().map_err(failed("write", path))
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
