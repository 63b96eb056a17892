//! Removing what nothing needs.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::store::{Store, make_directory, now};
use super::tree::{LayerId, OverlayTree};
use super::{chain, record};
use crate::node::{entries, failed, open_directory, remove_tree, version};
use std::os::fd::OwnedFd;

/// How old, in nanoseconds, a layer must be that another process may just have made.
const GRACE: i64 = 3_600_000_000_000;

/// The file by which processes tell each other that they use the store.
pub(super) fn lock_file(store: &Store) -> Result<OwnedFd, WorkspaceError> {
    let path = store.lock();
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    let open = || rustix::fs::open(&path, flags, mode);
    let file = match open() {
        Err(Errno::NOENT) => {
            make_directory(path.parent().unwrap_or(Path::new("/")))?;
            open()
        }
        result => result,
    };
    file.map_err(failed("open", &path))
}

/// What this driver itself has open, by the names of its directories.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// Of the sandboxes in which it has an operation under way.
    pub heads: HashSet<OsString>,
    /// Of the landings that nobody cleared.
    pub landings: HashSet<OsString>,
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::collect`].
///
/// A layer that another process sealed but has not yet recorded is in nobody's `live`. So while
/// any other driver has the store in use, layers younger than an hour stay, and heads and landings
/// do, too. The caller sees to it that no tree of this driver is between its making and `live`.
pub(super) fn collect(
    store: &Store,
    (live, more): (&mut dyn FnMut() -> Option<Vec<Tree>>, &dyn Fn() -> bool),
    lock: &OwnedFd,
    ours: &Ours,
) -> Result<u64, WorkspaceError> {
    let alone = match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => false,
        Err(errno) => return Err(failed("lock", store.lock())(errno)),
    };
    // Not before the lock: what another process recorded just now would be in nobody's `live`.
    let collected = live().map_or(Ok(0), |live| collect_locked(store, &live, (alone, more), ours));
    // Turning an exclusive lock into a shared one, or taking it again when the failed attempt
    // dropped it (flock(2)). Waits at most for another collection.
    rustix::fs::flock(lock, FlockOperation::LockShared).map_err(failed("lock", store.lock()))?;
    collected
}

fn collect_locked(
    store: &Store,
    live: &[Tree],
    (alone, more): (bool, &dyn Fn() -> bool),
    ours: &Ours,
) -> Result<u64, WorkspaceError> {
    let mut trees = Vec::with_capacity(live.len());
    for tree in live {
        trees.push(OverlayTree::parse(tree)?);
    }
    let oldest = if alone { i64::MAX } else { now().0.saturating_sub(GRACE) };
    let layers: HashSet<&LayerId> = trees.iter().flat_map(|tree| &tree.layers).collect();
    let mut freed = 0;
    for name in listed(&store.layers())? {
        let Some((id, time)) = layer_of(&name) else {
            continue;
        };
        let needed = id.as_ref().is_some_and(|id| layers.contains(id));
        let is_old = || -> Result<bool, WorkspaceError> {
            Ok(id.as_ref().map_or(Ok(i64::MIN), |id| used(store, id))? < oldest)
        };
        if !needed && time < oldest && is_old()? {
            if !more() {
                return Ok(freed);
            }
            // Someone may have begun to use it since.
            let _turn = turn(store, FlockOperation::LockExclusive)?;
            if is_old()? {
                freed += remove(&store.layers().join(&name))?;
            }
        }
    }
    if alone {
        let merged: HashSet<PathBuf> =
            trees.iter().flat_map(|tree| chain::merged_of(store, tree)).collect();
        for name in listed(&store.merged())? {
            let path = store.merged().join(&name);
            if !merged.contains(&path) {
                if !more() {
                    return Ok(freed);
                }
                freed += remove(&path)?;
            }
        }
        for (directory, kept) in [(store.heads(), &ours.heads), (store.landings(), &ours.landings)]
        {
            for name in listed(&directory)? {
                if !kept.contains(&name) {
                    if !more() {
                        return Ok(freed);
                    }
                    freed += remove(&directory.join(&name))?;
                }
            }
        }
    }
    for operation in record::unneeded(store, &trees, oldest)? {
        if !more() {
            return Ok(freed);
        }
        freed += record::forget(store, operation)?;
    }
    Ok(freed)
}

/// When a layer was taken in or used again, which may be long after it was made.
fn used(store: &Store, id: &LayerId) -> Result<i64, WorkspaceError> {
    Ok(version(&store.beside(id, "manifest"))?.map_or(i64::MIN, |manifest| manifest.mtime.0))
}

/// Keeps those who remove old layers, who lock exclusively, and those who use them again, who lock
/// shared, from each other until it is dropped.
pub(super) fn turn(store: &Store, how: FlockOperation) -> Result<OwnedFd, WorkspaceError> {
    let layers = store.layers();
    let open = open_directory(&layers, OFlags::RDONLY)?;
    rustix::fs::flock(&open, how).map_err(failed("lock", &layers))?;
    Ok(open)
}

fn listed(directory: &Path) -> Result<Vec<OsString>, WorkspaceError> {
    if version(directory)?.is_none() {
        return Ok(Vec::new());
    }
    entries(directory)
}

/// The layer that an entry of `layers/` belongs to, and when it was made; the former is `None` for
/// one that was never finished. Nothing for what is not ours.
pub(super) fn layer_of(name: &OsStr) -> Option<(Option<LayerId>, i64)> {
    let name = name.to_str()?;
    let time = |hex: &str| i64::from_str_radix(hex, 16).ok();
    if let Some(unfinished) = name.strip_suffix(".building") {
        return Some((None, time(unfinished.split('-').nth(1)?)?));
    }
    let id: LayerId = name.split('.').next()?.parse().ok()?;
    if id.kind().commit().is_some() {
        return None;
    }
    let made = time(id.as_str().split('-').nth(2)?)?;
    Some((Some(id), made))
}

/// Removes a tree; answers about how many bytes that freed.
pub(super) fn remove(path: &Path) -> Result<u64, WorkspaceError> {
    let freed = usage(path)?;
    remove_tree(path)?;
    Ok(freed)
}

/// The bytes on disk that go with `path`: what has another name elsewhere does not. What cannot
/// be looked into counts nothing.
pub(super) fn usage(path: &Path) -> Result<u64, WorkspaceError> {
    let mut bytes = 0_u64;
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(stat) = rustix::fs::statat(CWD, &path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
        if directory || stat.st_nlink == 1 {
            bytes = bytes.saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0) * 512);
        }
        if directory {
            let below = entries(&path).unwrap_or_default();
            pending.extend(below.iter().map(|name| path.join(name)));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::tree::LayerKind;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn only_names_that_we_give_are_layers() {
        let named = |name: &[u8]| layer_of(OsStr::from_bytes(name));
        let id = LayerId::new(LayerKind::Sealed, "0a0b0c0d", 255, 0);
        let text = id.to_string();
        assert_eq!(named(text.as_bytes()), Some((Some(id.clone()), 255)));
        assert_eq!(named(format!("{text}.manifest").as_bytes()), Some((Some(id), 255)));
        assert_eq!(named(b"12-ff.building"), Some((None, 255)));
        for other in [&b"lost+found"[..], b"op-1", b"\xff", b"l-1-2", b".building"] {
            assert_eq!(named(other), None, "{other:?}");
        }
    }
}
