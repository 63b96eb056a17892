//! Operations: what a sandbox is asked to do, and what came of it.

use serde::{Deserialize, Serialize};

use crate::changeset::ChangeCounts;
use crate::digest::Digest;
use crate::driver::Driver;
use crate::id::{OperationId, SandboxId};
use crate::limits::{LimitKind, Limits};
use crate::monitor::Anomaly;
use crate::snapshot::Point;
use crate::span::Span;
use crate::state::StateWrite;
use crate::time::Timestamp;
use crate::verdict_record::VerdictRecord;

/// What kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// A sandbox was made.
    Create,
    /// A command ran.
    Run,
    /// Files were written, moved or removed without a command.
    Write,
    /// A snapshot was taken.
    Snapshot,
    /// The sandbox returned to a snapshot, whole or for some paths.
    Rollback,
    /// Changes were written to the live directory.
    Commit,
    /// Uncommitted changes were thrown away.
    Discard,
    /// An operation was taken back.
    Undo,
    /// An undone operation was brought back.
    Redo,
    /// The sandbox was made as a copy of another.
    Fork,
    /// State was written.
    State,
    /// Encrypted state was encrypted with another key. No value changed.
    Rekey,
}

impl OperationKind {
    /// The word for it in tables and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Run => "run",
            Self::Write => "write",
            Self::Snapshot => "snapshot",
            Self::Rollback => "rollback",
            Self::Commit => "commit",
            Self::Discard => "discard",
            Self::Undo => "undo",
            Self::Redo => "redo",
            Self::Fork => "fork",
            Self::State => "state",
            Self::Rekey => "rekey",
        }
    }

    /// Whether `undo` can take it back. Making a sandbox or a snapshot moves nothing, and undo
    /// itself is taken back by redo.
    #[must_use]
    pub fn is_undoable(self) -> bool {
        self.is_step()
            || matches!(self, Self::Rollback | Self::Commit | Self::Discard | Self::State)
    }

    /// Whether it puts changes of its own on what was there, of which any can be taken out again.
    #[must_use]
    pub fn is_step(self) -> bool {
        matches!(self, Self::Run | Self::Write)
    }

    /// Whether it leads back to where the sandbox stood, or its base does.
    #[must_use]
    pub fn is_step_back(self) -> bool {
        matches!(self, Self::Rollback | Self::Undo | Self::Discard)
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Intent is written; the effect may have begun.
    Open,
    /// It ended and took effect.
    Done,
    /// It ended without effect: the sandbox is where it was before.
    Failed,
    /// A crash cut it short; recovery returned the sandbox to where it was before.
    Recovered,
    /// It took effect and was taken back later.
    Undone,
    /// It was not let run: it changed nothing, and there is nothing to undo.
    Blocked,
}

impl Status {
    /// The word for it in tables and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Undone => "undone",
            Self::Blocked => "blocked",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It returned this code, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether it is success in a shell's sense.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What stopped a command before it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// A limit was reached.
    Limit(LimitKind),
    /// The store's file system was nearly full.
    StoreFull,
    /// It was unusual for its sandbox, which the configuration does not let pass.
    Unusual,
}

/// What a command used (getrusage(2), summed over its processes).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time.
    pub wall: Option<Span>,
    /// CPU time in user mode.
    pub user: Option<Span>,
    /// CPU time in the kernel.
    pub system: Option<Span>,
    /// The largest resident set of any process, in bytes.
    pub peak_resident: u64,
    /// Processes and threads that were begun, as far as the kernel's numbers tell: not more than the
    /// sandbox has process ids.
    #[serde(default)]
    pub processes: u64,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandReport {
    /// How it ended.
    pub exit: Exit,
    /// What stopped it, if something did.
    pub stopped: Option<Stopped>,
    /// Packets and connections that found no network, 0 when it was on.
    pub network_attempts: u64,
    /// What it used.
    pub usage: Usage,
    /// What isolated it.
    #[serde(default)]
    pub driver: Driver,
    /// The protections that were in force.
    pub enforced: Vec<String>,
}

/// What an operation is asked to do, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// What kind.
    pub kind: OperationKind,
    /// One line for people: the command, or what was asked.
    pub title: String,
    /// The limits in force, for a command.
    pub limits: Limits,
    /// The operation that this one undoes, redoes or returns to.
    pub target: Option<OperationId>,
    /// What the validator said of it; `None` for what it is not asked about.
    pub verdict: Option<VerdictRecord>,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// For a command: what it did.
    pub command: Option<CommandReport>,
    /// What it changed in the workspace or, for a commit, in the live directory.
    pub counts: Option<ChangeCounts>,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// The digest of what it changed, when the driver gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changeset: Option<Digest>,
    /// What it wrote to the state, its rollback included. The store notes this by itself, in the
    /// step that writes the state: what stands here in an outcome to be written is not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<StateWrite>,
    /// What of it was unusual.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Anomaly>,
}

/// An operation as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What was asked.
    pub request: Request,
    /// How far it has come.
    pub status: Status,
    /// Where the sandbox stood before.
    pub before: Point,
    /// Where it stood after; `None` until it is done.
    pub after: Option<Point>,
    /// When intent was written.
    pub started: Timestamp,
    /// When the outcome was written.
    pub finished: Option<Timestamp>,
    /// What came of it.
    pub outcome: Outcome,
}
