//! What is known of a host and a store, and what that says of their health.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::Severity;
use crate::id::{OperationId, SnapshotId};
use crate::name::SandboxName;
use crate::span::Span;

/// How much there is of something, and how much of it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// All of it.
    pub total: u64,
    /// What can still be used.
    pub free: u64,
}

impl Room {
    /// The used share in percent, 0 to 100; nothing when there is nothing at all, as of inodes on
    /// a file system that has no such limit.
    #[must_use]
    pub fn used_percent(&self) -> Option<u64> {
        let used = self.total.checked_sub(self.free)?;
        used.saturating_mul(100).checked_div(self.total)
    }
}

/// How long tasks waited for something, in percent of the last ten seconds (the `some` line of
/// Linux's pressure stall information).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pressure {
    /// For a processor.
    pub cpu: Option<f64>,
    /// For memory.
    pub memory: Option<f64>,
    /// For devices.
    pub io: Option<f64>,
}

/// What is known of a host. What the host does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Bytes on the store's file system, as an ordinary user may use them.
    pub disk: Option<Room>,
    /// Inodes on it.
    pub inodes: Option<Room>,
    /// Memory in bytes; free is what can be had without swapping.
    pub memory: Option<Room>,
    /// Pressure.
    pub pressure: Pressure,
    /// Runnable tasks, averaged over a minute.
    pub load: Option<f64>,
    /// Processors.
    pub processors: u32,
    /// Open files of all processes.
    pub open_files: Option<Room>,
    /// Mounts of sandboxes that this process sees: theirs are in namespaces of their own, so these
    /// are left over.
    pub mounts: Vec<PathBuf>,
    /// Control groups of operations whose launcher is gone.
    pub control_groups: Vec<PathBuf>,
}

/// An operation that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOperation {
    /// The sandbox.
    pub sandbox: SandboxName,
    /// The operation.
    pub operation: OperationId,
    /// Whether somebody holds the sandbox's lock, and so works on it.
    pub attended: bool,
    /// For how long it has been under way.
    pub age: Span,
    /// How long it may take; nothing when no limit was set.
    pub limit: Option<Span>,
}

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StoreFacts {
    /// What is wrong with the database; empty when nothing.
    pub database: Vec<String>,
    /// Operations under way, and those that a crash left.
    pub open: Vec<OpenOperation>,
    /// Snapshots that were looked at.
    pub snapshots: usize,
    /// Snapshots that can no longer be returned to, each with what is wrong.
    pub damaged: Vec<(SnapshotId, String)>,
    /// Sandboxes of which the present tree is damaged, each with what is wrong.
    pub damaged_sandboxes: Vec<(SandboxName, String)>,
    /// Events since the newest signed checkpoint, when anything was ever signed.
    pub unsigned: Option<u64>,
    /// Sinks with dead letters, lost events, or failures: name and what is wrong.
    pub sinks: Vec<(String, String)>,
}

/// From where on something is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Processors in use, in percent.
    pub cpu_percent: u8,
    /// Memory in use, in percent.
    pub memory_percent: u8,
}

/// What ctrlz itself can do about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Remedy {
    /// Finish or take back what a crash left, and remove what nothing needs.
    Recover,
    /// Detach a mount that is left over.
    Detach {
        /// Where.
        path: PathBuf,
    },
    /// Remove a control group that is left over.
    RemoveControlGroup {
        /// Which one.
        path: PathBuf,
    },
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub check: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What somebody can do; empty when nothing is to be done.
    pub advice: String,
    /// What ctrlz can do by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Remedy>,
}
