//! Differences between trees, and trees made by applying them: chosen paths of an older tree, one
//! step taken out, the time before a commit.

use std::collections::{BTreeSet, HashMap};

use ctrlz_core::changeset::{Change, ChangeKind, Changeset};
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{WithoutError, WorkspaceError};

use super::derive::{Draft, From, derive};
use super::expect::{Expectations, expect, found};
use super::origin::{materialize, origin};
use super::revert::undo_of;
use super::store::{Loaded, Store};
use super::survey;
use super::tree::{CopyId, CopyTree, TreeRecord};
use crate::diff::{Candidates, changes};
use crate::live::{Expect, Replacement, Step};
use crate::node::{Version, version};

/// See [`ctrlz_core::workspace::WorkspaceDriver::changes`].
pub(super) fn changes_between(
    store: &Store,
    from: &Tree,
    to: &Tree,
) -> Result<Changeset, WorkspaceError> {
    let (from, to) = (store.parse(from)?, store.parse(to)?);
    from.same_base(&to)?;
    if from == to {
        return Ok(Changeset::default());
    }
    let (before, after) = (store.load_tree(&from)?, store.load_tree(&to)?);
    difference(store, &from, before.as_ref(), after.as_ref())
}

/// What differs at the paths that either touched. Elsewhere a difference only tells that the two
/// were copied at different times.
pub(super) fn difference(
    store: &Store,
    base: &CopyTree,
    before: Option<&Loaded>,
    after: Option<&Loaded>,
) -> Result<Changeset, WorkspaceError> {
    let paths: BTreeSet<RelPath> = [before, after]
        .into_iter()
        .flatten()
        .flat_map(|copy| copy.record.touched.iter().cloned())
        .collect();
    let (from, to) = (store.view_of(&base.base, before)?, store.view_of(&base.base, after)?);
    let candidates = Candidates { paths, ..Candidates::default() };
    let mut found = changes(&from, &to, &candidates)?;
    found.changes.retain(|change| candidates.paths.contains(&change.path));
    Ok(found)
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::restore_paths`].
pub(super) fn restore_paths(
    store: &Store,
    now: &Tree,
    then: &Tree,
    paths: &[RelPath],
) -> Result<Tree, WorkspaceError> {
    let (from, to) = (store.parse(now)?, store.parse(then)?);
    from.same_base(&to)?;
    if paths.iter().any(RelPath::is_root) {
        return Ok(then.clone());
    }
    let (before, after) = (store.load_tree(&from)?, store.load_tree(&to)?);
    let mut changes = difference(store, &from, before.as_ref(), after.as_ref())?.changes;
    changes.retain(|change| paths.iter().any(|path| change.path.is_within(path)));
    if changes.is_empty() {
        return Ok(now.clone());
    }
    let below = match before {
        Some(copy) => copy,
        None => origin(store, &from.base)?,
    };
    let id = apply(store, &below, &from, after.as_ref(), &changes)?;
    from.with(Some(id)).text()
}

/// `below` with `changes`, which lead to `to`, or to the base when that is nothing.
fn apply(
    store: &Store,
    below: &Loaded,
    base: &CopyTree,
    to: Option<&Loaded>,
    changes: &[Change],
) -> Result<CopyId, WorkspaceError> {
    let known = Expectations::of(store, below)?;
    let theirs = to.map(|to| Expectations::of(store, to)).transpose()?;
    derive(store, below, |draft| {
        for change in changes {
            let path = &change.path;
            let expected = match &theirs {
                Some(theirs) => theirs.at(path),
                None => expect(version(&path.below(&base.base))?),
            };
            match (&change.after, to) {
                (None, _) => draft.remove(path)?,
                (Some(_), Some(to)) => draft.put(path, &to.root, From::Store)?,
                (Some(_), None) => draft.put(path, &base.base, From::Live)?,
            }
            if known.at(path) != expected {
                draft.seen.insert(path.clone(), expected);
            }
        }
        Ok(())
    })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::without`].
pub(super) fn without(
    store: &Store,
    before: &Tree,
    after: &Tree,
    later: &[Tree],
) -> Result<Result<Tree, WithoutError>, WorkspaceError> {
    let now = later.last().unwrap_or(after);
    if before == after {
        return Ok(Ok(now.clone()));
    }
    if now == after {
        return Ok(Ok(before.clone()));
    }
    let (base, last_tree) = (store.parse(before)?, store.parse(now)?);
    base.same_base(&store.parse(after)?)?;
    let from = materialize(store, &store.parse(after)?)?;
    // What the step began with, if that was the base, is what it was copied from.
    let to = match store.load_tree(&base)? {
        Some(copy) => copy,
        None => store.origin(&from)?,
    };
    let step = difference(store, &base, Some(&from), Some(&to))?;
    let mut last = from;
    for (index, tree) in later.iter().enumerate() {
        let tree = store.parse(tree)?;
        base.same_base(&tree)?;
        let next = materialize(store, &tree)?;
        let changed = difference(store, &base, Some(&last), Some(&next))?;
        if let Some(path) = dependency(&step, &changed) {
            return Ok(Err(WithoutError::Depends { step: index, path }));
        }
        last = next;
    }
    let id = apply(store, &last, &base, Some(&to), &step.changes)?;
    Ok(Ok(last_tree.with(Some(id)).text()?))
}

/// Where `later` stands on the step of which `undo` is the reverse.
fn dependency(undo: &Changeset, later: &Changeset) -> Option<RelPath> {
    let moves = |change: &Change| change.kind != ChangeKind::MetadataChanged;
    let depends = |step: &Change, later: &Change| {
        step.path == later.path
            // In a directory that the step made, removed or replaced.
            || (moves(step) && later.path.is_within(&step.path))
            // The directory of what the step changed is gone or another.
            || (moves(later) && step.path.is_within(&later.path))
    };
    let mut changes = later.changes.iter();
    changes
        .find(|later| undo.changes.iter().any(|step| depends(step, later)))
        .map(|change| change.path.clone())
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::rebase`].
pub(super) fn rebase(
    store: &Store,
    text: &Tree,
    since: &[OperationId],
) -> Result<Tree, WorkspaceError> {
    if since.is_empty() {
        return Ok(text.clone());
    }
    let mut tree = store.parse(text)?;
    tree.commit = tree.commit.max(since.iter().max().copied());
    let undos = since.iter().map(|commit| undo_of(store, *commit));
    let undos = undos.collect::<Result<Vec<_>, _>>()?;
    let Some(copy) = store.load_tree(&tree)? else {
        // The base as it was: as it is, with the commits taken back, the last one first.
        let below = origin(store, &tree.base)?;
        let id = derive(store, &below, |draft| {
            undos.iter().rev().try_for_each(|undo| take_back(draft, undo))
        })?;
        return tree.with(Some(id)).text();
    };
    // The files stay; only what they are compared with has moved.
    let mut touched = copy.record.touched.clone();
    // What we put there ourselves becomes part of the tree: collection lets go of what is older
    // than the commit that it knows of from now on.
    let (mut known, mut seen) = Expectations::of(store, &copy)?.all();
    for undo in &undos {
        let names = names(known.iter().map(|(path, version)| (path.clone(), *version)));
        for step in undo {
            let version = found(&step.expect);
            let inode = version.map(|version| version.ino);
            for path in others(&names, &step.path, inode, undo).chain([&step.path]) {
                touched.insert(path.clone());
                seen.insert(path.clone(), current(step.expect));
                match version {
                    Some(version) => known.insert(path.clone(), version),
                    None => known.remove(path),
                };
            }
        }
    }
    let record =
        TreeRecord { touched, seen: super::expect::written(seen), ..shared(store, &copy)? };
    tree.with(Some(share(store, &copy, record)?)).text()
}

/// Undoes one commit in a copy of the base.
fn take_back(draft: &mut Draft, undo: &[Step]) -> Result<(), WorkspaceError> {
    let entries = survey::records(draft.root())?.into_iter();
    let entries: HashMap<RelPath, Version> =
        entries.filter_map(|record| Some((record.path, record.entry?))).collect();
    let names = names(entries.iter().map(|(path, version)| (path.clone(), *version)));
    for step in undo {
        let Replacement::Entry { source } = &step.replace else {
            draft.remove(&step.path)?;
            continue;
        };
        draft.put_node(&step.path, source, From::Store)?;
        let inode = entries.get(&step.path).map(|version| version.ino);
        for other in others(&names, &step.path, inode, undo) {
            draft.link(&step.path, other)?;
        }
    }
    Ok(())
}

/// The paths of files with several names, by inode.
type Names = HashMap<u64, Vec<RelPath>>;

fn names(entries: impl IntoIterator<Item = (RelPath, Version)>) -> Names {
    let mut names = Names::new();
    for (path, version) in entries {
        if version.is_file() && version.nlink > 1 {
            names.entry(version.ino).or_default().push(path);
        }
    }
    names
}

/// Those of the names of the file at `path` for which `undo` has no step. A commit writes a file
/// that has several names into its inode, which changes all of them, and so does its undo.
fn others<'a>(
    names: &'a Names,
    path: &'a RelPath,
    inode: Option<u64>,
    undo: &'a [Step],
) -> impl Iterator<Item = &'a RelPath> {
    let names = inode.and_then(|inode| names.get(&inode));
    names.into_iter().flatten().filter(move |other| {
        *other != path && undo.binary_search_by(|step| step.path.cmp(other)).is_err()
    })
}

/// What the undo of a commit expects is what the commit left. Its word on what else may be in a
/// directory does not hold for a tree that stood on the base before.
pub(super) fn current(expected: Expect) -> Expect {
    match expected {
        Expect::Unchanged { version, .. } => expect(Some(version)),
        other => other,
    }
}

/// The record of a tree that has the files of `copy`.
pub(super) fn shared(store: &Store, copy: &Loaded) -> Result<TreeRecord, WorkspaceError> {
    Ok(TreeRecord {
        origin: Some(store.origin(copy)?.id),
        files: Some(copy.record.files.clone().unwrap_or_else(|| copy.id.clone())),
        ..copy.record.clone()
    })
}

/// Keeps such a tree.
pub(super) fn share(
    store: &Store,
    copy: &Loaded,
    record: TreeRecord,
) -> Result<CopyId, WorkspaceError> {
    store.kept(|_| Ok((record, copy.manifest.clone())))
}
