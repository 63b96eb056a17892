//! What a tree is made of, for those who keep it elsewhere.

use std::collections::HashSet;
use std::path::PathBuf;

use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;

use super::head::check_base;
use super::revert::restored;
use super::store::{Store, covers, make_directory};
use super::tree::{LayerId, LayerKind, OverlayTree};
use super::verify::whole_since_boot;
use crate::manifest::{Manifest, Record};
use crate::node::{failed, remove_tree};
use crate::restored::Restored;
use crate::view::View;

/// See [`ctrlz_core::workspace::WorkspaceDriver::strata`].
pub(super) fn strata(store: &Store, tree: &Tree) -> Result<Vec<Stratum>, WorkspaceError> {
    let tree = OverlayTree::parse(tree)?;
    check_base(&tree.base)?;
    let mut strata = vec![Stratum {
        id: None,
        directory: tree.base.clone(),
        dialect: Dialect::Plain,
        root: true,
        hidden: store.inside(&tree.base).into_iter().collect(),
        record: None,
    }];
    let restored = restored(store, &tree.base)?;
    let base = View::new(tree.base.clone(), Vec::new());
    for id in &tree.layers {
        whole_since_boot(store, id)?;
        if id.kind() == LayerKind::Mark {
            // It has no files, but its record is of use: an empty part carries it.
            make_directory(&store.layer(id))?;
        }
        strata.push(Stratum {
            // A commit's backup can be parted from the live files later on.
            id: id.kind().commit().is_none().then(|| id.to_string()),
            directory: store.layer(id),
            dialect: Dialect::Overlay,
            root: store.has_root(id)?,
            hidden: Vec::new(),
            record: Some(told(store, id, &base, &restored)?),
        });
    }
    Ok(strata)
}

/// Where it is written what a layer was made on, for those who do not know which of the versions
/// we put there ourselves in place of what the layer saw.
fn told(
    store: &Store,
    id: &LayerId,
    base: &View,
    restored: &Restored,
) -> Result<PathBuf, WorkspaceError> {
    let path = store.beside(id, "manifest");
    if restored.paths().next().is_none() {
        return Ok(path);
    }
    let mut manifest = store.manifest(id)?;
    let hidden = put_below(&manifest, base, restored)?;
    let mut differs = !hidden.is_empty();
    for record in &mut manifest.records {
        let now = record.base.map(|then| restored.forward(&record.path, then));
        differs |= now != record.base;
        record.base = now;
    }
    if !differs {
        return Ok(path);
    }
    manifest.records.extend(hidden);
    let told = store.beside(id, "told");
    // Others may do the same at this moment.
    let mut new = told.clone().into_os_string();
    new.push(format!(".{:x}.{:x}", std::process::id(), super::store::now().0));
    let new = PathBuf::from(new);
    let written = manifest
        .write(&new)
        .and_then(|_| std::fs::rename(&new, &told).map_err(failed("write", &told)));
    if written.is_err() {
        remove_tree(&new)?;
    }
    written.map(|()| told)
}

/// What we put below something that a layer hides, in place of what was there before the layer.
/// The layer does not tell of it, and nobody else can know that it is not new.
fn put_below(
    manifest: &Manifest,
    base: &View,
    restored: &Restored,
) -> Result<Vec<Record>, WorkspaceError> {
    let hiding = manifest.records.iter().filter(|record| covers(record));
    let hiding: HashSet<&RelPath> = hiding.map(|record| &record.path).collect();
    let told: HashSet<&RelPath> = manifest.records.iter().map(|record| &record.path).collect();
    let mut put = Vec::new();
    for path in restored.paths().filter(|path| !told.contains(path)) {
        if !path.ancestors().any(|above| hiding.contains(&above)) {
            continue;
        }
        let Some(now) = base.lookup(path)?.map(|found| found.version) else { continue };
        let then = restored.backward(path, now);
        if then != now && (then.is_directory() || then.ctime < manifest.since) {
            let (path, base) = (path.clone(), Some(now));
            put.push(Record { path, entry: None, opaque: false, base, raced: false });
        }
    }
    put.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(put)
}
