//! State as a file: JSON, an object a line, with all histories.
//!
//! ```text
//! {"format":"ctrlz state 1","written":"2026-01-31T12:00:00Z"}
//! {"namespace":"web"}
//! {"write":{"key":"phase","version":1,"digest":"blake3:…","size":1,"written":1769860800000000000}}
//! {"value":{"digest":"blake3:…","bytes":"Mg=="}}
//! {"end":{"lines":4,"digest":"blake3:…"}}
//! ```
//!
//! The writes of a namespace follow its line, by version; one without a digest is a deletion, one
//! with `sealed` has an encrypted value, and that is the id of its key. Each value stands once, in
//! base64, as it is stored. The digest of the last line is of all bytes before that line.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ctrlz_core::digest::Digest;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::StateWrite;
use ctrlz_core::state_store::ValueCopies;
use ctrlz_core::store::{Store, StoreError};
use ctrlz_core::time::Timestamp;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "ctrlz state 1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    written: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Namespace(String),
    Write(StateWrite),
    Value { digest: Digest, bytes: String },
    End { lines: u64, digest: Digest },
}

/// Why a file is no export of state, or not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// All of an export.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The namespaces with their writes, by version.
    pub namespaces: Vec<(String, Vec<StateWrite>)>,
    values: HashMap<Digest, Vec<u8>>,
}

impl ValueCopies for Bundle {
    fn copy_of(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.values.get(digest).cloned()
    }
}

fn blake3_of(bytes: &[u8]) -> Digest {
    Digest::blake3(*blake3::hash(bytes).as_bytes())
}

impl Bundle {
    /// Everything in these namespaces.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a value is not as it was written, or a failure to read.
    pub fn of(store: &dyn Store, sandboxes: &[Sandbox]) -> Result<Self, StoreError> {
        Self::of_versions(store, sandboxes, u64::MAX)
    }

    /// The history of one namespace up to and including a version.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn until(store: &dyn Store, sandbox: &Sandbox, version: u64) -> Result<Self, StoreError> {
        Self::of_versions(store, std::slice::from_ref(sandbox), version)
    }

    fn of_versions(
        store: &dyn Store,
        sandboxes: &[Sandbox],
        until: u64,
    ) -> Result<Self, StoreError> {
        let mut bundle = Self::default();
        for sandbox in sandboxes {
            let mut writes = store.state_writes(sandbox.id)?;
            writes.retain(|write| write.version <= until);
            for write in &writes {
                let Some(digest) = write.digest else { continue };
                if bundle.values.contains_key(&digest) {
                    continue;
                }
                let Some(bytes) = store.stored_value(&digest)? else {
                    let (key, version) = (write.key.clone(), write.version);
                    return Err(StoreError::Damaged { key, version });
                };
                bundle.values.insert(digest, bytes);
            }
            bundle.namespaces.push((sandbox.name.to_string(), writes));
        }
        Ok(bundle)
    }

    /// As text.
    ///
    /// # Errors
    /// When something cannot be written as JSON.
    pub fn text(&self, now: Timestamp) -> Result<String, serde_json::Error> {
        let head = Head { format: FORMAT.to_owned(), written: now.rfc3339() };
        let mut text = serde_json::to_string(&head)?;
        let mut lines = 1;
        let mut push = |text: &mut String, line: &Line| -> Result<(), serde_json::Error> {
            *text += "\n";
            *text += &serde_json::to_string(line)?;
            lines += 1;
            Ok(())
        };
        for (name, writes) in &self.namespaces {
            push(&mut text, &Line::Namespace(name.clone()))?;
            for write in writes {
                push(&mut text, &Line::Write(write.clone()))?;
            }
        }
        let mut values: Vec<_> = self.values.iter().collect();
        values.sort_unstable_by_key(|(digest, _)| digest.bytes);
        for (digest, bytes) in values {
            push(&mut text, &Line::Value { digest: *digest, bytes: STANDARD.encode(bytes) })?;
        }
        text.push('\n');
        let end = Line::End { lines, digest: blake3_of(text.as_bytes()) };
        text += &serde_json::to_string(&end)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads what [`Self::text`] wrote, and checks all of it.
    ///
    /// # Errors
    /// [`FileError`] with the line.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let wrong = |line: usize, reason: &str| FileError { line, reason: reason.to_owned() };
        let head = text.lines().next().unwrap_or_default();
        match serde_json::from_str::<Head>(head) {
            Ok(head) if head.format == FORMAT => {}
            Ok(head) => {
                let format = head.format.escape_debug();
                return Err(wrong(1, &format!("format `{format}` is not known here")));
            }
            Err(_) => return Err(wrong(1, "this is no export of state")),
        }
        let mut bundle = Self::default();
        let mut ended = false;
        let mut read = head.len() + 1;
        for (index, line) in text.lines().enumerate().skip(1) {
            let number = index + 1;
            if ended {
                return Err(wrong(number, "something follows the end"));
            }
            let parsed: Line = serde_json::from_str(line)
                .map_err(|error| FileError { line: number, reason: error.to_string() })?;
            match parsed {
                Line::Namespace(name) => {
                    if bundle.namespaces.iter().any(|(known, _)| *known == name) {
                        return Err(wrong(number, "this namespace stands here already"));
                    }
                    bundle.namespaces.push((name, Vec::new()));
                }
                Line::Write(write) => bundle.add(write, number)?,
                Line::Value { digest, bytes } => {
                    let bytes = STANDARD
                        .decode(bytes)
                        .ok()
                        .filter(|bytes| blake3_of(bytes) == digest)
                        .ok_or_else(|| wrong(number, "the value does not match its digest"))?;
                    bundle.values.insert(digest, bytes);
                }
                Line::End { lines, digest } => {
                    let before = text.as_bytes().get(..read).unwrap_or_default();
                    if usize::try_from(lines) != Ok(index) || blake3_of(before) != digest {
                        return Err(wrong(number, "the lines before are not those of the export"));
                    }
                    ended = true;
                }
            }
            read += line.len() + 1;
        }
        if !ended {
            return Err(wrong(text.lines().count(), "the end is missing: it was cut off"));
        }
        Ok(bundle)
    }

    fn add(&mut self, write: StateWrite, line: usize) -> Result<(), FileError> {
        let wrong = |reason: &str| FileError { line, reason: reason.to_owned() };
        let Some((_, writes)) = self.namespaces.last_mut() else {
            return Err(wrong("a write stands before any namespace"));
        };
        if write.version <= writes.last().map_or(0, |last| last.version) {
            return Err(wrong("the versions do not rise"));
        }
        writes.push(write);
        Ok(())
    }
}
