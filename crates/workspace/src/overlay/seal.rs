//! From what an operation wrote to a layer.

use std::path::Path;

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{Head, Sealed, WorkspaceError};

use super::head::{Notes, attributes, ownership, upper};
use super::store::{Store, add_candidates};
use super::tree::{LayerKind, OverlayTree};
use super::walk::{Made, add_base, walk};
use crate::diff::{Candidates, changes};
use crate::layer::is_whiteout;
use crate::manifest::Manifest;
use crate::node::remove_tree;
use crate::view::{Index, Layer, quick_version};

/// See [`ctrlz_core::workspace::WorkspaceDriver::seal`].
pub(super) fn seal(store: &Store, head: &Head) -> Result<Sealed, WorkspaceError> {
    seal_written(store, &head.tree, &Notes::parse(head)?, &upper(store, head.sandbox))
}

/// Makes a layer on `text` of the directory `upper`; nothing stays there when that differs in nothing.
pub(super) fn seal_written(
    store: &Store,
    text: &Tree,
    notes: &Notes,
    upper: &Path,
) -> Result<Sealed, WorkspaceError> {
    let tree = OverlayTree::parse(text)?;
    let missing = || WorkspaceError::Damaged {
        what: "what the operation wrote is gone",
        path: upper.to_owned(),
    };
    let now = quick_version(upper)?.ok_or_else(missing)?;
    let root = ownership(&now) != notes.root || attributes(upper)? != notes.attributes;
    let mut manifest = Manifest { since: notes.since, root, records: walk(upper)? };
    let unchanged = Sealed { tree: text.clone(), counts: ChangeCounts::default(), digest: None };
    if manifest.records.is_empty() && !root {
        return Ok(unchanged);
    }

    let counts = count(store, &tree, upper, &manifest)?;
    if counts.is_empty() {
        // Copied up and left as it was. The base shows through again.
        remove_tree(upper)?;
        return Ok(unchanged);
    }

    add_base(&mut manifest.records, &tree.base, notes.since)?;
    let kind = if root { LayerKind::SealedWithRoot } else { LayerKind::Sealed };
    let (id, digest) = store.keep(kind, Some(upper), &manifest)?;
    let mut layers = tree.layers.clone();
    layers.push(id);
    Ok(Sealed { tree: tree.with_layers(layers).text()?, counts, digest: Some(digest) })
}

/// The changes in numbers. What lies in a directory that was not there is an addition without being
/// compared to anything, and without being named.
fn count(
    store: &Store,
    tree: &OverlayTree,
    upper: &Path,
    manifest: &Manifest,
) -> Result<ChangeCounts, WorkspaceError> {
    let below = store.view(tree)?;
    let mut made = Made::default();
    let mut added = 0;
    let mut compared = Vec::new();
    for record in &manifest.records {
        let Some(entry) = record.entry else { continue };
        if made.holds(&record.path) {
            made.add_if(entry.is_directory(), &record.path);
            added += u64::from(!is_whiteout(&entry));
            continue;
        }
        if entry.is_directory() {
            let was = below.lookup(&record.path)?;
            made.add_if(!was.is_some_and(|was| was.version.is_directory()), &record.path);
        }
        compared.push(record);
    }
    let mut candidates = Candidates::default();
    add_candidates(&mut candidates, manifest.root, compared.iter().copied());
    let index = Index::new(compared.iter().copied());
    let above = store.view_with(tree, Layer::indexed(upper.to_owned(), manifest.root, index))?;
    let mut counts = changes(&below, &above, &candidates)?.counts();
    counts.added += added;
    Ok(counts)
}
