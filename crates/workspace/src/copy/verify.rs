//! Whether copies are as they were sealed.

use std::collections::HashMap;

use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;

use super::store::{Loaded, Store, boot};
use super::survey;
use crate::node::{Version, version};

/// See [`ctrlz_core::workspace::WorkspaceDriver::verify`].
pub(super) fn verify(store: &Store, tree: &Tree, thorough: bool) -> Result<(), WorkspaceError> {
    let tree = store.parse(tree)?;
    let Some(copy) = store.load_tree(&tree)? else {
        if version(&tree.base)?.is_some_and(|version| version.is_directory()) {
            return Ok(());
        }
        return Err(WorkspaceError::Damaged { what: "the base is gone", path: tree.base });
    };
    let origin = store.origin(&copy)?;
    for copy in [&copy, &origin] {
        if thorough {
            compare(copy)?;
        } else {
            whole_since_boot(copy)?;
        }
    }
    Ok(())
}

/// Compares a copy from an earlier boot entry by entry: a copy is not flushed to disk when it is
/// sealed, so a crash of the machine can lose parts of it.
pub(super) fn whole_since_boot(copy: &Loaded) -> Result<(), WorkspaceError> {
    let boot = boot();
    if !boot.is_empty() && copy.record.boot == boot { Ok(()) } else { compare(copy) }
}

fn compare(copy: &Loaded) -> Result<(), WorkspaceError> {
    let damaged =
        |what, path: &RelPath| WorkspaceError::Damaged { what, path: path.below(&copy.root) };
    let mut expected: HashMap<&RelPath, &Version> = copy
        .manifest
        .records
        .iter()
        .filter_map(|record| Some((&record.path, record.entry.as_ref()?)))
        .collect();
    for record in survey::records(&copy.root)? {
        let Some(now) = record.entry else { continue };
        match expected.remove(&record.path) {
            None => {
                return Err(damaged("a tree holds an entry that it did not hold", &record.path));
            }
            Some(then) if same(then, &now) => {}
            Some(_) => return Err(damaged("a tree's entry was changed", &record.path)),
        }
    }
    match expected.into_keys().min() {
        Some(path) => Err(damaged("a tree's entry is missing", path)),
        None => Ok(()),
    }
}

/// Whether an entry is as it was sealed. The device number may change with the next boot.
fn same(then: &Version, now: &Version) -> bool {
    // Reading what its mode closes to its owner moves the change time, see crate::access.
    let closed = if then.is_directory() { 0o700 } else { 0o400 };
    let moved = then.permissions() & closed != closed;
    let kept = |v: &Version| (v.ino, v.mode, v.uid, v.gid, v.rdev, v.mtime, v.nlink);
    kept(then) == kept(now)
        && (then.is_directory() || then.size == now.size)
        && (moved || then.ctime == now.ctime)
}
