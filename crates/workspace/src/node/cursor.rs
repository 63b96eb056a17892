//! A place in a tree that moves down and up without a path and with one descriptor, so that
//! neither the depth of the tree nor the length of its paths matters.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::attributes::Handle;
use super::{Place, Version, failed, version_of};

/// What to do with a directory that its own permissions close to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is an error.
    Refuse,
    /// Open it while the cursor is in it, then give it its mode back. Only what is ours.
    Unseal,
    /// Open it for good. Only what is ours.
    Open,
}

#[derive(Debug)]
pub(crate) struct Cursor {
    fd: OwnedFd,
    above: Vec<Step>,
    shown: PathBuf,
    closed: Closed,
}

#[derive(Debug)]
struct Step {
    /// Device and inode of the directory above, checked on the way up.
    above: (u64, u64),
    /// The mode that the directory below gets back.
    mode: Option<u32>,
}

impl Cursor {
    /// Stands in the directory `place`; what is closed to us is an error.
    pub(crate) fn enter(place: Place<'_>) -> Result<Self, WorkspaceError> {
        Self::open(place, Closed::Refuse)
    }

    /// Stands in the directory `place`.
    pub(super) fn open(place: Place<'_>, closed: Closed) -> Result<Self, WorkspaceError> {
        let (fd, mode) = open(place, closed)?;
        let above = Step { above: (0, 0), mode };
        Ok(Self { fd, above: vec![above], shown: place.shown.to_owned(), closed })
    }

    /// The directory that it stands in.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The path of it, for messages.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }

    /// Into the directory `name`. Neither a link nor another mount is followed.
    pub(crate) fn descend(&mut self, name: &OsStr) -> Result<(), WorkspaceError> {
        let here = version_of(&self.fd, &self.shown)?;
        let shown = self.shown.join(name);
        let (fd, mode) = open(Place::new(&self.fd, name, &shown), self.closed)?;
        self.above.push(Step { above: (here.dev, here.ino), mode });
        self.fd = fd;
        self.shown = shown;
        Ok(())
    }

    /// Back to the directory above; `false` at the one where it began.
    pub(crate) fn ascend(&mut self) -> Result<bool, WorkspaceError> {
        let fail = |errno: Errno| failed("leave the directory", &self.shown)(errno);
        let Some(step) = self.above.pop() else { return Ok(false) };
        let up = if self.above.is_empty() {
            None
        } else {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let up = rustix::fs::openat(&self.fd, "..", flags, Mode::empty()).map_err(fail)?;
            let Version { dev, ino, .. } = version_of(&up, &self.shown)?;
            if (dev, ino) != step.above {
                // Someone moved the directory; what is above it now is not ours to walk.
                return Err(fail(Errno::STALE));
            }
            Some(up)
        };
        if let (Some(mode), Closed::Unseal) = (step.mode, self.closed) {
            rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode)).map_err(fail)?;
        }
        let Some(up) = up else { return Ok(false) };
        self.fd = up;
        self.shown.pop();
        Ok(true)
    }
}

fn open(place: Place<'_>, closed: Closed) -> Result<(OwnedFd, Option<u32>), WorkspaceError> {
    let fail = |errno: Errno| failed("open the directory", place.shown)(errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let open = || rustix::fs::openat2(place.directory, place.name, flags, Mode::empty(), resolve);
    let us = rustix::process::geteuid();
    if closed == Closed::Refuse || us.is_root() {
        return open().map(|fd| (fd, None)).map_err(fail);
    }
    let handle = Handle::open(place)?;
    let mode = handle.version.permissions();
    if !handle.version.is_directory() || mode & 0o700 == 0o700 || handle.version.uid != us.as_raw()
    {
        return open().map(|fd| (fd, None)).map_err(fail);
    }
    handle.set_permissions(mode | 0o700).map_err(fail)?;
    open().map(|fd| (fd, Some(mode))).map_err(fail)
}
