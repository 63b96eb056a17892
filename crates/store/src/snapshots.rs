//! Snapshots: named points.

use ctrlz_core::actor::Actor;
use ctrlz_core::event::{Happening, SnapshotCreated};
use ctrlz_core::id::{SandboxId, SnapshotId};
use ctrlz_core::operation::Operation;
use ctrlz_core::snapshot::{Point, Snapshot, SnapshotKind};
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
    kind: SnapshotKind,
    message: &str,
    point: &Point,
) -> Result<Snapshot, Fault> {
    let sandbox = operation.request.sandbox;
    let Standing { name, .. } = sandboxes::standing(tx, sandbox)?;
    let created = rows::now();
    tx.prepare_cached(
        "INSERT INTO snapshots(id, sandbox, kind, message, operation, tree, state_version, created)
         VALUES(1 + max((SELECT coalesce(max(id), 0) FROM snapshots),
                        (SELECT coalesce(max(target), 0) FROM operations WHERE sandbox < 0)),
                ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        sandbox.0,
        kind.word(),
        message,
        operation.id.0,
        point.tree.0,
        sql_version(point.state_version),
        created.0,
    ])?;
    let id = SnapshotId(tx.last_insert_rowid());
    let happening = Happening::SnapshotCreated(SnapshotCreated {
        snapshot: id,
        kind,
        message: message.to_owned(),
        operation: operation.id,
        digest: events::digest(point),
    });
    events::append(tx, actor, Some(&name), created, happening)?;
    Ok(Snapshot {
        id,
        sandbox,
        kind,
        message: message.to_owned(),
        operation: operation.id,
        point: point.clone(),
        created,
    })
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
