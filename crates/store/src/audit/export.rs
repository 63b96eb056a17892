//! A log as a file, and the whole check of one.
//!
//! An export is JSON lines: the events as they stand in the log, byte for byte, behind one line that
//! says where they begin, and before lines with the signed checkpoints.

use std::fmt::Write as _;

use ctrlz_core::digest::Digest;
use serde::{Deserialize, Serialize};

use super::chain::{Break, Link, Start, check, hash};
use super::checkpoint::{Checkpoint, CheckpointError};
use super::keys::Verifier;

#[derive(Serialize, Deserialize)]
struct Header {
    ctrlz_event_log: String,
    before: i64,
    prevhash: String,
}

#[derive(Serialize, Deserialize)]
struct Note {
    checkpoint: String,
}

/// Part of a log with its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Where it begins.
    pub start: Start,
    /// The events, oldest first.
    pub events: Vec<String>,
    /// The signed checkpoints.
    pub checkpoints: Vec<String>,
}

/// Why a text is no export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not as in an export of an event log: {reason}")]
pub struct BundleError {
    line: usize,
    reason: String,
}

impl Bundle {
    /// The export's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let header = Header {
            ctrlz_event_log: self.start.source.clone(),
            before: self.start.before,
            prevhash: self.start.hash.hex(),
        };
        // Neither a String nor these types fail to be written.
        let _ = writeln!(text, "{}", serde_json::to_string(&header).unwrap_or_default());
        for event in &self.events {
            let _ = writeln!(text, "{event}");
        }
        for checkpoint in &self.checkpoints {
            let note = Note { checkpoint: checkpoint.clone() };
            let _ = writeln!(text, "{}", serde_json::to_string(&note).unwrap_or_default());
        }
        text
    }

    /// The events from number `first` to number `last`, both of which it has. The chain must have
    /// been checked.
    #[must_use]
    pub fn part(&self, first: i64, last: i64) -> Self {
        let index = |number: i64| {
            usize::try_from(number - self.start.before - 1).unwrap_or(0).min(self.events.len())
        };
        let mut start = self.start.clone();
        if let Some(before) = index(first).checked_sub(1).and_then(|at| self.events.get(at)) {
            start = Start { before: first - 1, hash: hash(before), ..start };
        }
        let events = self.events.get(index(first)..index(last + 1)).unwrap_or_default().to_vec();
        let within = |note: &&String| {
            let number = Checkpoint::read_unverified(note).map_or(0, |found| found.number);
            (first..=last).contains(&number)
        };
        let checkpoints = self.checkpoints.iter().filter(within).cloned().collect();
        Self { start, events, checkpoints }
    }

    /// Reads an export.
    ///
    /// # Errors
    /// When it is none. Whether it was changed is for [`verify`] to say.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        let bad = |line: usize, reason: &str| BundleError { line, reason: reason.to_owned() };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let (_, first) = lines.next().ok_or_else(|| bad(1, "there is nothing"))?;
        let header: Header =
            serde_json::from_str(first).map_err(|error| bad(1, &error.to_string()))?;
        let hash: Digest = format!("sha256:{}", header.prevhash)
            .parse()
            .map_err(|_| bad(1, "`prevhash` is no SHA-256"))?;
        // So far no log comes, and nothing that is added to a number leaves its range.
        if !(0..=i64::MAX >> 1).contains(&header.before) {
            return Err(bad(1, "`before` is no number of an event"));
        }
        let start = Start { source: header.ctrlz_event_log, before: header.before, hash };
        let mut bundle = Self { start, events: Vec::new(), checkpoints: Vec::new() };
        for (number, line) in lines {
            if line.starts_with("{\"checkpoint\":") {
                let note: Note =
                    serde_json::from_str(line).map_err(|error| bad(number, &error.to_string()))?;
                bundle.checkpoints.push(note.checkpoint);
            } else if bundle.checkpoints.is_empty() {
                bundle.events.push(line.to_owned());
            } else {
                return Err(bad(number, "events stand before the checkpoints"));
            }
        }
        Ok(bundle)
    }
}

/// What was shown of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The first event, when there is one.
    pub first: Option<i64>,
    /// The last event, when there is one.
    pub last: Option<i64>,
    /// The newest event that a checkpoint covers; 0 for none.
    pub signed_to: i64,
    /// Who signed; nobody when no key was given, or nothing is signed.
    pub by: Option<String>,
}

/// Why a log is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The chain breaks.
    #[error(transparent)]
    Chain(#[from] Break),
    /// A checkpoint is not good.
    #[error("a checkpoint is not good: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint is of another log.
    #[error("a checkpoint is of another log, {0}")]
    ForeignCheckpoint(String),
    /// The log ends before an event that was signed.
    #[error("the log was cut: {signed} events were signed, and it ends with event {last}")]
    Truncated {
        /// The event that was signed.
        signed: i64,
        /// The last one that is there.
        last: i64,
    },
    /// An event is another than was signed.
    #[error("event {0} is not the one that was signed: it or one before it was replaced")]
    Replaced(i64),
    /// No checkpoint at all.
    #[error("there is no signed checkpoint: this can be anybody's log")]
    NotSigned,
    /// Events that nobody signed.
    #[error(
        "no signed checkpoint covers the events after {signed_to}, up to {last}: they may have \
         been replaced, and others may have followed them"
    )]
    Unsigned {
        /// The newest signed event.
        signed_to: i64,
        /// The last event.
        last: i64,
    },
}

/// Checks a log, or part of one: the chain, and every checkpoint against it. With `key` the
/// checkpoints must be signed by it, and `sealed` demands that one covers the last event.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(
    bundle: &Bundle,
    key: Option<&Verifier>,
    sealed: bool,
) -> Result<Verified, VerifyError> {
    let links = check(&bundle.start, bundle.events.iter().map(String::as_str))?;
    let last = links.last().map_or(bundle.start.before, |link| link.number);
    let mut signed_to = 0;
    for note in &bundle.checkpoints {
        let checkpoint = match key {
            Some(key) => Checkpoint::open(note, key)?,
            None => Checkpoint::read_unverified(note)?,
        };
        if checkpoint.source != bundle.start.source {
            return Err(VerifyError::ForeignCheckpoint(checkpoint.source));
        }
        if checkpoint.number > last {
            return Err(VerifyError::Truncated { signed: checkpoint.number, last });
        }
        if let Some(found) = at(&bundle.start, &links, checkpoint.number)
            && found != checkpoint.hash
        {
            return Err(VerifyError::Replaced(checkpoint.number));
        }
        signed_to = signed_to.max(checkpoint.number);
    }
    if sealed && signed_to == 0 {
        return Err(VerifyError::NotSigned);
    }
    if sealed && signed_to < last {
        return Err(VerifyError::Unsigned { signed_to, last });
    }
    Ok(Verified {
        first: links.first().map(|link| link.number),
        last: links.last().map(|link| link.number),
        signed_to,
        by: key.filter(|_| signed_to > 0).map(|key| key.name().to_owned()),
    })
}

/// The hash of event `number`; nothing for one before the part that is looked at.
fn at(start: &Start, links: &[Link], number: i64) -> Option<Digest> {
    if number == start.before {
        return Some(start.hash);
    }
    let index = usize::try_from(number.checked_sub(start.before + 1)?).ok()?;
    links.get(index).map(|link| link.hash)
}
