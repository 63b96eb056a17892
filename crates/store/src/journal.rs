//! The journal: intent before an effect, outcome after it.

use ctrlz_core::actor::Actor;
use ctrlz_core::digest::Digest;
use ctrlz_core::event::{
    Happening, OperationFinished, OperationStarted, RollbackDone, SafetyViolation,
};
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{Operation, OperationKind, Outcome, Request, Status};
use ctrlz_core::snapshot::Point;
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::events;
use crate::fault::{Fault, Refusal};
use crate::rows::{self, OPERATION, json, sql_version};
use crate::sandboxes::{self, Standing};
use crate::state::journal::digest as writes_digest;

pub(crate) fn begin(
    tx: &Transaction<'_>,
    actor: &Actor,
    request: &Request,
) -> Result<Operation, Fault> {
    let sandbox = request.sandbox;
    let Standing { name, point: before, open } = sandboxes::standing(tx, sandbox)?;
    if let Some(operation) = open {
        return Err(Refusal::OperationOpen { sandbox, operation }.into());
    }
    let started = rows::now();
    let id = insert(tx, request, Status::Open, &before, started)?;
    tx.prepare_cached("UPDATE sandboxes SET open_operation = ?2, used = ?3 WHERE id = ?1")?
        .execute(params![sandbox.0, id.0, started.0])?;
    let happening = Happening::OperationStarted(OperationStarted {
        operation: id,
        kind: request.kind,
        title: request.title.clone(),
        target: request.target,
        verdict: request.verdict.clone(),
        snapshot: events::digest(&before),
    });
    events::append(tx, actor, Some(&name), started, happening)?;
    Ok(Operation {
        id,
        request: request.clone(),
        status: Status::Open,
        before,
        after: None,
        started,
        finished: None,
        outcome: Outcome::default(),
    })
}

/// Writes down an operation that begins and ends with not being let run.
pub(crate) fn refuse(
    tx: &Transaction<'_>,
    actor: &Actor,
    request: &Request,
    reason: &str,
) -> Result<Operation, Fault> {
    let Standing { name, point: before, .. } = sandboxes::standing(tx, request.sandbox)?;
    let now = rows::now();
    let id = insert(tx, request, Status::Blocked, &before, now)?;
    let outcome = Outcome { error: Some(reason.to_owned()), ..Outcome::default() };
    tx.execute(
        "UPDATE operations SET outcome = ?2, finished = ?3 WHERE id = ?1",
        params![id.0, json(&outcome, "an outcome")?, now.0],
    )?;
    let happening = Happening::SafetyViolation(SafetyViolation {
        operation: id,
        title: request.title.clone(),
        verdict: request.verdict.clone(),
        reason: reason.to_owned(),
    });
    events::append(tx, actor, Some(&name), now, happening)?;
    Ok(Operation {
        id,
        request: request.clone(),
        status: Status::Blocked,
        before,
        after: None,
        started: now,
        finished: Some(now),
        outcome,
    })
}

fn insert(
    tx: &Transaction<'_>,
    request: &Request,
    status: Status,
    before: &Point,
    started: Timestamp,
) -> Result<OperationId, Fault> {
    // Most operations have no limits; then there is nothing to write and to read.
    let limits = match request.limits == Limits::default() {
        true => None,
        false => Some(json(&request.limits, "limits")?),
    };
    let verdict = request.verdict.as_ref().map(|verdict| json(verdict, "a verdict")).transpose()?;
    tx.prepare_cached(
        "INSERT INTO operations(sandbox, kind, title, limits, target, status, before_tree,
                                before_version, started, verdict)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        request.sandbox.0,
        request.kind.word(),
        request.title,
        limits,
        request.target.map(|target| target.0),
        status.word(),
        before.tree.0,
        sql_version(before.state_version),
        started.0,
        verdict,
    ])?;
    Ok(OperationId(tx.last_insert_rowid()))
}

pub(crate) fn finish(
    tx: &Transaction<'_>,
    actor: &Actor,
    id: OperationId,
    status: Status,
    outcome: &Outcome,
    after: Option<&Point>,
) -> Result<(), Fault> {
    let finished = rows::now();
    let text = if *outcome == Outcome::default() {
        None
    } else if outcome.state.is_empty() {
        Some(json(outcome, "an outcome")?)
    } else {
        // What was written to the state is noted where it is written, in a column of its own.
        Some(json(&Outcome { state: Vec::new(), ..outcome.clone() }, "an outcome")?)
    };
    let Opened { sandbox, kind, target, state } = open_operation(tx, id)?;
    tx.prepare_cached(
        "UPDATE operations
         SET status = ?2, outcome = ?3, after_tree = ?4, after_version = ?5, finished = ?6
         WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        status.word(),
        text,
        after.map(|point| &point.tree.0),
        after.map(|point| sql_version(point.state_version)),
        finished.0,
    ])?;
    // The state version is not taken from `after`: it is always the newest, and state may have
    // been written since `after` was put together.
    let name: String = tx
        .prepare_cached(
            "UPDATE sandboxes SET open_operation = NULL, used = ?2, tree = coalesce(?3, tree)
             WHERE id = ?1 RETURNING name",
        )?
        .query_row(params![sandbox, finished.0, after.map(|point| &point.tree.0)], |row| {
            row.get(0)
        })?;
    let happening = Happening::OperationFinished(OperationFinished {
        operation: id,
        kind,
        status,
        command: outcome.command.clone(),
        counts: outcome.counts,
        changeset: outcome.changeset,
        state,
        error: outcome.error.clone(),
        snapshot: after.map(events::digest),
    });
    events::append(tx, actor, Some(&name), finished, happening)?;
    if let (Status::Done, OperationKind::Rollback) = (status, kind) {
        let done = RollbackDone { operation: id, counts: outcome.counts };
        events::append(tx, actor, Some(&name), finished, Happening::RollbackDone(done))?;
    }
    let becomes = match (status, kind) {
        (Status::Done, OperationKind::Undo) => Status::Undone,
        (Status::Done, OperationKind::Redo) => Status::Done,
        _ => return Ok(()),
    };
    if let Some(target) = target {
        let changed = tx.execute(
            "UPDATE operations SET status = ?3 WHERE id = ?1 AND sandbox = ?2",
            params![target, sandbox, becomes.word()],
        )?;
        if changed == 0 {
            return Err(Fault::Answer(StoreError::NoOperation(OperationId(target))));
        }
    }
    Ok(())
}

/// An operation that is open.
struct Opened {
    sandbox: i64,
    kind: OperationKind,
    target: Option<i64>,
    /// The digest of what it wrote to the state.
    state: Option<Digest>,
}

/// An operation that must be open.
fn open_operation(tx: &Transaction<'_>, id: OperationId) -> Result<Opened, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT sandbox, kind, target, status, writes FROM operations
         WHERE id = ?1 AND sandbox >= 0 AND kind <> 'removal'",
    )?;
    let mut found = statement.query([id.0])?;
    let row = found.next()?.ok_or(Fault::Answer(StoreError::NoOperation(id)))?;
    if row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)? != Status::Open.word() {
        return Err(Refusal::NotOpen(id).into());
    }
    let kind = rows::word(row, 1, "an operation's kind")?;
    let writes = row.get_ref(4)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    let state = writes.map(writes_digest);
    Ok(Opened { sandbox: row.get(0)?, kind, target: row.get(2)?, state })
}

/// Journals an operation that began and ended within one step of the store: a write of state that
/// no open operation asked for.
pub(crate) fn record(
    tx: &Transaction<'_>,
    actor: &Actor,
    sandbox: SandboxId,
    kind: OperationKind,
    title: &str,
    before_version: u64,
    writes: &str,
) -> Result<OperationId, Fault> {
    let Standing { name, point: after, .. } = sandboxes::standing(tx, sandbox)?;
    let before = Point { state_version: before_version, ..after.clone() };
    let limits = Limits::default();
    let request =
        Request { sandbox, kind, title: title.to_owned(), limits, target: None, verdict: None };
    let now = rows::now();
    let id = insert(tx, &request, Status::Done, &before, now)?;
    tx.execute(
        "UPDATE operations
         SET after_tree = before_tree, after_version = ?2, finished = ?3, writes = ?4
         WHERE id = ?1",
        params![id.0, sql_version(after.state_version), now.0, writes],
    )?;
    let started = Happening::OperationStarted(OperationStarted {
        operation: id,
        kind,
        title: request.title,
        target: None,
        verdict: None,
        snapshot: events::digest(&before),
    });
    events::append(tx, actor, Some(&name), now, started)?;
    let finished = Happening::OperationFinished(OperationFinished {
        operation: id,
        kind,
        status: Status::Done,
        command: None,
        counts: None,
        changeset: None,
        state: Some(writes_digest(writes)),
        error: None,
        snapshot: Some(events::digest(&after)),
    });
    events::append(tx, actor, Some(&name), now, finished)?;
    Ok(id)
}

pub(crate) fn operation(db: &Connection, id: OperationId) -> Result<Operation, Fault> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {OPERATION} FROM operations
         WHERE id = ?1 AND sandbox >= 0 AND kind <> 'removal'"
    ))?;
    let mut found = statement.query([id.0])?;
    match found.next()? {
        Some(row) => rows::operation(row),
        None => Err(Fault::Answer(StoreError::NoOperation(id))),
    }
}

pub(crate) fn operations(
    db: &Connection,
    sandbox: SandboxId,
    since: OperationId,
    limit: u32,
) -> Result<Vec<Operation>, Fault> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {OPERATION} FROM operations
         WHERE sandbox = ?1 AND id > ?2 AND kind <> 'removal'
         ORDER BY id DESC LIMIT ?3"
    ))?;
    let mut found = statement.query(params![sandbox.0, since.0, limit])?;
    let mut operations = Vec::new();
    while let Some(row) = found.next()? {
        operations.push(rows::operation(row)?);
    }
    Ok(operations)
}
