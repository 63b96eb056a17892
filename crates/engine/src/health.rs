//! HealthMonitor: what facts say of the health of a host and a store.

mod archive;
mod facts;
mod host;
mod store;

use ctrlz_core::event::Severity;
use ctrlz_core::health::{Finding, HostFacts, Remedy, StoreFacts, Thresholds};

/// One finding for each check, in a fixed order; those without a fault say so, too. Those of the
/// archive only where there is one.
#[must_use]
pub fn judge(host: &HostFacts, store: &StoreFacts, thresholds: Thresholds) -> Vec<Finding> {
    let mut findings = vec![
        host::disk(host, thresholds),
        host::inodes(host, thresholds),
        host::memory(host, thresholds),
        host::processors(host, thresholds),
        host::open_files(host, thresholds),
        host::tasks(host, thresholds),
        host::leftovers(host),
        store::database(store),
        store::journal(host, store, thresholds),
        store::snapshots(store),
        store::chains(store),
        store::usage(store),
        store::evidence(store),
        store::sinks(store),
    ];
    if let Some(facts) = &store.archive {
        findings.extend([archive::damaged(facts), archive::undrilled(facts)]);
        findings.extend(facts.wanted.as_ref().map(archive::unarchived));
    }
    findings
}

/// The gravest of them.
#[must_use]
pub fn gravest(findings: &[Finding]) -> Severity {
    findings.iter().map(|finding| finding.severity).max().unwrap_or_default()
}

fn finding(check: &str, severity: Severity, evidence: String) -> Finding {
    Finding {
        check: check.to_owned(),
        severity,
        evidence,
        advice: String::new(),
        remedies: Vec::new(),
    }
}

trait Advice {
    /// Adds what to do, when there is something.
    fn advice(self, advice: &str) -> Self;
    /// Adds what ctrlz can do.
    fn remedies(self, remedies: Vec<Remedy>) -> Self;
}

impl Advice for Finding {
    fn advice(mut self, advice: &str) -> Self {
        if self.severity > Severity::Ok {
            self.advice = advice.to_owned();
        }
        self
    }

    fn remedies(mut self, remedies: Vec<Remedy>) -> Self {
        self.remedies = remedies;
        self
    }
}

#[cfg(test)]
mod tests;
