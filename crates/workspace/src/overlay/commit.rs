//! Bringing a tree's changes to its live base.
//!
//! The transaction itself is [`crate::live`]'s. Beside its directory `commits/OPERATION` lie
//! `OPERATION.request`, written before it, and `OPERATION.result`, written after it.

use std::collections::HashSet;
use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeKind, Changeset, FileType, Metadata};
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitPlan, CommitRequest, Committed, ConflictStrategy, RecoveredCommit, WorkspaceError,
};

use super::expectation::Expectations;
use super::names::keep_other_names;
use super::record::{
    Outcome, REQUEST, RESULT, REVERTS, Request, forget, forget_taken_back, matched, read,
    request_of, write,
};
use super::restore::restore_paths;
use super::revert::{expected, since_of};
use super::store::{Store, make_directory, now};
use super::tree::{LayerKind, OverlayTree, bare};
use crate::diff::changes;
use crate::evidence::digest_of_commit;
use crate::live::{self, Applied, Expect, Recovered, Replacement, Step};
use crate::manifest::{Manifest, Record};
use crate::node::{Version, same_xattrs, version};
use crate::view::View;

/// A commit, ready to be carried out.
struct Prepared {
    tree: OverlayTree,
    base: View,
    changes: Vec<Change>,
    steps: Vec<Step>,
}

fn prepare(store: &Store, tree: &Tree, paths: &[RelPath]) -> Result<Prepared, WorkspaceError> {
    let tree = OverlayTree::parse(tree)?;
    let (from, to, candidates) = store.compared(&tree.with_layers(Vec::new()), &tree)?;
    let all = changes(&from, &to, &candidates)?.changes;
    let seen = Expectations::of(store, &tree)?;
    let mut changes = Vec::new();
    for change in chosen(all, paths) {
        if !is_only_outside(&change, &from, &to, &seen)? {
            changes.push(change);
        }
    }
    let steps = steps(&changes, &from, &to, &seen)?;
    for change in &changes {
        let removes = is_directory(change.before.as_ref()) && !is_directory(change.after.as_ref());
        store.check_spares_store(&tree.base, &change.path, removes)?;
    }
    Ok(Prepared { tree, base: from, changes, steps })
}

fn is_directory(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.file_type == FileType::Directory)
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
    let makes_directory = |change: &Change| {
        is_directory(change.after.as_ref()) && !is_directory(change.before.as_ref())
    };
    let wanted = |change: &Change| {
        within(change) || (needed.contains(&change.path) && makes_directory(change))
    };
    all.into_iter().filter(wanted).collect()
}

/// Whether a directory differs only because someone changed the live one: the sandbox has it in a
/// layer because of what is inside, with the mode and owner that it had then.
fn is_only_outside(
    change: &Change,
    from: &View,
    to: &View,
    seen: &Expectations,
) -> Result<bool, WorkspaceError> {
    if change.kind != ChangeKind::MetadataChanged || !is_directory(change.after.as_ref()) {
        return Ok(false);
    }
    let (Some(live), Some(ours)) = (from.lookup(&change.path)?, to.lookup(&change.path)?) else {
        return Ok(false);
    };
    let Some(then) = seen.seen(&change.path)?.and_then(|seen| seen.base) else { return Ok(false) };
    let ownership = |v: &crate::node::Version| (v.mode, v.uid, v.gid);
    Ok(ownership(&then) == ownership(&ours.version)
        && same_xattrs(&live.disk_path, &ours.disk_path)?)
}

fn steps(
    changes: &[Change],
    from: &View,
    to: &View,
    seen: &Expectations,
) -> Result<Vec<Step>, WorkspaceError> {
    let mut removed: HashSet<&RelPath> = HashSet::new();
    let mut steps = Vec::with_capacity(changes.len());
    for change in changes {
        let path = &change.path;
        let inside_removed = path.ancestors().any(|above| removed.contains(&above));
        if is_directory(change.before.as_ref()) && !is_directory(change.after.as_ref()) {
            removed.insert(path);
        }
        // What goes with its directory needs a step only when more is known than when it changed
        // last: then it has to be what an earlier operation saw, or what we put there.
        if inside_removed && !seen.is_known(path)? {
            continue;
        }
        let replace = match change.after {
            None => Replacement::Nothing,
            Some(_) => match to.lookup(path)? {
                Some(found) => Replacement::Entry { source: found.disk_path },
                None => Replacement::Nothing,
            },
        };
        let expect = expect(path, from, seen)?;
        steps.push(Step { path: path.clone(), expect, replace });
    }
    Ok(steps)
}

fn expect(path: &RelPath, from: &View, seen: &Expectations) -> Result<Expect, WorkspaceError> {
    let Some(seen_then) = seen.seen(path)? else {
        // No layer says anything: what is there now is all there is to go by.
        let since = now();
        return Ok(match from.lookup(path)? {
            Some(found) => Expect::Unchanged { version: found.version, since },
            None => Expect::Absent,
        });
    };
    Ok(match seen_then.base {
        None => Expect::Absent,
        Some(version) if seen_then.raced => Expect::ChangedDuringOperation { version },
        Some(version) => {
            // What came into a directory before it was hidden, the sandbox saw.
            let since = seen.hidden_since(path).unwrap_or(seen_then.since);
            Expect::Unchanged { version, since }
        }
    })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::plan_commit`].
pub(super) fn plan_commit(
    store: &Store,
    request: &CommitRequest<'_>,
) -> Result<CommitPlan, WorkspaceError> {
    let prepared = prepare(store, request.tree, request.paths)?;
    let conflicts = live::plan(&prepared.tree.base, &prepared.steps)?;
    Ok(CommitPlan { changeset: Changeset { changes: prepared.changes }, conflicts })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::commit`].
pub(super) fn commit(
    store: &Store,
    request: &CommitRequest<'_>,
) -> Result<Committed, WorkspaceError> {
    let prepared = prepare(store, request.tree, request.paths)?;
    let Prepared { tree, base, changes, steps } = prepared;
    let paths = changes.iter().map(|change| &change.path);
    let changed = found(&base, &tree.base, paths, &steps, request.strategy)?;
    let record = Request::new(tree, request.paths.to_vec(), changed, None)?;
    execute(store, request.operation, &record, steps, request.strategy)
}

/// What the base has at `paths`, as far as the transaction will make sure that it does.
pub(super) fn found<'a>(
    view: &View,
    base: &Path,
    paths: impl Iterator<Item = &'a RelPath>,
    steps: &[Step],
    strategy: ConflictStrategy,
) -> Result<Vec<(RelPath, Option<Version>)>, WorkspaceError> {
    let mut foreign = HashSet::new();
    if strategy != ConflictStrategy::Fail {
        foreign.extend(live::plan(base, steps)?.into_iter().map(|conflict| conflict.path));
    }
    let mut changed = Vec::new();
    for path in paths {
        let foreign = foreign.contains(path) || path.ancestors().any(|up| foreign.contains(&up));
        let now = if foreign { None } else { view.lookup(path)?.map(|found| found.version) };
        changed.push((path.clone(), now));
    }
    Ok(changed)
}

pub(super) fn execute(
    store: &Store,
    operation: OperationId,
    request: &Request,
    steps: Vec<Step>,
    strategy: ConflictStrategy,
) -> Result<Committed, WorkspaceError> {
    make_directory(&store.commits())?;
    let transaction = store.transaction(operation);
    write(store, operation, REQUEST, request)?;
    if let Some(commit) = request.reverts {
        write(store, operation, REVERTS, &commit)?;
    }
    match live::execute(&request.tree.base, &transaction, operation, steps, strategy) {
        Ok(applied) => finish(store, operation, request, applied),
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
    applied: Applied,
) -> Result<Committed, WorkspaceError> {
    let steps = live::inverse_steps(&store.transaction(operation))?;
    keep_other_names(store, operation, &request.tree.base, &request.changed, &steps)?;
    let mut empty = bare(&request.tree.base);
    empty.commit = Some(operation);
    let mut tree = empty.text()?;
    if !request.paths.is_empty() {
        tree = rest(store, &steps, request, &empty)?;
    }
    let above = match request.reverts {
        Some(_) => request.above_now()?,
        None => Vec::new(),
    };
    let outcome = Outcome { tree, counts: applied.counts, above, contents: applied.contents };
    write(store, operation, RESULT, &outcome)?;
    committed(store, operation, outcome)
}

fn committed(
    store: &Store,
    operation: OperationId,
    outcome: Outcome,
) -> Result<Committed, WorkspaceError> {
    let digest = digest_of_commit(
        &store.commits().join(format!("{operation}.{REQUEST}")),
        outcome.contents.as_deref(),
    )?;
    Ok(Committed { tree: outcome.tree, counts: outcome.counts, digest })
}

/// The tree after a partial commit: the layers stay, and one more below them says what the base
/// has now at the committed paths, so that the next commit expects that.
fn rest(
    store: &Store,
    steps: &[Step],
    request: &Request,
    empty: &OverlayTree,
) -> Result<Tree, WorkspaceError> {
    let base = View::new(request.tree.base.clone(), Vec::new());
    let since = since_of(steps);
    let mut records = Vec::with_capacity(request.changed.len());
    for (path, _) in &request.changed {
        let mut record =
            Record { path: path.clone(), entry: None, opaque: false, base: None, raced: false };
        match steps.binary_search_by(|step| step.path.cmp(path)) {
            Ok(at) => expected(&mut record, steps.get(at).map(|step| step.expect)),
            // It was as wanted already, or was left as someone made it.
            Err(_) => record.base = base.lookup(path)?.map(|found| found.version),
        }
        records.push(record);
    }
    // Their times moved because of us, which must not look like somebody else's doing where the
    // sandbox removes them, too.
    let seen = Expectations::of(store, &request.tree)?;
    for ((path, before), (_, now)) in matched(&request.above, &request.above_now()?) {
        let untouched = seen.hidden_since(path).is_some_and(|since| before.ctime < since);
        if untouched || (seen.hidden_since(path).is_some() && seen.is_known(path)?) {
            let (path, base) = (path.clone(), Some(*now));
            records.push(Record { path, entry: None, opaque: false, base, raced: false });
        }
    }
    records.sort_by(|a, b| a.path.cmp(&b.path));
    let (mark, _) = store.keep(LayerKind::Mark, None, &Manifest { since, root: false, records })?;
    let layers = std::iter::once(mark).chain(request.tree.layers.iter().cloned()).collect();
    let left = empty.with_layers(layers).text()?;
    // Where a conflict kept something of the sandbox's out, the sandbox drops it.
    let empty = empty.text()?;
    let left = restore_paths(store, &left, &empty, &request.paths)?;
    let (from, to, candidates) =
        store.compared(&OverlayTree::parse(&empty)?, &OverlayTree::parse(&left)?)?;
    let nothing = changes(&from, &to, &candidates)?.changes.is_empty();
    Ok(if nothing { empty } else { left })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::recover_commit`].
pub(super) fn recover_commit(
    store: &Store,
    operation: OperationId,
) -> Result<RecoveredCommit, WorkspaceError> {
    if let Some(outcome) = read::<Outcome>(store, operation, RESULT)? {
        return committed(store, operation, outcome).map(RecoveredCommit::Finished);
    }
    let transaction = store.transaction(operation);
    if version(&transaction)?.is_none() {
        forget(store, operation)?;
        return Ok(RecoveredCommit::TakenBack);
    }
    match live::recover(&transaction)? {
        Recovered::NotBegun | Recovered::TakenBack => {
            forget_taken_back(store, operation)?;
            Ok(RecoveredCommit::TakenBack)
        }
        Recovered::Finished(applied) => {
            let request = request_of(store, operation)?;
            finish(store, operation, &request, applied).map(RecoveredCommit::Finished)
        }
    }
}
