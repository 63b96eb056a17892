//! Making, finding and removing sandboxes.

use std::path::Path;

use ctrlz_core::actor::Actor;
use ctrlz_core::event::{Happening, SandboxCreated};
use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::lifecycle::{Life, LifeChange};
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{OperationKind, Status};
use ctrlz_core::sandbox::{Guard, GuardChange, Root, Sandbox};
use ctrlz_core::snapshot::{Point, Tree};
use ctrlz_core::state_store::GLOBAL;
use ctrlz_core::store::{NewSandbox, StoreError};
use rusqlite::{Connection, Params, Transaction, params};

use crate::fault::Fault;
use crate::rows::{self, SANDBOX, json, path_bytes, sql_version};
use crate::schema::REMOVAL;
use crate::{blobs, events, state};

pub(crate) fn create(
    tx: &Transaction<'_>,
    actor: &Actor,
    new: &NewSandbox,
    from: Option<(SandboxId, &Point)>,
) -> Result<Sandbox, Fault> {
    let (kind, title) = match from {
        Some((source, _)) => (OperationKind::Fork, format!("fork of {}", by_id(tx, source)?.name)),
        None => (OperationKind::Create, format!("create {}", new.name)),
    };
    let now = rows::now();
    let inserted = tx
        .prepare_cached(
            "INSERT INTO sandboxes(id, name, folder, root, base, driver, tree, state_version,
                                   created, used, life)
             VALUES(1 + max((SELECT coalesce(max(id), 0) FROM sandboxes),
                            (SELECT coalesce(-min(sandbox), 0) FROM operations)),
                    ?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?8)
             ON CONFLICT(name) DO NOTHING",
        )?
        .execute(params![
            new.name.as_str(),
            new.folder.as_deref().map(path_bytes),
            json(&new.root, "a root")?,
            path_bytes(&new.base),
            new.driver,
            new.tree.0,
            now.0,
            life_text(&new.life)?,
        ])?;
    if inserted == 0 {
        return Err(Fault::Answer(StoreError::NameTaken(new.name.clone())));
    }
    let id = SandboxId(tx.last_insert_rowid());
    let (state_version, writes) = match from {
        Some((source, point)) => state::copy(tx, source, point.state_version, id, now)?,
        None => (0, None),
    };
    tx.prepare_cached(
        "INSERT INTO operations(sandbox, kind, title, status, before_tree, before_version,
                                after_tree, after_version, started, finished, writes)
         VALUES(?1, ?2, ?3, ?4, ?5, 0, ?5, ?6, ?7, ?7, ?8)",
    )?
    .execute(params![
        id.0,
        kind.word(),
        title,
        Status::Done.word(),
        new.tree.0,
        sql_version(state_version),
        now.0,
        writes,
    ])?;
    let operation = OperationId(tx.last_insert_rowid());
    let point = Point { tree: new.tree.clone(), state_version };
    let (snapshot, made_of) = (events::digest(&point), new.made_of.clone());
    let created = SandboxCreated { operation, title, snapshot, made_of };
    events::append(tx, actor, Some(new.name.as_str()), now, Happening::SandboxCreated(created))?;
    Ok(Sandbox {
        id,
        name: new.name.clone(),
        folder: new.folder.clone(),
        root: new.root.clone(),
        base: new.base.clone(),
        driver: new.driver.clone(),
        point,
        created: now,
        used: now,
        open_operation: None,
        guard: Guard::default(),
        life: new.life.clone(),
    })
}

/// The namespace of no sandbox; made when it is asked for first.
pub(crate) fn make_global(tx: &Transaction<'_>) -> Result<Sandbox, Fault> {
    tx.execute(
        "INSERT INTO sandboxes(id, name, root, base, driver, tree, state_version, created, used)
         VALUES(?1, ?2, ?3, x'', '', '', 0, ?4, ?4) ON CONFLICT(id) DO NOTHING",
        params![
            GLOBAL.0,
            SandboxName::of_no_sandbox().as_str(),
            json(&Root::Host, "a root")?,
            rows::now().0,
        ],
    )?;
    by_id(tx, GLOBAL)
}

pub(crate) fn by_id(db: &Connection, id: SandboxId) -> Result<Sandbox, Fault> {
    find(db, "id = ?1", [id.0])?.pop().ok_or_else(|| Fault::no_sandbox(id))
}

pub(crate) fn by_name(db: &Connection, name: &str) -> Result<Sandbox, Fault> {
    find(db, "name = ?1", [name])?
        .pop()
        .ok_or_else(|| Fault::Answer(StoreError::NoSandbox(name.to_owned())))
}

pub(crate) fn by_folder(db: &Connection, folder: &Path) -> Result<Vec<Sandbox>, Fault> {
    find(db, "folder = ?1 ORDER BY used DESC, id DESC", [path_bytes(folder)])
}

pub(crate) fn all(db: &Connection) -> Result<Vec<Sandbox>, Fault> {
    find(db, "id > 0 ORDER BY name", [])
}

fn find(db: &Connection, condition: &str, values: impl Params) -> Result<Vec<Sandbox>, Fault> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {SANDBOX} FROM sandboxes WHERE {condition}"))?;
    let mut found = statement.query(values)?;
    let mut sandboxes = Vec::new();
    while let Some(row) = found.next()? {
        sandboxes.push(rows::sandbox(row)?);
    }
    Ok(sandboxes)
}

/// Removing what is gone already is no error, so that a removal can be repeated after a crash.
pub(crate) fn remove(tx: &Transaction<'_>, actor: &Actor, id: SandboxId) -> Result<(), Fault> {
    if let Some(name) = events::name(tx, id)? {
        let happening = Happening::SandboxRemoved {};
        events::append(tx, actor, Some(&name), rows::now(), happening)?;
    }
    // Before the rows go, so that their ids count among those that were given.
    remember_ids(tx)?;
    blobs::remove_those_only_of(tx, id)?;
    for statement in [
        "DELETE FROM state WHERE sandbox = ?1",
        "DELETE FROM snapshots WHERE sandbox = ?1",
        "DELETE FROM operations WHERE sandbox = ?1",
        "DELETE FROM sandboxes WHERE id = ?1",
    ] {
        tx.execute(statement, [id.0])?;
    }
    Ok(())
}

/// Leaves the row that holds the highest ids given so far, see [`crate::schema::TABLES`].
pub(crate) fn remember_ids(tx: &Transaction<'_>) -> Result<(), Fault> {
    reserve_ids(tx, OperationId(0), SnapshotId(0))
}

/// The same, with ids that count as given, too.
pub(crate) fn reserve_ids(
    tx: &Transaction<'_>,
    operation: OperationId,
    snapshot: SnapshotId,
) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO operations(id, kind, sandbox, target)
         VALUES(max(?2, (SELECT coalesce(max(id), 0) + 1 FROM operations)),
                ?1,
                -max(1, (SELECT coalesce(max(id), 0) FROM sandboxes),
                     (SELECT coalesce(-min(sandbox), 0) FROM operations)),
                max(?3,
                    (SELECT coalesce(max(id), 0) FROM snapshots),
                    (SELECT coalesce(max(target), 0) FROM operations WHERE sandbox < 0)))",
        params![REMOVAL, operation.0, snapshot.0],
    )?;
    let removal = tx.last_insert_rowid();
    tx.execute("DELETE FROM operations WHERE sandbox < 0 AND id <> ?1", [removal])?;
    Ok(())
}

pub(crate) fn change_guard(
    tx: &Transaction<'_>,
    actor: &Actor,
    id: SandboxId,
    change: &GuardChange,
) -> Result<Guard, Fault> {
    let Sandbox { name, guard: before, .. } = by_id(tx, id)?;
    let guard = change.of(&before);
    if guard == before {
        return Ok(guard);
    }
    let text = match guard == Guard::default() {
        true => None,
        false => Some(json(&guard, "a guard")?),
    };
    tx.execute("UPDATE sandboxes SET guard = ?2 WHERE id = ?1", params![id.0, text])?;
    let happening = Happening::SandboxGuarded(guard.clone());
    events::append(tx, actor, Some(name.as_str()), rows::now(), happening)?;
    Ok(guard)
}

/// Nothing for most.
fn life_text(life: &Life) -> Result<Option<String>, Fault> {
    if *life == Life::default() { Ok(None) } else { Ok(Some(json(life, "a life")?)) }
}

pub(crate) fn change_life(
    tx: &Transaction<'_>,
    actor: &Actor,
    id: SandboxId,
    change: &LifeChange,
    happening: Option<Happening>,
) -> Result<Option<Life>, Fault> {
    let Sandbox { name, life: before, .. } = by_id(tx, id)?;
    let now = rows::now();
    let Some(life) = change.of(&before, now) else { return Ok(None) };
    let text = life_text(&life)?;
    tx.execute("UPDATE sandboxes SET life = ?2 WHERE id = ?1", params![id.0, text])?;
    if let Some(happening) = happening {
        events::append(tx, actor, Some(name.as_str()), now, happening)?;
    }
    Ok(Some(life))
}

/// Where a sandbox stands.
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) point: Point,
    /// What is open in it.
    pub(crate) open: Option<OperationId>,
}

pub(crate) fn standing(db: &Connection, id: SandboxId) -> Result<Standing, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT name, tree, state_version, open_operation FROM sandboxes WHERE id = ?1",
    )?;
    let mut found = statement.query([id.0])?;
    let row = found.next()?.ok_or_else(|| Fault::no_sandbox(id))?;
    Ok(Standing {
        name: row.get(0)?,
        point: Point { tree: Tree(row.get(1)?), state_version: rows::version(row, 2)? },
        open: row.get::<_, Option<i64>>(3)?.map(OperationId),
    })
}

pub(crate) fn live_trees(db: &Connection, driver: &str) -> Result<Vec<Tree>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT tree FROM sandboxes WHERE driver = ?1
         UNION
         SELECT t.value FROM sandboxes s, json_tree(s.life, '$.setup') t
         WHERE s.driver = ?1 AND t.key IN ('origin', 'before', 'after')
         UNION
         SELECT n.tree FROM snapshots n JOIN sandboxes s ON s.id = n.sandbox WHERE s.driver = ?1
           AND n.tree <> ''
         UNION
         SELECT o.before_tree FROM operations o JOIN sandboxes s ON s.id = o.sandbox
         WHERE s.driver = ?1 AND o.before_tree <> ''
         UNION
         SELECT o.after_tree FROM operations o JOIN sandboxes s ON s.id = o.sandbox
         WHERE s.driver = ?1 AND o.after_tree <> ''",
    )?;
    let trees = statement.query_map([driver], |row| row.get(0).map(Tree))?;
    Ok(trees.collect::<Result<_, _>>()?)
}
