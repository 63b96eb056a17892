//! Merging histories.
//!
//! Key by key: where one history begins with the other, the longer one counts. Where they part,
//! that is a conflict. What is written goes under new versions, with its own time; nothing that is
//! here is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use ctrlz_core::actor::Actor;
use ctrlz_core::state::{KeyId, MAX_VALUE, StateKey, StateWrite};
use ctrlz_core::state_store::{
    ImportConflict, Imported, ImportedConflict, StateImport, ValueCopies,
};
use ctrlz_core::store::StoreError;
use rusqlite::Transaction;

use super::check::stored_size;
use super::{Writer, newest_version, writes};
use crate::blobs;
use crate::events;
use crate::fault::{Fault, Refusal};

pub(crate) fn import(
    tx: &Transaction<'_>,
    actor: &Actor,
    imports: &[StateImport],
    values: &dyn ValueCopies,
    on_conflict: ImportConflict,
    dry_run: bool,
) -> Result<Imported, Fault> {
    let mut done = Imported::default();
    let mut plans = Vec::with_capacity(imports.len());
    for import in imports {
        let namespace =
            events::name(tx, import.sandbox)?.ok_or_else(|| Fault::no_sandbox(import.sandbox))?;
        let plan = plan(writes(tx, import.sandbox)?, import, on_conflict)?;
        done.written += count(plan.write.len());
        done.present += count(import.writes.len().saturating_sub(plan.write.len() + plan.skipped));
        done.conflicts.extend(
            plan.conflicts
                .iter()
                .map(|key| ImportedConflict { namespace: namespace.clone(), key: key.clone() }),
        );
        plans.push((import.sandbox, plan));
    }
    if on_conflict == ImportConflict::Fail && !done.conflicts.is_empty() {
        done.written = 0;
        return Ok(done);
    }
    check_keys(tx, plans.iter().flat_map(|(_, plan)| &plan.write))?;
    for (sandbox, plan) in plans {
        let mut writer = Writer::new(tx, sandbox, newest_version(tx, sandbox)?);
        for write in plan.write {
            take(tx, &write, values, dry_run)?;
            if !dry_run {
                writer.write(write.key, write.digest, write.size, write.sealed, write.written)?;
            }
        }
        if !dry_run {
            let (_, operation) = writer.end(actor, || "import state".to_owned())?;
            done.operations.extend(operation);
        }
    }
    Ok(done)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Refuses a write of the import, by its version there.
fn refused(write: &StateWrite, source: impl Error + Send + Sync + 'static) -> Fault {
    let (key, version) = (write.key.clone(), write.version);
    Fault::Answer(StoreError::NotImported { key, version, source: Box::new(source) })
}

/// Refuses encrypted values under another key than those that are here, as a write of one is: a
/// key that a rotation took out of use must not come back with an old export.
fn check_keys<'a>(
    tx: &Transaction<'_>,
    writes: impl Iterator<Item = &'a StateWrite>,
) -> Result<(), Fault> {
    let mut wanted = None;
    for write in writes {
        let Some(given) = write.sealed else { continue };
        let known = match &mut wanted {
            Some(known) => known,
            None => wanted.insert(sealing_keys(tx)?),
        };
        match known.first() {
            None => known.push(given),
            Some(_) if known.contains(&given) => {}
            Some(&wanted) => {
                return Err(refused(write, StoreError::OtherKey { wanted, given }));
            }
        }
    }
    Ok(())
}

fn sealing_keys(tx: &Transaction<'_>) -> Result<Vec<KeyId>, Fault> {
    let mut statement = tx.prepare("SELECT DISTINCT sealed FROM state WHERE sealed IS NOT NULL")?;
    let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Refuses to put a value that is not encrypted in the place of one that is. Only what was stored
/// in plain before may come again: a rollback does that.
fn check_sensitive(ours: &[StateWrite], added: &[StateWrite]) -> Result<(), Fault> {
    let mut before: Vec<&StateWrite> = ours.iter().collect();
    for write in added {
        let covers = write.digest.is_some()
            && write.sealed.is_none()
            && before.last().is_some_and(|last| last.sealed.is_some());
        let is_known =
            || before.iter().any(|one| one.sealed.is_none() && one.digest == write.digest);
        if covers && !is_known() {
            return Err(refused(write, StoreError::Sensitive { key: write.key.clone() }));
        }
        before.push(write);
    }
    Ok(())
}

/// Checks the value of a write, and stores one that is not here yet.
fn take(
    tx: &Transaction<'_>,
    write: &StateWrite,
    values: &dyn ValueCopies,
    dry_run: bool,
) -> Result<(), Fault> {
    let Some(digest) = &write.digest else {
        return match (write.size, write.sealed) {
            (0, None) => Ok(()),
            _ => Err(refused(write, Refusal::NoDeletion)),
        };
    };
    if write.size > MAX_VALUE as u64 {
        let (key, size) = (write.key.clone(), write.size);
        return Err(refused(write, StoreError::TooLarge { key, size }));
    }
    let stored = blobs::read(tx, &digest.bytes)?;
    let is_here = stored.is_some();
    let good = |bytes: &Vec<u8>| blobs::hash(bytes) == digest.bytes;
    let Some(bytes) = stored.or_else(|| values.copy_of(digest).filter(good)) else {
        return Err(refused(write, Refusal::NoCopy));
    };
    let length = count(bytes.len());
    if length != stored_size(write) {
        return Err(refused(write, Refusal::OtherSize { told: stored_size(write), length }));
    }
    if dry_run || is_here { Ok(()) } else { blobs::store(tx, &digest.bytes, &bytes) }
}

/// What an import comes to in one namespace.
struct Plan {
    /// By the import's versions.
    write: Vec<StateWrite>,
    conflicts: Vec<StateKey>,
    /// How many of the import's writes are left out.
    skipped: usize,
}

fn plan(
    here: Vec<StateWrite>,
    import: &StateImport,
    on_conflict: ImportConflict,
) -> Result<Plan, Fault> {
    let here = by_key(here);
    let mut plan = Plan { write: Vec::new(), conflicts: Vec::new(), skipped: 0 };
    for (key, theirs) in by_key(import.writes.clone()) {
        let ours = here.get(&key).map(Vec::as_slice).unwrap_or_default();
        let common = ours.iter().zip(&theirs).take_while(|(a, b)| is_same(a, b)).count();
        let parted = common < ours.len() && common < theirs.len();
        if parted {
            // What was brought in before is not brought in again.
            let known: BTreeSet<_> = ours.iter().map(identity).collect();
            if theirs.iter().all(|write| known.contains(&identity(write))) {
                continue;
            }
            plan.conflicts.push(key);
            if on_conflict != ImportConflict::Theirs {
                plan.skipped += theirs.len() - common;
                continue;
            }
        }
        let added = theirs.get(common..).unwrap_or_default();
        check_sensitive(ours, added)?;
        plan.write.extend_from_slice(added);
    }
    plan.write.sort_by_key(|write| write.version);
    Ok(plan)
}

fn by_key(writes: Vec<StateWrite>) -> BTreeMap<StateKey, Vec<StateWrite>> {
    let mut keys: BTreeMap<StateKey, Vec<StateWrite>> = BTreeMap::new();
    for write in writes {
        keys.entry(write.key.clone()).or_default().push(write);
    }
    keys
}

/// A write by what a rotation of the key leaves as it is.
fn identity(write: &StateWrite) -> (i64, u64, bool, Option<[u8; 32]>) {
    let digest = write.digest.filter(|_| write.sealed.is_none());
    (write.written.0, write.size, write.digest.is_none(), digest.map(|digest| digest.bytes))
}

fn is_same(a: &StateWrite, b: &StateWrite) -> bool {
    identity(a) == identity(b)
}
