//! Removing what nobody needs any more.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use ctrlz_core::id::OperationId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::commit::{TAKEN_BACK, request_of};
use super::head::Notes;
use super::store::{Store, make_directory, now, read_json};
use super::survey;
use super::tree::{CopyId, CopyTree};
use crate::node::{entries, failed, version};
use crate::restored::TakenBack;

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
    (live, more): (&mut dyn FnMut() -> Option<Vec<Tree>>, &dyn Fn() -> bool),
    lock: &OwnedFd,
) -> Result<u64, WorkspaceError> {
    let alone = match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => false,
        Err(errno) => return Err(failed("lock", store.lock())(errno)),
    };
    // Not before the lock: what another process recorded just now would be in nobody's `live`.
    let collected = live().map_or(Ok(0), |live| collect_locked(store, &live, (alone, more)));
    // Waits at most for another collection.
    rustix::fs::flock(lock, FlockOperation::LockShared).map_err(failed("lock", store.lock()))?;
    collected
}

fn collect_locked(
    store: &Store,
    live: &[Tree],
    (alone, more): (bool, &dyn Fn() -> bool),
) -> Result<u64, WorkspaceError> {
    let live = live.iter().map(|tree| store.parse(tree)).collect::<Result<Vec<_>, _>>()?;
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
    // After the heads: what is sealed in between is here, or was there.
    let trees: Vec<CopyId> = listed(&store.trees())?
        .iter()
        .filter_map(|name| name.to_str().and_then(|name| name.parse().ok()))
        .collect();
    for id in &trees {
        if last_used(store, id)? >= oldest {
            need(store, &mut needed, id.clone());
        }
    }
    let mut freed = 0;
    for id in trees {
        // Someone may have begun to use it since.
        if !needed.contains(&id) && last_used(store, &id)? < oldest {
            if !more() {
                return Ok(freed);
            }
            freed += removed(store, &store.tree(&id))?;
        }
    }
    for name in listed(&store.commits())? {
        let operation = name.to_str().and_then(|name| name.parse().ok());
        if let Some(operation) = operation
            && is_unneeded(store, &live, operation)
        {
            if !more() {
                return Ok(freed);
            }
            freed += removed(store, &store.commit(operation))?;
        }
    }
    for name in listed(&store.makings())? {
        if !is_being_made(&name) {
            if !more() {
                return Ok(freed);
            }
            freed += removed(store, &store.makings().join(name))?;
        }
    }
    if let Some(datasets) = store.datasets() {
        datasets.sweep(&[store.makings(), store.heads(), store.trees()])?;
    }
    Ok(freed)
}

/// When a copy was made or, if that is later, used as a copy of the base again.
fn last_used(store: &Store, id: &CopyId) -> Result<i64, WorkspaceError> {
    let used = version(&store.tree(id))?.map_or(i64::MIN, |directory| directory.mtime.0);
    Ok(used.max(id.nanoseconds()))
}

/// Whether nobody can ask for a finished commit any more. A tree on the same base needs every
/// commit since it was made, to return to it, and the one that made it, to take that back; and to
/// know what we put there ourselves.
fn is_unneeded(store: &Store, live: &[CopyTree], operation: OperationId) -> bool {
    let directory = store.commit(operation);
    let taken_back = || read_json::<TakenBack>(&directory.join(TAKEN_BACK), "no record");
    let base = match (request_of(store, operation), taken_back()) {
        (Ok(request), _) if directory.join("result").exists() => request.tree.base,
        (Err(_), Ok(taken_back)) => taken_back.base,
        _ => return false,
    };
    let needs =
        |tree: &CopyTree| tree.base == base && tree.commit.is_none_or(|last| last <= operation);
    !live.iter().any(needs)
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
pub(super) fn size(store: &Store, path: &Path) -> Result<u64, WorkspaceError> {
    if version(path)?.is_none() {
        return Ok(0);
    }
    let mut entries = survey::records(path)?;
    match store.files(path) {
        // They are mounted elsewhere.
        Ok(root) if !root.starts_with(path) => entries.extend(survey::records(&root)?),
        // What cannot be mounted can be removed, and nobody knows how large it is.
        Ok(_) | Err(_) => {}
    }
    Ok(entries.iter().filter_map(|record| Some(record.entry?.size)).sum())
}

pub(super) fn listed(directory: &Path) -> Result<Vec<std::ffi::OsString>, WorkspaceError> {
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

fn removed(store: &Store, path: &Path) -> Result<u64, WorkspaceError> {
    let bytes = size(store, path)?;
    store.remove(path)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CopyDriver;
    use crate::copy::duplicate::Duplication;
    use crate::copy::store::write_json;
    use crate::copy::tree::TreeRecord;
    use crate::node::remove_tree;
    use ctrlz_core::id::SandboxId;
    use ctrlz_core::workspace::WorkspaceDriver;
    use std::fs;
    use std::time::SystemTime;

    /// A tree that another process sealed just now, on a copy of the base that is old.
    #[test]
    fn what_a_young_tree_stands_on_stays_while_another_process_uses_the_store() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (base, at) = (dir.path().join("base"), dir.path().join("store"));
        fs::create_dir(&base).expect("mkdir");
        fs::write(base.join("f"), "old").expect("write");
        let store = Store::new(Duplication::Copy, &at);
        let theirs = CopyDriver::new(&at);
        let bare = theirs.create(&base).expect("create");
        let operate = |sandbox: i64| {
            let head = theirs.begin(SandboxId(sandbox), &bare).expect("begin");
            fs::write(head.written.join("f"), "mine").expect("write");
            store.parse(&theirs.seal(&head).expect("seal").tree).expect("parse")
        };
        let sealed = operate(1).copy.expect("a copy");
        let record = store.record(&sealed).expect("record");
        let origin = record.origin.clone().expect("an origin");
        // As if it had been made in 1970.
        let old = CopyId::new(1, 0);
        fs::rename(store.tree(&origin), store.tree(&old)).expect("rename");
        let in_1970 = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        let age = || {
            let directory = fs::File::open(store.tree(&old)).expect("open");
            directory.set_times(in_1970).expect("set the times");
        };
        age();
        let record = TreeRecord { origin: Some(old.clone()), ..record };
        write_json(&store.tree(&sealed).join("record"), &record).expect("write");
        for name in listed(&at.join("origins")).expect("origins") {
            write_json(&at.join("origins").join(name), &old).expect("write");
        }
        let ours = CopyDriver::new(&at);
        ours.collect(&mut || Some(vec![bare.clone()]), &|| true).expect("collect");
        assert!(store.tree(&old).exists(), "a young tree stands on it");
        remove_tree(&store.tree(&sealed)).expect("remove");
        // A copy that is used again is young again.
        let head = theirs.begin(SandboxId(2), &bare).expect("begin");
        theirs.abandon(SandboxId(2)).expect("abandon");
        assert!(head.notes.contains(old.as_str()), "it is used again: {}", head.notes);
        ours.collect(&mut || Some(vec![bare.clone()]), &|| true).expect("collect");
        assert!(store.tree(&old).exists(), "it was used just now");
        age();
        ours.collect(&mut || Some(vec![bare.clone()]), &|| true).expect("collect");
        assert!(!store.tree(&old).exists(), "nobody needs it");
    }
}
