//! StateManager's place in the life of operations: a write of state is an operation, too.

use ctrlz_core::operation::OperationKind;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::{Expected, StateKey};
use ctrlz_core::store::Durability;

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::operation::Effect;

impl SandboxCore<'_> {
    /// Writes a value (`None` deletes) when `expected` holds; answers the new version. Undo takes
    /// it back.
    ///
    /// # Errors
    /// [`ctrlz_core::store::StoreError::Conflict`] or
    /// [`ctrlz_core::store::StoreError::TooLarge`], or a failure to write the store.
    pub fn put_state(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        value: Option<&[u8]>,
        expected: Expected,
    ) -> Result<u64, EngineError> {
        let held = self.hold(sandbox)?;
        let word = if value.is_some() { "write" } else { "delete" };
        let mut version = 0;
        self.perform(
            &held,
            OperationKind::State,
            format!("{word} state {key}"),
            None,
            Durability::Process,
            |_| {
                version = self.store.put(held.sandbox.id, key, value, expected)?;
                Ok(Effect::tree(held.sandbox.point.tree.clone()))
            },
        )?;
        Ok(version)
    }
}
