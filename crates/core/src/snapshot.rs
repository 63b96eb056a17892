//! Points that a sandbox can return to.

use serde::{Deserialize, Serialize};

use crate::id::{OperationId, SandboxId, SnapshotId};
use crate::time::Timestamp;

/// An immutable file tree, in the words of the workspace driver that keeps it. Only that driver
/// reads the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree(pub String);

/// Where a sandbox stands: its files and its state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// The files.
    pub tree: Tree,
    /// The version of the state, see [`crate::state`].
    pub state_version: u64,
}

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// The user asked for it.
    Manual,
    /// A schedule or a threshold asked for it.
    Automatic,
    /// Before an operation.
    PreOperation,
    /// Before a rollback: what the rollback left behind.
    PreRollback,
}

impl SnapshotKind {
    /// The word for it in tables and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
            Self::PreOperation => "pre-operation",
            Self::PreRollback => "pre-rollback",
        }
    }
}

/// A snapshot as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Why it was taken.
    pub kind: SnapshotKind,
    /// What the user wrote about it; empty when nothing.
    pub message: String,
    /// The operation that took it.
    pub operation: OperationId,
    /// What it returns to.
    pub point: Point,
    /// When it was taken.
    pub created: Timestamp,
}
