//! Snapshots of a sandbox while a command runs in it.
//!
//! The engine asks the workspace driver by which [`LiveMeans`] it captures what is being written, stops
//! the processes when that needs it, has [`WorkspaceDriver::capture`] duplicate the files, lets the
//! processes go on, and only then has [`WorkspaceDriver::keep`] make a tree of the duplicate.
//!
//! [`WorkspaceDriver::capture`]: crate::workspace::WorkspaceDriver::capture
//! [`WorkspaceDriver::keep`]: crate::workspace::WorkspaceDriver::keep

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::SandboxId;
use crate::memory::KeptMemory;
use crate::snapshot::Tree;
use crate::span::Span;

/// How a driver captures what an operation is writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveMeans {
    /// At one moment, between two of the calls by which processes write: nothing is stopped.
    Atomic,
    /// Whole only when nobody writes: the processes are stopped meanwhile.
    Frozen,
    /// Not at all: it would take so long that the processes could not be stopped for it.
    Unsupported,
}

impl LiveMeans {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Frozen => "frozen",
            Self::Unsupported => "unsupported",
        }
    }
}

/// A duplicate of what an operation had written at one moment, which is not yet a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The sandbox in which the operation is under way.
    pub sandbox: SandboxId,
    /// The tree at which it began.
    pub tree: Tree,
    /// Where the duplicate is, in the driver's store. Collection takes it when this process is gone.
    pub directory: PathBuf,
    /// The driver's own notes.
    pub notes: String,
}

/// That a snapshot was taken while a command ran, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// By which means.
    pub by: LiveMeans,
    /// How the processes were stopped, in words; nothing when they were not, or had been stopped
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_by: Option<String>,
    /// For how long they were stopped.
    pub stopped: Span,
    /// Their memory, when that was kept, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<KeptMemory>,
}
