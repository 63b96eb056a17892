//! Whether what comes from elsewhere is what a record tells of.

#[cfg(test)]
mod crash;

use std::collections::HashMap;
use std::path::Path;

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;

use crate::layer::is_whiteout;
use crate::manifest::Record;
use crate::node::{Version, file_type};
use crate::view::View;

/// Whether any of the versions that the records tell of the base is in `base`: then it is the
/// directory that they speak of. One is enough, since elsewhere there is none.
///
/// # Errors
/// When an entry cannot be looked at.
pub(crate) fn is_original<'a>(
    base: &View,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<bool, WorkspaceError> {
    for record in records {
        if let Some(then) = record.base
            && let Some(now) = base.lookup(&record.path)?
            && is_same(&then, &now.version)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two versions are of one inode, which was not changed in between. A directory's times
/// move with every entry made in it; without them the number of the device must do, which changes
/// with a reboot at most.
fn is_same(then: &Version, now: &Version) -> bool {
    if (then.ino, then.mode) != (now.ino, now.mode) {
        return false;
    }
    if now.is_directory() {
        return then.ctime == now.ctime || then.dev == now.dev;
    }
    (then.ctime, then.mtime, then.size) == (now.ctime, now.mtime, now.size)
}

/// Whether an entry can be a copy of another one. Owners differ from machine to machine.
pub(crate) fn is_alike(then: &Version, now: &Version) -> bool {
    (then.mode, then.rdev) == (now.mode, now.rdev)
        && (now.is_directory() || (then.size, then.mtime) == (now.size, now.mtime))
}

/// Errs unless what was `found` in the directory `restored` is what the records tell of.
///
/// # Errors
/// [`WorkspaceError::Damaged`] with the first difference.
pub(crate) fn check_restored(
    found: &[Record],
    told: &[Record],
    restored: &Path,
) -> Result<(), WorkspaceError> {
    let misfit =
        |what, path: &RelPath| Err(WorkspaceError::Damaged { what, path: path.below(restored) });
    let mut expected: HashMap<&RelPath, (&Version, bool)> = HashMap::with_capacity(told.len());
    for record in told {
        let Some(entry) = &record.entry else { continue };
        if expected.insert(&record.path, (entry, record.opaque)).is_some() {
            return misfit("the record of a part tells of an entry twice", &record.path);
        }
    }
    for now in found {
        let Some(entry) = &now.entry else { continue };
        match expected.remove(&now.path) {
            Some((then, opaque)) if opaque == now.opaque && is_restored(then, entry) => {}
            Some(_) => {
                return misfit("an entry is not what the record of its part tells", &now.path);
            }
            None => return misfit("the record of a part does not tell of an entry", &now.path),
        }
    }
    match expected.into_keys().min() {
        Some(path) => misfit("an entry of which the record of its part tells is missing", path),
        None => Ok(()),
    }
}

/// Whether an entry is another one come back, as far as that can be told without its content.
fn is_restored(then: &Version, now: &Version) -> bool {
    if is_whiteout(then) {
        return is_whiteout(now);
    }
    let kept = |v: &Version| (v.mode, v.uid, v.gid, v.rdev, v.mtime);
    file_type(then) == file_type(now)
        && kept(then) == kept(now)
        && (then.is_directory() || then.size == now.size)
}
