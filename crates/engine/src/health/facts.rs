//! Looking at a store.

use std::time::Duration;

use ctrlz_core::health::{LongChain, OpenOperation, StoreFacts};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::span::Span;
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;

use crate::core::SandboxCore;
use crate::error::{EngineError, in_full};

impl SandboxCore<'_> {
    /// What is known of the store, as far as the engine knows it: the database, what is under way,
    /// and whether everything that can be returned to is there. That something cannot be read is a
    /// fact like any other.
    #[must_use]
    pub fn store_facts(&self, now: Timestamp) -> StoreFacts {
        let mut facts = StoreFacts::default();
        let looked = self.store.check().map_err(EngineError::from);
        let looked = looked.map(|wrong| facts.database = wrong);
        if let Err(error) = looked.and_then(|()| self.look_at_sandboxes(now, &mut facts)) {
            facts.database.push(in_full(&error));
        }
        facts
    }

    fn look_at_sandboxes(&self, now: Timestamp, facts: &mut StoreFacts) -> Result<(), EngineError> {
        for sandbox in self.store.sandboxes()? {
            facts.open.extend(self.open_operation(&sandbox, now)?);
            let driver = match self.driver_of(&sandbox) {
                Ok(driver) => driver,
                Err(error) => {
                    facts.damaged_sandboxes.push((sandbox.name.clone(), error.to_string()));
                    continue;
                }
            };
            if let Err(error) = driver.verify(&sandbox.point.tree, false) {
                facts.damaged_sandboxes.push((sandbox.name.clone(), error.to_string()));
            }
            // Others are merged by their own commands, which may handle their files.
            let is_ours = !sandbox.root.has_many_owners();
            if is_ours && driver.is_chain_long(&sandbox.point.tree).unwrap_or(false) {
                let layers = driver.parts(&sandbox.point.tree).map_or(0, |parts| parts.len());
                facts.chains.push(LongChain { sandbox: sandbox.name.clone(), layers });
            }
            let snapshots = self.store.snapshots(sandbox.id)?;
            // Those of the state alone have no files that could be missing.
            for snapshot in snapshots.iter().filter(|snapshot| !snapshot.point.tree.is_none()) {
                facts.snapshots += 1;
                if let Err(error) = driver.verify(&snapshot.point.tree, false) {
                    facts.damaged.push((snapshot.id, error.to_string()));
                }
            }
        }
        Ok(())
    }

    /// What is under way in `sandbox`, or was left by a crash.
    fn open_operation(
        &self,
        sandbox: &Sandbox,
        now: Timestamp,
    ) -> Result<Option<OpenOperation>, EngineError> {
        let Some(open) = sandbox.open_operation else { return Ok(None) };
        // Whoever works in it holds its lock.
        let attended = match self.store.lock(sandbox.id, &mut |_| false) {
            Ok(_lock) => false,
            Err(StoreError::Busy { .. }) => true,
            Err(StoreError::NoSandbox(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let operation = match self.store.operation(open) {
            Ok(operation) => operation,
            Err(StoreError::NoOperation(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // It may have ended since the sandbox was read.
        if operation.finished.is_some() {
            return Ok(None);
        }
        let occupancy = self.store.occupancy(sandbox.id)?;
        let process = occupancy.process.as_ref().map(|(pid, _)| *pid);
        // What is suspended waits, and its limit of time with it.
        let suspension = sandbox.life.suspension.as_ref();
        let suspended = sandbox.life.suspended().is_some()
            || process.is_some_and(|pid| self.isolation.is_frozen(pid));
        let since = suspension.and_then(|one| one.resumed).unwrap_or(operation.started);
        let age = now.0.saturating_sub(since.max(operation.started).0);
        // A clock that went back makes it young, not old; one that jumped ahead makes it no older than
        // its process is.
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        let reading = process.and_then(|pid| self.isolation.measure(pid));
        let age = reading.map_or(age, |reading| reading.elapsed.0.min(age));
        let orphaned = attended && !suspended && occupancy.holder.is_none() && process.is_some();
        Ok(Some(OpenOperation {
            sandbox: sandbox.name.clone(),
            operation: open,
            attended,
            age: Span(age),
            limit: operation.request.limits.timeout.filter(|_| !suspended),
            orphaned,
        }))
    }
}
