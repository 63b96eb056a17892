//! Whether layers are as they were sealed.

use std::collections::HashMap;

use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags};

use super::head::check_base;
use super::store::Store;
use super::tree::{LayerId, LayerKind, OverlayTree};
use super::walk::walk;
use crate::layer::is_whiteout;
use crate::manifest::Manifest;
use crate::node::{Version, failed};
use crate::view::quick_version;

/// See [`ctrlz_core::workspace::WorkspaceDriver::verify`].
pub(super) fn verify(store: &Store, tree: &Tree, thorough: bool) -> Result<(), WorkspaceError> {
    let tree = OverlayTree::parse(tree)?;
    check_base(&tree.base)?;
    for id in &tree.layers {
        whole_since_boot(store, id)?;
        let manifest = store.manifest(id)?;
        if thorough && id.kind() != LayerKind::Mark {
            compare(store, id, &manifest)?;
        }
    }
    Ok(())
}

/// Errs when a layer is missing. One from an earlier boot is compared entry by entry, once: a
/// layer is not flushed to disk when it is sealed, so a crash of the machine can lose parts of it.
pub(super) fn whole_since_boot(store: &Store, id: &LayerId) -> Result<(), WorkspaceError> {
    if id.kind() != LayerKind::Mark {
        let path = store.layer(id);
        if !quick_version(&path)?.is_some_and(|version| version.is_directory()) {
            return Err(WorkspaceError::Damaged { what: "a layer is missing", path });
        }
    }
    // A transaction flushes what it keeps.
    let Some(boot) = id.boot() else { return Ok(()) };
    if boot == store.boot() {
        return Ok(());
    }
    let survived = store.beside(id, "survived");
    if quick_version(&survived)?.is_some() {
        return Ok(());
    }
    let manifest = store.manifest(id)?;
    if id.kind() != LayerKind::Mark {
        compare(store, id, &manifest)?;
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(&survived, flags, Mode::from_raw_mode(0o600))
        .map(drop)
        .map_err(failed("create", &survived))
}

fn compare(store: &Store, id: &LayerId, manifest: &Manifest) -> Result<(), WorkspaceError> {
    let layer = store.layer(id);
    let damaged = |what, path: &RelPath| WorkspaceError::Damaged { what, path: path.below(&layer) };
    let backup = id.kind().commit().is_some();
    let linked = backup || quick_version(&store.beside(id, "linked"))?.is_some();
    let found = walk(&layer)?;
    let mut expected: HashMap<&RelPath, (&Version, bool)> = manifest
        .records
        .iter()
        .filter_map(|r| r.entry.as_ref().map(|entry| (&r.path, (entry, r.opaque))))
        .collect();
    for record in &found {
        let Some(now) = record.entry else { continue };
        match expected.remove(&record.path) {
            None => {
                return Err(damaged("a layer holds an entry that it did not hold", &record.path));
            }
            Some((then, opaque)) if opaque == record.opaque && same(then, &now, linked, backup) => {
            }
            Some(_) => return Err(damaged("a layer's entry was changed", &record.path)),
        }
    }
    match expected.into_keys().min() {
        Some(path) => Err(damaged("a layer's entry is missing", path)),
        None => Ok(()),
    }
}

/// Whether an entry is as it was sealed. The device number may change with the next boot. All
/// whiteouts of an operation share an inode, whose links come and go. A commit's backup may have
/// been parted from the live file, and be another inode since.
fn same(then: &Version, now: &Version, linked: bool, backup: bool) -> bool {
    if is_whiteout(then) {
        return is_whiteout(now);
    }
    let kept = |v: &Version| (v.mode, v.uid, v.gid, v.rdev, v.mtime);
    // Reading what its mode closes to us (crate::access), or linking it, moves the ctime.
    let closed = if then.is_directory() { 0o700 } else { 0o400 };
    let moved = linked || then.permissions() & closed != closed;
    (backup || then.ino == now.ino)
        && kept(then) == kept(now)
        && (then.is_directory() || then.size == now.size)
        && (moved || then.ctime == now.ctime)
}
