//! From what an operation wrote to a layer.

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::workspace::{Head, Sealed, WorkspaceError};

use super::head::{Notes, attributes, ownership, upper};
use super::store::{Store, add_candidates};
use super::tree::{LayerKind, OverlayTree};
use super::walk::{add_base, walk};
use crate::diff::{Candidates, changes};
use crate::manifest::Manifest;
use crate::node::remove_tree;
use crate::view::quick_version;

/// See [`ctrlz_core::workspace::WorkspaceDriver::seal`].
pub(super) fn seal(store: &Store, head: &Head) -> Result<Sealed, WorkspaceError> {
    let tree = OverlayTree::parse(&head.tree)?;
    let notes = Notes::parse(head)?;
    let upper = upper(store, head.sandbox);
    let missing = || WorkspaceError::Damaged {
        what: "what the operation wrote is gone",
        path: upper.clone(),
    };
    let now = quick_version(&upper)?.ok_or_else(missing)?;
    let root = ownership(&now) != notes.root || attributes(&upper)? != notes.attributes;
    let mut manifest = Manifest { since: notes.since, root, records: walk(&upper)? };
    let unchanged = Sealed { tree: head.tree.clone(), counts: ChangeCounts::default() };
    if manifest.records.is_empty() && !root {
        return Ok(unchanged);
    }

    let mut candidates = Candidates::default();
    add_candidates(&mut candidates, &manifest);
    let below = store.view(&tree)?;
    let above = store.view_with(&tree, upper.clone(), &manifest)?;
    let counts = changes(&below, &above, &candidates)?.counts();
    if counts.is_empty() {
        // Copied up and left as it was. The base shows through again.
        remove_tree(&upper)?;
        return Ok(unchanged);
    }

    add_base(&mut manifest.records, &tree.base, notes.since)?;
    let kind = if root { LayerKind::SealedWithRoot } else { LayerKind::Sealed };
    let id = store.keep(kind, Some(&upper), &manifest)?;
    let mut layers = tree.layers.clone();
    layers.push(id);
    Ok(Sealed { tree: tree.with_layers(layers).text()?, counts })
}
