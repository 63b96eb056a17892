//! StateManager's place in the life of operations: a write of state is an operation, too.

use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::{Expected, StateKey};
use ctrlz_core::state_store::{
    GLOBAL, ImportConflict, Imported, SealedValue, StateImport, ValueCopies,
};
use ctrlz_core::store::{Durability, SandboxLock, StoreError};

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::operation::Effect;

/// What is to become of a key.
#[derive(Debug, Clone, Copy)]
pub enum StateChange<'a> {
    /// It gets this value, for anybody to read who can read the store.
    Plain(&'a [u8]),
    /// It gets this encrypted value.
    Sealed(SealedValue<'a>),
    /// It is deleted.
    Deleted,
}

/// A namespace that nobody else writes to meanwhile.
pub(crate) struct HeldState {
    sandbox: Sandbox,
    _lock: Box<dyn SandboxLock>,
}

impl SandboxCore<'_> {
    /// Writes a value, or deletes it, when `expected` holds; answers the new version. Undo takes
    /// it back.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`], [`StoreError::Sensitive`],
    /// [`StoreError::OtherKey`], or a failure to write the store.
    pub fn put_state(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        change: StateChange<'_>,
        expected: Expected,
    ) -> Result<u64, EngineError> {
        let held = self.hold_state(sandbox)?;
        let word = if matches!(change, StateChange::Deleted) { "delete" } else { "write" };
        let id = held.sandbox.id;
        let mut version = 0;
        self.perform_on(
            &held.sandbox,
            OperationKind::State,
            format!("{word} state {key}"),
            None,
            Durability::Process,
            |_| {
                version = match change {
                    StateChange::Plain(value) => self.store.put(id, key, Some(value), expected),
                    StateChange::Sealed(value) => self.store.put_sealed(id, key, &value, expected),
                    StateChange::Deleted => self.store.put(id, key, None, expected),
                }?;
                // So that the operation ends where it left the state.
                let state_version = Some(version);
                Ok(Effect { state_version, ..Effect::tree(held.sandbox.point.tree.clone()) })
            },
        )?;
        Ok(version)
    }

    /// Merges histories into the state, in all namespaces or in none. Undo takes it back in each.
    ///
    /// # Errors
    /// A failure to write the store, or that of a sandbox in use.
    pub fn import_state(
        &self,
        imports: &[StateImport],
        values: &dyn ValueCopies,
        on_conflict: ImportConflict,
        dry_run: bool,
    ) -> Result<Imported, EngineError> {
        // By id, so that two imports cannot wait for each other.
        let mut ids: Vec<_> = imports.iter().map(|import| import.sandbox).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut held = Vec::with_capacity(ids.len());
        for id in ids {
            held.push(self.hold_state(&self.store.sandbox(id)?)?);
        }
        Ok(self.store.import_state(imports, values, on_conflict, dry_run)?)
    }

    /// Locks a namespace, and recovers it if a crash left it in the middle of something.
    pub(crate) fn hold_state(&self, sandbox: &Sandbox) -> Result<HeldState, EngineError> {
        if sandbox.id != GLOBAL {
            let held = self.hold(sandbox)?;
            return Ok(HeldState { sandbox: held.sandbox, _lock: held.lock });
        }
        let lock = self.lock(sandbox)?;
        let mut sandbox = self.store.sandbox(GLOBAL)?;
        if let Some(open) = sandbox.open_operation {
            let before = self.store.operation(open)?.before;
            self.store.restore_state(GLOBAL, before.state_version)?;
            let error = Some("ctrlz was killed in the middle of it".to_owned());
            let outcome = Outcome { error, ..Outcome::default() };
            self.store.finish(open, Status::Recovered, &outcome, None, Durability::Process)?;
            sandbox = self.store.sandbox(GLOBAL)?;
        }
        Ok(HeldState { sandbox, _lock: lock })
    }

    /// The version of the state at a moment: that of the last operation that had ended by then.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn state_version_at(
        &self,
        sandbox: &Sandbox,
        moment: ctrlz_core::time::Timestamp,
    ) -> Result<u64, StoreError> {
        let operations = self.store.operations(sandbox.id, u32::MAX)?;
        let ended = operations
            .iter()
            .filter(|operation| operation.finished.is_some_and(|ended| ended <= moment))
            .find_map(|operation| operation.after.as_ref());
        Ok(ended.map_or(0, |point| point.state_version))
    }
}
