//! What commands used and changed, and how large snapshots are: what the tracker notes of each operation,
//! summed over all of them.

use ctrlz_core::monitor::Anomaly;
use ctrlz_engine::RunReport;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::seconds;

/// How an entry was changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Change {
    kind: &'static str,
}

/// What was unusual.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unusual {
    signal: &'static str,
}

/// The metrics.
#[derive(Debug)]
pub(super) struct Used {
    cpu: Histogram,
    memory: Histogram,
    processes: Histogram,
    attempts: Counter,
    changes: Family<Change, Counter>,
    anomalies: Family<Unusual, Counter>,
    snapshots: Histogram,
}

/// From 4 KiB on, each bucket four times as large as the one before: up to 4 TiB.
fn bytes() -> Histogram {
    Histogram::new(exponential_buckets(4096.0, 4.0, 16))
}

impl Used {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let used = Self {
            cpu: seconds(),
            memory: bytes(),
            processes: Histogram::new(exponential_buckets(1.0, 2.0, 16)),
            attempts: Counter::default(),
            changes: Family::default(),
            anomalies: Family::default(),
            snapshots: bytes(),
        };
        let cpu = "CPU time of commands, user and system";
        registry.register_with_unit("ctrlz_command_cpu", cpu, Unit::Seconds, used.cpu.clone());
        let memory = "The largest resident set of any process of a command";
        registry.register_with_unit(
            "ctrlz_command_peak_memory",
            memory,
            Unit::Bytes,
            used.memory.clone(),
        );
        let processes = "Processes and threads that a command began";
        registry.register("ctrlz_command_processes", processes, used.processes.clone());
        let attempts = "Packets and connections of commands that found no network";
        registry.register("ctrlz_command_network_attempts", attempts, used.attempts.clone());
        let changes = "Entries of workspaces that commands changed";
        registry.register("ctrlz_workspace_changes", changes, used.changes.clone());
        let anomalies = "What was unusual about commands";
        registry.register("ctrlz_anomalies", anomalies, used.anomalies.clone());
        let snapshots =
            "What the layers of a snapshot take, those that it shares with others included";
        registry.register_with_unit(
            "sandbox_snapshot_size",
            snapshots,
            Unit::Bytes,
            used.snapshots.clone(),
        );
        used
    }

    /// A command ended.
    pub(super) fn command(&self, report: &RunReport) {
        let usage = &report.command.usage;
        let cpu = [usage.user, usage.system].into_iter().flatten().map(|span| span.0);
        self.cpu.observe(cpu.sum::<std::time::Duration>().as_secs_f64());
        self.memory.observe(usage.peak_resident as f64);
        self.processes.observe(usage.processes as f64);
        self.attempts.inc_by(report.command.network_attempts);
        let counts = &report.counts;
        for (kind, number) in [
            ("added", counts.added),
            ("modified", counts.modified),
            ("deleted", counts.deleted),
            ("metadata", counts.metadata),
        ] {
            self.changes.get_or_create(&Change { kind }).inc_by(number);
        }
        for Anomaly { signal, .. } in &report.anomalies {
            self.anomalies.get_or_create(&Unusual { signal: signal.word() }).inc();
        }
    }

    /// A snapshot was taken.
    pub(super) fn snapshot(&self, size: u64) {
        self.snapshots.observe(size as f64);
    }
}
