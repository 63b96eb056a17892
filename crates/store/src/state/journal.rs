//! What the journal keeps of writes of state, and what follows from it.
//!
//! The column `writes` of an operation has a line for each write: a JSON array of the key, the
//! version, the BLAKE3 of the stored bytes in hexadecimal digits (null: deleted), the size, the
//! time, and the id of the secret key (null: not encrypted). A later line about the same version
//! takes the place of the earlier one: so a rotation tells what became of the values.

use std::collections::BTreeMap;

use ctrlz_core::digest::Digest;
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::state::{KeyId, StateKey, StateWrite};
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::rows::{bad_row, json};

#[derive(Serialize, Deserialize)]
struct Line(StateKey, u64, Option<String>, u64, i64, Option<KeyId>);

/// Writes as the journal keeps them.
pub(crate) fn text(writes: &[StateWrite]) -> Result<String, Fault> {
    let mut text = String::new();
    for write in writes {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &json(&line(write), "a write of state")?;
    }
    Ok(text)
}

fn line(write: &StateWrite) -> Line {
    Line(
        write.key.clone(),
        write.version,
        write.digest.as_ref().map(Digest::hex),
        write.size,
        write.written.0,
        write.sealed,
    )
}

/// The digest of writes as the journal keeps them.
pub(crate) fn digest(text: &str) -> Digest {
    Digest::blake3(*blake3::hash(text.as_bytes()).as_bytes())
}

/// The same of writes; nothing when there are none.
pub(crate) fn digest_of(writes: &[StateWrite]) -> Option<Digest> {
    // Keys, numbers and hexadecimal digits can always be written as JSON.
    (!writes.is_empty()).then(|| digest(&text(writes).unwrap_or_default()))
}

/// Reads what [`text`] wrote.
pub(crate) fn parse(text: &str) -> Result<Vec<StateWrite>, Fault> {
    text.lines().map(read).collect()
}

fn read(text: &str) -> Result<StateWrite, Fault> {
    let Line(key, version, hash, size, written, sealed) = serde_json::from_str(text)
        .map_err(|source| bad_row("a write of state", text.to_owned(), source))?;
    let digest = hash
        .map(|hash| format!("blake3:{hash}").parse::<Digest>())
        .transpose()
        .map_err(|source| bad_row("a write of state", text.to_owned(), source))?;
    Ok(StateWrite { key, version, digest, size, written: Timestamp(written), sealed })
}

/// Notes writes in an operation that is open.
pub(crate) fn note(tx: &Transaction<'_>, open: OperationId, text: &str) -> Result<(), Fault> {
    tx.prepare_cached(
        "UPDATE operations SET writes = coalesce(writes || char(10), '') || ?2 WHERE id = ?1",
    )?
    .execute(params![open.0, text])?;
    Ok(())
}

/// The state that the journal tells of, by version.
pub(crate) fn replay(
    db: &Connection,
    sandbox: SandboxId,
) -> Result<BTreeMap<u64, StateWrite>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT writes FROM operations WHERE sandbox = ?1 AND writes IS NOT NULL ORDER BY id",
    )?;
    let mut found = statement.query([sandbox.0])?;
    let mut state = BTreeMap::new();
    while let Some(row) = found.next()? {
        let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        for write in text.lines() {
            let write = read(write)?;
            state.insert(write.version, write);
        }
    }
    Ok(state)
}
