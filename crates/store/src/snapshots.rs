//! Snapshots: named points.

use ctrlz_core::actor::Actor;
use ctrlz_core::event::{
    Happening, HistoryTrimmed, SnapshotChanged, SnapshotCreated, SnapshotRemoved,
};
use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::operation::{Operation, Status};
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, SnapshotScope, Tree};
use ctrlz_core::store::StoreError;
use rusqlite::{Connection, Transaction, params};

use crate::events;
use crate::fault::Fault;
use crate::rows::{self, SNAPSHOT, sql_version};
use crate::sandboxes::{self, Standing};

pub(crate) fn create(
    tx: &Transaction<'_>,
    actor: &Actor,
    operation: &Operation,
    new: &NewSnapshot,
    point: &Point,
) -> Result<Snapshot, Fault> {
    let sandbox = operation.request.sandbox;
    let Standing { name, .. } = sandboxes::standing(tx, sandbox)?;
    let created = rows::now();
    let mut point = point.clone();
    if new.scope == SnapshotScope::StateOnly {
        point.tree = Tree::none();
    }
    let scope = (new.scope != SnapshotScope::Full).then(|| new.scope.word());
    let live = new.live.as_ref().map(|live| rows::json(live, "how it was taken")).transpose()?;
    tx.prepare_cached(
        "INSERT INTO snapshots(id, sandbox, kind, message, operation, tree, state_version, created,
                               scope, tags, live)
         VALUES(1 + max((SELECT coalesce(max(id), 0) FROM snapshots),
                        (SELECT coalesce(max(target), 0) FROM operations WHERE sandbox < 0)),
                ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        sandbox.0,
        new.kind.word(),
        new.message,
        operation.id.0,
        point.tree.0,
        sql_version(point.state_version),
        created.0,
        scope,
        rows::sql_tags(&new.tags),
        live,
    ])?;
    let id = SnapshotId(tx.last_insert_rowid());
    let happening = Happening::SnapshotCreated(SnapshotCreated {
        snapshot: id,
        kind: new.kind,
        scope: new.scope,
        message: new.message.clone(),
        tags: new.tags.clone(),
        operation: operation.id,
        digest: events::digest(&point),
        live: new.live.clone(),
    });
    events::append(tx, actor, Some(&name), created, happening)?;
    Ok(Snapshot {
        id,
        sandbox,
        kind: new.kind,
        scope: new.scope,
        message: new.message.clone(),
        tags: new.tags.clone(),
        operation: operation.id,
        point,
        created,
        good: None,
        live: new.live.clone(),
    })
}

/// Sets the tags of a snapshot, and when it was found good.
pub(crate) fn change(
    tx: &Transaction<'_>,
    actor: &Actor,
    id: SnapshotId,
    change: impl FnOnce(&mut Snapshot),
) -> Result<Snapshot, Fault> {
    let before = snapshot(tx, id)?;
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(before);
    }
    tx.execute(
        "UPDATE snapshots SET tags = ?2, good = ?3 WHERE id = ?1",
        params![id.0, rows::sql_tags(&after.tags), after.good.map(|time| time.0)],
    )?;
    let name = events::name(tx, after.sandbox)?;
    let (tags, good) = (after.tags.clone(), after.good);
    let happening = Happening::SnapshotChanged(SnapshotChanged { snapshot: id, tags, good });
    events::append(tx, actor, name.as_deref(), rows::now(), happening)?;
    Ok(after)
}

/// See [`ctrlz_core::store::Store::let_go`].
pub(crate) fn let_go(
    tx: &Transaction<'_>,
    actor: &Actor,
    sandbox: SandboxId,
    snapshots: &[(SnapshotId, String)],
    history: Option<(OperationId, &str)>,
) -> Result<(), Fault> {
    let name = sandboxes::standing(tx, sandbox)?.name;
    if !snapshots.is_empty() {
        // Before the rows go, so that their ids are not given again.
        sandboxes::remember_ids(tx)?;
    }
    for (id, reason) in snapshots {
        let removed = tx
            .prepare_cached("DELETE FROM snapshots WHERE id = ?1 AND sandbox = ?2")?
            .execute([id.0, sandbox.0])?;
        if removed > 0 {
            let removed = SnapshotRemoved { snapshot: *id, reason: reason.clone() };
            let happening = Happening::SnapshotRemoved(removed);
            events::append(tx, actor, Some(&name), rows::now(), happening)?;
        }
    }
    let Some((up_to, reason)) = history else { return Ok(()) };
    let changed = tx.execute(
        "UPDATE operations SET before_tree = '', after_tree = substr(after_tree, 1, 0)
         WHERE sandbox = ?1 AND id <= ?2 AND before_tree <> '' AND status <> ?3",
        params![sandbox.0, up_to.0, Status::Open.word()],
    )?;
    if changed > 0 {
        let operations = u64::try_from(changed).unwrap_or(u64::MAX);
        let trimmed = HistoryTrimmed { up_to, operations, reason: reason.to_owned() };
        let happening = Happening::HistoryTrimmed(trimmed);
        events::append(tx, actor, Some(&name), rows::now(), happening)?;
    }
    Ok(())
}

pub(crate) fn snapshot(db: &Connection, id: SnapshotId) -> Result<Snapshot, Fault> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {SNAPSHOT} FROM snapshots WHERE id = ?1"))?;
    let mut found = statement.query([id.0])?;
    match found.next()? {
        Some(row) => rows::snapshot(row),
        None => Err(Fault::Answer(StoreError::NoSnapshot(id))),
    }
}

pub(crate) fn snapshots(db: &Connection, sandbox: SandboxId) -> Result<Vec<Snapshot>, Fault> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {SNAPSHOT} FROM snapshots WHERE sandbox = ?1 ORDER BY id DESC"
    ))?;
    let mut found = statement.query([sandbox.0])?;
    let mut snapshots = Vec::new();
    while let Some(row) = found.next()? {
        snapshots.push(rows::snapshot(row)?);
    }
    Ok(snapshots)
}
