//! The store as the engine sees it: each method is one read or one transaction.

use std::path::{Path, PathBuf};

use ctrlz_core::actor::Actor;
use ctrlz_core::event::Happening;
use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::lifecycle::{Life, LifeChange};
use ctrlz_core::operation::{Operation, Outcome, Request, Status};
use ctrlz_core::sandbox::{Guard, GuardChange, Sandbox};
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, Tag, Tree};
use ctrlz_core::state::{Expected, StateEntry, StateKey};
use ctrlz_core::store::{
    Durability, LogHead, LoggedEvent, Momentary, NewSandbox, Occupancy, SandboxLock, Store,
    StoreError, TakenTurn,
};

use crate::connection::Database;
use crate::lock::{self, Taken};
use crate::state::Value;
use crate::{events, freezing, journal, rows, sandboxes, snapshots, state};

/// A store in one directory: `store.db` with its log, and `locks/`.
///
/// Any number of processes may have the same store open. A process that was cloned must not use
/// its parent's.
pub struct SqliteStore {
    dir: PathBuf,
    pub(crate) db: Database,
    pub(crate) actor: Actor,
}

impl SqliteStore {
    /// Opens the store in `dir`. When it is missing, it is made, together with the directory and
    /// its parents (mode 0700).
    ///
    /// # Errors
    /// [`StoreError::Open`] when the directory or the database cannot be made, read or written,
    /// or is something else; [`StoreError::Format`] when another version of ctrlz wrote it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let actor = Actor::user(rustix::process::getuid().as_raw());
        Ok(Self { dir: dir.to_owned(), db: Database::open(dir)?, actor })
    }

    /// The same store for somebody else than the user who runs this process.
    #[must_use]
    pub fn acting_as(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    /// From now on it is for somebody else.
    pub fn act_as(&mut self, actor: Actor) {
        self.actor = actor;
    }

    /// Lets the log grow longer before it is folded into the database: this process keeps the store
    /// open, so that nobody has to read the log from its beginning. Such a process has many open at once,
    /// so that each keeps fewer pages in memory: the kernel has them as well.
    pub fn keep_open(&mut self) {
        self.db.keep_open();
    }
}

impl Store for SqliteStore {
    fn create_sandbox(
        &self,
        new: &NewSandbox,
        from: Option<(SandboxId, &Point)>,
    ) -> Result<Sandbox, StoreError> {
        self.db.write("create a sandbox", Durability::Process, |tx| {
            sandboxes::create(tx, &self.actor, new, from)
        })
    }

    fn sandbox_named(&self, name: &str) -> Result<Sandbox, StoreError> {
        self.db.read("read a sandbox", |db| sandboxes::by_name(db, name))
    }

    fn sandbox(&self, id: SandboxId) -> Result<Sandbox, StoreError> {
        self.db.read("read a sandbox", |db| sandboxes::by_id(db, id))
    }

    fn sandboxes_of_folder(&self, folder: &Path) -> Result<Vec<Sandbox>, StoreError> {
        self.db.read("find the sandboxes of a folder", |db| sandboxes::by_folder(db, folder))
    }

    fn sandboxes(&self) -> Result<Vec<Sandbox>, StoreError> {
        self.db.read("list the sandboxes", sandboxes::all)
    }

    fn reserve_ids(&self, operation: OperationId, snapshot: SnapshotId) -> Result<(), StoreError> {
        self.db.write("reserve ids", Durability::Machine, |tx| {
            sandboxes::reserve_ids(tx, operation, snapshot)
        })
    }

    fn remove_sandbox(&self, id: SandboxId) -> Result<(), StoreError> {
        self.db.write("remove a sandbox", Durability::Process, |tx| {
            sandboxes::remove(tx, &self.actor, id)
        })?;
        // A lock file that stays is litter, not an error: its number is never used again.
        let _ = std::fs::remove_file(lock::path(&self.dir, id));
        let _ = std::fs::remove_file(freezing::path(&self.dir, id));
        Ok(())
    }

    fn lock(
        &self,
        sandbox: SandboxId,
        waiting: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Box<dyn SandboxLock>, StoreError> {
        let path = lock::path(&self.dir, sandbox);
        match lock::take(&path, &|| self.sandbox(sandbox).map(drop), waiting)? {
            Taken::Held(lock) => Ok(lock),
            Taken::Declined { holder } => {
                let name = match self.sandbox(sandbox) {
                    Ok(found) => found.name.to_string(),
                    Err(_) => sandbox.to_string(),
                };
                Err(StoreError::Busy { name, holder })
            }
        }
    }

    fn occupant(&self, sandbox: SandboxId) -> Result<Option<u32>, StoreError> {
        lock::occupant(&lock::path(&self.dir, sandbox))
    }

    fn begin(&self, request: &Request, durability: Durability) -> Result<Operation, StoreError> {
        self.db
            .write("begin an operation", durability, |tx| journal::begin(tx, &self.actor, request))
    }

    fn finish(
        &self,
        operation: OperationId,
        status: Status,
        outcome: &Outcome,
        after: Option<&Point>,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.db.write("finish an operation", durability, |tx| {
            journal::finish(tx, &self.actor, operation, status, outcome, after)
        })
    }

    fn refuse(&self, request: &Request, reason: &str) -> Result<Operation, StoreError> {
        self.db.write("refuse an operation", Durability::Process, |tx| {
            journal::refuse(tx, &self.actor, request, reason)
        })
    }

    fn operation(&self, id: OperationId) -> Result<Operation, StoreError> {
        self.db.read("read an operation", |db| journal::operation(db, id))
    }

    fn operations(&self, sandbox: SandboxId, limit: u32) -> Result<Vec<Operation>, StoreError> {
        self.db.read("list the operations", |db| {
            journal::operations(db, sandbox, OperationId(0), limit)
        })
    }

    fn operations_since(
        &self,
        sandbox: SandboxId,
        since: OperationId,
    ) -> Result<Vec<Operation>, StoreError> {
        self.db.read("list the operations", |db| journal::operations(db, sandbox, since, u32::MAX))
    }

    fn create_snapshot(
        &self,
        operation: &Operation,
        new: &NewSnapshot,
        point: &Point,
    ) -> Result<Snapshot, StoreError> {
        self.db.write("create a snapshot", Durability::Process, |tx| {
            snapshots::create(tx, &self.actor, operation, new, point)
        })
    }

    fn tag_snapshot(
        &self,
        id: SnapshotId,
        add: &[Tag],
        remove: &[Tag],
    ) -> Result<Snapshot, StoreError> {
        self.db.write("tag a snapshot", Durability::Process, |tx| {
            snapshots::change(tx, &self.actor, id, |snapshot| {
                snapshot.tags.retain(|tag| !remove.contains(tag));
                snapshot.tags.extend(add.iter().cloned());
            })
        })
    }

    fn mark_good(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        self.db.write("note that a snapshot is good", Durability::Process, |tx| {
            snapshots::change(tx, &self.actor, id, |snapshot| snapshot.good = Some(rows::now()))
        })
    }

    fn let_go(
        &self,
        sandbox: SandboxId,
        snapshots: &[(SnapshotId, String)],
        history: Option<(OperationId, &str)>,
    ) -> Result<(), StoreError> {
        // Before a driver removes what they are made of: a machine's death must not bring back a
        // snapshot without its files.
        self.db.write("let snapshots go", Durability::Machine, |tx| {
            snapshots::let_go(tx, &self.actor, sandbox, snapshots, history)
        })
    }

    fn change_guard(&self, sandbox: SandboxId, change: &GuardChange) -> Result<Guard, StoreError> {
        self.db.write("guard a sandbox", Durability::Machine, |tx| {
            sandboxes::change_guard(tx, &self.actor, sandbox, change)
        })
    }

    fn change_life(
        &self,
        sandbox: SandboxId,
        change: &LifeChange,
        happening: Option<Happening>,
    ) -> Result<Option<Life>, StoreError> {
        // A machine's death must not let go on what somebody suspended.
        self.db.write("change the life of a sandbox", Durability::Machine, |tx| {
            sandboxes::change_life(tx, &self.actor, sandbox, change, happening)
        })
    }

    fn occupancy(&self, sandbox: SandboxId) -> Result<Occupancy, StoreError> {
        lock::occupancy(&lock::path(&self.dir, sandbox))
    }

    fn freeze_turn(&self, sandbox: SandboxId, wait: bool) -> Result<Option<TakenTurn>, StoreError> {
        freezing::turn(&freezing::path(&self.dir, sandbox), wait)
    }

    fn momentary(&self, sandbox: SandboxId) -> Result<Option<Momentary>, StoreError> {
        freezing::momentary(&freezing::path(&self.dir, sandbox))
    }

    fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        self.db.read("read a snapshot", |db| snapshots::snapshot(db, id))
    }

    fn snapshots(&self, sandbox: SandboxId) -> Result<Vec<Snapshot>, StoreError> {
        self.db.read("list the snapshots", |db| snapshots::snapshots(db, sandbox))
    }

    fn live_trees(&self, driver: &str) -> Result<Vec<Tree>, StoreError> {
        self.db.read("list the trees in use", |db| sandboxes::live_trees(db, driver))
    }

    fn put(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        value: Option<&[u8]>,
        expected: Expected,
    ) -> Result<u64, StoreError> {
        let value = value.map(|bytes| Value::new(key, bytes)).transpose()?;
        self.db.write("write state", Durability::Process, |tx| {
            state::put(tx, &self.actor, sandbox, key, value.as_ref(), expected)
        })
    }

    fn get(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        version: Option<u64>,
    ) -> Result<Option<StateEntry>, StoreError> {
        self.db.read("read state", |db| state::get(db, sandbox, key, version))
    }

    fn history(&self, sandbox: SandboxId, key: &StateKey) -> Result<Vec<StateEntry>, StoreError> {
        self.db.read("read the history of state", |db| state::history(db, sandbox, key))
    }

    fn list(
        &self,
        sandbox: SandboxId,
        version: Option<u64>,
    ) -> Result<Vec<StateEntry>, StoreError> {
        self.db.read("list state", |db| state::list(db, sandbox, version))
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        self.db.read("check the database", |db| {
            let mut statement = db.prepare("PRAGMA integrity_check")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            let mut wrong = lines.collect::<Result<Vec<_>, _>>()?;
            wrong.retain(|line| line != "ok");
            Ok(wrong)
        })
    }

    fn emit(&self, sandbox: Option<SandboxId>, happening: Happening) -> Result<i64, StoreError> {
        self.db.write("write to the event log", Durability::Process, |tx| {
            let name = sandbox.map(|id| events::name(tx, id)).transpose()?.flatten();
            events::append(tx, &self.actor, name.as_deref(), rows::now(), happening)
        })
    }

    fn events(&self, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        self.db.read("read the event log", |db| events::read(db, after, limit))
    }

    fn log_head(&self) -> Result<LogHead, StoreError> {
        self.db.read("read the event log", events::head)
    }

    fn state_version(&self, sandbox: SandboxId) -> Result<u64, StoreError> {
        self.db.read("read the version of state", |db| state::newest_version(db, sandbox))
    }

    fn restore_state(&self, sandbox: SandboxId, version: u64) -> Result<u64, StoreError> {
        self.db.write("restore state", Durability::Process, |tx| {
            state::restore(tx, &self.actor, sandbox, version)
        })
    }
}
