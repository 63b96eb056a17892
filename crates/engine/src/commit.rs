//! Bringing a sandbox's changes to the live directory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use ctrlz_core::changeset::{ChangeCounts, ChangeKind, Changeset};
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::lifecycle::LifeChange;
use ctrlz_core::operation::{Operation, OperationKind, Outcome, Status};
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Durability;
use ctrlz_core::workspace::{
    CommitPlan, CommitRequest, Committed, ConflictStrategy, RecoveredCommit, WorkspaceDriver,
    WorkspaceError,
};

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;
use crate::operation::Effect;

/// How to commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitOptions {
    /// Only these paths and what lies below them; all when empty.
    pub paths: Vec<RelPath>,
    /// What to do with conflicts.
    pub strategy: ConflictStrategy,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReport {
    /// The operation under which it is journaled.
    pub operation: OperationId,
    /// What changed in the live directory.
    pub counts: ChangeCounts,
}

impl SandboxCore<'_> {
    /// What [`Self::commit`] would do.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn plan_commit(
        &self,
        sandbox: &Sandbox,
        options: &CommitOptions,
    ) -> Result<CommitPlan, EngineError> {
        let held = self.hold(sandbox)?;
        let paths = self.paths_to_commit(&held, options)?;
        match paths.is_empty() && held.sandbox.life.origin().is_some() {
            true => Ok(CommitPlan::default()),
            false => Self::plan_held(&held, &paths, options),
        }
    }

    /// What a commit without paths brings from a sandbox that began after a setup: what was done
    /// since. What the setup left is brought by naming it.
    fn paths_to_commit(
        &self,
        held: &Held<'_>,
        options: &CommitOptions,
    ) -> Result<Vec<RelPath>, EngineError> {
        match held.sandbox.life.origin() {
            Some(origin) if options.paths.is_empty() => {
                let since = held.driver.changes(origin, &held.sandbox.point.tree)?;
                Ok(since.changes.into_iter().map(|change| change.path).collect())
            }
            _ => Ok(options.paths.clone()),
        }
    }

    fn plan_held(
        held: &Held<'_>,
        paths: &[RelPath],
        options: &CommitOptions,
    ) -> Result<CommitPlan, EngineError> {
        if !held.sandbox.root.has_live_base() {
            return Err(EngineError::NoLiveBase(held.sandbox.name.to_string()));
        }
        let request = CommitRequest {
            // No operation has this id: a plan is not journaled.
            operation: OperationId(0),
            tree: &held.sandbox.point.tree,
            paths,
            strategy: options.strategy,
        };
        Ok(held.driver.plan_commit(&request)?)
    }

    /// Brings the sandbox's changes to its live directory, which then is the base.
    ///
    /// # Errors
    /// [`EngineError::NothingToCommit`], conflicts, or a failed file operation; the live directory
    /// is then as before.
    pub fn commit(
        &self,
        sandbox: &Sandbox,
        options: &CommitOptions,
    ) -> Result<CommitReport, EngineError> {
        let held = self.hold(sandbox)?;
        self.commit_held(&held, options)
    }

    pub(crate) fn commit_held(
        &self,
        held: &Held<'_>,
        options: &CommitOptions,
    ) -> Result<CommitReport, EngineError> {
        let paths = self.paths_to_commit(held, options)?;
        let after_setup = options.paths.is_empty() && held.sandbox.life.origin().is_some();
        if after_setup && paths.is_empty() {
            return Err(EngineError::NothingToCommit(held.sandbox.name.to_string()));
        }
        let plan = Self::plan_held(held, &paths, options)?;
        if plan.changeset.changes.is_empty() && plan.conflicts.is_empty() {
            return Err(EngineError::NothingToCommit(held.sandbox.name.to_string()));
        }
        if options.strategy == ConflictStrategy::Fail && !plan.conflicts.is_empty() {
            return Err(WorkspaceError::Conflicts { conflicts: plan.conflicts }.into());
        }
        if after_setup && let Some(path) = beyond(&plan.changeset, &paths) {
            let sandbox = held.sandbox.name.to_string();
            return Err(EngineError::OnTopOfSetup { sandbox, path });
        }
        let title = match options.paths.as_slice() {
            [] => format!("commit to {}", held.sandbox.base.display()),
            paths => {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                format!("commit {} to {}", paths.join(", "), held.sandbox.base.display())
            }
        };
        let mut counts = ChangeCounts::default();
        let mut left = None;
        let operation = self.perform(
            held,
            OperationKind::Commit,
            title,
            None,
            Durability::Machine,
            |operation| {
                let request = CommitRequest {
                    operation: operation.id,
                    tree: &held.sandbox.point.tree,
                    paths: &paths,
                    strategy: options.strategy,
                };
                let committed = match held.driver.commit(&request) {
                    Ok(committed) => committed,
                    Err(error) => finished_all_the_same(held.driver, operation.id, error)?,
                };
                counts = committed.counts;
                left = Some(committed.tree.clone());
                let outcome = Outcome {
                    counts: Some(counts),
                    changeset: Some(committed.digest),
                    ..Outcome::default()
                };
                Ok(Effect { outcome, ..Effect::tree(committed.tree) })
            },
        )?;
        if let (Some(setup), Some(left), true) = (&held.sandbox.life.setup, left, after_setup) {
            // What is left is the setup alone. A crash before this is written costs nothing but a
            // larger answer of `diff`: what was committed is equal on both sides.
            let setup = setup.committed(operation.id, left);
            self.store.change_life(held.sandbox.id, &LifeChange::Setup(Some(setup)), None)?;
        }
        Ok(CommitReport { operation: operation.id, counts })
    }
}

/// A commit may fail after the point from which it only goes forward; then recovery finishes it.
/// Otherwise nothing was changed, and `error` says why.
pub(crate) fn finished_all_the_same(
    driver: &dyn WorkspaceDriver,
    operation: OperationId,
    error: WorkspaceError,
) -> Result<Committed, EngineError> {
    match driver.recover_commit(operation)? {
        RecoveredCommit::Finished(committed) => Ok(committed),
        RecoveredCommit::TakenBack => Err(error.into()),
    }
}

/// The operation whose backup says how to take back the commit `commit`: the commit itself, or the
/// last undo or redo of it.
pub(crate) fn last_applied(history: &[Operation], commit: OperationId) -> OperationId {
    history
        .iter()
        .filter(|operation| operation.status == Status::Done)
        .filter(|operation| operation.request.target == Some(commit))
        .filter(|operation| {
            matches!(operation.request.kind, OperationKind::Undo | OperationKind::Redo)
        })
        .map(|operation| operation.id)
        .max()
        .unwrap_or(commit)
}

impl SandboxCore<'_> {
    /// What moved the base after `since` and still counts, oldest first: commits, and undos and
    /// redos of commits, each by the operation that holds its backup.
    ///
    /// An undo of a commit from before `since` counts, too: a snapshot between the two saw the
    /// base with the commit in it. Of a commit and its undos and redos after `since`, each takes
    /// back the one before, so that only the last of an odd number counts.
    pub(crate) fn base_moves_since(
        &self,
        sandbox: SandboxId,
        since: OperationId,
    ) -> Result<Vec<OperationId>, EngineError> {
        let operations = self.store.operations_since(sandbox, since)?;
        // Most targets are among them, and need not be asked for one by one.
        let mut kinds: HashMap<OperationId, OperationKind> =
            operations.iter().map(|operation| (operation.id, operation.request.kind)).collect();
        let mut moves: BTreeMap<OperationId, Vec<OperationId>> = BTreeMap::new();
        for operation in &operations {
            if let Some(commit) = self.commit_moved_by(operation, &mut kinds)? {
                moves.entry(commit).or_default().push(operation.id);
            }
        }
        let odd = moves.into_values().filter(|moves| moves.len() % 2 == 1);
        let mut last: Vec<OperationId> = odd.filter_map(|moves| moves.into_iter().max()).collect();
        last.sort_unstable();
        Ok(last)
    }

    /// The commit that `operation` applied, took back or brought back; nothing for one that left
    /// the base alone. `kinds` are those that are known already.
    pub(crate) fn commit_moved_by(
        &self,
        operation: &Operation,
        kinds: &mut HashMap<OperationId, OperationKind>,
    ) -> Result<Option<OperationId>, EngineError> {
        let kind = operation.request.kind;
        match (operation.status, kind, operation.request.target) {
            (Status::Done | Status::Undone, OperationKind::Commit, _) => Ok(Some(operation.id)),
            (Status::Done, OperationKind::Undo | OperationKind::Redo, Some(target)) => {
                let kind = match kinds.entry(target) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(free) => *free.insert(self.store.operation(target)?.request.kind),
                };
                Ok((kind == OperationKind::Commit).then_some(target))
            }
            _ => Ok(None),
        }
    }
}

/// What a commit would take away or overwrite although it is none of `paths`: a path that was made anew
/// where the setup had removed a folder brings that removal along.
fn beyond(changes: &Changeset, paths: &[RelPath]) -> Option<RelPath> {
    let known: HashSet<&RelPath> = paths.iter().collect();
    let other = changes
        .changes
        .iter()
        .find(|change| change.kind != ChangeKind::Added && !known.contains(&change.path));
    other.map(|change| change.path.clone())
}
