//! All that runs, and what is kept of it.

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::monitor::{HistoryAges, Reading, RolledUp, SampleStore, Sampled};
use ctrlz_core::operation::Operation;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::{Store, StoreError};
use ctrlz_core::time::Timestamp;

use super::summary::SandboxStats;

/// Looks at all sandboxes of a store.
#[derive(Clone, Copy)]
pub struct StateTracker<'a> {
    store: &'a dyn Store,
    isolation: &'a dyn IsolationDriver,
    samples: &'a dyn SampleStore,
}

impl std::fmt::Debug for StateTracker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateTracker").finish_non_exhaustive()
    }
}

/// A sandbox in which a command runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningSandbox {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// What runs in it.
    pub operation: Operation,
    /// The process with which all of it ends.
    pub process_1: u32,
}

impl<'a> StateTracker<'a> {
    /// Wires a store, a driver and a history together.
    #[must_use]
    pub fn new(
        store: &'a dyn Store,
        isolation: &'a dyn IsolationDriver,
        samples: &'a dyn SampleStore,
    ) -> Self {
        Self { store, isolation, samples }
    }

    /// The sandboxes in which a command runs now, by name.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn running(&self) -> Result<Vec<RunningSandbox>, StoreError> {
        let mut running = Vec::new();
        for sandbox in self.store.sandboxes()? {
            let Some(open) = sandbox.open_operation else { continue };
            // What a crash left open has no process, or one that is about to end.
            let Some(process_1) = self.store.occupant(sandbox.id)? else { continue };
            let operation = match self.store.operation(open) {
                Ok(operation) => operation,
                Err(StoreError::NoOperation(_)) => continue,
                Err(error) => return Err(error),
            };
            if operation.finished.is_none() {
                running.push(RunningSandbox { sandbox, operation, process_1 });
            }
        }
        Ok(running)
    }

    /// What one of them uses; `None` when it has ended.
    #[must_use]
    pub fn measure(&self, running: &RunningSandbox) -> Option<Reading> {
        self.isolation.measure(running.process_1)
    }

    /// Notes what one of them uses.
    ///
    /// # Errors
    /// A failure to write the history.
    pub fn sample(&self, running: &RunningSandbox, now: Timestamp) -> Result<(), StoreError> {
        let Some(reading) = self.measure(running) else { return Ok(()) };
        let of = Sampled { sandbox: running.sandbox.id, operation: running.operation.id };
        self.samples.record(of, now, &reading)?;
        Ok(())
    }

    /// Rolls the history up and cleans it.
    ///
    /// # Errors
    /// A failure to read the store or to write the history.
    pub fn roll_up(&self, now: Timestamp, ages: HistoryAges) -> Result<RolledUp, StoreError> {
        let living: Vec<_> = self.store.sandboxes()?.into_iter().map(|one| one.id).collect();
        self.samples.roll_up(now, ages, &living)
    }

    /// What a sandbox did and used since then.
    ///
    /// # Errors
    /// A failure to read the store or the history.
    pub fn stats(&self, sandbox: &Sandbox, since: Timestamp) -> Result<SandboxStats, StoreError> {
        let operations = self.store.operations(sandbox.id, u32::MAX)?;
        let mut stats = SandboxStats::of(&operations, since);
        stats.usage = self.samples.usage(sandbox.id, since)?;
        stats.sampled = self.samples.operations(sandbox.id, since)?;
        Ok(stats)
    }
}
