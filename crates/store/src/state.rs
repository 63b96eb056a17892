//! The StateManager: versioned keys and values.

use std::collections::BTreeMap;

use ctrlz_core::id::SandboxId;
use ctrlz_core::state::{Expected, MAX_VALUE, StateEntry, StateKey};
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::blobs::{self, Hash};
use crate::fault::Fault;
use crate::rows::{self, sql_version};

/// A value that is fit to be written.
pub(crate) struct Value<'a> {
    bytes: &'a [u8],
    hash: Hash,
}

impl<'a> Value<'a> {
    /// Checks the size and hashes; done before the transaction, so that others need not wait.
    pub(crate) fn new(key: &StateKey, bytes: &'a [u8]) -> Result<Self, StoreError> {
        if bytes.len() > MAX_VALUE {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Err(StoreError::TooLarge { key: key.clone(), size });
        }
        Ok(Self { bytes, hash: blobs::hash(bytes) })
    }
}

pub(crate) fn put(
    tx: &Transaction<'_>,
    sandbox: SandboxId,
    key: &StateKey,
    value: Option<&Value<'_>>,
    expected: Expected,
) -> Result<u64, Fault> {
    let version = newest_version(tx, sandbox)?;
    let found = living_version(tx, sandbox, key)?;
    let holds = match expected {
        Expected::Any => true,
        Expected::Absent => found.is_none(),
        Expected::Version(wanted) => found == Some(wanted),
    };
    if !holds {
        return Err(Fault::Answer(StoreError::Conflict { key: key.clone(), found }));
    }
    if let Some(value) = value {
        blobs::store(tx, &value.hash, value.bytes)?;
    }
    let mut writer = Writer { tx, sandbox, version, written: rows::now() };
    let size = value.map_or(0, |value| value.bytes.len());
    writer.write(
        key.as_str(),
        value.map(|value| value.hash.as_slice()),
        i64::try_from(size).unwrap_or(i64::MAX),
    )?;
    writer.end()
}

pub(crate) fn get(
    db: &Connection,
    sandbox: SandboxId,
    key: &StateKey,
    version: Option<u64>,
) -> Result<Option<StateEntry>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT s.key, s.version, s.hash, s.size, s.written, b.bytes
         FROM state s LEFT JOIN blobs b ON b.hash = s.hash
         WHERE s.sandbox = ?1 AND s.key = ?2 AND s.version <= ?3
         ORDER BY s.version DESC LIMIT 1",
    )?;
    let mut found = statement.query(params![sandbox.0, key.as_str(), as_of(version)])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let mut entry = rows::state_entry(row)?;
    if entry.deleted {
        return Ok(None);
    }
    let hash: Vec<u8> = row.get(2)?;
    let bytes: Option<Vec<u8>> = row.get(5)?;
    match bytes {
        Some(bytes) if blobs::hash(&bytes).as_slice() == hash => entry.value = Some(bytes),
        _ => {
            let (key, version) = (entry.key, entry.version);
            return Err(Fault::Answer(StoreError::Damaged { key, version }));
        }
    }
    Ok(Some(entry))
}

pub(crate) fn history(
    db: &Connection,
    sandbox: SandboxId,
    key: &StateKey,
) -> Result<Vec<StateEntry>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT key, version, hash, size, written FROM state
         WHERE sandbox = ?1 AND key = ?2 ORDER BY version DESC",
    )?;
    let mut found = statement.query(params![sandbox.0, key.as_str()])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push(rows::state_entry(row)?);
    }
    Ok(entries)
}

pub(crate) fn list(
    db: &Connection,
    sandbox: SandboxId,
    version: Option<u64>,
) -> Result<Vec<StateEntry>, Fault> {
    let mut statement = db.prepare_cached(
        // The other columns are those of the row with the greatest version: SQLite says so of a
        // query with one max() (lang_select.html, "bare columns in an aggregate query").
        "SELECT key, max(version), hash, size, written FROM state
         WHERE sandbox = ?1 AND version <= ?2 GROUP BY key ORDER BY key",
    )?;
    let mut found = statement.query(params![sandbox.0, as_of(version)])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let entry = rows::state_entry(row)?;
        if !entry.deleted {
            entries.push(entry);
        }
    }
    Ok(entries)
}

pub(crate) fn newest_version(db: &Connection, sandbox: SandboxId) -> Result<u64, Fault> {
    let mut statement = db.prepare_cached("SELECT state_version FROM sandboxes WHERE id = ?1")?;
    let mut found = statement.query([sandbox.0])?;
    let row = found.next()?.ok_or_else(|| Fault::no_sandbox(sandbox))?;
    rows::version(row, 0)
}

pub(crate) fn restore(
    tx: &Transaction<'_>,
    sandbox: SandboxId,
    version: u64,
) -> Result<u64, Fault> {
    let newest = newest_version(tx, sandbox)?;
    let then = living(tx, sandbox, version)?;
    let now = living(tx, sandbox, newest)?;
    let mut writer = Writer { tx, sandbox, version: newest, written: rows::now() };
    for (key, wanted) in &then {
        if now.get(key).is_none_or(|found| found.hash != wanted.hash) {
            writer.write(key, Some(&wanted.hash), wanted.size)?;
        }
    }
    for key in now.keys().filter(|key| !then.contains_key(*key)) {
        writer.write(key, None, 0)?;
    }
    writer.end()
}

/// Copies the living entries of `from`, as of `version`, into the new sandbox `to`; answers its
/// newest version then.
pub(crate) fn copy(
    tx: &Transaction<'_>,
    from: SandboxId,
    version: u64,
    to: SandboxId,
    written: Timestamp,
) -> Result<u64, Fault> {
    let mut writer = Writer { tx, sandbox: to, version: 0, written };
    for (key, value) in living(tx, from, version)? {
        writer.write(&key, Some(&value.hash), value.size)?;
    }
    writer.end()
}

/// Where a living value is.
struct Stored {
    hash: Vec<u8>,
    size: i64,
}

fn living(
    db: &Connection,
    sandbox: SandboxId,
    version: u64,
) -> Result<BTreeMap<String, Stored>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT key, hash, size, max(version) FROM state
         WHERE sandbox = ?1 AND version <= ?2 GROUP BY key",
    )?;
    let mut found = statement.query(params![sandbox.0, sql_version(version)])?;
    let mut living = BTreeMap::new();
    while let Some(row) = found.next()? {
        if let Some(hash) = row.get(1)? {
            living.insert(row.get(0)?, Stored { hash, size: row.get(2)? });
        }
    }
    Ok(living)
}

fn living_version(
    db: &Connection,
    sandbox: SandboxId,
    key: &StateKey,
) -> Result<Option<u64>, Fault> {
    let newest: Option<(i64, bool)> = db
        .prepare_cached(
            "SELECT version, hash IS NOT NULL FROM state
             WHERE sandbox = ?1 AND key = ?2 ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![sandbox.0, key.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(newest.filter(|(_, living)| *living).and_then(|(version, _)| u64::try_from(version).ok()))
}

fn as_of(version: Option<u64>) -> i64 {
    version.map_or(i64::MAX, sql_version)
}

/// Writes entries, each under the next version.
struct Writer<'a> {
    tx: &'a Transaction<'a>,
    sandbox: SandboxId,
    version: u64,
    written: Timestamp,
}

impl Writer<'_> {
    fn write(&mut self, key: &str, hash: Option<&[u8]>, size: i64) -> Result<(), Fault> {
        self.version += 1;
        self.tx
            .prepare_cached(
                "INSERT INTO state(sandbox, key, version, hash, size, written)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                self.sandbox.0,
                key,
                sql_version(self.version),
                hash,
                size,
                self.written.0,
            ])?;
        Ok(())
    }

    /// The sandbox always stands at its newest version.
    fn end(self) -> Result<u64, Fault> {
        self.tx
            .prepare_cached("UPDATE sandboxes SET state_version = ?2 WHERE id = ?1")?
            .execute(params![self.sandbox.0, sql_version(self.version)])?;
        Ok(self.version)
    }
}
