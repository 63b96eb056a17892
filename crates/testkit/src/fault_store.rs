//! A store that fails, or kills its process, at a chosen call.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ctrlz_core::digest::Digest;
use ctrlz_core::event::Happening;
use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::lifecycle::{Life, LifeChange};
use ctrlz_core::operation::{Operation, Outcome, Request, Status};
use ctrlz_core::sandbox::{Guard, GuardChange, Sandbox};
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, Tag, Tree};
use ctrlz_core::state::{Expected, StateEntry, StateKey, StateWrite};
use ctrlz_core::state_store::{
    ImportConflict, Imported, Reseal, Resealed, SealedValue, StateFault, StateImport, StateRepair,
    StateStore, ValueCopies,
};
use ctrlz_core::store::{
    Durability, LogHead, LoggedEvent, Momentary, NewSandbox, Occupancy, SandboxLock, Store,
    StoreError, TakenTurn,
};
use rustix::process::{Signal, getpid, kill_process};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The call answers [`StoreError::Failed`]; the inner store is not asked.
    Fail,
    /// This process dies by SIGKILL before the inner store is asked.
    KillBefore,
    /// This process dies by SIGKILL when the inner store has done its part.
    KillAfter,
}

/// The source of every [`StoreError::Failed`] that a [`FaultStore`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InjectedFault {
    /// Which call it was, from 1.
    pub call: u64,
}

impl fmt::Display for InjectedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "injected at call {}", self.call)
    }
}

impl std::error::Error for InjectedFault {}

/// Passes every call on to `S`, but for one.
#[derive(Debug)]
pub struct FaultStore<S> {
    inner: S,
    calls: AtomicU64,
    plan: Option<(u64, StoreFault)>,
}

impl<S> FaultStore<S> {
    /// Only counts calls.
    pub fn counting(inner: S) -> Self {
        Self { inner, calls: AtomicU64::new(0), plan: None }
    }

    /// Does `fault` at the call with that number, from 1. Later calls pass.
    pub fn new(inner: S, call: u64, fault: StoreFault) -> Self {
        Self { inner, calls: AtomicU64::new(0), plan: Some((call, fault)) }
    }

    /// How many calls there were so far, the failed one included. Reads count, too.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The store behind, to set it up.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    fn pass<T>(
        &self,
        action: &'static str,
        call: impl FnOnce(&S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = self.plan.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            None => call(&self.inner),
            Some(StoreFault::Fail) => Err(failed(action, InjectedFault { call: number })),
            Some(StoreFault::KillBefore) => Err(die(action)),
            Some(StoreFault::KillAfter) => {
                // Held until death: what the call gave, such as a lock, is not dropped first.
                let _given = call(&self.inner);
                Err(die(action))
            }
        }
    }
}

fn failed(
    action: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Failed { action, source: Box::new(source) }
}

/// Kills this process. Answers only if the kernel refuses.
fn die(action: &'static str) -> StoreError {
    match kill_process(getpid(), Signal::KILL) {
        Err(errno) => failed(action, std::io::Error::from(errno)),
        // A signal to oneself is delivered before kill(2) returns, unless another thread takes
        // it; then this one has only to wait.
        Ok(()) => loop {
            std::thread::park();
        },
    }
}

impl<S: Store> Store for FaultStore<S> {
    fn create_sandbox(
        &self,
        new: &NewSandbox,
        from: Option<(SandboxId, &Point)>,
    ) -> Result<Sandbox, StoreError> {
        self.pass("create a sandbox", |store| store.create_sandbox(new, from))
    }

    fn sandbox_named(&self, name: &str) -> Result<Sandbox, StoreError> {
        self.pass("read a sandbox", |store| store.sandbox_named(name))
    }

    fn sandbox(&self, id: SandboxId) -> Result<Sandbox, StoreError> {
        self.pass("read a sandbox", |store| store.sandbox(id))
    }

    fn sandboxes_of_folder(&self, folder: &Path) -> Result<Vec<Sandbox>, StoreError> {
        self.pass("find the sandboxes of a folder", |store| store.sandboxes_of_folder(folder))
    }

    fn sandboxes(&self) -> Result<Vec<Sandbox>, StoreError> {
        self.pass("list the sandboxes", S::sandboxes)
    }

    fn remove_sandbox(&self, id: SandboxId) -> Result<(), StoreError> {
        self.pass("remove a sandbox", |store| store.remove_sandbox(id))
    }

    fn reserve_ids(&self, operation: OperationId, snapshot: SnapshotId) -> Result<(), StoreError> {
        self.pass("reserve ids", |store| store.reserve_ids(operation, snapshot))
    }

    fn lock(
        &self,
        sandbox: SandboxId,
        waiting: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Box<dyn SandboxLock>, StoreError> {
        self.pass("lock the sandbox", |store| store.lock(sandbox, waiting))
    }

    fn occupant(&self, sandbox: SandboxId) -> Result<Option<u32>, StoreError> {
        self.pass("find who works in the sandbox", |store| store.occupant(sandbox))
    }

    fn begin(&self, request: &Request, durability: Durability) -> Result<Operation, StoreError> {
        self.pass("begin an operation", |store| store.begin(request, durability))
    }

    fn finish(
        &self,
        operation: OperationId,
        status: Status,
        outcome: &Outcome,
        after: Option<&Point>,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.pass("finish an operation", |store| {
            store.finish(operation, status, outcome, after, durability)
        })
    }

    fn refuse(&self, request: &Request, reason: &str) -> Result<Operation, StoreError> {
        self.pass("refuse an operation", |store| store.refuse(request, reason))
    }

    fn operation(&self, id: OperationId) -> Result<Operation, StoreError> {
        self.pass("read an operation", |store| store.operation(id))
    }

    fn operations(&self, sandbox: SandboxId, limit: u32) -> Result<Vec<Operation>, StoreError> {
        self.pass("list the operations", |store| store.operations(sandbox, limit))
    }

    fn operations_since(
        &self,
        sandbox: SandboxId,
        since: OperationId,
    ) -> Result<Vec<Operation>, StoreError> {
        self.pass("list the operations", |store| store.operations_since(sandbox, since))
    }

    fn create_snapshot(
        &self,
        operation: &Operation,
        new: &NewSnapshot,
        point: &Point,
    ) -> Result<Snapshot, StoreError> {
        self.pass("create a snapshot", |store| store.create_snapshot(operation, new, point))
    }

    fn tag_snapshot(
        &self,
        id: SnapshotId,
        add: &[Tag],
        remove: &[Tag],
    ) -> Result<Snapshot, StoreError> {
        self.pass("tag a snapshot", |store| store.tag_snapshot(id, add, remove))
    }

    fn mark_good(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        self.pass("note that a snapshot is good", |store| store.mark_good(id))
    }

    fn let_go(
        &self,
        sandbox: SandboxId,
        snapshots: &[(SnapshotId, String)],
        history: Option<(OperationId, &str)>,
    ) -> Result<(), StoreError> {
        self.pass("let snapshots go", |store| store.let_go(sandbox, snapshots, history))
    }

    fn change_guard(&self, sandbox: SandboxId, change: &GuardChange) -> Result<Guard, StoreError> {
        self.pass("guard a sandbox", |store| store.change_guard(sandbox, change))
    }

    fn change_life(
        &self,
        sandbox: SandboxId,
        change: &LifeChange,
        happening: Option<Happening>,
    ) -> Result<Option<Life>, StoreError> {
        self.pass("change the life of a sandbox", |store| {
            store.change_life(sandbox, change, happening)
        })
    }

    fn occupancy(&self, sandbox: SandboxId) -> Result<Occupancy, StoreError> {
        self.pass("look who works in a sandbox", |store| store.occupancy(sandbox))
    }

    fn freeze_turn(&self, sandbox: SandboxId, wait: bool) -> Result<Option<TakenTurn>, StoreError> {
        self.pass("take the turn to freeze", |store| store.freeze_turn(sandbox, wait))
    }

    fn momentary(&self, sandbox: SandboxId) -> Result<Option<Momentary>, StoreError> {
        self.pass("look what is frozen", |store| store.momentary(sandbox))
    }

    fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, StoreError> {
        self.pass("read a snapshot", |store| store.snapshot(id))
    }

    fn snapshots(&self, sandbox: SandboxId) -> Result<Vec<Snapshot>, StoreError> {
        self.pass("list the snapshots", |store| store.snapshots(sandbox))
    }

    fn live_trees(&self, driver: &str) -> Result<Vec<Tree>, StoreError> {
        self.pass("list the trees in use", |store| store.live_trees(driver))
    }

    fn put(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        value: Option<&[u8]>,
        expected: Expected,
    ) -> Result<u64, StoreError> {
        self.pass("write state", |store| store.put(sandbox, key, value, expected))
    }

    fn get(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        version: Option<u64>,
    ) -> Result<Option<StateEntry>, StoreError> {
        self.pass("read state", |store| store.get(sandbox, key, version))
    }

    fn history(&self, sandbox: SandboxId, key: &StateKey) -> Result<Vec<StateEntry>, StoreError> {
        self.pass("read the history of state", |store| store.history(sandbox, key))
    }

    fn list(
        &self,
        sandbox: SandboxId,
        version: Option<u64>,
    ) -> Result<Vec<StateEntry>, StoreError> {
        self.pass("list state", |store| store.list(sandbox, version))
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        self.pass("check the database", Store::check)
    }

    fn emit(&self, sandbox: Option<SandboxId>, happening: Happening) -> Result<i64, StoreError> {
        self.pass("write to the event log", |store| store.emit(sandbox, happening))
    }

    fn events(&self, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        self.pass("read the event log", |store| store.events(after, limit))
    }

    fn log_head(&self) -> Result<LogHead, StoreError> {
        self.pass("read the event log", Store::log_head)
    }

    fn state_version(&self, sandbox: SandboxId) -> Result<u64, StoreError> {
        self.pass("read the version of state", |store| store.state_version(sandbox))
    }

    fn restore_state(&self, sandbox: SandboxId, version: u64) -> Result<u64, StoreError> {
        self.pass("restore state", |store| store.restore_state(sandbox, version))
    }
}

impl<S: Store> StateStore for FaultStore<S> {
    fn global(&self) -> Result<Sandbox, StoreError> {
        self.pass("read the global state", StateStore::global)
    }

    fn put_sealed(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        value: &SealedValue<'_>,
        expected: Expected,
    ) -> Result<u64, StoreError> {
        self.pass("write state", |store| store.put_sealed(sandbox, key, value, expected))
    }

    fn reseal(&self, reseal: &dyn Reseal) -> Result<Resealed, StoreError> {
        self.pass("encrypt state anew", |store| store.reseal(reseal))
    }

    fn state_writes(&self, sandbox: SandboxId) -> Result<Vec<StateWrite>, StoreError> {
        self.pass("read state", |store| store.state_writes(sandbox))
    }

    fn stored_value(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.pass("read state", |store| store.stored_value(digest))
    }

    fn import_state(
        &self,
        imports: &[StateImport],
        values: &dyn ValueCopies,
        on_conflict: ImportConflict,
        dry_run: bool,
    ) -> Result<Imported, StoreError> {
        self.pass("import state", |store| store.import_state(imports, values, on_conflict, dry_run))
    }

    fn verify_state(&self, sandbox: SandboxId) -> Result<Vec<StateFault>, StoreError> {
        self.pass("verify state", |store| store.verify_state(sandbox))
    }

    fn compare_state(&self, sandbox: SandboxId) -> Result<Vec<StateFault>, StoreError> {
        self.pass("compare state with the journal", |store| store.compare_state(sandbox))
    }

    fn rebuild_state(
        &self,
        sandbox: SandboxId,
        drop_unknown: bool,
    ) -> Result<StateRepair, StoreError> {
        self.pass("rebuild state", |store| store.rebuild_state(sandbox, drop_unknown))
    }

    fn repair_state(
        &self,
        sandbox: SandboxId,
        copies: &dyn ValueCopies,
    ) -> Result<StateRepair, StoreError> {
        self.pass("repair state", |store| store.repair_state(sandbox, copies))
    }
}
