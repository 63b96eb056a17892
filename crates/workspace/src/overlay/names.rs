//! Other names of files that a commit wrote in place.
//!
//! A live file with several hard links keeps its inode when it is committed, so all its names show
//! the new content, also those that the sandbox did not touch. A tree from before the commit must
//! go on showing the old content by every name. What the commit kept holds only the names that it
//! knew; the others inside the base are found here and kept in one more layer beside it.

use std::collections::HashMap;
use std::path::Path;

use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::OFlags;

use super::store::{Store, make_directory};
use super::tree::{LayerId, LayerKind};
use super::walk::walk;
use crate::access::is_denied;
use crate::live::{Expect, Step};
use crate::manifest::Manifest;
use crate::node::{
    Version, copy_metadata, copy_sealed_node, failed, open_directory, remove_tree, version,
};
use crate::view::View;

/// A file that was written in place.
struct Written {
    /// One of the names that the commit knew.
    known: RelPath,
    /// How many names it has that the commit did not know.
    unknown: u64,
}

/// Keeps the old content by the names that the commit did not know. `changed` says what was at
/// the paths that it knew, `steps` what is there now.
pub(super) fn keep_other_names(
    store: &Store,
    operation: OperationId,
    base: &Path,
    changed: &[(RelPath, Option<Version>)],
    steps: &[Step],
) -> Result<(), WorkspaceError> {
    let written = written_in_place(changed, steps);
    if written.is_empty() {
        return Ok(());
    }
    let id = LayerId::new(LayerKind::Names(operation), "", 0, 0);
    let (layer, manifest) = (store.layer(&id), store.beside(&id, "manifest"));
    // What a crash left of an earlier attempt.
    remove_tree(&layer)?;
    remove_tree(&manifest)?;
    let view = View::new(base.to_owned(), Vec::new());
    let names = find(store, base, &view, written)?;
    if names.is_empty() {
        return Ok(());
    }
    make_directory(&layer)?;
    let kept = store.layer(&LayerId::new(LayerKind::Inverse(operation), "", 0, 0));
    let mut made: Vec<RelPath> = Vec::new();
    for (name, known) in &names {
        for above in name.ancestors() {
            if version(&above.below(&layer))?.is_none() {
                make_directory(&above.below(&layer))?;
                made.push(above);
            }
        }
        copy_sealed_node(&known.below(&kept), &name.below(&layer))?;
    }
    for directory in made.iter().rev() {
        copy_metadata(&directory.below(base), &directory.below(&layer))?;
    }
    let mut records = walk(&layer)?;
    for record in &mut records {
        record.base = view.lookup(&record.path)?.map(|found| found.version);
    }
    let since = super::revert::since_of(steps);
    let open = open_directory(&layer, OFlags::RDONLY)?;
    rustix::fs::syncfs(&open).map_err(failed("sync", &layer))?;
    Manifest { since, root: false, records }.write(&manifest).map(drop)
}

fn written_in_place(
    changed: &[(RelPath, Option<Version>)],
    steps: &[Step],
) -> HashMap<(u64, u64), Written> {
    let mut written: HashMap<(u64, u64), Written> = HashMap::new();
    for (path, before) in changed {
        let Some(before) = before.filter(|v| v.is_file() && v.nlink > 1) else { continue };
        let step = steps.binary_search_by(|step| step.path.cmp(path)).ok();
        let now = match step.and_then(|at| steps.get(at)).map(|step| step.expect) {
            Some(Expect::Unchanged { version, .. }) => version,
            _ => continue,
        };
        if now.ino != before.ino || !now.is_file() {
            continue;
        }
        written
            .entry((now.dev, now.ino))
            .and_modify(|file| file.unknown = file.unknown.saturating_sub(1))
            .or_insert_with(|| Written {
                known: path.clone(),
                unknown: u64::from(now.nlink).saturating_sub(1),
            });
    }
    written.retain(|_, file| file.unknown > 0);
    written
}

/// The unknown names inside the base, each with a known one. Only this looks at the whole base,
/// and only until all names are found.
fn find(
    store: &Store,
    base: &Path,
    view: &View,
    mut written: HashMap<(u64, u64), Written>,
) -> Result<Vec<(RelPath, RelPath)>, WorkspaceError> {
    let inside = store.inside(base);
    let mut names = Vec::new();
    let mut pending = vec![RelPath::root()];
    while let Some(directory) = pending.pop() {
        if written.is_empty() {
            break;
        }
        if Some(&directory) == inside.as_ref() {
            continue;
        }
        let children = match view.children(&directory) {
            // What we may not look into, the sandbox did not see either.
            Err(error) if is_denied(&error) => continue,
            children => children?,
        };
        for (name, found) in children {
            let path = directory.child(&name);
            if found.version.is_directory() {
                pending.push(path);
                continue;
            }
            let inode = (found.version.dev, found.version.ino);
            let Some(file) = written.get_mut(&inode).filter(|file| file.known != path) else {
                continue;
            };
            names.push((path, file.known.clone()));
            file.unknown -= 1;
            if file.unknown == 0 {
                written.remove(&inode);
            }
        }
    }
    names.sort();
    Ok(names)
}
