//! How a complete tree is duplicated, made of a base, and removed: what the drivers differ in.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use ctrlz_sys::btrfs;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::origin::copy_mount;
use super::store::{Loaded, Store, make_directory};
use super::survey;
use super::zfs::Datasets;
use crate::manifest::Record;
use crate::node::{
    Content, Place, Unreadable, Version, copy_sealed_tree, copy_tree, failed, fill_tree, is_gone,
    open_directory, open_parent, remove_tree,
};

/// By which means a driver duplicates trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplication {
    /// Driver `copy`: byte by byte, on any file system.
    Copy,
    /// Driver `reflink`: file by file, with shared blocks (`FICLONE`; XFS, btrfs, bcachefs).
    Reflink,
    /// Driver `btrfs`: by a snapshot of a subvolume.
    Btrfs,
    /// Driver `zfs`: by a clone of a dataset.
    Zfs,
}

impl Duplication {
    /// The driver's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Reflink => "reflink",
            Self::Btrfs => "btrfs",
            Self::Zfs => "zfs",
        }
    }

    /// Whether the file system tells reliably by an inode's change time that nobody wrote to it.
    pub(super) fn change_times_tell(self) -> bool {
        self != Self::Copy
    }
}

/// What came of [`Store::duplicate`] and [`Store::take_base`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// All of it at one moment, with the inode numbers and change times of the source.
    AtOnce,
    /// One entry after the other.
    EntryByEntry,
}

impl Store {
    /// Why the file system of the store does not do what this driver needs; `None` when it does.
    pub(super) fn lacks(&self) -> Result<Option<String>, WorkspaceError> {
        if self.works.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Some(datasets) = self.datasets() {
            make_directory(self.dir())?;
            let lacks = datasets.lack()?;
            self.works.store(lacks.is_none(), Ordering::Relaxed);
            return Ok(lacks);
        }
        let made = self.make()?;
        let lacks = match self.duplication() {
            Duplication::Copy | Duplication::Zfs => Ok(None),
            Duplication::Reflink => self.lacks_clones(&made),
            Duplication::Btrfs => self.lacks_subvolumes(&made),
        };
        let removed = self.remove(&made);
        let lacks = lacks?;
        removed?;
        self.works.store(lacks.is_none(), Ordering::Relaxed);
        Ok(lacks)
    }

    fn lacks_clones(&self, made: &Path) -> Result<Option<String>, WorkspaceError> {
        let source = made.join("source");
        std::fs::write(&source, [0; 4096]).map_err(failed("write", &source))?;
        Ok(clone_refused(&source, &made.join("clone"))?.map(|errno| {
            format!(
                "the file system of {} cannot share blocks between files ({errno}): \
                 put the store (CTRLZ_HOME) on XFS, btrfs or bcachefs",
                self.dir().display()
            )
        }))
    }

    fn lacks_subvolumes(&self, made: &Path) -> Result<Option<String>, WorkspaceError> {
        let dir = self.dir().display();
        let open = open_directory(made, OFlags::RDONLY)?;
        if !btrfs::is_btrfs(&open).map_err(failed("look at", made))? {
            return Ok(Some(format!(
                "{dir} does not lie on btrfs: put the store (CTRLZ_HOME) there"
            )));
        }
        if let Err(error) = btrfs::create_subvolume(&open, "root".as_ref()) {
            return Ok(Some(format!("no subvolume can be made in {dir}: {error}")));
        }
        // As what is not empty would be removed without the right to remove subvolumes.
        Ok(remove_tree(&made.join("root")).err().map(|error| {
            format!(
                "a subvolume in {dir} cannot be removed ({}): \
                 mount it with user_subvol_rm_allowed, or use Linux 4.18 or later",
                std::error::Error::source(&error).map_or_else(String::new, ToString::to_string)
            )
        }))
    }

    /// Why a base with these entries cannot be duplicated by this driver.
    pub(super) fn refuses(
        &self,
        base: &Path,
        entries: &[(RelPath, Version)],
    ) -> Result<Option<String>, WorkspaceError> {
        if self.duplication() != Duplication::Reflink {
            return Ok(None);
        }
        let files = entries.iter().filter(|(_, version)| version.is_file() && version.size > 0);
        for (path, _) in files {
            let source = path.below(base);
            let made = self.make()?;
            let refused = clone_refused(&source, &made.join("clone"));
            self.remove(&made)?;
            return match refused {
                Ok(None) => Ok(None),
                Ok(Some(Errno::XDEV)) => Ok(Some(format!(
                    "it does not lie on the file system of the store {}, \
                     so that its files cannot share their blocks",
                    self.dir().display()
                ))),
                Ok(Some(errno)) => {
                    Ok(Some(format!("{} cannot share its blocks: {errno}", source.display())))
                }
                Err(error) if is_gone(&error) => continue,
                Err(error) => Err(error),
            };
        }
        Ok(None)
    }

    /// Puts what a tree of this store is into `made`; answers where its files are there.
    pub(super) fn duplicate(
        &self,
        copy: &Loaded,
        made: &Path,
    ) -> Result<(Made, PathBuf), WorkspaceError> {
        let records = &copy.manifest.records;
        let fill = |to: PathBuf, content| {
            fill_tree(&copy.root, &to, (Unreadable::Unseal, content), records.len())?;
            Ok((Made::EntryByEntry, to))
        };
        let to = made.join("root");
        match self.duplication() {
            Duplication::Copy => {
                copy_sealed_tree(&copy.root, &to)?;
                Ok((Made::EntryByEntry, to))
            }
            Duplication::Reflink => {
                make_directory(&to)?;
                fill(to, Content::Shared)
            }
            Duplication::Btrfs => {
                let versions = records.iter().filter_map(|r| Some((&r.path, r.entry.as_ref()?)));
                if !others_inside(versions) && snapshot(&copy.root, &to)? {
                    return Ok((Made::AtOnce, to));
                }
                make_subvolume(&to)?;
                fill(to, Content::Copied)
            }
            Duplication::Zfs => match self.clone_of(&copy.root, &to)? {
                Some(root) => Ok((Made::AtOnce, root)),
                // It was restored from elsewhere.
                None => fill(self.make_dataset(&to)?, Content::Copied),
            },
        }
    }

    /// Puts what the live directory `base` is, in which `known` was seen, into `made`; answers where
    /// its files are there.
    pub(super) fn take_base(
        &self,
        base: &Path,
        known: &BTreeMap<RelPath, Version>,
        made: &Path,
    ) -> Result<(Made, PathBuf), WorkspaceError> {
        let fill = |to: PathBuf, content| {
            fill_tree(base, &to, (Unreadable::Refuse, content), known.len())?;
            Ok((Made::EntryByEntry, to))
        };
        let to = made.join("root");
        match self.duplication() {
            Duplication::Copy if survey::is_mount(Place::new(&CWD, base, base))? => {
                copy_mount(base, &to, known)?;
                Ok((Made::EntryByEntry, to))
            }
            Duplication::Copy => {
                copy_tree(base, &to)?;
                Ok((Made::EntryByEntry, to))
            }
            Duplication::Reflink => {
                make_directory(&to)?;
                fill(to, Content::Shared)
            }
            Duplication::Btrfs => {
                if self.take_snapshot(base, known, &to)? {
                    return Ok((Made::AtOnce, to));
                }
                make_subvolume(&to)?;
                fill(to, Content::Copied)
            }
            Duplication::Zfs => match self.clone_of(base, &to)? {
                Some(root) => Ok((Made::AtOnce, root)),
                None => fill(self.make_dataset(&to)?, Content::Copied),
            },
        }
    }

    /// What trees do not keep here.
    pub(super) fn loses(&self) -> Vec<String> {
        match self.datasets() {
            Some(_) if Datasets::are_fuse() => {
                let holes = "holes in files that are committed";
                ["times below a second", "access control lists", holes].map(str::to_owned).into()
            }
            _ => Vec::new(),
        }
    }

    /// Where the files of a tree are of which `made` is the directory.
    pub(super) fn files(&self, made: &Path) -> Result<PathBuf, WorkspaceError> {
        let root = made.join("root");
        let mounted = self.datasets().map(|datasets| datasets.at(&root)).transpose()?;
        Ok(mounted.flatten().unwrap_or(root))
    }

    /// A clone of the dataset mounted at `source`, if there is one, for the new `link`.
    pub(super) fn clone_of(
        &self,
        source: &Path,
        link: &Path,
    ) -> Result<Option<PathBuf>, WorkspaceError> {
        self.datasets().map_or(Ok(None), |datasets| datasets.clone_of(source, link))
    }

    fn make_dataset(&self, link: &Path) -> Result<PathBuf, WorkspaceError> {
        let made = self.datasets().map(|datasets| datasets.create(link)).transpose()?;
        Ok(made.unwrap_or_else(|| link.to_owned()))
    }

    /// Takes a snapshot of the base, when that has all of it and can be removed again.
    fn take_snapshot(
        &self,
        base: &Path,
        known: &BTreeMap<RelPath, Version>,
        to: &Path,
    ) -> Result<bool, WorkspaceError> {
        let us = rustix::process::geteuid();
        // An ordinary user can neither remove nor copy what others have in it.
        let ours = |mut uids: Box<dyn Iterator<Item = u32> + '_>| {
            us.is_root() || uids.all(|uid| uid == us.as_raw())
        };
        if others_inside(known) || !ours(Box::new(known.values().map(|v| v.uid))) {
            return Ok(false);
        }
        if !snapshot(base, to)? {
            return Ok(false);
        }
        // Somebody may have made a subvolume in it just before.
        let taken = survey::records(to)?;
        let versions = || taken.iter().filter_map(|r| Some((&r.path, r.entry.as_ref()?)));
        if others_inside(versions()) || !ours(Box::new(versions().map(|(_, v)| v.uid))) {
            self.remove_root(to)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Removes a directory of the store with the tree in it.
    pub(super) fn remove(&self, path: &Path) -> Result<(), WorkspaceError> {
        if self.duplication() == Duplication::Btrfs {
            remove_subvolume(&path.join("root"))?;
        }
        if let Some(datasets) = self.datasets() {
            datasets.remove(&path.join("root"))?;
        }
        self.remove_root(path)
    }

    fn remove_root(&self, path: &Path) -> Result<(), WorkspaceError> {
        if self.duplication() == Duplication::Btrfs {
            remove_subvolume(path)?;
        }
        match remove_tree(path) {
            // A command made a subvolume that may not be written to.
            Err(WorkspaceError::Io { source, .. })
                if self.duplication() == Duplication::Btrfs
                    && source.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
            {
                make_writable(path)?;
                remove_tree(path)
            }
            result => result,
        }
    }
}

/// Records of a snapshot, with what its base was at the same moment.
pub(super) fn as_of_base(records: &mut [Record], base: Option<&Version>) {
    for record in records {
        let device = base.map(|base| base.dev);
        record.base =
            record.entry.map(|entry| Version { dev: device.unwrap_or(entry.dev), ..entry });
    }
}

/// Whether entries are the roots of other subvolumes, or what a snapshot has in place of one. A
/// snapshot would leave out what is in them.
pub(super) fn others_inside<'a>(
    entries: impl IntoIterator<Item = (&'a RelPath, &'a Version)>,
) -> bool {
    let marks = [btrfs::SUBVOLUME_ROOT, btrfs::SUBVOLUME_LEFT_OUT];
    entries
        .into_iter()
        .any(|(path, v)| !path.is_root() && v.is_directory() && marks.contains(&v.ino))
}

/// Whether a snapshot of `source` was taken; not when it is no subvolume here, or not ours.
pub(super) fn snapshot(source: &Path, to: &Path) -> Result<bool, WorkspaceError> {
    let (directory, name) = open_for_ioctl(to)?;
    let open = open_directory(source, OFlags::RDONLY)?;
    match btrfs::snapshot_subvolume(&open, &directory, &name) {
        Ok(()) => Ok(true),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::XDEV | Errno::PERM | Errno::ACCESS) => Ok(false),
            _ => Err(failed("take a snapshot of", source)(error)),
        },
    }
}

fn make_subvolume(to: &Path) -> Result<(), WorkspaceError> {
    let (directory, name) = open_for_ioctl(to)?;
    btrfs::create_subvolume(&directory, &name).map_err(failed("create the subvolume", to))?;
    rustix::fs::chmod(to, Mode::from_raw_mode(0o700)).map_err(failed("set the mode of", to))
}

/// Removes the subvolume in one step, where that is possible.
fn remove_subvolume(path: &Path) -> Result<(), WorkspaceError> {
    match open_for_ioctl(path) {
        Ok((directory, name)) => {
            // It may be none, hold others, or not be ours to remove like this: then it is emptied.
            let _ = btrfs::remove_subvolume(&directory, &name);
            Ok(())
        }
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes all subvolumes in a directory writable.
fn make_writable(path: &Path) -> Result<(), WorkspaceError> {
    // Those inside of one are seen once that is open.
    for record in survey::records(path)? {
        let Some(version) = record.entry else { continue };
        if version.is_directory() && version.ino == btrfs::SUBVOLUME_ROOT {
            let at = record.path.below(path);
            let open = open_directory(&at, OFlags::RDONLY)?;
            btrfs::make_writable(&open).map_err(failed("make writable", &at))?;
        }
    }
    Ok(())
}

/// The directory above, opened for more than its name.
fn open_for_ioctl(path: &Path) -> Result<(OwnedFd, std::ffi::OsString), WorkspaceError> {
    let (_, name) = open_parent(path)?;
    let above = path.parent().unwrap_or(Path::new("."));
    Ok((open_directory(above, OFlags::RDONLY)?, name))
}

/// Why `from` could not be cloned to the new `to`.
fn clone_refused(from: &Path, to: &Path) -> Result<Option<Errno>, WorkspaceError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = rustix::fs::open(from, flags, Mode::empty()).map_err(failed("open", from))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let clone =
        rustix::fs::open(to, flags, Mode::from_raw_mode(0o600)).map_err(failed("create", to))?;
    Ok(crate::node::share_blocks(&source, &clone).err())
}
