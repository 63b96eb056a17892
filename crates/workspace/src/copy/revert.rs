//! Taking commits back, and what the base has since by our own doing.

use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeCounts, ChangeKind, Changeset};
use ctrlz_core::id::OperationId;
use ctrlz_core::workspace::{CommitPlan, ConflictStrategy, WorkspaceError};

use super::commit::{Request, TAKEN_BACK, execute, request_of, transaction};
use super::store::{Store, read_json};
use crate::diff;
use crate::live::{self, Replacement, Step};
use crate::node::{entries, metadata, version};
use crate::restored::{Restored, TakenBack};
use crate::view::{Found, View};

/// The steps that take a finished commit back.
///
/// # Errors
/// [`WorkspaceError::Damaged`] when there are none, or it was not finished.
pub(super) fn undo_of(store: &Store, commit: OperationId) -> Result<Vec<Step>, WorkspaceError> {
    let path = store.commit(commit).join("result");
    if version(&path)?.is_none() {
        return Err(WorkspaceError::Damaged { what: "the backup of a commit is gone", path });
    }
    let mut steps = live::inverse_steps(&transaction(store, commit))?;
    // A later commit that was taken back put equal content there, as another version.
    let restored = restored(store, &request_of(store, commit)?.tree.base)?;
    for step in &mut steps {
        step.expect = restored.expect_now(&step.path, step.expect);
    }
    Ok(steps)
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::plan_revert`].
pub(super) fn plan_revert(
    store: &Store,
    commit: OperationId,
) -> Result<CommitPlan, WorkspaceError> {
    let base = request_of(store, commit)?.tree.base;
    let steps = undo_of(store, commit)?;
    let conflicts = live::plan(&base, &steps)?;
    let live = View::new(base, Vec::new());
    let mut changeset = Changeset::default();
    for step in &steps {
        changeset.changes.extend(change(store, commit, step, &live)?);
    }
    Ok(CommitPlan { changeset, conflicts })
}

/// What a step of an undo will change.
fn change(
    store: &Store,
    commit: OperationId,
    step: &Step,
    live: &View,
) -> Result<Option<Change>, WorkspaceError> {
    let before = live.lookup(&step.path)?;
    let after = match &step.replace {
        Replacement::Nothing => None,
        Replacement::Entry { source } => version(source)?.map(|version| Found {
            disk_path: source.clone(),
            version,
            layer: Some(live::inverse_layer(&transaction(store, commit))),
        }),
    };
    let kind = match (&before, &after) {
        (None, None) => None,
        (None, Some(_)) => Some(ChangeKind::Added),
        (Some(_), None) => Some(ChangeKind::Deleted),
        (Some(before), Some(after)) => diff::difference(&step.path, before, after)?,
    };
    let content = |found: &Option<Found>| {
        found.as_ref().filter(|found| found.version.is_file()).map(|found| found.disk_path.clone())
    };
    Ok(kind.map(|kind| Change {
        path: step.path.clone(),
        kind,
        before: before.as_ref().map(|found| metadata(&found.version)),
        after: after.as_ref().map(|found| metadata(&found.version)),
        old_content: content(&before),
        new_content: content(&after),
    }))
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::revert`].
pub(super) fn revert(
    store: &Store,
    commit: OperationId,
    operation: OperationId,
    strategy: ConflictStrategy,
) -> Result<ChangeCounts, WorkspaceError> {
    let request = request_of(store, commit)?;
    let steps = undo_of(store, commit)?;
    let request =
        Request { tree: request.tree.with(None), paths: Vec::new(), reverts: Some(commit) };
    execute(store, operation, &request, steps, strategy).map(|committed| committed.counts)
}

/// What we ourselves put into `base` in place of what was there: reverts of commits, and commits
/// that were taken back before they were finished.
pub(super) fn restored(store: &Store, base: &Path) -> Result<Restored, WorkspaceError> {
    let mut restored = Restored::default();
    for operation in operations(store)? {
        let directory = store.commit(operation);
        let record = directory.join(TAKEN_BACK);
        if version(&record)?.is_some() {
            let taken_back: TakenBack = read_json(&record, "the record of a commit is broken")?;
            restored.add_taken_back(&taken_back, base);
            continue;
        }
        // What is half made or half collected says nothing; without it there is a conflict more,
        // and nothing worse.
        let Some(request) = known(request_of(store, operation))? else { continue };
        let Some(commit) = request.reverts.filter(|_| request.tree.base == base) else { continue };
        if version(&directory.join("result"))?.is_none() {
            continue;
        }
        let replaced = known(live::replaced(&transaction(store, commit)))?;
        let undo = known(live::inverse_steps(&transaction(store, operation)))?;
        if let (Some(replaced), Some(undo)) = (replaced, undo) {
            restored.add_revert(&replaced, &undo);
        }
    }
    Ok(restored)
}

/// Nothing in place of what is damaged.
fn known<T>(found: Result<T, WorkspaceError>) -> Result<Option<T>, WorkspaceError> {
    match found {
        Err(WorkspaceError::Damaged { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// The commits and reverts of which something is kept, oldest first.
fn operations(store: &Store) -> Result<Vec<OperationId>, WorkspaceError> {
    if version(&store.commits())?.is_none() {
        return Ok(Vec::new());
    }
    let names = entries(&store.commits())?;
    let mut found: Vec<OperationId> =
        names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}
