//! What the journal and the history say of a sandbox.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::monitor::{Anomaly, OperationUsage, UsageRow, UsageTotals};
use ctrlz_core::operation::{Operation, Status};
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::anomaly::{Baseline, Baselines};
use super::histogram::{Bucket, Histogram};

/// What the operations of a sandbox came to, all together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OperationTotals {
    /// How many there were.
    pub count: u64,
    /// How many of each status, by its word.
    pub statuses: BTreeMap<Cow<'static, str>, u64>,
    /// CPU time of commands.
    pub cpu: Span,
    /// Processes and threads that commands began.
    pub processes: u64,
    /// The largest resident set of any process, in bytes.
    pub peak_resident: u64,
    /// Packets and connections that found no network.
    pub network_attempts: u64,
    /// What commands changed.
    pub changes: ChangeCounts,
}

/// How long the operations of one kind took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The kind.
    pub kind: Cow<'static, str>,
    /// How many.
    pub count: u64,
    /// All of them together, in seconds.
    pub sum: Span,
    /// What half of them took at most, in seconds; `None` where the buckets do not tell.
    pub p50: Option<f64>,
    /// What nine of ten took at most.
    pub p90: Option<f64>,
    /// What 99 of 100 took at most.
    pub p99: Option<f64>,
    /// The buckets; each counts those of the ones before, too.
    pub buckets: Vec<Bucket>,
    /// How many more there are of which it is not known, since the clock was set meanwhile.
    pub unknown: u64,
}

/// An operation of which something was unusual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flagged {
    /// The operation.
    pub operation: OperationId,
    /// What it was, without secrets.
    pub title: String,
    /// When it began.
    pub started: Timestamp,
    /// What was unusual.
    pub anomalies: Vec<Anomaly>,
}

/// What a sandbox did and used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SandboxStats {
    /// Its operations together, by the journal.
    pub operations: OperationTotals,
    /// How long they took, by kind.
    pub latency: Vec<Latency>,
    /// What is usual for its commands, now.
    pub baselines: Vec<Baseline>,
    /// What was unusual, newest first.
    pub anomalies: Vec<Flagged>,
    /// What was seen while commands ran, oldest first.
    pub usage: Vec<UsageRow>,
    /// The same by operation, newest first.
    pub sampled: Vec<OperationUsage>,
}

impl SandboxStats {
    /// What the journal alone says: of the operations that began at `since` or later, of a sandbox's
    /// `operations`, newest first.
    #[must_use]
    pub fn of(operations: &[Operation], since: Timestamp) -> Self {
        let mut stats =
            Self { baselines: Baselines::of(operations.iter()).all().to_vec(), ..Self::default() };
        let mut kinds: BTreeMap<&'static str, (Histogram, u64)> = BTreeMap::new();
        for operation in operations.iter().filter(|operation| operation.started >= since) {
            add(&mut stats.operations, operation);
            let anomalies = &operation.outcome.anomalies;
            if !anomalies.is_empty() {
                stats.anomalies.push(Flagged {
                    operation: operation.id,
                    title: operation.request.title.clone(),
                    started: operation.started,
                    anomalies: anomalies.clone(),
                });
            }
            if matches!(operation.status, Status::Blocked | Status::Open | Status::Recovered) {
                continue;
            }
            let (histogram, unknown) = kinds.entry(operation.request.kind.word()).or_default();
            match took(operation) {
                Some(time) => histogram.observe(time),
                None => *unknown += 1,
            }
        }
        let latency = kinds.into_iter().map(|(kind, (histogram, unknown))| Latency {
            kind: kind.into(),
            count: histogram.count(),
            sum: Span(histogram.sum()),
            p50: histogram.quantile(0.5),
            p90: histogram.quantile(0.9),
            p99: histogram.quantile(0.99),
            buckets: histogram.buckets(),
            unknown,
        });
        stats.latency = latency.collect();
        stats
    }

    /// All that was seen while commands ran.
    #[must_use]
    pub fn totals(&self) -> UsageTotals {
        self.usage.iter().fold(UsageTotals::default(), |sum, row| sum.and(&row.totals))
    }
}

/// How long an operation took. A command's own time is measured by a clock that nobody sets.
fn took(operation: &Operation) -> Option<Duration> {
    let command = operation.outcome.command.as_ref();
    if let Some(Span(wall)) = command.and_then(|command| command.usage.wall) {
        return Some(wall);
    }
    let between = operation.finished?.0.checked_sub(operation.started.0)?;
    u64::try_from(between).ok().map(Duration::from_nanos)
}

fn add(totals: &mut OperationTotals, operation: &Operation) {
    totals.count += 1;
    *totals.statuses.entry(operation.status.word().into()).or_default() += 1;
    let Some(command) = &operation.outcome.command else { return };
    let usage = &command.usage;
    let cpu = [usage.user, usage.system].into_iter().flatten();
    totals.cpu = Span(cpu.fold(totals.cpu.0, |sum, span| sum.saturating_add(span.0)));
    totals.processes = totals.processes.saturating_add(usage.processes);
    totals.peak_resident = totals.peak_resident.max(usage.peak_resident);
    totals.network_attempts = totals.network_attempts.saturating_add(command.network_attempts);
    if let Some(counts) = &operation.outcome.counts {
        totals.changes.added += counts.added;
        totals.changes.modified += counts.modified;
        totals.changes.deleted += counts.deleted;
        totals.changes.metadata += counts.metadata;
    }
}
