//! What an operation changed, told later.

use std::collections::HashMap;

use ctrlz_core::changeset::Changeset;
use ctrlz_core::id::OperationId;
use ctrlz_core::operation::Operation;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{Snapshot, SnapshotScope, Tree};

use crate::core::SandboxCore;
use crate::error::{EngineError, kept};

impl SandboxCore<'_> {
    /// What `operation` changed: in the live directory for a commit and its undo, else in the
    /// workspace. Commits that came later have moved the base, so its trees are first put on the base as it
    /// is now. For an operation without effect that is nothing.
    ///
    /// # Errors
    /// A failed file operation, or a later commit's backup that is gone.
    pub fn changes_of(
        &self,
        sandbox: &Sandbox,
        operation: &Operation,
    ) -> Result<Changeset, EngineError> {
        let driver = self.driver_of(sandbox)?;
        if operation.request.sandbox != sandbox.id {
            let sandbox = sandbox.name.to_string();
            return Err(EngineError::ForeignOperation { operation: operation.id, sandbox });
        }
        let Some(after) = &operation.after else { return Ok(Changeset::default()) };
        kept(&operation.before, operation.id)?;
        // A commit's own effect on the base comes after the point before it.
        let (first, since) = (OperationId(operation.id.0 - 1), operation.id);
        let (before, after) = match self.commit_moved_by(operation, &mut HashMap::new())? {
            Some(_) => {
                let base = driver.base_tree(&after.tree)?;
                (base.clone(), base)
            }
            None => (operation.before.tree.clone(), after.tree.clone()),
        };
        let rebased = |tree: &Tree, since| -> Result<Tree, EngineError> {
            Ok(driver.rebase(tree, &self.base_moves_since(sandbox.id, since)?)?)
        };
        Ok(driver.changes(&rebased(&before, first)?, &rebased(&after, since)?)?)
    }

    /// What the operation under way in `sandbox` has written so far, as far as that can be seen while it
    /// writes on; nothing is waited for. `None` when that is more than `most` entries of a tree.
    ///
    /// # Errors
    /// A failed file operation, as when it has just ended.
    pub fn written_so_far(
        &self,
        sandbox: &Sandbox,
        most: usize,
    ) -> Result<Option<Changeset>, EngineError> {
        Ok(self.driver_of(sandbox)?.peek(sandbox.id, &sandbox.point.tree, most)?)
    }

    /// What changed in the workspace since `snapshot`.
    ///
    /// # Errors
    /// As [`Self::changes_of`]; [`EngineError::ForeignSnapshot`].
    pub fn changes_since(
        &self,
        sandbox: &Sandbox,
        snapshot: &Snapshot,
    ) -> Result<Changeset, EngineError> {
        if snapshot.sandbox != sandbox.id {
            let (snapshot, sandbox) = (snapshot.id, sandbox.name.to_string());
            return Err(EngineError::ForeignSnapshot { snapshot, sandbox });
        }
        if snapshot.scope == SnapshotScope::StateOnly {
            return Err(EngineError::StateOnly(snapshot.id));
        }
        let driver = self.driver_of(sandbox)?;
        let commits = self.base_moves_since(sandbox.id, snapshot.operation)?;
        let then = driver.rebase(&snapshot.point.tree, &commits)?;
        Ok(driver.changes(&then, &sandbox.point.tree)?)
    }
}
