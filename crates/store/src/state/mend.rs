//! Making damaged state good again: entries from the journal, values from copies.

use std::collections::{BTreeSet, HashMap};

use ctrlz_core::actor::Actor;
use ctrlz_core::event::{Happening, StateRepaired};
use ctrlz_core::id::SandboxId;
use ctrlz_core::state::StateWrite;
use ctrlz_core::state_store::{StateFault, StateProblem, StateRepair, ValueCopies};
use rusqlite::{Transaction, params};

use super::{check, insert, journal};
use crate::blobs::{self, Hash};
use crate::fault::Fault;
use crate::{events, rows};

/// Makes the entries what the journal tells.
pub(crate) fn rebuild(
    tx: &Transaction<'_>,
    actor: &Actor,
    sandbox: SandboxId,
    drop_unknown: bool,
) -> Result<StateRepair, Fault> {
    let before = check::compare(tx, sandbox)?;
    if before.is_empty() {
        return Ok(StateRepair::default());
    }
    let dropped = entries(tx, sandbox, &before, drop_unknown)?;
    let left = check::compare(tx, sandbox)?;
    tell(tx, actor, sandbox, ended(before, left), dropped)
}

/// The same without dropping anything, and the values as far as good copies are found.
pub(crate) fn repair(
    tx: &Transaction<'_>,
    actor: &Actor,
    sandbox: SandboxId,
    copies: &dyn ValueCopies,
) -> Result<StateRepair, Fault> {
    let before = check::verify(tx, sandbox)?;
    if before.is_empty() {
        return Ok(StateRepair::default());
    }
    entries(tx, sandbox, &before, false)?;
    values(tx, sandbox, &before, copies)?;
    let left = check::verify(tx, sandbox)?;
    tell(tx, actor, sandbox, ended(before, left), 0)
}

fn ended(before: Vec<StateFault>, left: Vec<StateFault>) -> StateRepair {
    let mended = before.into_iter().filter(|fault| !left.contains(fault)).collect();
    StateRepair { mended, left }
}

fn tell(
    tx: &Transaction<'_>,
    actor: &Actor,
    sandbox: SandboxId,
    repair: StateRepair,
    dropped: u64,
) -> Result<StateRepair, Fault> {
    let count = |faults: &[StateFault], of_entry| {
        let of_kind = faults.iter().filter(|fault| fault.problem.is_of_entry() == of_entry);
        u64::try_from(of_kind.count()).unwrap_or(u64::MAX)
    };
    if repair.mended.is_empty() {
        return Ok(repair);
    }
    let told = StateRepaired {
        entries: count(&repair.mended, true).saturating_sub(dropped),
        dropped,
        values: count(&repair.mended, false),
        left: count(&repair.left, false),
    };
    let name = events::name(tx, sandbox)?;
    events::append(tx, actor, name.as_deref(), rows::now(), Happening::StateRepaired(told))?;
    Ok(repair)
}

/// Writes the entries as the journal has them; answers how many it does not know and were dropped.
fn entries(
    tx: &Transaction<'_>,
    sandbox: SandboxId,
    faults: &[StateFault],
    drop_unknown: bool,
) -> Result<u64, Fault> {
    let told = journal::replay(tx, sandbox)?;
    let mut dropped = 0;
    let mut orphans: BTreeSet<Hash> = BTreeSet::new();
    for fault in faults {
        let wanted = u64::try_from(fault.version).ok().and_then(|version| told.get(&version));
        match (fault.problem, wanted) {
            (
                StateProblem::EntryMissing | StateProblem::EntryDiffers | StateProblem::RowDamaged,
                Some(wanted),
            ) => replace(tx, sandbox, wanted)?,
            (StateProblem::EntryUnknown | StateProblem::RowDamaged, None) if drop_unknown => {
                let mut gone = tx.prepare(
                    "DELETE FROM state WHERE sandbox = ?1 AND version = ?2 RETURNING hash",
                )?;
                let mut gone = gone.query(params![sandbox.0, fault.version])?;
                while let Some(row) = gone.next()? {
                    orphans.extend(row.get::<_, Hash>(0).ok());
                    dropped += 1;
                }
            }
            _ => {}
        }
    }
    for hash in orphans {
        tx.execute(
            "DELETE FROM blobs
             WHERE hash = ?1 AND NOT EXISTS(SELECT 1 FROM state WHERE hash = ?1)",
            [hash.as_slice()],
        )?;
    }
    tx.execute(
        "UPDATE sandboxes SET state_version =
             (SELECT coalesce(max(version), 0) FROM state WHERE sandbox = ?1)
         WHERE id = ?1",
        [sandbox.0],
    )?;
    Ok(dropped)
}

fn replace(tx: &Transaction<'_>, sandbox: SandboxId, wanted: &StateWrite) -> Result<(), Fault> {
    tx.execute(
        "DELETE FROM state WHERE sandbox = ?1 AND version = ?2",
        params![sandbox.0, rows::sql_version(wanted.version)],
    )?;
    insert(tx, sandbox, wanted)
}

/// Brings back values: from one that is stored under a wrong hash, or else from `copies`.
fn values(
    tx: &Transaction<'_>,
    sandbox: SandboxId,
    faults: &[StateFault],
    copies: &dyn ValueCopies,
) -> Result<(), Fault> {
    let bad: BTreeSet<i64> = faults
        .iter()
        .filter(|fault| !fault.problem.is_of_entry())
        .map(|fault| fault.version)
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    let misplaced = misplaced(tx)?;
    for stored in check::stored(tx, sandbox)? {
        let check::Stored::Good(write) = stored else { continue };
        let version = i64::try_from(write.version).unwrap_or(i64::MAX);
        let Some(digest) = write.digest.filter(|_| bad.contains(&version)) else { continue };
        let good = |bytes: &Vec<u8>| blobs::hash(bytes) == digest.bytes;
        let found = match misplaced.get(&digest.bytes) {
            Some(id) => tx.query_row("SELECT bytes FROM blobs WHERE id = ?1", [id], |row| {
                row.get::<_, Vec<u8>>(0)
            }),
            None => Err(rusqlite::Error::QueryReturnedNoRows),
        };
        let copy = found.ok().filter(good).or_else(|| copies.copy_of(&digest).filter(good));
        if let Some(bytes) = copy {
            blobs::store(tx, &digest.bytes, &bytes)?;
        }
    }
    // What lay under a wrong hash lies under its own now, unless something is damaged still.
    for (hash, id) in &misplaced {
        tx.execute(
            "DELETE FROM blobs WHERE id = ?1
             AND EXISTS(SELECT 1 FROM blobs good WHERE good.hash = ?2 AND good.id <> ?1)
             AND NOT EXISTS(SELECT 1 FROM state WHERE state.hash = blobs.hash)",
            params![id, hash.as_slice()],
        )?;
    }
    Ok(())
}

/// The rows of values whose bytes have another hash than the one under which they are stored, by
/// the hash that they have.
fn misplaced(tx: &Transaction<'_>) -> Result<HashMap<Hash, i64>, Fault> {
    let mut statement = tx.prepare("SELECT id, hash, bytes FROM blobs")?;
    let mut found = statement.query([])?;
    let mut misplaced = HashMap::new();
    while let Some(row) = found.next()? {
        let Ok(bytes) = row.get_ref(2)?.as_blob() else { continue };
        let hash = blobs::hash(bytes);
        if row.get::<_, Hash>(1).ok() != Some(hash) {
            misplaced.insert(hash, row.get(0)?);
        }
    }
    Ok(misplaced)
}
