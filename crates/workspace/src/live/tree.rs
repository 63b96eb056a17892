//! Reaching into the live directory without following a link or crossing a mount.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::node::{
    Cursor, Place, Version, entries_at, failed, open_directory, version_at, version_of,
};

/// The live directory, held open: it stays the same one when someone renames it.
#[derive(Debug)]
pub(super) struct LiveTree {
    root: OwnedFd,
    path: PathBuf,
}

/// Where a path's parent is.
#[derive(Debug)]
pub(super) enum Parent {
    /// Here.
    Open(Spot),
    /// It is not there.
    Missing,
    /// Something on the way is not a directory, such as a link.
    Blocked,
}

/// A name in an open directory of the live tree.
#[derive(Debug)]
pub(super) struct Spot {
    directory: OwnedFd,
    name: OsString,
    shown: PathBuf,
}

impl Spot {
    pub(super) fn new(directory: OwnedFd, name: &OsStr, shown: PathBuf) -> Self {
        Self { directory, name: name.to_owned(), shown }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place::new(&self.directory, &self.name, &self.shown)
    }

    pub(super) fn shown(&self) -> &Path {
        &self.shown
    }

    pub(super) fn version(&self) -> Result<Option<Version>, WorkspaceError> {
        version_at(self.place())
    }

    /// Another name in the same directory.
    pub(super) fn beside(&self, name: &OsStr) -> Result<Self, WorkspaceError> {
        let directory = self.directory.try_clone().map_err(failed("open", self.shown.as_path()))?;
        Ok(Self::new(directory, name, self.shown.with_file_name(name)))
    }
}

impl LiveTree {
    pub(super) fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let root = open_directory(path, OFlags::RDONLY)?;
        Ok(Self { root, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    pub(super) fn root_version(&self) -> Result<Version, WorkspaceError> {
        version_of(&self.root, &self.path)
    }

    /// The spot of `path`. A mount on the way, or at the path itself, is an error.
    pub(super) fn find(&self, path: &RelPath) -> Result<Parent, WorkspaceError> {
        let shown = path.below(&self.path);
        let clone = || self.root.try_clone().map_err(failed("open", &self.path));
        let Some(parent) = path.parent() else {
            return Ok(Parent::Open(Spot::new(clone()?, OsStr::new("."), shown)));
        };
        let directory = if parent.is_root() {
            clone()?
        } else {
            match open_beneath(&self.root, &parent) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => return Ok(Parent::Missing),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Parent::Blocked),
                Err(Errno::XDEV) => return Err(across(&shown)),
                Err(errno) => return Err(failed("open the directory of", &shown)(errno)),
            }
        };
        let spot = Spot::new(directory, path.file_name(), shown);
        if is_mount(spot.place())? {
            return Err(across(&spot.shown));
        }
        Ok(Parent::Open(spot))
    }

    /// The spot of `path`, whose parent must be there.
    pub(super) fn spot(&self, path: &RelPath) -> Result<Spot, WorkspaceError> {
        match self.find(path)? {
            Parent::Open(spot) => Ok(spot),
            Parent::Missing => {
                Err(failed("open the directory of", path.below(&self.path))(Errno::NOENT))
            }
            Parent::Blocked => {
                Err(failed("open the directory of", path.below(&self.path))(Errno::NOTDIR))
            }
        }
    }
}

fn across(path: &Path) -> WorkspaceError {
    failed("change, across a mount point,", path)(Errno::XDEV)
}

/// Opens the directory `path` beneath `root`, as a place only. In pieces, since the kernel takes
/// no path of more than 4095 bytes.
pub(super) fn open_beneath(root: &OwnedFd, path: &RelPath) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let open = |at: &OwnedFd, piece: &Path| loop {
        match rustix::fs::openat2(at, piece, flags, Mode::empty(), resolve) {
            // A rename elsewhere made the kernel unsure; openat2(2) says to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    };
    if path.as_bytes().len() < 3000 {
        return open(root, path.as_path());
    }
    let mut at = root.try_clone().map_err(|_| Errno::MFILE)?;
    let mut piece = PathBuf::new();
    for component in path.as_path() {
        piece.push(component);
        if piece.as_os_str().len() > 2000 {
            at = open(&at, &piece)?;
            piece = PathBuf::new();
        }
    }
    if piece.as_os_str().is_empty() { Ok(at) } else { open(&at, &piece) }
}

/// Whether another file system, or another part of one, is mounted on the entry.
fn is_mount(place: Place<'_>) -> Result<bool, WorkspaceError> {
    if place.name == "." {
        return Ok(false);
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(place.directory, place.name, flags, StatxFlags::BASIC_STATS) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(failed("look at", place.shown)(errno)),
    }
}

/// Visits everything inside the directory `place`, parents first, with the path from it. The
/// directory itself is not visited. A mount inside is an error.
pub(super) fn walk(
    place: Place<'_>,
    mut visit: impl FnMut(&RelPath, &Version) -> Result<(), WorkspaceError>,
) -> Result<(), WorkspaceError> {
    let mut cursor = Cursor::enter(place)?;
    let mut path = RelPath::root();
    let mut levels = vec![entries_at(cursor.fd(), cursor.shown())?.into_iter()];
    while let Some(pending) = levels.last_mut() {
        let Some(name) = pending.next() else {
            levels.pop();
            cursor.ascend()?;
            path = path.parent().unwrap_or_default();
            continue;
        };
        let shown = cursor.shown().join(&name);
        let fd = cursor.fd();
        let entry = Place { directory: fd.as_fd(), name: &name, shown: &shown };
        if is_mount(entry)? {
            return Err(across(&shown));
        }
        let Some(version) = version_at(entry)? else { continue };
        let child = path.child(&name);
        visit(&child, &version)?;
        if version.is_directory() {
            cursor.descend(&name)?;
            levels.push(entries_at(cursor.fd(), cursor.shown())?.into_iter());
            path = child;
        }
    }
    Ok(())
}
