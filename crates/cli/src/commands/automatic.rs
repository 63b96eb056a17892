//! Snapshots that nobody asks for, around a command.

use ctrlz_config::Config;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_engine::{AutomaticRules, SandboxCore};

use crate::clock;
use crate::show::plain;

/// Why a snapshot is taken before a command, when it is risky enough for that.
pub(super) fn before(config: &Config, verdict: Option<&VerdictRecord>) -> Option<String> {
    let from = config.snapshots.before_risk?;
    let risk = verdict?.risk;
    (risk >= from).then(|| format!("before a command of {risk} risk"))
}

/// Takes a snapshot after a command when the configuration has rules by which one is due. The
/// command has its result whether that works or not.
pub(super) fn after(core: &SandboxCore<'_>, sandbox: &Sandbox, config: &Config) {
    let rules = AutomaticRules {
        every: config.snapshots.every,
        every_operations: config.snapshots.every_operations,
        changed_bytes: config.snapshots.changed_bytes,
        predictive: config.snapshots.predictive,
    };
    if rules.is_empty() {
        return;
    }
    if let Err(error) = core.snapshot_if_due(sandbox, &rules, clock::now()) {
        eprintln!("ctrlz: no automatic snapshot was taken: {}", plain(&error.to_string()));
    }
}
