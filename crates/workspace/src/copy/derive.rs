//! A new tree from an existing one by replacing some of its entries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD};

use super::expect::{FROM_THE_BEGINNING, touched, written};
use super::store::{Loaded, Store, boot};
use super::survey;
use super::tree::{CopyId, TreeRecord};
use crate::access::Opened;
use crate::live::Expect;
use crate::manifest::Manifest;
use crate::node::{
    Place, Unreadable, copy_metadata, copy_node, copy_sealed_node, failed, finish_directory_at,
    open_parent, remove_tree, version,
};

/// Where an entry is copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A live directory: nothing in it is opened that is closed.
    Live,
    /// Our own store.
    Store,
}

/// A copy that is being changed.
pub(super) struct Draft {
    root: PathBuf,
    /// Where an inode with several names was put first.
    linked: HashMap<(u64, u64), PathBuf>,
    /// The paths that were changed.
    changed: BTreeSet<RelPath>,
    /// What the base is expected to have there from now on.
    pub(super) seen: BTreeMap<RelPath, Expect>,
}

/// A tree that is `below` changed by `edit`.
pub(super) fn derive(
    store: &Store,
    below: &Loaded,
    edit: impl FnOnce(&mut Draft) -> Result<(), WorkspaceError>,
) -> Result<CopyId, WorkspaceError> {
    let origin = store.origin(below)?;
    store.kept(|made| {
        let (_, root) = store.duplicate(below, made)?;
        let mut draft = Draft {
            root: root.clone(),
            linked: HashMap::new(),
            changed: below.record.touched.clone(),
            seen: below.record.seen_by_path(),
        };
        edit(&mut draft)?;
        let records = survey::records(&root)?;
        let manifest = Manifest { since: FROM_THE_BEGINNING, root: true, records };
        let origin_view = store.view(&origin.root, &origin.manifest)?;
        let view = store.view(&root, &manifest)?;
        let touched = touched(draft.changed, &origin_view, &view, &draft.seen)?;
        let record = TreeRecord {
            base: below.record.base.clone(),
            origin: Some(origin.id.clone()),
            files: None,
            boot: boot(),
            touched,
            seen: written(draft.seen),
        };
        Ok((record, manifest))
    })
}

impl Draft {
    /// Where it lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Removes `path` and what is below it.
    pub(super) fn remove(&mut self, path: &RelPath) -> Result<(), WorkspaceError> {
        let _opened = self.open_parent(path)?;
        remove_tree(&path.below(&self.root))?;
        self.changed.insert(path.clone());
        Ok(())
    }

    /// Makes `path` what it is below `root`: of a directory only itself, with what is in it
    /// already staying. Directories above that are missing come along.
    pub(super) fn put(
        &mut self,
        path: &RelPath,
        root: &Path,
        from: From,
    ) -> Result<(), WorkspaceError> {
        for above in path.ancestors() {
            if !self.is_directory(&above)? {
                self.put_node(&above, &above.below(root), from)?;
            }
        }
        self.put_node(path, &path.below(root), from)
    }

    /// Makes `path` what `source` is; the directories above are there.
    pub(super) fn put_node(
        &mut self,
        path: &RelPath,
        source: &Path,
        from: From,
    ) -> Result<(), WorkspaceError> {
        let target = path.below(&self.root);
        let missing = || WorkspaceError::Damaged {
            what: "what is to be restored is gone",
            path: source.to_owned(),
        };
        let wanted = version(source)?.ok_or_else(missing)?;
        let _opened = self.open_parent(path)?;
        self.changed.insert(path.clone());
        if wanted.is_directory() && self.is_directory(path)? {
            return match from {
                From::Live => copy_metadata(source, &target),
                From::Store => copy_sealed_metadata(source, &target),
            };
        }
        remove_tree(&target)?;
        let inode = (wanted.dev, wanted.ino);
        let linked = !wanted.is_directory() && wanted.nlink > 1;
        if linked
            && let Some(first) = self.linked.get(&inode)
            && version(first)?.is_some()
        {
            return rustix::fs::linkat(CWD, first, CWD, &target, AtFlags::empty())
                .map_err(failed("link", &target));
        }
        match from {
            From::Live => copy_node(source, &target)?,
            From::Store => copy_sealed_node(source, &target)?,
        }
        if linked {
            self.linked.insert(inode, target);
        }
        Ok(())
    }

    /// Makes `other` one file with `path`.
    pub(super) fn link(&mut self, path: &RelPath, other: &RelPath) -> Result<(), WorkspaceError> {
        self.remove(other)?;
        let (path, other) = (path.below(&self.root), other.below(&self.root));
        rustix::fs::linkat(CWD, &path, CWD, &other, AtFlags::empty())
            .map_err(failed("link", &other))
    }

    /// Whether a directory is there.
    pub(super) fn is_directory(&self, path: &RelPath) -> Result<bool, WorkspaceError> {
        Ok(version(&path.below(&self.root))?.is_some_and(|version| version.is_directory()))
    }

    /// Lets us write into the directory that holds `path`.
    fn open_parent(&self, path: &RelPath) -> Result<Opened, WorkspaceError> {
        match path.parent() {
            Some(parent) => Opened::open(&self.root, &parent),
            None => Ok(Opened::default()),
        }
    }
}

/// Gives a directory the metadata of one in our own store, which may be closed to us.
fn copy_sealed_metadata(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    let (from_directory, from_name) = open_parent(from)?;
    let (to_directory, to_name) = open_parent(to)?;
    finish_directory_at(
        Place::new(&from_directory, &from_name, from),
        Place::new(&to_directory, &to_name, to),
        Unreadable::Unseal,
    )
}
