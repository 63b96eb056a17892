//! Mounting by descriptors (fsopen(2), open_tree(2), move_mount(2)), so that no path of the
//! sandbox's content is ever followed where it should not be.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use ctrlz_sys::mount_attr::{self, MountAttributes};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// A new instance of a file system, not yet attached anywhere.
pub(super) fn new_filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A detached copy of the mount at `path` below `directory`, with those below it if `recursive`.
pub(super) fn copy_of(directory: impl AsFd, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(directory, path, flags)?)
}

/// Attaches a detached mount at the directory or file that `target` refers to.
pub(super) fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// Makes a detached mount read-only, without set-user-id programs and devices.
pub(super) fn restrict(mount: impl AsFd, recursive: bool, read_only: bool) -> io::Result<()> {
    let attributes =
        MountAttributes { read_only, no_suid: true, private: true, ..MountAttributes::default() };
    mount_attr::set(mount, Path::new(""), attributes, recursive)
}

/// Opens `path`, absolute or not, as if `root` were the root. No symbolic link is followed, so
/// `path` must be canonical. `None` when it does not exist, or a link stands in the way.
pub(super) fn open_below(root: impl AsFd, path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`open_below`], but makes the directories that are missing.
pub(super) fn open_or_make(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    if let Some(fd) = open_below(root.as_fd(), path)? {
        return Ok(fd);
    }
    let mut so_far = PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let parent = open_below(root.as_fd(), &so_far)?.ok_or(Errno::NOENT)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        so_far.push(name);
    }
    open_below(root, path)?.ok_or_else(|| Errno::LOOP.into())
}

/// Opens a path of the root as it is now, following links.
pub(super) fn open_host(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}
