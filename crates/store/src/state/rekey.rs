//! Encrypting values with another key: all of them in one transaction, so that at any moment all
//! are under the old key or all are under the new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ctrlz_core::actor::Actor;
use ctrlz_core::digest::Digest;
use ctrlz_core::id::SandboxId;
use ctrlz_core::operation::OperationKind;
use ctrlz_core::state::{StateKey, StateWrite};
use ctrlz_core::state_store::{Reseal, Resealed};
use ctrlz_core::store::StoreError;
use rusqlite::{Transaction, params};

use super::{journal, newest_version, state_write};
use crate::blobs::{self, Hash};
use crate::fault::Fault;
use crate::journal as operations;
use crate::rows::sql_version;

pub(crate) fn reseal(
    tx: &Transaction<'_>,
    actor: &Actor,
    reseal: &dyn Reseal,
) -> Result<Resealed, Fault> {
    let (from, to) = (reseal.from().to_string(), reseal.to());
    let mut done = Resealed::default();
    // Equal bytes stay equal: an entry that a rollback wrote again is the same value as before.
    let mut renewed: HashMap<(Hash, StateKey), Hash> = HashMap::new();
    for (sandbox, writes) in sealed_under(tx, &from)? {
        let mut changed = Vec::with_capacity(writes.len());
        for mut write in writes {
            let Some(digest) = write.digest else { continue };
            let known = renewed.get(&(digest.bytes, write.key.clone())).copied();
            let hash = match known {
                Some(hash) => hash,
                None => renew(tx, &write, &digest.bytes, reseal)?,
            };
            renewed.insert((digest.bytes, write.key.clone()), hash);
            write.digest = Some(Digest::blake3(hash));
            write.sealed = Some(to);
            tx.prepare_cached(
                "UPDATE state SET hash = ?4, sealed = ?5
                 WHERE sandbox = ?1 AND key = ?2 AND version = ?3",
            )?
            .execute(params![
                sandbox.0,
                write.key.as_str(),
                sql_version(write.version),
                hash.as_slice(),
                to.to_string(),
            ])?;
            changed.push(write);
        }
        let title = format!("encrypt state anew: key {to} for key {from}");
        let version = newest_version(tx, sandbox)?;
        let text = journal::text(&changed)?;
        done.entries += u64::try_from(changed.len()).unwrap_or(u64::MAX);
        let kind = OperationKind::Rekey;
        done.operations.push(operations::record(tx, actor, sandbox, kind, &title, version, &text)?);
    }
    done.values = u64::try_from(renewed.len()).unwrap_or(u64::MAX);
    forget(tx, renewed.into_keys().map(|(hash, _)| hash))?;
    Ok(done)
}

/// Every write under a key, by namespace.
fn sealed_under(
    tx: &Transaction<'_>,
    id: &str,
) -> Result<BTreeMap<SandboxId, Vec<StateWrite>>, Fault> {
    let mut statement = tx.prepare(
        "SELECT key, version, hash, size, written, sealed, sandbox FROM state
         WHERE sealed = ?1 ORDER BY sandbox, version",
    )?;
    let mut found = statement.query([id])?;
    let mut writes: BTreeMap<SandboxId, Vec<StateWrite>> = BTreeMap::new();
    while let Some(row) = found.next()? {
        writes.entry(SandboxId(row.get(6)?)).or_default().push(state_write(row)?);
    }
    Ok(writes)
}

fn renew(
    tx: &Transaction<'_>,
    write: &StateWrite,
    hash: &Hash,
    reseal: &dyn Reseal,
) -> Result<Hash, Fault> {
    let (key, version) = (write.key.clone(), write.version);
    let Some(bytes) = blobs::read(tx, hash)? else {
        return Err(Fault::Answer(StoreError::Damaged { key, version }));
    };
    let bytes = reseal
        .reseal(&write.key, &bytes)
        .map_err(|source| Fault::Answer(StoreError::Seal { key, version, source }))?;
    let hash = blobs::hash(&bytes);
    blobs::store(tx, &hash, &bytes)?;
    Ok(hash)
}

/// Deletes values that nothing refers to any more.
fn forget(tx: &Transaction<'_>, hashes: impl Iterator<Item = Hash>) -> Result<(), Fault> {
    let mut gone: BTreeSet<Hash> = hashes.collect();
    let mut statement = tx.prepare("SELECT DISTINCT hash FROM state WHERE hash IS NOT NULL")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        if let Ok(hash) = row.get::<_, Hash>(0) {
            gone.remove(&hash);
        }
    }
    for hash in gone {
        tx.prepare_cached("DELETE FROM blobs WHERE hash = ?1")?.execute([hash.as_slice()])?;
    }
    Ok(())
}
