//! What the engine asks of a store: the journal, the sandboxes, the snapshots and the state.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::{Happening, MadeOf};
use crate::id::{OperationId, SandboxId, SnapshotId};
use crate::lifecycle::{Life, LifeChange};
use crate::name::SandboxName;
use crate::operation::{Operation, Outcome, Request, Status};
use crate::sandbox::{Guard, GuardChange, Root, Sandbox};
use crate::snapshot::{NewSnapshot, Point, Snapshot, Tag, Tree};
use crate::state::{Expected, KeyId, StateEntry, StateKey};
use crate::state_store::StateStore;

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be opened.
    #[error("cannot open the store {}", path.display())]
    Open {
        /// The store's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another version of ctrlz wrote it.
    #[error("the store {} has format {found}; this ctrlz reads up to {supported}", path.display())]
    Format {
        /// The store's directory.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The newest one that is known.
        supported: i64,
    },
    /// Reading or writing failed.
    #[error("the store failed to {action}")]
    Failed {
        /// What it was doing.
        action: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The sandbox is in use by another process.
    #[error("sandbox `{name}` is in use by another ctrlz (process {holder})")]
    Busy {
        /// The sandbox.
        name: String,
        /// The other process, 0 when unknown.
        holder: u32,
    },
    /// A name is taken.
    #[error("there is a sandbox named `{0}` already")]
    NameTaken(SandboxName),
    /// No such sandbox.
    #[error("there is no sandbox named `{0}`")]
    NoSandbox(String),
    /// No such operation.
    #[error("there is no operation {0}")]
    NoOperation(OperationId),
    /// No such snapshot.
    #[error("there is no snapshot {0}")]
    NoSnapshot(SnapshotId),
    /// A compare-and-set found something else.
    #[error("state key `{key}` is at version {found:?}, not as expected")]
    Conflict {
        /// The key.
        key: StateKey,
        /// Its version now; `None` when it is absent.
        found: Option<u64>,
    },
    /// A value is larger than [`crate::state::MAX_VALUE`].
    #[error("the value of `{key}` has {size} bytes; the most is 16 MiB")]
    TooLarge {
        /// The key.
        key: StateKey,
        /// Its size in bytes.
        size: u64,
    },
    /// A stored value no longer matches its checksum.
    #[error("the value of `{key}` at version {version} is damaged: its checksum does not match")]
    Damaged {
        /// The key.
        key: StateKey,
        /// The version.
        version: u64,
    },
    /// A value that is not encrypted, for a key whose value is.
    #[error("`{key}` is sensitive: its value is encrypted, and this one is not")]
    Sensitive {
        /// The key.
        key: StateKey,
    },
    /// The encrypted values are encrypted with another key than the one that was given.
    #[error("encrypted state is under key {wanted}, not under {given}")]
    OtherKey {
        /// The id of a key that values are encrypted with.
        wanted: KeyId,
        /// The id of the one that was given.
        given: KeyId,
    },
    /// A value cannot be encrypted or decrypted.
    #[error("the value of `{key}` at version {version} cannot be encrypted anew")]
    Seal {
        /// The key.
        key: StateKey,
        /// The version.
        version: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A write of an import is not taken over.
    #[error("version {version} of `{key}` cannot be imported; nothing is")]
    NotImported {
        /// The key.
        key: StateKey,
        /// The version in the import.
        version: u64,
        /// Why: [`Self::OtherKey`], [`Self::Sensitive`], [`Self::TooLarge`], or what is wrong with
        /// the value.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A sandbox to be made.
#[derive(Debug, Clone)]
pub struct NewSandbox {
    /// Its name.
    pub name: SandboxName,
    /// See [`Sandbox::folder`].
    pub folder: Option<PathBuf>,
    /// Its root.
    pub root: Root,
    /// See [`Sandbox::base`].
    pub base: PathBuf,
    /// See [`Sandbox::driver`].
    pub driver: String,
    /// Its first tree.
    pub tree: Tree,
    /// See [`Sandbox::life`].
    pub life: Life,
    /// What its first tree, or what lies below it, is made of.
    pub made_of: MadeOf,
}

/// How safe a write must be before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives the death of any process.
    Process,
    /// It survives the death of the machine as well (costs a flush).
    Machine,
}

/// Exclusive use of one sandbox, until dropped or until the process dies.
pub trait SandboxLock {
    /// Notes a process that works in the sandbox: its id and a descriptor of it (pidfd_open(2)).
    /// When this process is killed, the next one gets the lock only after that process has ended:
    /// a killed launcher is gone before its command is, which may still write.
    ///
    /// # Errors
    /// When it cannot be written down.
    fn share(&self, pid: u32, process: BorrowedFd<'_>) -> io::Result<()>;
}

/// The turn to freeze and thaw what runs in one sandbox, until dropped or until the process dies.
pub trait FreezeTurn {
    /// Notes what is about to be frozen for a moment, before it is, or that it goes on (`None`), after
    /// it does. Whoever gets the turn and still finds something noted lets that go on.
    ///
    /// # Errors
    /// When it cannot be written down.
    fn note(&self, frozen: Option<&Momentary>) -> io::Result<()>;
}

/// The turn, and what whoever died with it had noted.
pub type TakenTurn = (Box<dyn FreezeTurn>, Option<Momentary>);

/// Processes that are frozen for a moment, as for a snapshot of what they write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Momentary {
    /// Process 1 of the sandbox.
    pub process: u32,
    /// Those that had been stopped before, and are to stay so.
    pub stopped_before: Vec<u32>,
}

/// Who works in a sandbox.
#[derive(Debug)]
pub struct Occupancy {
    /// The process that holds its lock, 0 when it is unknown which; nothing when it is free.
    pub holder: Option<u32>,
    /// The process with which everything in the sandbox ends, as [`SandboxLock::share`] noted it,
    /// when it lives: its id and a descriptor of it.
    pub process: Option<(u32, OwnedFd)>,
}

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its number, from 1, without gaps.
    pub number: i64,
    /// Its bytes, which the next event's `prevhash` is of: an [`crate::event::Event`] as JSON.
    pub text: String,
}

/// Where the event log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// The `source` of its events.
    pub source: String,
    /// The number of the last event, 0 when there is none.
    pub last: i64,
}

/// A store. Every method is one atomic step: after a crash it has happened or it has not. What
/// happens is told in the event log by the same step.
pub trait Store: StateStore {
    /// Makes a sandbox, together with a finished `create` or `fork` operation that says so.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], or a failure to write.
    fn create_sandbox(
        &self,
        new: &NewSandbox,
        from: Option<(SandboxId, &Point)>,
    ) -> Result<Sandbox, StoreError>;

    /// The living sandbox of that name.
    ///
    /// # Errors
    /// [`StoreError::NoSandbox`], or a failure to read.
    fn sandbox_named(&self, name: &str) -> Result<Sandbox, StoreError>;

    /// The living sandbox with that id.
    ///
    /// # Errors
    /// [`StoreError::NoSandbox`], or a failure to read.
    fn sandbox(&self, id: SandboxId) -> Result<Sandbox, StoreError>;

    /// The unnamed sandboxes of a folder, most recently used first.
    ///
    /// # Errors
    /// A failure to read.
    fn sandboxes_of_folder(&self, folder: &Path) -> Result<Vec<Sandbox>, StoreError>;

    /// All living sandboxes, by name.
    ///
    /// # Errors
    /// A failure to read.
    fn sandboxes(&self) -> Result<Vec<Sandbox>, StoreError>;

    /// Removes a sandbox with its operations, snapshots and state.
    ///
    /// # Errors
    /// A failure to write.
    fn remove_sandbox(&self, id: SandboxId) -> Result<(), StoreError>;

    /// Makes sure that no operation and no snapshot gets one of these ids or a lower one, as when
    /// something that they name is left of a store that was lost.
    ///
    /// # Errors
    /// A failure to write.
    fn reserve_ids(&self, operation: OperationId, snapshot: SnapshotId) -> Result<(), StoreError>;

    /// Takes the sandbox's lock, waiting while another process holds it. `waiting` is called once
    /// with the holder's process id before the first wait; when it answers false the call gives up.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when `waiting` answered false.
    fn lock(
        &self,
        sandbox: SandboxId,
        waiting: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Box<dyn SandboxLock>, StoreError>;

    /// The process with which everything that runs in the sandbox ends, as
    /// [`SandboxLock::share`] noted it; `None` when it has ended.
    ///
    /// # Errors
    /// A failure to read.
    fn occupant(&self, sandbox: SandboxId) -> Result<Option<u32>, StoreError>;

    /// Writes intent. The sandbox's `open_operation` becomes this one.
    ///
    /// # Errors
    /// A failure to write.
    fn begin(&self, request: &Request, durability: Durability) -> Result<Operation, StoreError>;

    /// Writes the outcome, moves the sandbox to `after` (when given) and clears its
    /// `open_operation`. With `status` [`Status::Done`] an operation that this one undoes becomes
    /// [`Status::Undone`], one that it redoes becomes [`Status::Done`] again.
    ///
    /// # Errors
    /// A failure to write.
    fn finish(
        &self,
        operation: OperationId,
        status: Status,
        outcome: &Outcome,
        after: Option<&Point>,
        durability: Durability,
    ) -> Result<(), StoreError>;

    /// Writes down an operation that was not let run, with the reason, as [`Status::Blocked`]. The
    /// sandbox stays as it is, and what is under way in it goes on: no lock is needed.
    ///
    /// # Errors
    /// A failure to write.
    fn refuse(&self, request: &Request, reason: &str) -> Result<Operation, StoreError>;

    /// One operation.
    ///
    /// # Errors
    /// [`StoreError::NoOperation`], or a failure to read.
    fn operation(&self, id: OperationId) -> Result<Operation, StoreError>;

    /// A sandbox's operations, newest first, at most `limit`.
    ///
    /// # Errors
    /// A failure to read.
    fn operations(&self, sandbox: SandboxId, limit: u32) -> Result<Vec<Operation>, StoreError>;

    /// A sandbox's operations after `since`, newest first.
    ///
    /// # Errors
    /// A failure to read.
    fn operations_since(
        &self,
        sandbox: SandboxId,
        since: OperationId,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Keeps a snapshot of `point`, of which a snapshot of the state alone leaves out the files.
    ///
    /// # Errors
    /// A failure to write.
    fn create_snapshot(
        &self,
        operation: &Operation,
        new: &NewSnapshot,
        point: &Point,
    ) -> Result<Snapshot, StoreError>;

    /// Puts tags on a snapshot and takes others off; answers it as it is then.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`], or a failure to write.
    fn tag_snapshot(
        &self,
        id: SnapshotId,
        add: &[Tag],
        remove: &[Tag],
    ) -> Result<Snapshot, StoreError>;

    /// Notes that a snapshot's point was found good, now; answers it as it is then.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`], or a failure to write.
    fn mark_good(&self, id: SnapshotId) -> Result<Snapshot, StoreError>;

    /// Removes snapshots of `sandbox`, each for its reason, and forgets the trees of its operations
    /// up to and including `history`, which then hold [`Tree::none`]. Snapshots that are gone
    /// already, and an operation that is open, are passed over. What the trees are made of stays
    /// until a driver collects it.
    ///
    /// # Errors
    /// A failure to write; then nothing is removed.
    fn let_go(
        &self,
        sandbox: SandboxId,
        snapshots: &[(SnapshotId, String)],
        history: Option<(OperationId, &str)>,
    ) -> Result<(), StoreError>;

    /// Changes how closely a sandbox is watched, or whether it is contained, from what is stored:
    /// of two at once, neither undoes the other's change. Answers what it is then; a change that
    /// changes nothing is not told.
    ///
    /// # Errors
    /// [`StoreError::NoSandbox`], or a failure to write.
    fn change_guard(&self, sandbox: SandboxId, change: &GuardChange) -> Result<Guard, StoreError>;

    /// Changes what is kept of a sandbox's life, from what is stored, and tells `happening` in the
    /// same step. Answers what it is then; nothing when the store holds something else than the
    /// change goes out from, and then nothing is changed or told.
    ///
    /// # Errors
    /// [`StoreError::NoSandbox`], or a failure to write.
    fn change_life(
        &self,
        sandbox: SandboxId,
        change: &LifeChange,
        happening: Option<Happening>,
    ) -> Result<Option<Life>, StoreError>;

    /// Who works in a sandbox, without waiting for it or disturbing it.
    ///
    /// # Errors
    /// A failure to look.
    fn occupancy(&self, sandbox: SandboxId) -> Result<Occupancy, StoreError>;

    /// Takes the turn to freeze and thaw what runs in a sandbox, and tells what whoever died with it had
    /// noted. Waits while another process has it, when `wait` says so, else answers nothing then.
    ///
    /// # Errors
    /// A failure to lock.
    fn freeze_turn(&self, sandbox: SandboxId, wait: bool) -> Result<Option<TakenTurn>, StoreError>;

    /// What is frozen for a moment in a sandbox, without waiting for the turn.
    ///
    /// # Errors
    /// A failure to read.
    fn momentary(&self, sandbox: SandboxId) -> Result<Option<Momentary>, StoreError>;

    /// One snapshot.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`], or a failure to read.
    fn snapshot(&self, id: SnapshotId) -> Result<Snapshot, StoreError>;

    /// A sandbox's snapshots, newest first.
    ///
    /// # Errors
    /// A failure to read.
    fn snapshots(&self, sandbox: SandboxId) -> Result<Vec<Snapshot>, StoreError>;

    /// Every tree that a living sandbox, snapshot or operation kept by the driver refers to: what
    /// garbage collection must keep.
    ///
    /// # Errors
    /// A failure to read.
    fn live_trees(&self, driver: &str) -> Result<Vec<Tree>, StoreError>;

    /// Writes a value (`None` deletes) when `expected` holds; answers the new version.
    ///
    /// Every write of state is noted in the sandbox's open operation by the same step, or, when
    /// none is open, as an operation of its own.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`], [`StoreError::Sensitive`] when the
    /// value that it would replace is encrypted, or a failure to write.
    fn put(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        value: Option<&[u8]>,
        expected: Expected,
    ) -> Result<u64, StoreError>;

    /// The entry of `key` as of `version` (newest when `None`), value included and verified.
    /// `None` when the key was absent then.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or a failure to read.
    fn get(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        version: Option<u64>,
    ) -> Result<Option<StateEntry>, StoreError>;

    /// All versions of `key`, newest first, without values.
    ///
    /// # Errors
    /// A failure to read.
    fn history(&self, sandbox: SandboxId, key: &StateKey) -> Result<Vec<StateEntry>, StoreError>;

    /// The living entries as of `version` (newest when `None`), by key, without values.
    ///
    /// # Errors
    /// A failure to read.
    fn list(&self, sandbox: SandboxId, version: Option<u64>)
    -> Result<Vec<StateEntry>, StoreError>;

    /// Looks at every page of the database; answers what is wrong, in words, nothing when all is
    /// well.
    ///
    /// # Errors
    /// When it cannot even be looked at.
    fn check(&self) -> Result<Vec<String>, StoreError>;

    /// Appends an event to the log, for what no other method tells by itself.
    ///
    /// # Errors
    /// A failure to write.
    fn emit(&self, sandbox: Option<SandboxId>, happening: Happening) -> Result<i64, StoreError>;

    /// The events after number `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// A failure to read.
    fn events(&self, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError>;

    /// Where the event log stands.
    ///
    /// # Errors
    /// A failure to read.
    fn log_head(&self) -> Result<LogHead, StoreError>;

    /// The sandbox's newest state version.
    ///
    /// # Errors
    /// A failure to read.
    fn state_version(&self, sandbox: SandboxId) -> Result<u64, StoreError>;

    /// Makes the living entries equal to what they were at `version`, under new versions; answers
    /// the newest version then.
    ///
    /// # Errors
    /// A failure to write.
    fn restore_state(&self, sandbox: SandboxId, version: u64) -> Result<u64, StoreError>;
}
