//! A whole copy in the place of a damaged one.

use std::collections::HashMap;

use ctrlz_core::archive::Arrival;
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{CWD, OFlags, RenameFlags};

use super::arrival::{Told, check_whole, with_root};
use super::collect::listed;
use super::store::{Store, boot, make_directory};
use super::survey;
use super::tree::{CopyId, TreeRecord};
use crate::fault;
use crate::likeness::check_restored;
use crate::manifest::{Manifest, Record};
use crate::node::{Version, failed, open_directory, remove_tree, version};

/// See [`ctrlz_core::workspace::WorkspaceDriver::mend`].
///
/// What an operation of this driver has open is a copy of its own, so nobody stands on the files
/// that are replaced, and the new ones come in their place in one step.
pub(super) fn mend(store: &Store, part: &Arrival) -> Result<(), WorkspaceError> {
    let name = part.id.as_deref().unwrap_or_default();
    let id: CopyId = name.parse().map_err(|_| WorkspaceError::ForeignTree {
        driver: store.driver(),
        tree: name.to_owned(),
    })?;
    check_whole(store, part)?;
    store.check_landed(&part.directory)?;
    let (record, manifest) = described(store, &id, part)?;
    let made = store.make()?;
    let mended = put(store, &id, part, &made, (record, manifest));
    let removed = store.remove(&made);
    mended.and(removed)
}

/// The record and the manifest of the copy as it was restored.
fn described(
    store: &Store,
    id: &CopyId,
    part: &Arrival,
) -> Result<(TreeRecord, Manifest), WorkspaceError> {
    let damaged = |what| WorkspaceError::Damaged { what, path: part.directory.clone() };
    let text = part.record.as_deref().ok_or_else(|| damaged("a part came without its record"))?;
    let told = Told::parse(text)
        .ok_or_else(|| damaged("the record of a part is not as it was written"))?;
    let found = survey::records(&part.directory)?;
    check_restored(&found, &told.manifest.records, &part.directory)?;
    // The descriptions that are still there know best what the copy was.
    let known = whole(Manifest::read(&store.tree(id).join("manifest")))?;
    if let Some(known) = &known {
        check_restored(&found, &known.records, &part.directory)?;
    }
    let record = match whole(store.record(id))? {
        Some(record) => record,
        None => {
            check_origin(store, &told.record)?;
            told.record
        }
    };
    let records = known.unwrap_or(told.manifest).records;
    let is_origin = record.origin.is_none();
    let then: HashMap<RelPath, Record> =
        records.into_iter().map(|record| (record.path.clone(), record)).collect();
    let mut records = found;
    for now in &mut records {
        // Only the copy of a base tells of the base.
        if let Some(then) = then.get(&now.path).filter(|_| is_origin) {
            (now.base, now.raced) = (then.base, then.raced);
        }
    }
    records.extend(then.into_values().filter(|then| is_origin && then.entry.is_none()));
    let since = super::expect::FROM_THE_BEGINNING;
    let record = TreeRecord { files: None, boot: boot(), ..record };
    Ok((record, Manifest { since, root: true, records }))
}

/// Nothing in place of what is damaged.
fn whole<T>(read: Result<T, WorkspaceError>) -> Result<Option<T>, WorkspaceError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(WorkspaceError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Errs when a copy cannot stand on what its record names: nobody kept that elsewhere.
fn check_origin(store: &Store, record: &TreeRecord) -> Result<(), WorkspaceError> {
    let Some(id) = &record.origin else { return Ok(()) };
    match whole(store.load(id))? {
        Some(origin) if origin.record.base == record.base => Ok(()),
        _ => Err(WorkspaceError::Unsupported {
            driver: store.driver(),
            what: "mending a tree of which the copy of the base is gone, too; take it in anew",
        }),
    }
}

fn put(
    store: &Store,
    id: &CopyId,
    part: &Arrival,
    made: &std::path::Path,
    (record, manifest): (TreeRecord, Manifest),
) -> Result<(), WorkspaceError> {
    make_directory(&store.trees())?;
    let (root, to) = (made.join("root"), store.tree(id));
    store.take_in(&part.directory, &root)?;
    let manifest = Manifest { records: with_root(manifest.records, &root)?, ..manifest };
    store.furnish(made, &record, &manifest)?;
    let open = open_directory(&store.trees(), OFlags::RDONLY)?;
    rustix::fs::syncfs(&open).map_err(failed("sync", store.trees()))?;
    fault::point("mend-synced").map_err(failed("mend the tree", &to))?;
    let how = match version(&to)? {
        Some(_) => RenameFlags::EXCHANGE,
        None => RenameFlags::NOREPLACE,
    };
    rustix::fs::renameat_with(CWD, made, CWD, &to, how).map_err(failed("mend the tree", &to))?;
    fault::point("mend-moved").map_err(failed("mend the tree", &to))?;
    rustix::fs::fsync(&open).map_err(failed("sync", store.trees()))?;
    follow(store, id, &manifest)
}

/// Trees whose files these are tell of them in manifests of their own.
fn follow(store: &Store, id: &CopyId, manifest: &Manifest) -> Result<(), WorkspaceError> {
    let now: HashMap<&RelPath, Version> =
        manifest.records.iter().filter_map(|record| Some((&record.path, record.entry?))).collect();
    for name in listed(&store.trees())? {
        let Some(other) = name.to_str().and_then(|name| name.parse::<CopyId>().ok()) else {
            continue;
        };
        let record = whole(store.record(&other))?;
        if record.is_none_or(|record| record.files.as_ref() != Some(id)) {
            continue;
        }
        let path = store.tree(&other).join("manifest");
        let Some(mut theirs) = whole(Manifest::read(&path))? else { continue };
        for record in &mut theirs.records {
            if record.entry.is_some() {
                record.entry = now.get(&record.path).copied();
            }
        }
        let made = store.make()?;
        let new = made.join("manifest");
        let replaced = theirs
            .write(&new)
            .and_then(|_| std::fs::rename(&new, &path).map_err(failed("write", &path)));
        remove_tree(&made)?;
        replaced?;
    }
    Ok(())
}
