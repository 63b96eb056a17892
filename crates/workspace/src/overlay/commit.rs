//! Bringing a tree's changes to its live base, and taking that back.
//!
//! The transaction itself is [`crate::live`]'s. Beside its directory `commits/OPERATION` lie
//! `OPERATION.request`, written before it, and `OPERATION.result`, written after it.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeCounts, ChangeKind, Changeset, FileType};
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{
    CommitPlan, CommitRequest, Committed, ConflictStrategy, RecoveredCommit, WorkspaceError,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::collect::remove;
use super::expectation::Expectations;
use super::names::keep_other_names;
use super::restore::restore_paths;
use super::restored::Restored;
use super::store::{Store, make_directory, now};
use super::tree::{LayerId, LayerKind, OverlayTree, bare};
use crate::diff::changes;
use crate::live::{self, Applied, Expect, Recovered, Replacement, Step};
use crate::manifest::{Manifest, Record};
use crate::node::{Version, entries, failed, same_xattrs, version};
use crate::view::View;

/// What a commit or revert was asked to do.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    /// The tree that is committed; its base alone for a revert.
    tree: OverlayTree,
    /// The paths that were chosen; all when empty.
    paths: Vec<RelPath>,
    /// What it was going to change, and what was there before; the latter is `None`, too, where
    /// someone else had changed it.
    changed: Vec<(RelPath, Option<Version>)>,
    /// The commit that it takes back.
    reverts: Option<OperationId>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    tree: Tree,
    counts: ChangeCounts,
}

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

fn is_directory(metadata: Option<&ctrlz_core::changeset::Metadata>) -> bool {
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
    let record = Request { tree, paths: request.paths.to_vec(), changed, reverts: None };
    execute(store, request.operation, &record, steps, request.strategy)
}

/// What the base has at `paths`, as far as the transaction will make sure that it does.
fn found<'a>(
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

fn execute(
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
                && live::recover(&transaction)? != Recovered::NotBegun
            {
                return Err(error);
            }
            if matches!(error, WorkspaceError::Conflicts { .. }) {
                forget(store, operation)?;
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
    let outcome = Outcome { tree, counts: applied.counts };
    write(store, operation, RESULT, &outcome)?;
    Ok(Committed { tree: outcome.tree, counts: outcome.counts })
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
    let mark = store.keep(LayerKind::Mark, None, &Manifest { since, root: false, records })?;
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
        let committed = Committed { tree: outcome.tree, counts: outcome.counts };
        return Ok(RecoveredCommit::Finished(committed));
    }
    let transaction = store.transaction(operation);
    if version(&transaction)?.is_none() {
        forget(store, operation)?;
        return Ok(RecoveredCommit::TakenBack);
    }
    match live::recover(&transaction)? {
        Recovered::NotBegun | Recovered::TakenBack => {
            forget(store, operation)?;
            Ok(RecoveredCommit::TakenBack)
        }
        Recovered::Finished(applied) => {
            let request = request_of(store, operation)?;
            finish(store, operation, &request, applied).map(RecoveredCommit::Finished)
        }
    }
}

/// The steps that take a finished commit back.
fn inverse(store: &Store, commit: OperationId) -> Result<(Request, Vec<Step>), WorkspaceError> {
    let request = request_of(store, commit)?;
    if read::<Outcome>(store, commit, RESULT)?.is_none() {
        let path = store.transaction(commit);
        return Err(WorkspaceError::Damaged { what: "the commit was never finished", path });
    }
    Ok((request, live::inverse_steps(&store.transaction(commit))?))
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
    let request = Request { tree, paths: Vec::new(), changed, reverts: Some(commit) };
    execute(store, operation, &request, steps, strategy).map(|committed| committed.counts)
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
fn expected(record: &mut Record, expect: Option<Expect>) {
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
    let mut records = super::walk::walk(&store.layer(id))?;
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
    let partial = std::path::PathBuf::from(partial);
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("remove", &partial)(error));
        }
        _ => {}
    }
    Manifest { since, root, records }.write(&partial)?;
    std::fs::rename(&partial, &path).map_err(failed("put the manifest in place at", &path))
}

/// The transactions that no tree in `live` needs and that are older than `oldest`.
///
/// A tree on the same base needs every commit since it was made, to return to it, and the one
/// that made it, to take that back.
pub(super) fn unneeded(
    store: &Store,
    live: &[OverlayTree],
    oldest: i64,
) -> Result<Vec<OperationId>, WorkspaceError> {
    let mut found = Vec::new();
    for operation in operations_with(store, RESULT)? {
        let Some(request) = read::<Request>(store, operation, REQUEST)? else { continue };
        let needed = live.iter().any(|tree| {
            tree.base == request.tree.base
                && (tree.commit <= Some(operation)
                    || tree.layers.iter().any(|id| id.kind().commit() == Some(operation)))
        });
        let path = store.commits().join(format!("{operation}.{RESULT}"));
        let young = version(&path)?.is_none_or(|file| file.mtime.0 >= oldest);
        if !needed && !young {
            found.push(operation);
        }
    }
    Ok(found)
}

/// Removes everything of a transaction; answers the bytes freed. The result goes last but one and
/// the request last, so that a crash in between leaves what the next collection finds.
pub(super) fn forget(store: &Store, operation: OperationId) -> Result<u64, WorkspaceError> {
    let mut freed = remove(&store.transaction(operation))?;
    for what in [
        "names",
        "names.manifest",
        "inverse.manifest.partial",
        "inverse.manifest",
        RESULT,
        REVERTS,
        REQUEST,
    ] {
        freed += remove(&store.commits().join(format!("{operation}.{what}")))?;
    }
    Ok(freed)
}

/// What our own reverts put into `base` in place of what commits had replaced.
pub(super) fn restored(store: &Store, base: &Path) -> Result<Restored, WorkspaceError> {
    let mut restored = Restored::default();
    for revert in operations_with(store, REVERTS)? {
        let Some(commit) = read::<OperationId>(store, revert, REVERTS)? else { continue };
        if read::<Outcome>(store, revert, RESULT)?.is_none() {
            continue;
        }
        let Some(request) = read::<Request>(store, commit, REQUEST)? else { continue };
        if request.tree.base != base {
            continue;
        }
        let steps = live::inverse_steps(&store.transaction(revert))?;
        let before: HashMap<RelPath, Version> = request
            .changed
            .into_iter()
            .filter_map(|(path, version)| Some((path, version?)))
            .collect();
        for step in steps {
            if let (Expect::Unchanged { version, .. }, Some(before)) =
                (step.expect, before.get(&step.path))
            {
                restored.add(&step.path, *before, version);
            }
        }
    }
    Ok(restored)
}

/// The operations that have a record of that kind, oldest first.
fn operations_with(store: &Store, what: &str) -> Result<Vec<OperationId>, WorkspaceError> {
    if version(&store.commits())?.is_none() {
        return Ok(Vec::new());
    }
    let mut found: Vec<OperationId> = entries(&store.commits())?
        .iter()
        .filter_map(|name| name.to_str()?.strip_suffix(what)?.strip_suffix('.')?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

const REVERTS: &str = "reverts";
const REQUEST: &str = "request";
const RESULT: &str = "result";

fn request_of(store: &Store, operation: OperationId) -> Result<Request, WorkspaceError> {
    read(store, operation, REQUEST)?.ok_or_else(|| WorkspaceError::Damaged {
        what: "the record of a commit is missing",
        path: store.commits().join(format!("{operation}.{REQUEST}")),
    })
}

/// Writes a record whole or not at all, and to the disk.
fn write(
    store: &Store,
    operation: OperationId,
    what: &'static str,
    record: &impl Serialize,
) -> Result<(), WorkspaceError> {
    let path = store.commits().join(format!("{operation}.{what}"));
    let partial = store.commits().join(format!("{operation}.{what}.partial"));
    let all = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        std::fs::File::open(store.commits())?.sync_all()
    };
    all().map_err(failed("write", &path))
}

fn read<T: DeserializeOwned>(
    store: &Store,
    operation: OperationId,
    what: &'static str,
) -> Result<Option<T>, WorkspaceError> {
    read_record(&store.commits().join(format!("{operation}.{what}")))
}

fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, WorkspaceError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(failed("read", path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}
