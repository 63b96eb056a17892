//! Taking one step out of the middle.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use ctrlz_core::changeset::{ChangeKind, FileType};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{WithoutError, WorkspaceError};

use super::store::{Store, covers};
use super::tree::{LayerId, LayerKind, OverlayTree};
use crate::diff::changes;
use crate::manifest::Manifest;

/// What a step did, as far as a later one can stand on it.
#[derive(Debug, Default)]
struct Step {
    /// Entries that it made, changed or removed.
    changed: BTreeSet<RelPath>,
    /// Directories of which it changed only mode, owner or attributes.
    directories: BTreeSet<RelPath>,
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::without`].
///
/// The step's layers are left out of the chain. That is right as long as no later layer was
/// written on top of what they say: a later entry at or below what the step changed, a later
/// removal above it, or a later copy of a directory whose mode or owner the step changed.
pub(super) fn without(
    store: &Store,
    before: &Tree,
    after: &Tree,
    later: &[Tree],
) -> Result<Result<Tree, WithoutError>, WorkspaceError> {
    let now = later.last().unwrap_or(after);
    if before == after {
        return Ok(Ok(now.clone()));
    }
    if now == after {
        return Ok(Ok(before.clone()));
    }
    let depends = |step, path| Ok(Err(WithoutError::Depends { step, path }));
    let (before, after) = (OverlayTree::parse(before)?, OverlayTree::parse(after)?);
    before.same_base(&after)?;
    let later = later.iter().map(OverlayTree::parse).collect::<Result<Vec<_>, _>>()?;
    let Some(now) = later.last() else { return depends(0, RelPath::root()) };
    before.same_base(now)?;
    // A step that did not only add layers, such as a rollback, is what all later ones stand on.
    let Some(step) = after.layers.strip_prefix(before.layers.as_slice()) else {
        return depends(0, RelPath::root());
    };
    let Some(at) = position(&now.layers, step) else {
        // A commit or a rollback took it away; the first tree without it tells when.
        let gone = later.iter().position(|tree| position(&tree.layers, step).is_none());
        return depends(gone.unwrap_or(0), RelPath::root());
    };
    let (below, rest) = now.layers.split_at(at);
    let above = rest.get(step.len()..).unwrap_or_default();

    let touched = touched(store, &before, &after)?;
    for id in above.iter().filter(|id| id.kind() != LayerKind::Mark) {
        if let Some(path) = touched.conflict(&store.manifest(id)?) {
            let index = later.iter().position(|tree| tree.layers.contains(id)).unwrap_or(0);
            return depends(index, path);
        }
    }
    let layers = below.iter().chain(above).cloned().collect();
    Ok(Ok(now.with_layers(layers).text()?))
}

/// Where `step` begins in `layers`.
fn position(layers: &[LayerId], step: &[LayerId]) -> Option<usize> {
    layers.windows(step.len().max(1)).position(|window| window == step)
}

fn touched(
    store: &Store,
    before: &OverlayTree,
    after: &OverlayTree,
) -> Result<Step, WorkspaceError> {
    let (from, to, candidates) = store.compared(before, after)?;
    let mut step = Step::default();
    for change in changes(&from, &to, &candidates)?.changes {
        let directory = change.after.is_some_and(|m| m.file_type == FileType::Directory);
        if directory && change.kind == ChangeKind::MetadataChanged {
            step.directories.insert(change.path);
        } else {
            step.changed.insert(change.path);
        }
    }
    Ok(step)
}

impl Step {
    /// The first path at which a later layer stands on the step.
    fn conflict(&self, later: &Manifest) -> Option<RelPath> {
        let root = RelPath::root();
        if later.root && self.directories.contains(&root) {
            return Some(root);
        }
        for record in later.records.iter().filter(|record| record.entry.is_some()) {
            let path = &record.path;
            if self.changed.contains(path)
                || self.directories.contains(path)
                || path.ancestors().any(|above| self.changed.contains(&above))
            {
                return Some(path.clone());
            }
            if covers(record) {
                let inside = [&self.changed, &self.directories]
                    .into_iter()
                    .find_map(|set| first_below(set, path));
                if inside.is_some() {
                    return inside;
                }
            }
        }
        None
    }
}

/// The first path of `set` that lies below `path`.
fn first_below(set: &BTreeSet<RelPath>, path: &RelPath) -> Option<RelPath> {
    // All that begin with `path/` stand together in the order of bytes.
    let from = path.child(OsStr::new(""));
    set.range(from..).next().filter(|found| found.is_within(path)).cloned()
}
