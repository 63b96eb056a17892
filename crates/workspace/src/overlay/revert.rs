//! Taking commits back: in the live directory, or for trees from before them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{CommitPlan, ConflictStrategy, WorkspaceError};

use super::commit::{execute, found};
use super::record::{
    Outcome, REQUEST, RESULT, REVERTS, Request, TAKEN_BACK, matched, operations_with, read,
    request_of,
};
use super::store::{Store, now};
use super::tree::{LayerId, LayerKind, OverlayTree, bare};
use super::walk::walk;
use crate::diff::changes;
use crate::live::{self, Expect, Replacement, Step};
use crate::manifest::{Manifest, Record};
use crate::node::{Version, copy_node, failed, version};
use crate::restored::{Restored, TakenBack};
use crate::view::View;

/// The steps that take a finished commit back.
fn inverse(store: &Store, commit: OperationId) -> Result<(Request, Vec<Step>), WorkspaceError> {
    let request = request_of(store, commit)?;
    if read::<Outcome>(store, commit, RESULT)?.is_none() {
        let path = store.transaction(commit);
        return Err(WorkspaceError::Damaged { what: "the commit was never finished", path });
    }
    let mut steps = live::inverse_steps(&store.transaction(commit))?;
    // A later commit that was taken back put equal content there, as another version.
    let restored = restored(store, &request.tree.base)?;
    for step in &mut steps {
        step.expect = restored.expect_now(&step.path, step.expect);
    }
    Ok((request, steps))
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::plan_revert`].
pub(super) fn plan_revert(
    store: &Store,
    commit: OperationId,
) -> Result<CommitPlan, WorkspaceError> {
    let (request, steps) = inverse(store, commit)?;
    let base = bare(&request.tree.base);
    let reverted = rebase(store, &base, &[commit])?;
    let (from, to, candidates) = store.compared(&base, &reverted)?;
    let changeset = changes(&from, &to, &candidates)?;
    Ok(CommitPlan { changeset, conflicts: live::plan(&base.base, &steps)? })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::revert`].
pub(super) fn revert(
    store: &Store,
    commit: OperationId,
    operation: OperationId,
    strategy: ConflictStrategy,
) -> Result<ChangeCounts, WorkspaceError> {
    let (request, steps) = inverse(store, commit)?;
    let tree = bare(&request.tree.base);
    let view = View::new(tree.base.clone(), Vec::new());
    let paths = steps.iter().map(|step| &step.path);
    let changed = found(&view, &tree.base, paths, &steps, strategy)?;
    let request = Request::new(tree, Vec::new(), changed, Some(commit))?;
    let base = request.tree.base.clone();
    let kept: Vec<(PathBuf, PathBuf)> = steps
        .iter()
        .filter_map(|step| match &step.replace {
            Replacement::Entry { source } => Some((step.path.below(&base), source.clone())),
            Replacement::Nothing => None,
        })
        .collect();
    let committed = execute(store, operation, &request, steps, strategy)?;
    kept.iter().try_for_each(|(live, backup)| part(live, backup))?;
    Ok(committed.counts)
}

/// Makes the backup a file of its own where it is one more name of the live file, so that the live
/// one has as many names as it had.
fn part(live: &Path, backup: &Path) -> Result<(), WorkspaceError> {
    let identity = |v: &Version| (v.dev, v.ino);
    match (version(live)?, version(backup)?) {
        (Some(a), Some(b)) if identity(&a) == identity(&b) && !b.is_directory() => {}
        _ => return Ok(()),
    }
    let mut copy = backup.to_owned().into_os_string();
    copy.push(".parted");
    let copy = PathBuf::from(copy);
    if version(&copy)?.is_some() {
        std::fs::remove_file(&copy).map_err(failed("remove", &copy))?;
    }
    copy_node(backup, &copy)?;
    std::fs::rename(&copy, backup).map_err(failed("put the copy in place at", backup))
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::rebase`].
///
/// What the newest commit replaced lies lowest, since it was made on what the older ones left.
pub(super) fn rebase(
    store: &Store,
    tree: &OverlayTree,
    since: &[OperationId],
) -> Result<OverlayTree, WorkspaceError> {
    let mut layers = Vec::with_capacity(since.len() + tree.layers.len());
    for commit in since.iter().rev() {
        let (request, steps) = inverse(store, *commit)?;
        tree.same_base(&request.tree)?;
        if steps.is_empty() {
            continue;
        }
        let id = LayerId::new(LayerKind::Inverse(*commit), "", 0, 0);
        if version(&store.beside(&id, "manifest"))?.is_none() {
            describe_inverse(store, &id, &request, &steps)?;
        }
        layers.push(id);
        let names = LayerId::new(LayerKind::Names(*commit), "", 0, 0);
        if version(&store.layer(&names))?.is_some() {
            layers.push(names);
        }
    }
    layers.extend(tree.layers.iter().cloned());
    let mut rebased = tree.with_layers(layers);
    rebased.commit = rebased.commit.max(since.iter().max().copied());
    Ok(rebased)
}

/// Notes in a record what a step expects.
pub(super) fn expected(record: &mut Record, expect: Option<Expect>) {
    (record.base, record.raced) = match expect {
        None | Some(Expect::Absent) => (None, false),
        Some(Expect::Unchanged { version, .. }) => (Some(version), false),
        Some(Expect::ChangedDuringOperation { version }) => (Some(version), true),
    };
}

/// From when on a change in the base came after the commit.
pub(super) fn since_of(steps: &[Step]) -> Timestamp {
    let since = steps.iter().filter_map(|step| match step.expect {
        Expect::Unchanged { since, .. } => Some(since),
        _ => None,
    });
    since.max().unwrap_or_else(|| Timestamp(now().0.saturating_add(1)))
}

/// Writes the manifest of a commit's inverse layer: what the commit left in the base is what a
/// tree on that layer was made on.
fn describe_inverse(
    store: &Store,
    id: &LayerId,
    request: &Request,
    steps: &[Step],
) -> Result<(), WorkspaceError> {
    let base = View::new(request.tree.base.clone(), Vec::new());
    let mut records = walk(&store.layer(id))?;
    let mut described = HashSet::new();
    for record in &mut records {
        match steps.binary_search_by(|step| step.path.cmp(&record.path)) {
            Ok(at) => expected(record, steps.get(at).map(|step| step.expect)),
            // A directory that only leads to something.
            Err(_) => record.base = base.lookup(&record.path)?.map(|found| found.version),
        }
        described.insert(record.path.clone());
    }
    // What the commit made inside a directory goes with the directory, which is all the layer
    // says; but each has to be as the commit left it.
    for step in steps.iter().filter(|step| !described.contains(&step.path)) {
        let path = step.path.clone();
        let mut record = Record { path, entry: None, opaque: false, base: None, raced: false };
        expected(&mut record, Some(step.expect));
        records.push(record);
    }
    let since = since_of(steps);
    let root = steps.iter().any(|step| step.path.is_root());
    let path = store.beside(id, "manifest");
    let mut partial = path.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("remove", &partial)(error));
        }
        _ => {}
    }
    Manifest { since, root, records }.write(&partial)?;
    std::fs::rename(&partial, &path).map_err(failed("put the manifest in place at", &path))
}

/// What we ourselves put into `base` in place of what was there: reverts of commits, and commits
/// that were taken back before they were finished.
pub(super) fn restored(store: &Store, base: &Path) -> Result<Restored, WorkspaceError> {
    let mut restored = Restored::default();
    let mut operations = operations_with(store, REVERTS)?;
    operations.extend(operations_with(store, TAKEN_BACK)?);
    operations.sort_unstable();
    for revert in operations {
        if let Some(taken_back) = read::<TakenBack>(store, revert, TAKEN_BACK)? {
            restored.add_taken_back(&taken_back, base);
            continue;
        }
        let Some(commit) = read::<OperationId>(store, revert, REVERTS)? else { continue };
        let Some(outcome) = read::<Outcome>(store, revert, RESULT)? else { continue };
        let Some(request) = read::<Request>(store, commit, REQUEST)? else { continue };
        if request.tree.base != base {
            continue;
        }
        let steps = match live::inverse_steps(&store.transaction(revert)) {
            // Half collected; without it there is a conflict more, and nothing worse.
            Err(WorkspaceError::Damaged { .. }) => continue,
            steps => steps?,
        };
        for ((path, before), (_, after)) in matched(&request.above, &outcome.above) {
            restored.add(path, *before, *after);
        }
        let before: HashMap<RelPath, Version> = request
            .changed
            .into_iter()
            .filter_map(|(path, version)| Some((path, version?)))
            .collect();
        restored.add_revert(&before, &steps);
    }
    Ok(restored)
}
