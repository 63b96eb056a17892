//! What running operations use, how that is kept, and what is unusual.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{OperationId, SandboxId};
use crate::span::Span;
use crate::store::StoreError;
use crate::time::Timestamp;

/// What the processes of a running sandbox use. Amounts count from the beginning of the sandbox's
/// process 1; what the host does not tell is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Reading {
    /// How long ago the command began, by a clock that no one sets; nothing before that.
    pub elapsed: Span,
    /// CPU time of all processes, those that ended and were waited for included.
    pub cpu: Span,
    /// Memory now, without pages that come from files on a disk, in bytes.
    pub memory: u64,
    /// Processes now, but for process 1.
    pub processes: u64,
    /// Open file descriptors now, but for those of process 1.
    pub open_files: u64,
    /// Bytes that were read from disks.
    pub read: Option<u64>,
    /// Bytes that were written to disks.
    pub written: Option<u64>,
    /// Bytes that came in by a network of its own, loopback included.
    pub received: Option<u64>,
    /// Bytes that went out by a network of its own, loopback included.
    pub sent: Option<u64>,
    /// Packets and connections that found no network.
    pub network_attempts: Option<u64>,
}

/// Looks at a command while it runs.
pub trait Observer {
    /// How long the command runs before the first look, and between two.
    fn every(&self) -> Duration;

    /// Learns what is used now; answers what becomes of the command.
    fn observe(&mut self, reading: &Reading) -> Verdict;
}

/// What an [`Observer`] wants of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// It ends now.
    End,
}

/// What is compared with what is usual for a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Processes and threads that were begun.
    Processes,
    /// Files that were added or changed.
    Writes,
    /// Files that were deleted.
    Deletes,
    /// Packets and connections that found no network.
    Egress,
    /// CPU time.
    Cpu,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Processes, Self::Writes, Self::Deletes, Self::Egress, Self::Cpu];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
            Self::Egress => "egress",
            Self::Cpu => "cpu",
        }
    }

    /// What it is counted in.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Writes | Self::Deletes => "files",
            Self::Egress => "attempts",
            Self::Cpu => "seconds",
        }
    }
}

/// Something about an operation that is far from what is usual for its sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What.
    pub signal: Signal,
    /// How much, in [`Signal::unit`]. Of a command that was flagged while it ran, how much until
    /// then.
    pub value: f64,
    /// What is usual: the median of the operations before.
    pub baseline: f64,
    /// How much that varies: their median absolute deviation.
    pub spread: f64,
    /// How many times as much as is usual; of nothing, as of one.
    pub factor: f64,
    /// How many operations the baseline is made of.
    pub operations: u64,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signal, value, baseline, factor, operations, .. } = *self;
        let amount = |value: f64| match signal {
            Signal::Cpu => format!("{value:.1} s"),
            _ => format!("{value:.0}"),
        };
        let what = match signal {
            Signal::Processes => "processes begun",
            Signal::Writes => "files written",
            Signal::Deletes => "files deleted",
            Signal::Egress => "attempts to reach a network",
            Signal::Cpu => "of CPU time",
        };
        let (value, usual) = (amount(value), amount(baseline));
        let as_ = if signal == Signal::Cpu { "much" } else { "many" };
        write!(f, "{value} {what}, usually {usual}: {factor:.0} times as {as_}")?;
        write!(f, " (the median of {operations} operations)")
    }
}

/// What follows when something is unusual, from the least to the most.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalyPolicy {
    /// Nobody looks.
    Off,
    /// It is told.
    #[default]
    Report,
    /// What runs is frozen; what has ended leaves the sandbox contained.
    Freeze,
    /// What runs is ended, and the sandbox returns to the point before.
    Rollback,
}

/// Whose reading it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The operation that runs in it.
    pub operation: OperationId,
}

/// What a sandbox used in some time. Of what the host did not tell, nothing is counted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct UsageTotals {
    /// How often it was looked.
    pub samples: u64,
    /// Run time that they cover.
    pub elapsed: Span,
    /// CPU time.
    pub cpu: Span,
    /// Bytes read from disks.
    pub read: u64,
    /// Bytes written to disks.
    pub written: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Packets and connections that found no network.
    pub network_attempts: u64,
    /// Memory, summed over the samples.
    pub memory_sum: u64,
    /// The most memory at once.
    pub memory_peak: u64,
    /// Processes, summed over the samples.
    pub processes_sum: u64,
    /// The most processes at once.
    pub processes_peak: u64,
    /// Open file descriptors, summed over the samples.
    pub open_files_sum: u64,
    /// The most open file descriptors at once.
    pub open_files_peak: u64,
}

impl UsageTotals {
    /// Both together: sums are added, peaks are the higher ones.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let span = |a: Span, b: Span| Span(a.0.saturating_add(b.0));
        Self {
            samples: self.samples.saturating_add(other.samples),
            elapsed: span(self.elapsed, other.elapsed),
            cpu: span(self.cpu, other.cpu),
            read: self.read.saturating_add(other.read),
            written: self.written.saturating_add(other.written),
            received: self.received.saturating_add(other.received),
            sent: self.sent.saturating_add(other.sent),
            network_attempts: self.network_attempts.saturating_add(other.network_attempts),
            memory_sum: self.memory_sum.saturating_add(other.memory_sum),
            memory_peak: self.memory_peak.max(other.memory_peak),
            processes_sum: self.processes_sum.saturating_add(other.processes_sum),
            processes_peak: self.processes_peak.max(other.processes_peak),
            open_files_sum: self.open_files_sum.saturating_add(other.open_files_sum),
            open_files_peak: self.open_files_peak.max(other.open_files_peak),
        }
    }
}

/// For how much time one row of the history stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// One sample.
    Raw,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// One row of a sandbox's history. What was used stands in exactly one row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// For how much time it stands.
    pub resolution: Resolution,
    /// When that begins; of a sample, when it was taken.
    pub start: Timestamp,
    /// What was used.
    #[serde(flatten)]
    pub totals: UsageTotals,
}

/// What was seen of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OperationUsage {
    /// The operation.
    pub operation: OperationId,
    /// When it was looked first.
    pub first: Timestamp,
    /// When it was looked last.
    pub last: Timestamp,
    /// What it used until then.
    #[serde(flatten)]
    pub totals: UsageTotals,
}

/// For how long each resolution stays, before it becomes the next one, or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryAges {
    /// Samples.
    pub raw: Duration,
    /// Minutes.
    pub minutes: Duration,
    /// Hours, and what is known of operations.
    pub hours: Duration,
}

impl Default for HistoryAges {
    /// An hour, two days, ninety days.
    fn default() -> Self {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        Self { raw: hours(1), minutes: hours(48), hours: hours(90 * 24) }
    }
}

/// What a roll-up did, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RolledUp {
    /// Samples that became part of minutes.
    pub samples: u64,
    /// Minutes that became part of hours.
    pub minutes: u64,
    /// Rows that were too old, or of sandboxes that are gone.
    pub removed: u64,
}

/// Keeps what operations use. It is no part of any transaction of the store: what fails here harms
/// no operation.
pub trait SampleStore {
    /// Notes a reading. Amounts are counted from the reading of the same operation before it,
    /// whoever noted that; one that is no newer than that counts nothing, and answers false.
    ///
    /// # Errors
    /// A failure to write.
    fn record(&self, of: Sampled, time: Timestamp, reading: &Reading) -> Result<bool, StoreError>;

    /// Lets what is old become part of the next resolution, and what is too old go, in one step;
    /// also what is of other sandboxes than the `living`. What lies so far in the future that only
    /// a wrong clock can have written it is treated as old, but stays.
    ///
    /// # Errors
    /// A failure to write; then nothing has changed.
    fn roll_up(
        &self,
        now: Timestamp,
        ages: HistoryAges,
        living: &[SandboxId],
    ) -> Result<RolledUp, StoreError>;

    /// The history of a sandbox that ends at `since` or later, oldest first.
    ///
    /// # Errors
    /// A failure to read.
    fn usage(&self, sandbox: SandboxId, since: Timestamp) -> Result<Vec<UsageRow>, StoreError>;

    /// The operations of a sandbox that were looked at since then, newest first.
    ///
    /// # Errors
    /// A failure to read.
    fn operations(
        &self,
        sandbox: SandboxId,
        since: Timestamp,
    ) -> Result<Vec<OperationUsage>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anomaly_tells_why() {
        let anomaly = Anomaly {
            signal: Signal::Deletes,
            value: 412.0,
            baseline: 3.0,
            spread: 1.0,
            factor: 137.3,
            operations: 20,
        };
        assert_eq!(
            anomaly.to_string(),
            "412 files deleted, usually 3: 137 times as many (the median of 20 operations)"
        );
    }
}
