//! What the next start does with an operation that a crash cut short.

use ctrlz_core::operation::{Operation, OperationKind, Outcome, Status};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::Point;
use ctrlz_core::state_store::GLOBAL;
use ctrlz_core::store::{Durability, StoreError};
use ctrlz_core::workspace::RecoveredCommit;

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;

/// One recovered operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The operation, as it is journaled now: done, or recovered to the point before it.
    pub operation: Operation,
}

impl SandboxCore<'_> {
    /// Recovers every sandbox that a crash left in the middle of something, and removes what
    /// nothing needs any more. Sandboxes in use by living processes are left alone.
    ///
    /// # Errors
    /// A failed file operation, or a failure to use the store; calling it again continues.
    pub fn recover(&self) -> Result<Vec<Recovered>, EngineError> {
        // First: what a killed launcher left running is no living process that uses a sandbox.
        self.isolation.tidy();
        let recovered = self.end_interrupted()?;
        self.collect_all(&|| true)?;
        Ok(recovered)
    }

    /// Recovers every sandbox that a crash left in the middle of something, as [`Self::recover`], and
    /// looks at nothing else.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub fn end_interrupted(&self) -> Result<Vec<Recovered>, EngineError> {
        let mut recovered = Vec::new();
        let global = match self.store.sandbox(GLOBAL) {
            Err(StoreError::NoSandbox(_)) => None,
            found => Some(found?),
        };
        for sandbox in self.store.sandboxes()?.into_iter().chain(global) {
            let Some(open) = sandbox.open_operation else { continue };
            let lock = match self.store.lock(sandbox.id, &mut |_| false) {
                Err(StoreError::Busy { .. }) => continue,
                other => other?,
            };
            // Whoever held the lock a moment ago may have finished.
            drop(lock);
            match self.hold_state(&sandbox) {
                // What it left waits with it.
                Err(EngineError::Suspended { .. }) => continue,
                held => drop(held?),
            }
            let operation = self.store.operation(open)?;
            if operation.status != Status::Open {
                recovered.push(Recovered { sandbox, operation });
            }
        }
        Ok(recovered)
    }

    pub(crate) fn recover_held(&self, held: &Held<'_>) -> Result<(), EngineError> {
        let Some(open) = held.sandbox.open_operation else { return Ok(()) };
        let operation = self.store.operation(open)?;
        let ended = match operation.request.kind {
            OperationKind::Run | OperationKind::Write => {
                held.driver.abandon(held.sandbox.id)?;
                None
            }
            OperationKind::Commit => self.recover_live(held, &operation)?,
            OperationKind::Undo | OperationKind::Redo if self.targets_commit(&operation)? => {
                self.recover_live(held, &operation)?
            }
            _ => None,
        };
        match ended {
            Some((after, outcome)) => {
                let version = self.store.restore_state(held.sandbox.id, after.state_version)?;
                let after = Point { state_version: version, ..after };
                self.store.finish(
                    open,
                    Status::Done,
                    &outcome,
                    Some(&after),
                    Durability::Machine,
                )?;
            }
            None => {
                self.store.restore_state(held.sandbox.id, operation.before.state_version)?;
                let error = Some("ctrlz was killed in the middle of it".to_owned());
                let outcome = Outcome { error, ..Outcome::default() };
                self.store.finish(open, Status::Recovered, &outcome, None, Durability::Process)?;
            }
        }
        Ok(())
    }

    fn targets_commit(&self, operation: &Operation) -> Result<bool, EngineError> {
        match operation.request.target {
            Some(target) => Ok(self.store.operation(target)?.request.kind == OperationKind::Commit),
            None => Ok(false),
        }
    }

    /// Where the sandbox stands when the live directory turned out to be changed; `None` when it
    /// is as before.
    fn recover_live(
        &self,
        held: &Held<'_>,
        operation: &Operation,
    ) -> Result<Option<(Point, Outcome)>, EngineError> {
        let committed = match held.driver.recover_commit(operation.id)? {
            RecoveredCommit::TakenBack => return Ok(None),
            RecoveredCommit::Finished(committed) => committed,
        };
        let outcome = Outcome { counts: Some(committed.counts), ..Outcome::default() };
        let after = match operation.request.target.map(|id| self.store.operation(id)).transpose()? {
            None => Point { tree: committed.tree, state_version: operation.before.state_version },
            Some(target) => match (operation.request.kind, target.after) {
                (OperationKind::Redo, Some(after)) => after,
                _ => target.before,
            },
        };
        Ok(Some((after, outcome)))
    }
}
