//! What is wrong with a namespace: its entries against the journal, its values against their
//! checksums.

use std::collections::{BTreeMap, HashMap};

use ctrlz_core::id::SandboxId;
use ctrlz_core::state::StateWrite;
use ctrlz_core::state_store::{StateFault, StateProblem};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::{journal, newest_version, state_write};
use crate::blobs::{self, Hash};
use crate::fault::Fault;
use crate::vault;

/// An entry as it stands in its row.
pub(crate) enum Stored {
    Good(StateWrite),
    /// Something that this code never writes.
    Bad {
        key: String,
        version: i64,
    },
}

impl Stored {
    fn fault(&self, problem: StateProblem) -> StateFault {
        match self {
            Self::Good(write) => fault(write, problem),
            Self::Bad { key, version } => {
                StateFault { key: key.clone(), version: *version, problem }
            }
        }
    }
}

fn fault(write: &StateWrite, problem: StateProblem) -> StateFault {
    let version = i64::try_from(write.version).unwrap_or(i64::MAX);
    StateFault { key: write.key.to_string(), version, problem }
}

pub(crate) fn stored(db: &Connection, sandbox: SandboxId) -> Result<Vec<Stored>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT key, version, hash, size, written, sealed FROM state
         WHERE sandbox = ?1 ORDER BY version",
    )?;
    let mut found = statement.query([sandbox.0])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(match state_write(row) {
            Ok(write) => Stored::Good(write),
            Err(_) => Stored::Bad { key: readable(row, 0)?, version: row.get(1).unwrap_or(0) },
        });
    }
    Ok(rows)
}

/// A column as text, whatever it holds.
fn readable(row: &Row<'_>, column: usize) -> Result<String, Fault> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).escape_debug().to_string()
        }
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Null => String::new(),
    })
}

/// Compares the entries with what the journal tells.
pub(crate) fn compare(db: &Connection, sandbox: SandboxId) -> Result<Vec<StateFault>, Fault> {
    let mut told = journal::replay(db, sandbox)?;
    let mut faults = Vec::new();
    let mut newest = 0;
    for row in stored(db, sandbox)? {
        let version = match &row {
            Stored::Good(write) => write.version,
            Stored::Bad { version, .. } => u64::try_from(*version).unwrap_or(0),
        };
        newest = newest.max(version);
        let wanted = told.remove(&version);
        let problem = match (&row, wanted) {
            (Stored::Bad { .. }, _) => StateProblem::RowDamaged,
            (_, None) => StateProblem::EntryUnknown,
            (Stored::Good(write), Some(wanted)) if *write == wanted => continue,
            _ => StateProblem::EntryDiffers,
        };
        faults.push(row.fault(problem));
    }
    for missing in told.values() {
        newest = newest.max(missing.version);
        faults.push(fault(missing, StateProblem::EntryMissing));
    }
    let stands = newest_version(db, sandbox)?;
    if stands != newest {
        let version = i64::try_from(stands).unwrap_or(i64::MAX);
        let problem = StateProblem::VersionWrong;
        faults.push(StateFault { key: String::new(), version, problem });
    }
    faults.sort();
    Ok(faults)
}

/// How many bytes the value of a write takes as it is stored.
pub(crate) fn stored_size(write: &StateWrite) -> u64 {
    match write.sealed {
        None => write.size,
        Some(_) => write.size.saturating_add(vault::OVERHEAD),
    }
}

/// How many bytes a stored value has, when they match its hash.
type Lengths = HashMap<Hash, Option<u64>>;

/// Reads every value that a namespace refers to, each once.
fn lengths(db: &Connection, sandbox: SandboxId) -> Result<Lengths, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT hash, bytes FROM blobs
         WHERE hash IN (SELECT hash FROM state WHERE sandbox = ?1)",
    )?;
    let mut found = statement.query(params![sandbox.0])?;
    let mut lengths = Lengths::new();
    while let Some(row) = found.next()? {
        let Ok(hash) = row.get::<_, Hash>(0) else { continue };
        let good = match row.get_ref(1)? {
            ValueRef::Blob(bytes) if blobs::hash(bytes) == hash => u64::try_from(bytes.len()).ok(),
            _ => None,
        };
        lengths.insert(hash, good);
    }
    Ok(lengths)
}

/// Everything that is wrong with a namespace.
pub(crate) fn verify(db: &Connection, sandbox: SandboxId) -> Result<Vec<StateFault>, Fault> {
    let mut faults = compare(db, sandbox)?;
    let lengths = lengths(db, sandbox)?;
    // Of an entry that the journal has otherwise, the value that it should have counts.
    let mut wanted: BTreeMap<u64, StateWrite> = journal::replay(db, sandbox)?;
    for row in stored(db, sandbox)? {
        if let Stored::Good(write) = row {
            wanted.entry(write.version).or_insert(write);
        }
    }
    for write in wanted.values() {
        let Some(digest) = &write.digest else { continue };
        let problem = match lengths.get(&digest.bytes) {
            None => match blobs::read(db, &digest.bytes)? {
                // The entry's own row names another value.
                Some(_) => continue,
                None => StateProblem::ValueMissing,
            },
            Some(None) => StateProblem::ValueDamaged,
            Some(Some(length)) => {
                if stored_size(write) == *length {
                    continue;
                }
                StateProblem::SizeWrong
            }
        };
        faults.push(fault(write, problem));
    }
    faults.sort();
    faults.dedup();
    Ok(faults)
}
