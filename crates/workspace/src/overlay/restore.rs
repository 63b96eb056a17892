//! Chosen paths from an older tree, as one more layer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::{Change, ChangeKind, FileType};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::expectation::Expectations;
use super::store::{Store, make_directory, now as the_time};
use super::tree::{LayerKind, OverlayTree};
use super::walk::walk;
use crate::access::Opened;
use crate::diff::{Candidates, changes};
use crate::layer::{make_whiteout, set_opaque};
use crate::manifest::Manifest;
use crate::node::{copy_metadata, copy_node, copy_sealed_node, failed, remove_tree, version};
use crate::view::{Found, View};

/// See [`ctrlz_core::workspace::WorkspaceDriver::restore_paths`].
pub(super) fn restore_paths(
    store: &Store,
    now: &Tree,
    then: &Tree,
    paths: &[RelPath],
) -> Result<Tree, WorkspaceError> {
    let (now_tree, then_tree) = (OverlayTree::parse(now)?, OverlayTree::parse(then)?);
    let (from, to, candidates) = store.compared(&now_tree, &then_tree)?;
    let difference = changes(&from, &to, &within(&candidates, paths))?.changes;
    if difference.is_empty() {
        return Ok(now.clone());
    }
    let building = store.building()?;
    let built = build(store, &building, (&from, &to), &difference, &now_tree, &then_tree);
    match built {
        Ok(tree) => tree.text(),
        Err(error) => {
            // The first error is the one to tell; what is left is collected later.
            let _ = remove_tree(&building);
            Err(error)
        }
    }
}

/// The candidates at and below `paths`. A path below something that hides it is one, too.
fn within(candidates: &Candidates, paths: &[RelPath]) -> Candidates {
    let mut chosen = Candidates::default();
    for path in paths {
        let hidden = path.ancestors().any(|above| candidates.covers.contains(&above));
        if hidden {
            chosen.covers.insert(path.clone());
            chosen.paths.insert(path.clone());
        }
        for candidate in candidates.paths.iter().filter(|candidate| candidate.is_within(path)) {
            chosen.paths.insert(candidate.clone());
            if candidates.covers.contains(candidate) {
                chosen.covers.insert(candidate.clone());
            }
        }
    }
    chosen
}

fn build(
    store: &Store,
    building: &Path,
    (from, to): (&View, &View),
    changes: &[Change],
    now: &OverlayTree,
    then: &OverlayTree,
) -> Result<OverlayTree, WorkspaceError> {
    let mut layer = Builder { store, building, from, to, directories: Vec::new() };
    let mut root = false;
    for change in changes {
        if change.path.is_root() {
            root = true;
            layer.directories.push((change.path.clone(), layer.source(to, &change.path)?));
        } else {
            layer.write(change)?;
        }
    }
    layer.finish()?;

    let seen = Expectations::of(store, then)?;
    let base = View::new(now.base.clone(), Vec::new());
    let mut records = walk(building)?;
    for record in &mut records {
        match seen.seen(&record.path)? {
            Some(seen) => (record.base, record.raced) = (seen.base, seen.raced),
            None => record.base = base.lookup(&record.path)?.map(|found| found.version),
        }
    }
    let since = Timestamp(the_time().0.saturating_add(1));
    let kind = if root { LayerKind::SealedWithRoot } else { LayerKind::Sealed };
    let (id, _) = store.keep(kind, Some(building), &Manifest { since, root, records })?;
    // Its files have names in other layers.
    store.mark_linked(&id)?;
    let mut layers = now.layers.clone();
    layers.push(id);
    Ok(now.with_layers(layers))
}

struct Builder<'a> {
    store: &'a Store,
    building: &'a Path,
    from: &'a View,
    to: &'a View,
    /// Directories that were made, and where they get their metadata from when all is inside.
    directories: Vec<(RelPath, Found)>,
}

impl Builder<'_> {
    fn source(&self, view: &View, path: &RelPath) -> Result<Found, WorkspaceError> {
        view.lookup(path)?.ok_or_else(|| failed("find", path.as_path())(Errno::NOENT))
    }

    /// Makes the new tree show `change.path` as the old one does. Changes come parents first.
    fn write(&mut self, change: &Change) -> Result<(), WorkspaceError> {
        let target = change.path.below(self.building);
        let is = |metadata: &Option<ctrlz_core::changeset::Metadata>| {
            metadata.as_ref().is_some_and(|m| m.file_type == FileType::Directory)
        };
        match change.kind {
            ChangeKind::Deleted => {
                // What is below something hidden or replaced is gone with it.
                if self.is_hidden(&change.path)? {
                    return Ok(());
                }
                self.make_parents(&change.path)?;
                make_whiteout(&target)
            }
            _ if is(&change.after) => {
                self.make_parents(&change.path)?;
                make_directory(&target)?;
                if !is(&change.before) {
                    set_opaque(&target)?;
                }
                let source = self.source(self.to, &change.path)?;
                self.directories.push((change.path.clone(), source));
                Ok(())
            }
            _ => {
                self.make_parents(&change.path)?;
                self.copy(&change.path, &target)
            }
        }
    }

    fn copy(&self, path: &RelPath, target: &Path) -> Result<(), WorkspaceError> {
        let source = self.source(self.to, path)?;
        let Some(layer) = &source.layer else { return copy_node(&source.disk_path, target) };
        let _opened = Opened::open(layer, &path.parent().unwrap_or_default())?;
        // A file that a commit replaced may have names in the live directory.
        if layer.starts_with(self.store.commits()) {
            return copy_sealed_node(&source.disk_path, target);
        }
        self.store.mark_linked_at(layer)?;
        match rustix::fs::linkat(CWD, &source.disk_path, CWD, target, AtFlags::empty()) {
            Ok(()) => Ok(()),
            // Too many names, or not ours to link (proc_sys_fs(5), protected_hardlinks).
            Err(Errno::MLINK | Errno::PERM | Errno::XDEV) => {
                copy_sealed_node(&source.disk_path, target)
            }
            Err(errno) => Err(failed("link from a layer to", target)(errno)),
        }
    }

    /// Whether something in the new layer above `path` already hides it.
    fn is_hidden(&self, path: &RelPath) -> Result<bool, WorkspaceError> {
        for above in path.ancestors() {
            match version(&above.below(self.building))? {
                None => return Ok(false),
                Some(entry) if !entry.is_directory() => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// Makes the directories above `path`: those that are there as they are, others as they were.
    fn make_parents(&mut self, path: &RelPath) -> Result<(), WorkspaceError> {
        for above in path.ancestors() {
            let target = above.below(self.building);
            if version(&target)?.is_some() {
                continue;
            }
            let now = self.from.lookup(&above)?.filter(|found| found.version.is_directory());
            make_directory(&target)?;
            let source = match now {
                Some(found) => found,
                None => {
                    set_opaque(&target)?;
                    self.source(self.to, &above)?
                }
            };
            self.directories.push((above, source));
        }
        Ok(())
    }

    /// Gives the directories their metadata, innermost first.
    fn finish(&mut self) -> Result<(), WorkspaceError> {
        while let Some((path, source)) = self.directories.pop() {
            let _opened = match &source.layer {
                Some(layer) => Opened::open(layer, &path)?,
                None => Opened::default(),
            };
            copy_metadata(&source.disk_path, &path.below(self.building))?;
        }
        Ok(())
    }
}

impl Store {
    /// A new directory to build a layer in.
    pub(super) fn building(&self) -> Result<PathBuf, WorkspaceError> {
        let name = format!("{:x}-{:x}", std::process::id(), the_time().0);
        let path = self.layers().join(format!("{name}.building"));
        make_directory(&self.layers())?;
        rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700))
            .map_err(failed("create the directory", &path))?;
        Ok(path)
    }

    /// Notes that a layer's files get, or may get, other names: their ctime and link count no
    /// longer tell anything.
    pub(super) fn mark_linked(&self, id: &super::tree::LayerId) -> Result<(), WorkspaceError> {
        touch(&self.beside(id, "linked"))
    }

    fn mark_linked_at(&self, layer: &Path) -> Result<(), WorkspaceError> {
        let mut name: OsString = layer.file_name().unwrap_or_default().to_owned();
        name.push(".linked");
        touch(&layer.with_file_name(name))
    }
}

fn touch(path: &Path) -> Result<(), WorkspaceError> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))
        .map(drop)
        .map_err(failed("create", path))
}
