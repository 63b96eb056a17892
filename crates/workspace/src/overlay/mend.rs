//! A whole layer in the place of a damaged one.
//!
//! The manifest goes first and the new one comes last: whatever a crash leaves in between is seen
//! by the quickest check, and can be mended again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ctrlz_core::archive::Arrival;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{CWD, OFlags, RenameFlags};
use rustix::io::Errno;

use super::DRIVER;
use super::adopt::{mark_of, name_of};
use super::landing::{self, check_landed};
use super::store::{Store, make_directory, move_directory, now};
use super::tree::{LayerId, LayerKind, OverlayTree};
use super::walk::walk;
use crate::fault;
use crate::likeness::check_restored;
use crate::manifest::{Manifest, Record};
use crate::node::{failed, open_directory, remove_tree};
use crate::view::quick_version;

/// What tells that a layer was replaced; `super::chain` asks for it.
pub(super) const MENDED: &str = "mended";

/// See [`ctrlz_core::workspace::WorkspaceDriver::mend`]. `open` is what this driver's heads are on.
pub(super) fn mend<'a>(
    store: &Store,
    part: &Arrival,
    mut open: impl Iterator<Item = &'a Tree>,
) -> Result<(), WorkspaceError> {
    let id = name_of(part).ok_or_else(|| WorkspaceError::ForeignTree {
        driver: DRIVER,
        tree: part.id.clone().unwrap_or_default(),
    })?;
    if open.any(|tree| OverlayTree::parse(tree).is_ok_and(|tree| tree.layers.contains(&id))) {
        let busy = "an operation is under way on a tree that has it";
        let busy = std::io::Error::new(std::io::ErrorKind::ResourceBusy, busy);
        return Err(failed("mend the layer", store.layer(&id))(busy));
    }
    check_landed(store, &part.directory)?;
    let mark = mark_of(part, &id)?;
    let directory = mark.is_none().then_some(part.directory.as_path());
    let manifest = match mark {
        // While its own is there, nothing is missing.
        Some(_) if store.manifest(&id).is_ok() => return Ok(()),
        Some(mark) => mark,
        None if id.kind() == LayerKind::Mark => {
            let what = "a part without files has some, or its record is not as it was written";
            return Err(WorkspaceError::Damaged { what, path: part.directory.clone() });
        }
        None => described(store, &id, part)?,
    };
    make_directory(&store.layers())?;
    let (aside, _) = landing::make(store)?;
    let result = Replaced { store, id: &id, aside: &aside }.with(directory, &manifest);
    // On failure there is nothing in it that is not elsewhere, or could not be put back.
    let removed = if result.is_ok() { remove_tree(&aside) } else { Ok(()) };
    result.and(removed)
}

/// The manifest of the layer as it was restored.
fn described(store: &Store, id: &LayerId, part: &Arrival) -> Result<Manifest, WorkspaceError> {
    let damaged = |what| WorkspaceError::Damaged { what, path: part.directory.clone() };
    let record = part.record.as_deref().ok_or_else(|| damaged("a part came without its record"))?;
    let record = Manifest::parse(record)
        .ok_or_else(|| damaged("the record of a part is not as it was written"))?;
    if record.root != part.root {
        return Err(damaged("the record of a part is that of another part"));
    }
    // The description that is still there knows best what the layer was, whoever wrote the archive.
    let known = match store.manifest(id) {
        Ok(known) => Some(known),
        Err(WorkspaceError::Damaged { .. }) => None,
        Err(error) => return Err(error),
    };
    let found = walk(&part.directory)?;
    check_restored(&found, &record.records, &part.directory)?;
    if let Some(known) = &known {
        check_restored(&found, &known.records, &part.directory)?;
    }
    let told = known.unwrap_or(record);
    let now_at: HashMap<&RelPath, &Record> = found.iter().map(|now| (&now.path, now)).collect();
    let records = told.records.into_iter().map(|then| match now_at.get(&then.path) {
        Some(now) => Record { entry: now.entry, ..then },
        None => then,
    });
    let records = records.collect();
    Ok(Manifest { since: told.since, root: told.root, records })
}

/// A layer that is being replaced; what was there goes to `aside`.
struct Replaced<'a> {
    store: &'a Store,
    id: &'a LayerId,
    aside: &'a Path,
}

impl Replaced<'_> {
    /// With what lies in `directory`; nothing for a layer without files.
    fn with(&self, directory: Option<&Path>, manifest: &Manifest) -> Result<(), WorkspaceError> {
        let layers = self.store.layers();
        let new = self.aside.join("manifest");
        manifest.write(&new)?;
        let mended = self.aside.join(MENDED);
        std::fs::write(&mended, format!("{:x}", now().0)).map_err(failed("write", &mended))?;
        let open = open_directory(&layers, OFlags::RDONLY)?;
        rustix::fs::syncfs(&open).map_err(failed("sync", &layers))?;
        let sync = || rustix::fs::fsync(&open).map_err(failed("sync", &layers));

        // Before anything shows: a mount must not use what was merged of the old one.
        let to = self.store.beside(self.id, MENDED);
        std::fs::rename(&mended, &to).map_err(failed("write", &to))?;
        self.point("mend-begun")?;
        let described = self.put_aside(&self.manifest_path(), "old-manifest")?;
        let placed = sync()
            .and_then(|()| self.point("mend-undescribed"))
            .and_then(|()| directory.map_or(Ok(()), |directory| self.place(directory)));
        if placed.is_err() && described {
            // The first error is the one to tell; what is not put back can be mended.
            let _ = std::fs::rename(self.aside.join("old-manifest"), self.manifest_path());
        }
        placed?;
        self.point("mend-moved")?;
        // What it holds has to be there before what says that it is whole.
        sync()?;
        let to = self.manifest_path();
        rustix::fs::renameat_with(CWD, &new, CWD, &to, RenameFlags::NOREPLACE)
            .map_err(failed("put the manifest in place at", &to))?;
        self.point("mend-described")?;
        sync()
    }

    /// Moves the new layer to its place; on failure the old one is there.
    fn place(&self, directory: &Path) -> Result<(), WorkspaceError> {
        let layer = self.store.layer(self.id);
        let was_there = self.put_aside(&layer, "old-layer")?;
        let moved = self.point("mend-aside").and_then(|()| {
            move_directory(directory, &layer).map_err(failed("mend the layer", &layer))
        });
        if moved.is_err() && was_there {
            let _ = move_directory(&self.aside.join("old-layer"), &layer);
        }
        moved
    }

    fn manifest_path(&self) -> PathBuf {
        self.store.beside(self.id, "manifest")
    }

    /// Moves what is at `path` to `name` in `aside`; whether there was anything.
    fn put_aside(&self, path: &Path, name: &str) -> Result<bool, WorkspaceError> {
        let Some(version) = quick_version(path)? else { return Ok(false) };
        let to = self.aside.join(name);
        let moved = if version.is_directory() {
            move_directory(path, &to)
        } else {
            rustix::fs::rename(path, &to)
        };
        match moved {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed("put aside", path)(errno)),
        }
    }

    fn point(&self, name: &str) -> Result<(), WorkspaceError> {
        fault::point(name).map_err(failed("mend the layer", self.store.layer(self.id)))
    }
}
