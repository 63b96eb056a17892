//! Removing what nobody needs any more.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use ctrlz_core::id::OperationId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::commit::request_of;
use super::head::Notes;
use super::store::{Store, make_directory, now, read_json};
use super::survey;
use super::tree::{CopyId, CopyTree};
use crate::node::{entries, failed, remove_tree, version};

/// How old, in nanoseconds, a copy must be that another process may just have made.
const GRACE: i64 = 3_600_000_000_000;

/// The file by which processes tell each other that they use the store.
pub(super) fn lock_file(store: &Store) -> Result<OwnedFd, WorkspaceError> {
    make_directory(store.dir())?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(store.lock(), flags, Mode::from_raw_mode(0o600))
        .map_err(failed("open", store.lock()))
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::collect`].
///
/// A tree that another process made but has not yet recorded is in nobody's `live`. So while any
/// other driver has the store in use, copies younger than an hour stay.
pub(super) fn collect(
    store: &Store,
    live: &mut dyn FnMut() -> Option<Vec<Tree>>,
    lock: &OwnedFd,
) -> Result<u64, WorkspaceError> {
    let alone = match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => false,
        Err(errno) => return Err(failed("lock", store.lock())(errno)),
    };
    // Not before the lock: what another process recorded just now would be in nobody's `live`.
    let collected = live().map_or(Ok(0), |live| collect_locked(store, &live, alone));
    // Waits at most for another collection.
    rustix::fs::flock(lock, FlockOperation::LockShared).map_err(failed("lock", store.lock()))?;
    collected
}

fn collect_locked(store: &Store, live: &[Tree], alone: bool) -> Result<u64, WorkspaceError> {
    let live = live.iter().map(CopyTree::parse).collect::<Result<Vec<_>, _>>()?;
    let oldest = if alone { i64::MAX } else { now().0.saturating_sub(GRACE) };
    let mut needed = BTreeSet::new();
    for id in live.iter().filter_map(|tree| tree.copy.clone()) {
        need(store, &mut needed, id);
    }
    for head in listed(&store.heads())? {
        let notes = read_json::<Notes>(&store.heads().join(head).join("head"), "no notes");
        if let Ok(notes) = notes {
            need(store, &mut needed, notes.copy);
        }
    }
    let mut freed = 0;
    for name in listed(&store.trees())? {
        let id: Option<CopyId> = name.to_str().and_then(|name| name.parse().ok());
        if id.is_some_and(|id| !needed.contains(&id) && id.nanoseconds() < oldest) {
            freed += removed(&store.trees().join(name))?;
        }
    }
    for name in listed(&store.commits())? {
        let operation = name.to_str().and_then(|name| name.parse().ok());
        if let Some(operation) = operation
            && is_unneeded(store, &live, operation)
        {
            freed += removed(&store.commit(operation))?;
        }
    }
    for name in listed(&store.makings())? {
        if !is_being_made(&name) {
            freed += removed(&store.makings().join(name))?;
        }
    }
    Ok(freed)
}

/// Whether nobody can ask for a finished commit any more. A tree on the same base needs every
/// commit since it was made, to return to it, and the one that made it, to take that back.
fn is_unneeded(store: &Store, live: &[CopyTree], operation: OperationId) -> bool {
    let finished = store.commit(operation).join("result").exists();
    let Ok(request) = request_of(store, operation) else { return false };
    let needs = |tree: &CopyTree| {
        tree.base == request.tree.base && tree.commit.is_none_or(|last| last <= operation)
    };
    finished && !live.iter().any(needs)
}

fn need(store: &Store, needed: &mut BTreeSet<CopyId>, id: CopyId) {
    // A record that cannot be read names nothing; the tree is damaged, and stays for a look.
    if let Ok(record) = store.record(&id) {
        needed.extend(record.origin.into_iter().chain(record.files));
    }
    needed.insert(id);
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::parts`].
pub(super) fn parts(store: &Store, tree: &CopyTree) -> Result<Vec<String>, WorkspaceError> {
    let mut needed = BTreeSet::new();
    if let Some(id) = tree.copy.clone() {
        need(store, &mut needed, id);
    }
    Ok(needed.iter().map(|id| id.as_str().to_owned()).collect())
}

/// The bytes of a copy; 0 when it is gone.
pub(super) fn size(path: &Path) -> Result<u64, WorkspaceError> {
    if version(path)?.is_none() {
        return Ok(0);
    }
    let entries = survey::records(path)?;
    Ok(entries.iter().filter_map(|record| Some(record.entry?.size)).sum())
}

fn listed(directory: &Path) -> Result<Vec<std::ffi::OsString>, WorkspaceError> {
    match entries(directory) {
        Err(WorkspaceError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        result => result,
    }
}

/// Whether the process that a directory in `making` is named after is still there.
fn is_being_made(name: &std::ffi::OsStr) -> bool {
    let pid = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid);
    pid.is_some_and(|pid| Path::new("/proc").join(pid).exists())
}

fn removed(path: &Path) -> Result<u64, WorkspaceError> {
    let bytes = size(path)?;
    remove_tree(path)?;
    Ok(bytes)
}
