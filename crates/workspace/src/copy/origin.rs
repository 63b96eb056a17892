//! Copies of the base.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD};

use super::duplicate::{Made, as_of_base};
use super::expect::FROM_THE_BEGINNING;
use super::store::{Loaded, Store, boot, make_directory, read_json, write_json};
use super::survey;
use super::tree::{CopyId, CopyTree, TreeRecord};
use crate::manifest::{Manifest, Record};
use crate::node::{
    Version, copy_metadata, copy_tree, entries, failed, is_gone, remove_tree,
    version as node_version,
};

/// How often a copy is begun while others work in the base.
const ATTEMPTS: u32 = 20;

/// Errs when a directory cannot be the base of a workspace.
pub(super) fn check_base(store: &Store, base: &Path) -> Result<(), WorkspaceError> {
    let refuse = |reason: &str| {
        Err(WorkspaceError::Base { path: base.to_owned(), reason: reason.to_owned() })
    };
    if !base.is_absolute() {
        return refuse("its path is not absolute");
    }
    match node_version(base) {
        Ok(Some(version)) if version.is_directory() => {}
        Ok(Some(_)) => return refuse("it is not a directory"),
        Ok(None) => return refuse("it does not exist"),
        Err(WorkspaceError::Io { source, .. }) => return refuse(&source.to_string()),
        Err(error) => return Err(error),
    }
    make_directory(store.dir())?;
    let (Ok(real), Ok(ours)) = (base.canonicalize(), store.dir().canonicalize()) else {
        return refuse("its real path cannot be found");
    };
    if real.starts_with(&ours) {
        return refuse(&format!("it lies in the store of driver {}", store.driver()));
    }
    if ours.starts_with(&real) {
        let driver = store.driver();
        return refuse(&format!(
            "it holds the store of driver {driver}, which would be copied into itself"
        ));
    }
    if let Some(reason) = store.lacks()? {
        return refuse(&reason);
    }
    let entries = survey::base(base)?;
    match store.refuses(base, &entries)? {
        Some(reason) => refuse(&reason),
        None => Ok(()),
    }
}

/// A copy of the base as it is now: the last one, when the base was not changed since.
pub(super) fn origin(store: &Store, base: &Path) -> Result<Loaded, WorkspaceError> {
    check_base(store, base)?;
    let last = last(store, base);
    if let Ok(id) = read_json::<CopyId>(&last, "no copy yet")
        && store.use_again(&id).is_ok()
        && let Ok(copy) = store.load(&id)
        && copy.record.base == base
        && copy.record.boot == boot()
        && is_current(&copy, base)?
    {
        return Ok(copy);
    }
    let id = copy_of_what_moves(store, base)?;
    remember(store, base, &id)?;
    store.load(&id)
}

/// The file that names the last copy of a base.
fn last(store: &Store, base: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let digest = blake3::hash(base.as_os_str().as_bytes()).to_hex();
    store.dir().join("origins").join(digest.as_str())
}

fn is_current(copy: &Loaded, base: &Path) -> Result<bool, WorkspaceError> {
    if copy.manifest.records.iter().any(|record| record.raced) {
        return Ok(false);
    }
    let now: BTreeMap<RelPath, Version> = survey::base(base)?.into_iter().collect();
    let then = copy.manifest.records.iter();
    let then: BTreeMap<RelPath, Version> =
        then.filter_map(|record| Some((record.path.clone(), record.base?))).collect();
    Ok(now == then)
}

/// Notes the last copy of a base. Others may do the same at this moment.
fn remember(store: &Store, base: &Path, id: &CopyId) -> Result<(), WorkspaceError> {
    let last = last(store, base);
    if let Some(parent) = last.parent() {
        make_directory(parent)?;
    }
    let made = store.make()?;
    let written = write_json(&made.join("last"), id)
        .and_then(|()| std::fs::rename(made.join("last"), &last).map_err(failed("write", &last)));
    remove_tree(&made)?;
    written
}

/// [`copy`] of a base in which others work: what goes away between being seen and being copied
/// makes it begin anew, for some time.
fn copy_of_what_moves(store: &Store, base: &Path) -> Result<CopyId, WorkspaceError> {
    for _ in 1..ATTEMPTS {
        match copy(store, base) {
            Err(error) if is_gone(&error) && node_version(base)?.is_some() => {}
            result => return result,
        }
    }
    copy(store, base)
}

/// Copies the base between two looks at it: what differs between the looks may have been copied
/// in any state.
fn copy(store: &Store, base: &Path) -> Result<CopyId, WorkspaceError> {
    store.kept(|made| {
        let before: BTreeMap<RelPath, Version> = survey::base(base)?.into_iter().collect();
        let (made, root) = store.take_base(base, &before, made)?;
        let record = TreeRecord {
            base: base.to_owned(),
            origin: None,
            files: None,
            boot: boot(),
            touched: BTreeSet::new(),
            seen: Vec::new(),
        };
        if made == Made::AtOnce {
            let mut records = survey::records(&root)?;
            as_of_base(&mut records, before.get(&RelPath::root()));
            return Ok((record, Manifest { since: FROM_THE_BEGINNING, root: true, records }));
        }
        let mut after: BTreeMap<RelPath, Version> = survey::base(base)?.into_iter().collect();
        let mut records = survey::records(&root)?;
        for record in &mut records {
            record.base = after.remove(&record.path);
            record.raced = !same(before.get(&record.path), record.base.as_ref());
        }
        records.extend(after.into_iter().map(|(path, version)| Record {
            raced: true,
            ..survey::record(path, None, Some(version))
        }));
        Ok((record, Manifest { since: FROM_THE_BEGINNING, root: true, records }))
    })
}

/// Copies a base that is itself a mount point, which [`copy_tree`] does not enter: entry by entry,
/// with the hard links between those made anew.
pub(super) fn copy_mount(
    base: &Path,
    root: &Path,
    known: &BTreeMap<RelPath, Version>,
) -> Result<(), WorkspaceError> {
    make_directory(root)?;
    for name in entries(base)? {
        copy_tree(&base.join(&name), &root.join(&name))?;
    }
    let mut first: HashMap<(u64, u64), &RelPath> = HashMap::new();
    for (path, version) in known {
        if version.is_directory() || version.nlink < 2 {
            continue;
        }
        // Subvolumes of btrfs have inode numbers of their own.
        let inode = (version.dev, version.ino);
        let Some(first) = first.get(&inode) else {
            first.insert(inode, path);
            continue;
        };
        let (first, path) = (first.below(root), path.below(root));
        // Someone may have removed either in the meantime.
        if node_version(&first)?.is_some() && node_version(&path)?.is_some() {
            remove_tree(&path)?;
            rustix::fs::linkat(CWD, &first, CWD, &path, AtFlags::empty())
                .map_err(failed("link", &path))?;
        }
    }
    copy_metadata(base, root)
}

/// Whether nobody changed an entry between two looks. A directory's size and times move with
/// every entry made in it.
fn same(before: Option<&Version>, after: Option<&Version>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) if before.is_directory() && after.is_directory() => {
            (before.ino, before.mode, before.uid, before.gid)
                == (after.ino, after.mode, after.uid, after.gid)
        }
        (before, after) => before == after,
    }
}

/// The copy that a tree names, or one of the base as it is now.
pub(super) fn materialize(store: &Store, tree: &CopyTree) -> Result<Loaded, WorkspaceError> {
    match &tree.copy {
        Some(id) => store.load(id),
        None => origin(store, &tree.base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::duplicate::Duplication;
    use crate::copy::expect::Expectations;
    use crate::live::Expect;
    use std::fs;

    #[test]
    fn a_change_between_two_looks_is_seen() {
        let dir = tempfile::tempdir().expect("tempdir");
        let look = |name: &str| node_version(&dir.path().join(name)).expect("stat");
        fs::write(dir.path().join("f"), "1").expect("write");
        let (file, root) = (look("f"), look(""));
        assert!(same(file.as_ref(), look("f").as_ref()));
        fs::write(dir.path().join("f"), "22").expect("write");
        fs::write(dir.path().join("g"), "").expect("write");
        assert!(!same(file.as_ref(), look("f").as_ref()));
        assert!(!same(None, look("g").as_ref()) && !same(file.as_ref(), None));
        assert!(same(root.as_ref(), look("").as_ref()), "a directory's own stamp proves nothing");
    }

    #[test]
    fn several_note_their_copies_of_one_base_at_once() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = Store::new(Duplication::Copy, dir.path());
        let base = Path::new("/some/where");
        std::thread::scope(|scope| {
            let note = |turn| {
                let store = &store;
                move || {
                    for time in 0..50 {
                        remember(store, base, &CopyId::new(time, turn)).expect("note");
                        read_json::<CopyId>(&last(store, base), "half written").expect("whole");
                    }
                }
            };
            for turn in 0..4 {
                scope.spawn(note(turn));
            }
        });
        assert_eq!(entries(&dir.path().join("making")).expect("list").len(), 0);
    }

    #[test]
    fn what_changed_while_it_was_copied_is_expected_by_no_version() {
        let dir = tempfile::tempdir().expect("tempdir");
        let base = dir.path().join("base");
        let store = Store::new(Duplication::Copy, &dir.path().join("store"));
        fs::create_dir(&base).expect("mkdir");
        fs::write(base.join("f"), "1").expect("write");
        let mut copy = origin(&store, &base).expect("copy");
        let path = RelPath::parse("f").expect("valid");
        let expected = |copy: &Loaded| Expectations::of(&store, copy).expect("expect").at(&path);
        assert!(matches!(expected(&copy), Expect::Unchanged { .. }));
        for record in &mut copy.manifest.records {
            record.raced = true;
        }
        fs::remove_file(store.tree(&copy.id).join("manifest")).expect("remove");
        copy.manifest.write(&store.tree(&copy.id).join("manifest")).expect("write");
        assert!(matches!(expected(&copy), Expect::ChangedDuringOperation { .. }));
        let again = origin(&store, &base).expect("copy");
        assert_ne!(again.id, copy.id, "such a copy is not used again");
        assert_eq!(origin(&store, &base).expect("copy").id, again.id, "a clean one is");
    }
}
