//! What is known of a host and a store, and what that says of their health.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::Severity;
use crate::id::{OperationId, SnapshotId};
use crate::name::SandboxName;
use crate::size::ByteSize;
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
    /// Processes and threads.
    pub tasks: Option<Room>,
    /// For how long the host was suspended since it was started. Limits of time wait meanwhile, and
    /// nobody tells when that was.
    #[serde(default)]
    pub asleep: Span,
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
    /// How long it may take; nothing when no limit was set, or when it is suspended and waits.
    pub limit: Option<Span>,
    /// Whether what it runs still lives although the ctrlz that started it is gone.
    #[serde(default)]
    pub orphaned: bool,
}

/// A sandbox whose next commands would first have to merge layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongChain {
    /// The sandbox.
    pub sandbox: SandboxName,
    /// How many layers it has.
    pub layers: usize,
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
    /// Sandboxes whose layers are to be merged.
    pub chains: Vec<LongChain>,
    /// What is wrong with the history of usage; empty when nothing.
    pub usage: Vec<String>,
    /// Events since the newest signed checkpoint, when anything was ever signed.
    pub unsigned: Option<u64>,
    /// Sinks with dead letters, lost events, or failures: name and what is wrong.
    pub sinks: Vec<(String, String)>,
    /// The archive of this host, when there is one with something in it.
    #[serde(default)]
    pub archive: Option<ArchiveFacts>,
}

/// What is known of an archive without reading what lies in it: what earlier checks came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ArchiveFacts {
    /// Why it cannot be looked at, when it cannot.
    pub unreadable: Option<String>,
    /// Snapshots in it.
    pub snapshots: usize,
    /// Snapshots that the last check found damaged: name, and what is wrong.
    pub damaged: Vec<(String, String)>,
    /// The newest snapshot of each sandbox.
    pub newest: Vec<NewestArchived>,
    /// What is to be archived by itself, where something is.
    #[serde(default)]
    pub wanted: Option<ArchiveWanted>,
}

/// What is to be archived by itself and is not yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchiveWanted {
    /// Snapshots that are not in the archive yet: name, and how long ago each was taken.
    pub due: Vec<(String, Span)>,
    /// What was tried in vain, and why.
    pub troubles: Vec<(String, String)>,
}

/// The newest snapshot of a sandbox in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestArchived {
    /// Its name.
    pub name: String,
    /// How long ago restoring one of the sandbox's snapshots was tried last; `None` for never.
    pub drilled: Option<Span>,
}

/// From where on something is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Processors in use, in percent.
    pub cpu_percent: u8,
    /// Memory in use, in percent.
    pub memory_percent: u8,
    /// The store's disk in use, in percent.
    pub disk_percent: u8,
    /// Its inodes in use, in percent.
    pub inodes_percent: u8,
    /// Open files, in percent of what the kernel allows.
    pub open_files_percent: u8,
    /// Processes and threads, in percent of what the kernel allows.
    pub tasks_percent: u8,
    /// With fewer free bytes, nothing begins that only writes more; `None` for never.
    pub read_only_below: Option<ByteSize>,
    /// How much longer than its limit an operation may take.
    pub stuck_after: Span,
}

impl Thresholds {
    /// How many bytes have to be free on a disk, so that something may begin that only writes more.
    #[must_use]
    pub fn least_free(&self, disk: &Room) -> Option<u64> {
        self.read_only_below.map(|least| least_free(least, disk.total).0)
    }
}

/// The same for a disk of `total` bytes: of a small one, a 64th is enough.
#[must_use]
pub fn least_free(read_only_below: ByteSize, total: u64) -> ByteSize {
    ByteSize(read_only_below.0.min(total / 64))
}

/// What ctrlz itself can do about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Remedy {
    /// Finish or take back what a crash left, and remove what nothing needs.
    Recover,
    /// Let go what retention no longer keeps.
    Retain,
    /// Merge the layers of long chains ahead of time.
    MergeLayers,
    /// End an operation that does not end by itself. What it wrote until then is kept.
    EndOperation {
        /// In which sandbox.
        sandbox: SandboxName,
        /// Which one.
        operation: OperationId,
    },
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
