//! The StateManager: versioned keys and values.

pub(crate) mod check;
pub(crate) mod import;
pub(crate) mod journal;
pub(crate) mod mend;
pub(crate) mod rekey;

use std::collections::BTreeMap;

use ctrlz_core::actor::Actor;
use ctrlz_core::digest::Digest;
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::operation::OperationKind;
use ctrlz_core::state::{Expected, KeyId, MAX_VALUE, StateEntry, StateKey, StateWrite};
use ctrlz_core::state_store::{MAX_SEAL, SealedValue};
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::blobs::{self, Hash};
use crate::fault::Fault;
use crate::journal as operations;
use crate::rows::{self, sql_version};

/// A value that is fit to be written.
pub(crate) struct Value<'a> {
    bytes: &'a [u8],
    hash: Hash,
    size: u64,
    sealed: Option<KeyId>,
}

impl<'a> Value<'a> {
    /// Checks the size and hashes; done before the transaction, so that others need not wait.
    pub(crate) fn new(key: &StateKey, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if bytes.len() > MAX_VALUE {
            return Err(StoreError::TooLarge { key: key.clone(), size });
        }
        Ok(Self { bytes, hash: blobs::hash(bytes), size, sealed: None })
    }

    /// The same for one that is encrypted.
    pub(crate) fn sealed(key: &StateKey, value: &SealedValue<'a>) -> Result<Self, StoreError> {
        let SealedValue { bytes, size, sealed } = *value;
        if size > MAX_VALUE as u64 || bytes.len() > MAX_VALUE + MAX_SEAL {
            return Err(StoreError::TooLarge { key: key.clone(), size });
        }
        Ok(Self { bytes, hash: blobs::hash(bytes), size, sealed: Some(sealed) })
    }
}

pub(crate) fn put(
    tx: &Transaction<'_>,
    actor: &Actor,
    sandbox: SandboxId,
    key: &StateKey,
    value: Option<&Value<'_>>,
    expected: Expected,
) -> Result<u64, Fault> {
    let version = newest_version(tx, sandbox)?;
    let living = living_entry(tx, sandbox, key)?;
    let found = living.as_ref().map(|living| living.version);
    let holds = match expected {
        Expected::Any => true,
        Expected::Absent => found.is_none(),
        Expected::Version(wanted) => found == Some(wanted),
    };
    if !holds {
        return Err(Fault::Answer(StoreError::Conflict { key: key.clone(), found }));
    }
    match value {
        Some(Value { sealed: None, .. }) if living.is_some_and(|living| living.sealed) => {
            return Err(Fault::Answer(StoreError::Sensitive { key: key.clone() }));
        }
        Some(Value { sealed: Some(given), .. }) => check_key(tx, *given)?,
        _ => {}
    }
    if let Some(value) = value {
        blobs::store(tx, &value.hash, value.bytes)?;
    }
    let mut writer = Writer::new(tx, sandbox, version);
    let now = rows::now();
    let digest = value.map(|value| Digest::blake3(value.hash));
    let size = value.map_or(0, |value| value.size);
    writer.write(key.clone(), digest, size, value.and_then(|value| value.sealed), now)?;
    let word = if value.is_some() { "write" } else { "delete" };
    Ok(writer.end(actor, || format!("{word} state {key}"))?.0)
}

/// Fails when there are encrypted values and none of them is under the key `given`: whoever holds
/// an old key after a rotation must not bring it back into use.
fn check_key(tx: &Transaction<'_>, given: KeyId) -> Result<(), Fault> {
    let (known, other): (Option<bool>, Option<String>) = tx
        .prepare_cached("SELECT max(sealed = ?1), max(sealed) FROM state WHERE sealed IS NOT NULL")?
        .query_row([given.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    match other.and_then(|other| other.parse().ok()) {
        Some(wanted) if known == Some(false) => {
            Err(Fault::Answer(StoreError::OtherKey { wanted, given }))
        }
        _ => Ok(()),
    }
}

pub(crate) fn get(
    db: &Connection,
    sandbox: SandboxId,
    key: &StateKey,
    version: Option<u64>,
) -> Result<Option<StateEntry>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT s.key, s.version, s.hash, s.size, s.written, s.sealed, b.bytes
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
    let bytes: Option<Vec<u8>> = row.get(6)?;
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
        "SELECT key, version, hash, size, written, sealed FROM state
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
        "SELECT key, max(version), hash, size, written, sealed FROM state
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
    actor: &Actor,
    sandbox: SandboxId,
    version: u64,
) -> Result<u64, Fault> {
    let newest = newest_version(tx, sandbox)?;
    let then = living(tx, sandbox, version)?;
    let now = living(tx, sandbox, newest)?;
    let mut writer = Writer::new(tx, sandbox, newest);
    let written = rows::now();
    for (key, wanted) in &then {
        if now.get(key).is_none_or(|found| found.digest != wanted.digest) {
            writer.write(key.clone(), wanted.digest, wanted.size, wanted.sealed, written)?;
        }
    }
    for key in now.keys().filter(|key| !then.contains_key(*key)) {
        writer.write(key.clone(), None, 0, None, written)?;
    }
    Ok(writer.end(actor, || format!("restore state to version {version}"))?.0)
}

/// Copies the living entries of `from`, as of `version`, into the new sandbox `to`; answers its
/// newest version then, and what is to be journaled of it.
pub(crate) fn copy(
    tx: &Transaction<'_>,
    from: SandboxId,
    version: u64,
    to: SandboxId,
    written: Timestamp,
) -> Result<(u64, Option<String>), Fault> {
    let mut writer = Writer::new(tx, to, 0);
    for (key, value) in living(tx, from, version)? {
        writer.write(key, value.digest, value.size, value.sealed, written)?;
    }
    let writes = journal::text(&writer.writes)?;
    tx.prepare_cached("UPDATE sandboxes SET state_version = ?2 WHERE id = ?1")?
        .execute(params![to.0, sql_version(writer.version)])?;
    Ok((writer.version, (!writer.writes.is_empty()).then_some(writes)))
}

fn living(
    db: &Connection,
    sandbox: SandboxId,
    version: u64,
) -> Result<BTreeMap<StateKey, StateWrite>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT key, max(version), hash, size, written, sealed FROM state
         WHERE sandbox = ?1 AND version <= ?2 GROUP BY key",
    )?;
    let mut found = statement.query(params![sandbox.0, sql_version(version)])?;
    let mut living = BTreeMap::new();
    while let Some(row) = found.next()? {
        let write = state_write(row)?;
        if write.digest.is_some() {
            living.insert(write.key.clone(), write);
        }
    }
    Ok(living)
}

/// A row of the columns key, version, hash, size, written, sealed, as it was written.
pub(crate) fn state_write(row: &Row<'_>) -> Result<StateWrite, Fault> {
    let entry = rows::state_entry(row)?;
    let hash: Option<Hash> = row.get(2)?;
    Ok(StateWrite {
        key: entry.key,
        version: entry.version,
        digest: hash.map(Digest::blake3),
        size: entry.size,
        written: entry.written,
        sealed: entry.sealed,
    })
}

/// The newest entry of a key, when it is a value.
struct Living {
    version: u64,
    sealed: bool,
}

fn living_entry(
    db: &Connection,
    sandbox: SandboxId,
    key: &StateKey,
) -> Result<Option<Living>, Fault> {
    let newest: Option<(i64, bool, bool)> = db
        .prepare_cached(
            "SELECT version, hash IS NOT NULL, sealed IS NOT NULL FROM state
             WHERE sandbox = ?1 AND key = ?2 ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![sandbox.0, key.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(newest.filter(|(_, living, _)| *living).and_then(|(version, _, sealed)| {
        u64::try_from(version).ok().map(|version| Living { version, sealed })
    }))
}

fn as_of(version: Option<u64>) -> i64 {
    version.map_or(i64::MAX, sql_version)
}

/// Writes entries, each under the next version.
pub(crate) struct Writer<'a> {
    tx: &'a Transaction<'a>,
    sandbox: SandboxId,
    first: u64,
    version: u64,
    writes: Vec<StateWrite>,
}

impl<'a> Writer<'a> {
    /// The namespace stands at `version`.
    pub(crate) fn new(tx: &'a Transaction<'_>, sandbox: SandboxId, version: u64) -> Self {
        Self { tx, sandbox, first: version, version, writes: Vec::new() }
    }

    pub(crate) fn write(
        &mut self,
        key: StateKey,
        digest: Option<Digest>,
        size: u64,
        sealed: Option<KeyId>,
        written: Timestamp,
    ) -> Result<(), Fault> {
        self.version += 1;
        let write = StateWrite { key, version: self.version, digest, size, written, sealed };
        insert(self.tx, self.sandbox, &write)?;
        self.writes.push(write);
        Ok(())
    }

    /// The sandbox always stands at its newest version. What was written is noted in the open
    /// operation or, when there is none, journaled under `title`; then its operation is told.
    pub(crate) fn end(
        self,
        actor: &Actor,
        title: impl FnOnce() -> String,
    ) -> Result<(u64, Option<OperationId>), Fault> {
        let Self { tx, sandbox, first, version, writes } = self;
        if writes.is_empty() {
            return Ok((version, None));
        }
        let open: Option<i64> = tx
            .prepare_cached(
                "UPDATE sandboxes SET state_version = ?2 WHERE id = ?1 RETURNING open_operation",
            )?
            .query_row(params![sandbox.0, sql_version(version)], |row| row.get(0))?;
        let text = journal::text(&writes)?;
        let operation = match open {
            Some(open) => {
                journal::note(tx, OperationId(open), &text)?;
                OperationId(open)
            }
            None => {
                let kind = OperationKind::State;
                operations::record(tx, actor, sandbox, kind, &title(), first, &text)?
            }
        };
        Ok((version, Some(operation)))
    }
}

/// Writes one entry as it is.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    sandbox: SandboxId,
    write: &StateWrite,
) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO state(sandbox, key, version, hash, size, written, sealed)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        sandbox.0,
        write.key.as_str(),
        sql_version(write.version),
        write.digest.as_ref().map(|digest| digest.bytes.as_slice()),
        sql_version(write.size),
        write.written.0,
        write.sealed.map(|id| id.to_string()),
    ])?;
    Ok(())
}

/// Every write of a namespace, by version.
pub(crate) fn writes(db: &Connection, sandbox: SandboxId) -> Result<Vec<StateWrite>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT key, version, hash, size, written, sealed FROM state
         WHERE sandbox = ?1 ORDER BY version",
    )?;
    let mut found = statement.query([sandbox.0])?;
    let mut writes = Vec::new();
    while let Some(row) = found.next()? {
        writes.push(state_write(row)?);
    }
    Ok(writes)
}
