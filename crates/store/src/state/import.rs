//! Merging histories.
//!
//! Key by key: where one history begins with the other, the longer one counts. Where they part,
//! that is a conflict. What is written goes under new versions, with its own time; nothing that is
//! here is changed.

use std::collections::{BTreeMap, BTreeSet};

use ctrlz_core::actor::Actor;
use ctrlz_core::digest::Digest;
use ctrlz_core::state::{StateKey, StateWrite};
use ctrlz_core::state_store::{
    ImportConflict, Imported, ImportedConflict, StateImport, ValueCopies,
};
use rusqlite::Transaction;

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
        let plan = plan(writes(tx, import.sandbox)?, import, on_conflict);
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
    for (sandbox, plan) in plans {
        let mut writer = Writer::new(tx, sandbox, newest_version(tx, sandbox)?);
        for write in plan.write {
            if let Some(digest) = &write.digest {
                take(tx, &write, digest, values, dry_run)?;
            }
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

/// Stores a value that is not here yet.
fn take(
    tx: &Transaction<'_>,
    write: &StateWrite,
    digest: &Digest,
    values: &dyn ValueCopies,
    dry_run: bool,
) -> Result<(), Fault> {
    if blobs::read(tx, &digest.bytes)?.is_some() {
        return Ok(());
    }
    let good = |bytes: &Vec<u8>| blobs::hash(bytes) == digest.bytes;
    let Some(bytes) = values.copy_of(digest).filter(good) else {
        return Err(Refusal::NoCopy { key: write.key.clone(), version: write.version }.into());
    };
    if dry_run { Ok(()) } else { blobs::store(tx, &digest.bytes, &bytes) }
}

/// What an import comes to in one namespace.
struct Plan {
    /// By the import's versions.
    write: Vec<StateWrite>,
    conflicts: Vec<StateKey>,
    /// How many of the import's writes are left out.
    skipped: usize,
}

fn plan(here: Vec<StateWrite>, import: &StateImport, on_conflict: ImportConflict) -> Plan {
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
        plan.write.extend(theirs.into_iter().skip(common));
    }
    plan.write.sort_by_key(|write| write.version);
    plan
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
