//! What goes wrong above drivers and stores.

use ctrlz_core::id::OperationId;
use ctrlz_core::isolation::IsolationError;
use ctrlz_core::lifecycle::IllegalTransition;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Point;
use ctrlz_core::store::StoreError;
use ctrlz_core::workspace::WorkspaceError;

/// Why something was not done. Unless a text says otherwise, nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The workspace driver.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A file of a sandbox.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// The isolation driver.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The sandbox was made by a workspace driver that this ctrlz has not.
    #[error("sandbox `{sandbox}` needs the workspace driver `{driver}`, which is not here")]
    NoDriver {
        /// The sandbox.
        sandbox: String,
        /// The driver.
        driver: String,
    },
    /// There is no operation to take back.
    #[error("there is nothing to undo in sandbox `{0}`")]
    NothingToUndo(String),
    /// There is no undone operation, or others came after it.
    #[error("there is nothing to redo in sandbox `{0}`")]
    NothingToRedo(String),
    /// An archive has what is missing of a tree, but cannot give it.
    #[error("part {part} of the tree is missing or damaged, and so is what the archive has: {why}")]
    NotMended {
        /// The part.
        part: String,
        /// Why not.
        why: String,
    },
    /// The sandbox equals its base.
    #[error("there is nothing to commit in sandbox `{0}`")]
    NothingToCommit(String),
    /// What was done lies on top of what the setup took away.
    #[error(
        "sandbox `{sandbox}` would also bring what its setup did: {path}, which `ctrlz diff` does not show"
    )]
    OnTopOfSetup {
        /// The sandbox.
        sandbox: String,
        /// One of the paths.
        path: RelPath,
    },
    /// The workspace has no live directory.
    #[error("sandbox `{0}` started from an image, so there is no folder to commit to")]
    NoLiveBase(String),
    /// The operation belongs to another sandbox.
    #[error("{operation} is not an operation of sandbox `{sandbox}`")]
    ForeignOperation {
        /// The operation.
        operation: OperationId,
        /// The sandbox.
        sandbox: String,
    },
    /// The operation is of a kind or in a status that cannot be undone.
    #[error("{operation} cannot be undone: {reason}")]
    NotUndoable {
        /// The operation.
        operation: OperationId,
        /// Why.
        reason: String,
    },
    /// A later operation stands in the way.
    #[error("{operation} cannot be undone alone: {dependent} depends on it{}", on(path.as_ref()))]
    Depends {
        /// The operation to be undone.
        operation: OperationId,
        /// The first later operation that depends on it.
        dependent: OperationId,
        /// On this path; `None` when on everything, as a commit or a rollback does.
        path: Option<RelPath>,
    },
    /// The snapshot belongs to another sandbox.
    #[error("{snapshot} is not a snapshot of sandbox `{sandbox}`")]
    ForeignSnapshot {
        /// The snapshot.
        snapshot: ctrlz_core::id::SnapshotId,
        /// The sandbox.
        sandbox: String,
    },
    /// A snapshot of the state alone was asked for files.
    #[error("{0} is a snapshot of the state alone: there are no files in it")]
    StateOnly(ctrlz_core::id::SnapshotId),
    /// Retention let the files of an operation go.
    #[error("the time of {operation} is over: retention let its files go")]
    LetGo {
        /// The operation.
        operation: OperationId,
    },
    /// A snapshot was to be removed that is needed.
    #[error("{snapshot} is needed: {reason}")]
    SnapshotNeeded {
        /// The snapshot.
        snapshot: ctrlz_core::id::SnapshotId,
        /// What for.
        reason: String,
    },
    /// An emergency contained the sandbox, and what would run wants a network.
    #[error("sandbox `{sandbox}` is contained, so nothing runs in it with a network: {reason}")]
    Contained {
        /// The sandbox.
        sandbox: String,
        /// Why it is contained.
        reason: String,
    },
    /// An operation is under way that writes to the folder.
    #[error("sandbox `{0}` writes to its folder right now")]
    InUse(String),
    /// The sandbox is suspended, and nothing begins in it.
    #[error("sandbox `{sandbox}` is suspended{}", because(reason))]
    Suspended {
        /// The sandbox.
        sandbox: String,
        /// Why; empty when nobody said.
        reason: String,
    },
    /// Nobody would let the processes go on that were to be stopped, so they were not.
    #[error("what runs cannot be stopped for a moment")]
    Unwatched(#[source] std::io::Error),
    /// What was to be kept of a moment took longer than processes are stopped.
    #[error(
        "sandbox `{sandbox}`: its files could not be copied within {most}, so the command went on, and nothing was kept"
    )]
    StopTooLong {
        /// The sandbox.
        sandbox: String,
        /// The longest time.
        most: ctrlz_core::span::Span,
    },
    /// Memory is kept of what runs alone.
    #[error("nothing runs in sandbox `{0}` whose memory could be kept")]
    NothingRuns(String),
    /// What is suspended cannot be made to write its memory.
    #[error("what runs in sandbox `{0}` is suspended, and its memory cannot be kept meanwhile")]
    MemorySuspended(String),
    /// The snapshot has files and state alone.
    #[error("{0} has no memory: it was taken without, or while nothing ran")]
    NoMemory(ctrlz_core::id::SnapshotId),
    /// The memory of a snapshot is gone, or not what it was.
    #[error("the memory of {snapshot} is damaged: {why}")]
    MemoryDamaged {
        /// The snapshot.
        snapshot: ctrlz_core::id::SnapshotId,
        /// What is wrong with it.
        why: String,
    },
    /// What was written while memory was kept could not be read, written or removed.
    #[error("cannot {action} the memory in {}", path.display())]
    Memory {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox is in a state from which this does not lead anywhere.
    #[error("sandbox `{sandbox}`: {illegal}")]
    Illegal {
        /// The sandbox.
        sandbox: String,
        /// The state, and what was asked.
        illegal: IllegalTransition,
    },
    /// A command of `setup:` failed.
    #[error("setup command {number} of {of} failed: `{command}`: {how}")]
    Setup {
        /// The command.
        command: String,
        /// Which one it is, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// How it ended.
        how: String,
    },
    /// What would run is not what was approved.
    #[error("what was approved is not what would run now, so nothing ran")]
    NotApproved,
    /// The sandbox holds changes that would be lost.
    #[error("sandbox `{sandbox}` has uncommitted changes")]
    Uncommitted {
        /// The sandbox.
        sandbox: String,
    },
}

/// Errs when retention let the files of `operation` go, of which `point` is one side.
pub(crate) fn kept(point: &Point, operation: OperationId) -> Result<(), EngineError> {
    if point.tree.is_none() { Err(EngineError::LetGo { operation }) } else { Ok(()) }
}

fn on(path: Option<&RelPath>) -> String {
    path.map(|path| format!(" ({path})")).unwrap_or_default()
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// An error with its causes, in one line.
#[must_use]
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
