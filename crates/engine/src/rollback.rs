//! RollbackManager: snapshots, and the return to them.

use ctrlz_core::changeset::{ChangeCounts, Changeset};
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::operation::{OperationKind, Outcome};
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, SnapshotKind, SnapshotScope, Tree};
use ctrlz_core::store::Durability;
use ctrlz_core::workspace::WorkspaceError;

use crate::core::{Held, SandboxCore};
use crate::error::{EngineError, kept};
use crate::operation::Effect;

/// What to return to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackTarget {
    /// A snapshot.
    Snapshot(SnapshotId),
    /// The point before an operation.
    Before(OperationId),
}

/// How to return.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollbackOptions {
    /// Only these paths and what lies below them; everything, the state included, when empty.
    pub paths: Vec<RelPath>,
    /// Check every entry of what it returns to, not only its layers.
    pub thorough: bool,
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackReport {
    /// The operation under which it is journaled.
    pub operation: OperationId,
    /// The snapshot that holds what was left behind.
    pub left_behind: SnapshotId,
    /// What changed in the workspace; `None` when that cannot be told, since what was left behind is
    /// damaged.
    pub counts: Option<ChangeCounts>,
    /// Whether what the sandbox stands on now was looked at afterwards and is whole.
    pub intact: bool,
    /// Parts that were missing or damaged, and came from an archive.
    pub mended: Vec<String>,
}

impl SandboxCore<'_> {
    /// Keeps the sandbox's present point.
    ///
    /// # Errors
    /// A failure to write the store.
    pub fn snapshot(&self, sandbox: &Sandbox, new: &NewSnapshot) -> Result<Snapshot, EngineError> {
        let held = self.hold(sandbox)?;
        self.snapshot_held(&held, new)
    }

    pub(crate) fn snapshot_held(
        &self,
        held: &Held<'_>,
        new: &NewSnapshot,
    ) -> Result<Snapshot, EngineError> {
        let mut snapshot = None;
        let title = match new.message.as_str() {
            "" => "snapshot".to_owned(),
            message => format!("snapshot: {message}"),
        };
        self.perform(
            held,
            OperationKind::Snapshot,
            title,
            None,
            Durability::Process,
            |operation| {
                let point = &held.sandbox.point;
                snapshot = Some(self.store.create_snapshot(operation, new, point)?);
                Ok(Effect::tree(point.tree.clone()))
            },
        )?;
        snapshot.ok_or_else(|| EngineError::NothingToUndo(held.sandbox.name.to_string()))
    }

    /// What a rollback would change in the workspace.
    ///
    /// # Errors
    /// A damaged snapshot, or one of another sandbox.
    pub fn plan_rollback(
        &self,
        sandbox: &Sandbox,
        target: RollbackTarget,
        options: &RollbackOptions,
    ) -> Result<Changeset, EngineError> {
        let held = self.hold(sandbox)?;
        let (_, goal) = self.goal(&held, target, options, &mut Vec::new())?;
        let mut changeset = held.driver.changes(&held.sandbox.point.tree, &goal)?;
        if !options.paths.is_empty() {
            changeset
                .changes
                .retain(|change| options.paths.iter().any(|path| change.path.is_within(path)));
        }
        Ok(changeset)
    }

    /// Returns to a snapshot. What is left behind stays as a pre-rollback snapshot.
    ///
    /// # Errors
    /// A damaged snapshot, or one of another sandbox; the sandbox is then as before.
    pub fn rollback(
        &self,
        sandbox: &Sandbox,
        target: RollbackTarget,
        options: &RollbackOptions,
    ) -> Result<RollbackReport, EngineError> {
        let held = self.hold(sandbox)?;
        self.rollback_held(&held, target, options)
    }

    pub(crate) fn rollback_held(
        &self,
        held: &Held<'_>,
        target: RollbackTarget,
        options: &RollbackOptions,
    ) -> Result<RollbackReport, EngineError> {
        let mut mended = Vec::new();
        let (point, goal) = self.goal(held, target, options, &mut mended)?;
        let now = &held.sandbox.point;
        let mut left_behind = None;
        // What is left behind cannot be mended where no archive has it; the return goes on.
        let _ = self.mend(held, &now.tree, false, &mut mended);
        let mut counts = None;
        let operation = self.perform(
            held,
            OperationKind::Rollback,
            title(target, &options.paths),
            None,
            Durability::Process,
            |operation| {
                let new = NewSnapshot::of(SnapshotKind::PreRollback, "");
                let kept = self.store.create_snapshot(operation, &new, now)?;
                left_behind = Some(kept.id);
                let (tree, state_version) = if options.paths.is_empty() {
                    (goal, Some(point.state_version))
                } else {
                    (held.driver.restore_paths(&now.tree, &goal, &options.paths)?, None)
                };
                counts = match held.driver.changes(&now.tree, &tree) {
                    Ok(changeset) => Some(changeset.counts()),
                    Err(WorkspaceError::Damaged { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
                let outcome = Outcome { counts, ..Outcome::default() };
                Ok(Effect { tree, state_version, outcome })
            },
        )?;
        let left_behind =
            left_behind.ok_or_else(|| EngineError::NothingToUndo(held.sandbox.name.to_string()))?;
        let tree = operation.after.as_ref().map_or(&now.tree, |after| &after.tree);
        let intact = held.driver.verify(tree, options.thorough).is_ok();
        Ok(RollbackReport { operation: operation.id, left_behind, counts, intact, mended })
    }

    /// The point to return to, and its tree on the base as it is now, checked.
    pub(crate) fn goal(
        &self,
        held: &Held<'_>,
        target: RollbackTarget,
        options: &RollbackOptions,
        mended: &mut Vec<String>,
    ) -> Result<(Point, Tree), EngineError> {
        let sandbox = held.sandbox.name.to_string();
        let (since, point) = match target {
            RollbackTarget::Snapshot(id) => {
                let snapshot = self.store.snapshot(id)?;
                if snapshot.sandbox != held.sandbox.id {
                    return Err(EngineError::ForeignSnapshot { snapshot: id, sandbox });
                }
                if snapshot.scope == SnapshotScope::StateOnly {
                    if !options.paths.is_empty() {
                        return Err(EngineError::StateOnly(id));
                    }
                    // Its files are whatever is there.
                    return Ok((snapshot.point, held.sandbox.point.tree.clone()));
                }
                (snapshot.operation, snapshot.point)
            }
            RollbackTarget::Before(id) => {
                let operation = self.store.operation(id)?;
                if operation.request.sandbox != held.sandbox.id {
                    return Err(EngineError::ForeignOperation { operation: id, sandbox });
                }
                kept(&operation.before, id)?;
                // A commit's own effect on the base comes after the point before it.
                (OperationId(id.0 - 1), operation.before)
            }
        };
        let commits = self.base_moves_since(held.sandbox.id, since)?;
        let tree = held.driver.rebase(&point.tree, &commits)?;
        self.mend(held, &tree, options.thorough, mended)?;
        Ok((point, tree))
    }
}

fn title(target: RollbackTarget, paths: &[RelPath]) -> String {
    let target = match target {
        RollbackTarget::Snapshot(id) => format!("rollback to {id}"),
        RollbackTarget::Before(id) => format!("rollback to before {id}"),
    };
    if paths.is_empty() {
        return target;
    }
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    format!("{target}: {}", paths.join(", "))
}
