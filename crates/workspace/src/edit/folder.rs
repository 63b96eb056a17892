//! A folder that gets another name in a layer. A layer cannot say where a folder came from, so that all of
//! it is written there, as mv(1) does on such a mount.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, Mode};

use crate::fault;
use crate::layer::set_opaque;
use crate::node::{copy_metadata, copy_node, copy_sealed_node, failed};
use crate::view::{Found, View};

/// A folder whose entries are to be written, or that has got all of its own.
enum Step {
    Fill { from: RelPath, target: PathBuf },
    Finish { source: PathBuf, target: PathBuf },
}

/// Writes the folder at `from` with all that is in it as `target`, in the layer that `view` has on top.
pub(super) fn copy(view: &View, from: &RelPath, target: &Path) -> Result<(), WorkspaceError> {
    let Some(found) = view.lookup(from)? else { return Ok(()) };
    let mut steps = Vec::new();
    begin(&found, from.clone(), target.to_owned(), &mut steps)?;
    // What is at its place below is not what is in it.
    set_opaque(target)?;
    // Names of one inode, and where the first of them was written.
    let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
    while let Some(step) = steps.pop() {
        let (from, target) = match step {
            Step::Fill { from, target } => (from, target),
            Step::Finish { source, target } => {
                copy_metadata(&source, &target)?;
                continue;
            }
        };
        for (name, found) in view.children(&from)? {
            let (path, target) = (from.child(&name), target.join(&name));
            if found.version.is_directory() {
                begin(&found, path, target, &mut steps)?;
                continue;
            }
            fault::point("edit-folder").map_err(failed("move", path.as_path()))?;
            let inode = (found.version.dev, found.version.ino);
            match linked.get(&inode) {
                Some(first) => rustix::fs::linkat(CWD, first, CWD, &target, AtFlags::empty())
                    .map_err(failed("link", &target))?,
                None => {
                    write(&found, &target)?;
                    if found.version.nlink > 1 {
                        linked.insert(inode, target);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Makes the folder, which is given its own metadata once all of its entries are in it.
fn begin(
    found: &Found,
    from: RelPath,
    target: PathBuf,
    steps: &mut Vec<Step>,
) -> Result<(), WorkspaceError> {
    rustix::fs::mkdir(&target, Mode::from_raw_mode(0o700))
        .map_err(failed("create the directory", &target))?;
    steps.push(Step::Finish { source: found.disk_path.clone(), target: target.clone() });
    steps.push(Step::Fill { from, target });
    Ok(())
}

/// Writes what is no folder.
pub(super) fn write(found: &Found, target: &Path) -> Result<(), WorkspaceError> {
    match found.layer {
        Some(_) => copy_sealed_node(&found.disk_path, target),
        None => copy_node(&found.disk_path, target),
    }
}
