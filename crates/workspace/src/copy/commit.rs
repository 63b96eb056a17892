//! Bringing a tree's changes to its live base. The transaction itself is [`crate::live`]'s.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::{Change, ChangeCounts, Changeset, FileType};
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitPlan, CommitRequest, Committed, ConflictStrategy, RecoveredCommit, WorkspaceError,
};
use serde::{Deserialize, Serialize};

use super::derive::{Draft, From, derive};
use super::expect::{Expectations, expect, written};
use super::paths::{current, difference, share, shared};
use super::store::{Loaded, Store, make_directory, read_json, write_json};
use super::tree::{CopyId, CopyTree, TreeRecord};
use crate::diff;
use crate::evidence::digest_of_commit;
use crate::live::{self, Applied, Expect, Recovered, Replacement, Step};
use crate::node::{Version, entries, remove_tree, version};
use crate::restored::TakenBack;
use crate::view::View;

/// The name of a [`TakenBack`].
pub(super) const TAKEN_BACK: &str = "taken-back";

/// What a commit or revert was asked to do: the record `request`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The tree that is committed; its base as it is for a revert.
    pub tree: CopyTree,
    /// The paths that were chosen; all when empty.
    pub paths: Vec<RelPath>,
    /// The commit that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<OperationId>,
}

/// What came of it: the record `result`.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    tree: Tree,
    counts: ChangeCounts,
    /// The digest of what was put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contents: Option<String>,
}

/// A commit, ready to be carried out.
struct Prepared {
    tree: CopyTree,
    changes: Vec<Change>,
    steps: Vec<Step>,
}

fn prepare(store: &Store, request: &CommitRequest<'_>) -> Result<Prepared, WorkspaceError> {
    let tree = store.parse(request.tree)?;
    let Some(copy) = store.load_tree(&tree)? else {
        return Ok(Prepared { tree, changes: Vec::new(), steps: Vec::new() });
    };
    let all = difference(store, &tree, None, Some(&copy))?.changes;
    let changes = chosen(all, request.paths);
    let expected = Expectations::of(store, &copy)?;
    let step = |change: &Change| Step {
        path: change.path.clone(),
        expect: expected.at(&change.path),
        replace: match change.after {
            None => Replacement::Nothing,
            Some(_) => Replacement::Entry { source: change.path.below(&copy.root) },
        },
    };
    let repeated = repeated_names(&changes, &copy)?;
    let mut steps: Vec<Step> =
        changes.iter().filter(|c| !repeated.contains(&c.path)).map(step).collect();
    for path in parted_names(&changes, &copy, &expected)? {
        steps.push(Step {
            expect: expected.at(&path),
            replace: Replacement::Entry { source: path.below(&copy.root) },
            path,
        });
    }
    steps.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Prepared { tree, changes, steps })
}

/// The names that are one file with a changed one in the live directory, but not in the tree: the
/// change must not reach them, so they get a file of their own.
fn parted_names(
    changes: &[Change],
    copy: &Loaded,
    expected: &Expectations,
) -> Result<BTreeSet<RelPath>, WorkspaceError> {
    let changed: HashSet<&RelPath> = changes.iter().map(|change| &change.path).collect();
    let mut parted = BTreeSet::new();
    for change in changes.iter().filter(|change| change.after.is_some()) {
        let Some(live) = version(&change.path.below(&copy.record.base))? else { continue };
        if !live.is_file() || live.nlink < 2 {
            continue;
        }
        let ours = version(&change.path.below(&copy.root))?;
        for other in expected.names(live.ino) {
            let theirs = version(&other.below(&copy.root))?;
            if !changed.contains(&other) && theirs.is_some() && theirs != ours {
                parted.insert(other);
            }
        }
    }
    Ok(parted)
}

/// The further names of a file that is one file in the live directory and in the tree: writing it
/// by its first name writes all of them, and keeps those that lie elsewhere.
fn repeated_names(changes: &[Change], copy: &Loaded) -> Result<HashSet<RelPath>, WorkspaceError> {
    let entries = copy.manifest.records.iter();
    let entries: HashMap<&RelPath, &Version> = entries
        .filter_map(|record| Some((&record.path, record.entry.as_ref()?)))
        .filter(|(_, entry)| entry.is_file() && entry.nlink > 1)
        .collect();
    let (mut known, mut repeated) = (HashSet::new(), HashSet::new());
    for change in changes {
        let Some(ours) = entries.get(&change.path) else { continue };
        let Some(live) = version(&change.path.below(&copy.record.base))? else { continue };
        let one_file = live.is_file() && live.nlink > 1;
        if one_file && !known.insert((live.dev, live.ino, ours.ino)) {
            repeated.insert(change.path.clone());
        }
    }
    Ok(repeated)
}

/// The changes at and below `paths`, with the new directories that those need above them.
fn chosen(all: Vec<Change>, paths: &[RelPath]) -> Vec<Change> {
    if paths.is_empty() {
        return all;
    }
    let within = |change: &Change| paths.iter().any(|path| change.path.is_within(path));
    let needed: HashSet<RelPath> = all
        .iter()
        .filter(|change| change.after.is_some() && within(change))
        .flat_map(|change| change.path.ancestors().collect::<Vec<_>>())
        .collect();
    let directory = FileType::Directory;
    let makes_directory = |change: &Change| {
        change.after.as_ref().is_some_and(|after| after.file_type == directory)
            && change.before.as_ref().is_none_or(|before| before.file_type != directory)
    };
    let wanted = |change: &Change| {
        within(change) || (needed.contains(&change.path) && makes_directory(change))
    };
    all.into_iter().filter(wanted).collect()
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::plan_commit`].
pub(super) fn plan_commit(
    store: &Store,
    request: &CommitRequest<'_>,
) -> Result<CommitPlan, WorkspaceError> {
    let prepared = prepare(store, request)?;
    let conflicts = live::plan(&prepared.tree.base, &prepared.steps)?;
    Ok(CommitPlan { changeset: Changeset { changes: prepared.changes }, conflicts })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::commit`].
pub(super) fn commit(
    store: &Store,
    request: &CommitRequest<'_>,
) -> Result<Committed, WorkspaceError> {
    let prepared = prepare(store, request)?;
    let record = Request { tree: prepared.tree, paths: request.paths.to_vec(), reverts: None };
    execute(store, request.operation, &record, prepared.steps, request.strategy)
}

pub(super) fn transaction(store: &Store, operation: OperationId) -> PathBuf {
    store.commit(operation).join("transaction")
}

/// Carries out `steps`, and writes down what came of it.
pub(super) fn execute(
    store: &Store,
    operation: OperationId,
    request: &Request,
    steps: Vec<Step>,
    strategy: ConflictStrategy,
) -> Result<Committed, WorkspaceError> {
    let directory = store.commit(operation);
    make_directory(&directory)?;
    write_json(&directory.join("request"), request)?;
    let transaction = transaction(store, operation);
    match live::execute(&request.tree.base, &transaction, operation, steps, strategy) {
        Ok(applied) => finish(store, operation, request, &applied),
        Err(error) => {
            // Of a refusal nothing is left to recover. Of a failure there may be: the caller
            // recovers the operation, now or at the next start.
            if matches!(error, WorkspaceError::Conflicts { .. })
                && matches!(
                    live::recover(&transaction)?,
                    Recovered::NotBegun | Recovered::TakenBack
                )
            {
                forget_taken_back(store, operation)?;
            }
            Err(error)
        }
    }
}

/// What is left of the sandbox's tree after its changes reached the base.
fn finish(
    store: &Store,
    operation: OperationId,
    request: &Request,
    applied: &Applied,
) -> Result<Committed, WorkspaceError> {
    let left = match (request.paths.is_empty(), store.load_tree(&request.tree)?) {
        (false, Some(copy)) => Some(rest(store, operation, request, applied, &copy)?),
        _ => None,
    };
    let tree = CopyTree { commit: Some(operation), ..request.tree.with(left) }.text()?;
    let outcome = Outcome { tree, counts: applied.counts, contents: applied.contents.clone() };
    write_json(&store.commit(operation).join("result"), &outcome)?;
    committed(store, operation, outcome)
}

fn committed(
    store: &Store,
    operation: OperationId,
    outcome: Outcome,
) -> Result<Committed, WorkspaceError> {
    let digest =
        digest_of_commit(&store.commit(operation).join("request"), outcome.contents.as_deref())?;
    Ok(Committed { tree: outcome.tree, counts: outcome.counts, digest })
}

/// The tree after a partial commit.
fn rest(
    store: &Store,
    operation: OperationId,
    request: &Request,
    applied: &Applied,
    copy: &Loaded,
) -> Result<CopyId, WorkspaceError> {
    let undo = live::inverse_steps(&transaction(store, operation))?;
    let mut record = shared(store, copy)?;
    // What we put there ourselves becomes part of the tree, as in a rebased one.
    let (_, mut seen) = Expectations::of(store, copy)?.all();
    for step in &undo {
        seen.insert(step.path.clone(), current(step.expect));
        record.touched.remove(&step.path);
    }
    let chosen = |path: &RelPath| request.paths.iter().any(|chosen| path.is_within(chosen));
    let ours = store.view_of(&request.tree.base, Some(copy))?;
    let live = View::new(request.tree.base.clone(), Vec::new());
    let mut stale: BTreeSet<RelPath> = applied.skipped.iter().cloned().collect();
    for path in record.touched.iter().filter(|path| chosen(path)) {
        // Nothing was done where the live entry already was what the tree has, times aside, or
        // became it by another of its names.
        let (Some(now), Some(ours)) = (live.lookup(path)?, ours.lookup(path)?) else { continue };
        if diff::difference(path, &now, &ours)?.is_none() {
            seen.insert(path.clone(), expect(Some(now.version)));
        } else {
            stale.insert(path.clone());
        }
    }
    record.touched.retain(|path| !chosen(path));
    if stale.is_empty() {
        return share(store, copy, TreeRecord { seen: written(seen), ..record });
    }
    // What was put beside is part of it.
    stale.extend(undo.into_iter().map(|step| step.path));
    let kept = Loaded {
        record: TreeRecord { seen: written(seen), ..record },
        id: copy.id.clone(),
        manifest: copy.manifest.clone(),
        root: copy.root.clone(),
    };
    derive(store, &kept, |draft| take_over(draft, &live, &request.tree.base, stale))
}

/// Makes `paths` in a draft what they are in the live directory. Where both have a directory, what
/// is in it stays.
fn take_over(
    draft: &mut Draft,
    live: &View,
    base: &Path,
    paths: BTreeSet<RelPath>,
) -> Result<(), WorkspaceError> {
    let mut pending: Vec<RelPath> = paths.into_iter().rev().collect();
    while let Some(path) = pending.pop() {
        let Some(found) = live.lookup(&path)? else {
            draft.remove(&path)?;
            draft.seen.insert(path, Expect::Absent);
            continue;
        };
        if found.version.is_directory() && !draft.is_directory(&path)? {
            let children = live.children(&path)?;
            pending.extend(children.into_iter().rev().map(|(name, _)| path.child(&name)));
        }
        draft.put(&path, base, From::Live)?;
        draft.seen.insert(path, expect(Some(found.version)));
    }
    Ok(())
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::recover_commit`].
pub(super) fn recover_commit(
    store: &Store,
    operation: OperationId,
) -> Result<RecoveredCommit, WorkspaceError> {
    let directory = store.commit(operation);
    if version(&directory.join("request"))?.is_none() {
        forget_taken_back(store, operation)?;
        return Ok(RecoveredCommit::TakenBack);
    }
    if version(&directory.join("result"))?.is_some() {
        let outcome: Outcome = read_json(&directory.join("result"), "a commit's result is broken")?;
        return committed(store, operation, outcome).map(RecoveredCommit::Finished);
    }
    match live::recover(&transaction(store, operation))? {
        Recovered::NotBegun | Recovered::TakenBack => {
            forget_taken_back(store, operation)?;
            Ok(RecoveredCommit::TakenBack)
        }
        Recovered::Finished(applied) => {
            let request = request_of(store, operation)?;
            finish(store, operation, &request, &applied).map(RecoveredCommit::Finished)
        }
    }
}

/// Forgets a commit that was taken back before it was finished, but for what that moved. Can be
/// repeated after a crash: the request goes first, and with it what could be told once more.
fn forget_taken_back(store: &Store, operation: OperationId) -> Result<(), WorkspaceError> {
    let directory = store.commit(operation);
    let request = directory.join("request");
    let record = directory.join(TAKEN_BACK);
    if version(&request)?.is_some() {
        let base = request_of(store, operation)?.tree.base;
        let moved = live::moved_back(&transaction(store, operation))?.unwrap_or_default();
        if !moved.is_empty() {
            write_json(&record, &TakenBack { base, moved })?;
        }
        remove_tree(&request)?;
    }
    if version(&record)?.is_none() {
        return remove_tree(&directory);
    }
    let rest = entries(&directory)?.into_iter().filter(|name| name != TAKEN_BACK);
    rest.map(|name| directory.join(name)).try_for_each(|path| remove_tree(&path))
}

/// What a commit was asked to do.
///
/// # Errors
/// [`WorkspaceError::Damaged`] when it is not known.
pub(super) fn request_of(store: &Store, commit: OperationId) -> Result<Request, WorkspaceError> {
    read_json(&store.commit(commit).join("request"), "the backup of a commit is gone")
}
