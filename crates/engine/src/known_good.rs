//! Whether a sandbox is well, and the last point at which it was.

use ctrlz_core::event::{Happening, HealthChanged, RollbackRequired, Severity};
use ctrlz_core::id::SnapshotId;
use ctrlz_core::operation::{CommandReport, Exit, Operation, Status};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{NewSnapshot, Snapshot, SnapshotKind, SnapshotScope};
use ctrlz_core::verdict::Risk;
use serde::{Deserialize, Serialize};

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;
use crate::run::{RunRequest, launch};

/// What one health check said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthResult {
    /// The command.
    pub check: String,
    /// Whether it succeeded.
    pub passed: bool,
    /// How it ended.
    pub evidence: String,
}

impl SandboxCore<'_> {
    /// Runs `checks` inside `sandbox`, one after the other. What they write is dropped, and they
    /// are no operations; one that fails is told in the event log.
    ///
    /// # Errors
    /// When one could not be run.
    pub fn check_health(
        &self,
        sandbox: &Sandbox,
        checks: &[RunRequest],
    ) -> Result<Vec<HealthResult>, EngineError> {
        let held = self.hold(sandbox)?;
        self.check_health_held(&held, checks)
    }

    /// Runs `checks` and, when all of them pass, keeps the present point as one that is known to be
    /// good. Nothing while another process uses the sandbox: its operation is checked itself.
    ///
    /// # Errors
    /// As [`Self::check_health`]; a failure to write the store.
    pub fn earn_good(
        &self,
        sandbox: &Sandbox,
        checks: &[RunRequest],
    ) -> Result<Vec<HealthResult>, EngineError> {
        let Some(held) = self.hold_if_free(sandbox)? else { return Ok(Vec::new()) };
        let results = self.check_health_held(&held, checks)?;
        if results.iter().all(|result| result.passed) {
            let snapshots = self.store.snapshots(held.sandbox.id)?;
            let here = snapshots.iter().find(|one| one.point == held.sandbox.point);
            let id = match here {
                Some(snapshot) => snapshot.id,
                None => {
                    let message = "the health checks passed";
                    let new = NewSnapshot::of(SnapshotKind::Automatic, message);
                    self.snapshot_held(&held, &new)?.id
                }
            };
            self.store.mark_good(id)?;
        }
        Ok(results)
    }

    /// Runs a command inside, of which nothing is kept: it is no operation, and what it writes is
    /// dropped.
    ///
    /// # Errors
    /// When it could not be run.
    pub fn inspect(
        &self,
        sandbox: &Sandbox,
        request: &RunRequest,
    ) -> Result<CommandReport, EngineError> {
        let held = self.hold(sandbox)?;
        self.inspect_held(&held, request)
    }

    fn inspect_held(
        &self,
        held: &Held<'_>,
        request: &RunRequest,
    ) -> Result<CommandReport, EngineError> {
        let sandbox = &held.sandbox;
        let head = held.driver.begin(sandbox.id, &sandbox.point.tree)?;
        let ended = self
            .isolation
            .prepare(launch(sandbox, &head, request), &mut |pid, process| {
                held.lock.share(pid, process)
            })
            .and_then(|mut prepared| {
                prepared.start()?;
                prepared.wait(None)
            });
        held.driver.abandon(sandbox.id)?;
        Ok(ended?)
    }

    fn check_health_held(
        &self,
        held: &Held<'_>,
        checks: &[RunRequest],
    ) -> Result<Vec<HealthResult>, EngineError> {
        let sandbox = &held.sandbox;
        let mut results = Vec::with_capacity(checks.len());
        for check in checks {
            let report = self.inspect_held(held, check)?;
            let passed = report.exit.is_success() && report.stopped.is_none();
            let evidence = match (report.stopped, report.exit) {
                (Some(_), _) => "a limit stopped it".to_owned(),
                (None, Exit::Code(code)) => format!("exit code {code}"),
                (None, Exit::Signal(signal)) => format!("signal {signal}"),
            };
            if !passed {
                let changed = HealthChanged {
                    check: check.title.clone(),
                    severity: Severity::Critical,
                    evidence: evidence.clone(),
                    remedy: format!("ctrlz recover --emergency {}", sandbox.name),
                };
                self.store.emit(Some(sandbox.id), Happening::HealthChanged(changed))?;
            }
            results.push(HealthResult { check: check.title.clone(), passed, evidence });
        }
        Ok(results)
    }

    /// The last point that is known to be good: the newest snapshot that was found so. Where no
    /// checks are configured, a snapshot right after a command that succeeded and was not flagged is
    /// good. Where the sandbox stands counts only when its last operation was taken back, or runs.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn known_good(
        &self,
        sandbox: &Sandbox,
        has_checks: bool,
    ) -> Result<Option<Snapshot>, EngineError> {
        // What a crash left is taken back first. Nobody waits for what is running, and where that
        // began is no worse for it.
        let (now, runs) = match self.hold_if_free(sandbox)? {
            Some(held) => (held.sandbox.point, false),
            None => {
                let sandbox = self.store.sandbox(sandbox.id)?;
                (sandbox.point, sandbox.open_operation.is_some())
            }
        };
        let history = self.store.operations(sandbox.id, u32::MAX)?;
        let taken_back = history
            .iter()
            .find(|one| one.request.kind.is_undoable() && one.status != Status::Blocked)
            .is_some_and(|one| matches!(one.status, Status::Recovered | Status::Failed));
        let mut snapshots = self.store.snapshots(sandbox.id)?;
        snapshots.retain(|one| {
            one.scope != SnapshotScope::StateOnly && (taken_back || runs || one.point != now)
        });
        if let Some(found) = snapshots.iter().position(|one| one.good.is_some()) {
            return Ok(Some(snapshots.swap_remove(found)));
        }
        if has_checks {
            return Ok(None);
        }
        Ok(snapshots.into_iter().find(|snapshot| {
            let mut before = history.iter().filter(|one| one.id < snapshot.operation);
            before
                .find(|one| one.request.kind.is_undoable() && one.status != Status::Blocked)
                .is_some_and(|one| went_well(one, snapshot))
        }))
    }

    /// Tells that a rollback is needed.
    ///
    /// # Errors
    /// A failure to write the store.
    pub fn require_rollback(
        &self,
        sandbox: &Sandbox,
        reason: String,
        to: Option<SnapshotId>,
    ) -> Result<(), EngineError> {
        let required = RollbackRequired { reason, to };
        self.store.emit(Some(sandbox.id), Happening::RollbackRequired(required))?;
        Ok(())
    }
}

/// Whether an operation succeeded, was not flagged, and led to what `snapshot` holds.
fn went_well(operation: &Operation, snapshot: &Snapshot) -> bool {
    let succeeded = operation.outcome.command.as_ref().is_none_or(|command| {
        command.exit.is_success() && command.stopped.is_none() && command.network_attempts == 0
    });
    let unflagged = operation
        .request
        .verdict
        .as_ref()
        .is_none_or(|verdict| verdict.risk == Risk::Low && verdict.rules.is_empty());
    let usual = operation.outcome.anomalies.is_empty();
    let leads = operation.after.as_ref().is_some_and(|after| *after == snapshot.point);
    operation.status == Status::Done && succeeded && unflagged && usual && leads
}
