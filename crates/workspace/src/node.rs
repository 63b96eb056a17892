//! Operations on one directory entry that keep everything an inode carries, and the few on whole
//! trees that are made of them.
//!
//! Nothing here follows a symbolic link in the last component of a path. The `*_at` forms take a
//! directory descriptor and a name, so that a tree of any depth can be walked without a path that
//! is longer than the kernel takes, and without a parent that someone swaps in the meantime.
//!
//! Extended attributes, owner and mode of a symbolic link or a special file are reached through
//! `/proc/self/fd`, since the kernel has no call for them by descriptor.

mod attributes;
mod compare;
mod content;
mod copy;
mod cursor;
mod fill;
mod place;
mod remove;
#[cfg(test)]
mod tests;
mod tree;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use ctrlz_core::changeset::{FileType, Metadata};
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, OFlags, Statx, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub(crate) use attributes::Handle;
pub(crate) use attributes::{copy_metadata, copy_metadata_at, same_xattrs, same_xattrs_at};
pub(crate) use compare::{same_content, same_content_at};
pub(crate) use content::{overwrite, share_blocks};
pub(crate) use copy::{Unreadable, copy_node, copy_node_at, copy_sealed_node, finish_directory_at};
pub(crate) use cursor::Cursor;
pub(crate) use fill::{Content, fill_tree};
pub(crate) use place::{Place, entries_at, open_directory, open_parent};
pub(crate) use remove::{remove_tree, remove_tree_at};
pub(crate) use tree::{copy_sealed_tree, copy_tree};

/// What statx(2) tells of an entry: enough to see whether someone changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes, as the kernel gives it for the type.
    pub size: u64,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// `st_mode` with the type bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device that a device node names.
    pub rdev: u64,
    /// Names of the inode.
    pub nlink: u32,
}

impl Version {
    fn from_statx(stat: &Statx) -> Self {
        let time =
            |t: rustix::fs::StatxTimestamp| Timestamp::from_parts(t.tv_sec, i64::from(t.tv_nsec));
        Self {
            dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            size: stat.stx_size,
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
            mode: u32::from(stat.stx_mode),
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            rdev: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
            nlink: stat.stx_nlink,
        }
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        file_type(self) == FileType::Directory
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        file_type(self) == FileType::File
    }

    /// The low 12 bits of `mode`.
    pub(crate) fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }
}

/// Turns an errno into an error that says what was tried and where.
pub(crate) fn failed<E: Into<io::Error>>(
    action: &'static str,
    path: impl AsRef<Path>,
) -> impl FnOnce(E) -> WorkspaceError {
    move |source| WorkspaceError::Io {
        action,
        path: path.as_ref().to_owned(),
        source: source.into(),
    }
}

/// The version of `path` itself; `None` when it, or a directory above it, is not there.
///
/// # Errors
/// When the kernel refuses to tell.
pub(crate) fn version(path: &Path) -> Result<Option<Version>, WorkspaceError> {
    match open_parent(path) {
        Ok((directory, name)) => version_at(Place::new(&directory, &name, path)),
        Err(WorkspaceError::Io { source, .. }) if is_absent(&source) => Ok(None),
        Err(error) => Err(error),
    }
}

/// [`version`] of a name in an open directory.
pub(crate) fn version_at(place: Place<'_>) -> Result<Option<Version>, WorkspaceError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(place.directory, place.name, flags, StatxFlags::BASIC_STATS) {
        Ok(stat) => Ok(Some(Version::from_statx(&stat))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(failed("look at", place.shown)(errno)),
    }
}

/// The version of an open file.
pub(crate) fn version_of(
    file: impl rustix::fd::AsFd,
    shown: &Path,
) -> Result<Version, WorkspaceError> {
    rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map(|stat| Version::from_statx(&stat))
        .map_err(failed("look at", shown))
}

/// Whether what was to be looked at is not there any more.
pub(crate) fn is_gone(error: &WorkspaceError) -> bool {
    matches!(error, WorkspaceError::Io { source, .. }
        if is_absent(source)
            || [Errno::LOOP, Errno::STALE].map(|errno| Some(errno.raw_os_error()))
                .contains(&source.raw_os_error()))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The type of an entry.
pub(crate) fn file_type(version: &Version) -> FileType {
    match rustix::fs::FileType::from_raw_mode(version.mode) {
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        rustix::fs::FileType::Fifo => FileType::Fifo,
        rustix::fs::FileType::Socket => FileType::Socket,
        rustix::fs::FileType::BlockDevice => FileType::BlockDevice,
        rustix::fs::FileType::CharacterDevice => FileType::CharDevice,
        rustix::fs::FileType::RegularFile | rustix::fs::FileType::Unknown => FileType::File,
    }
}

/// A version as a changeset shows it.
pub(crate) fn metadata(version: &Version) -> Metadata {
    let file_type = file_type(version);
    let size = match file_type {
        FileType::File | FileType::Symlink => version.size,
        _ => 0,
    };
    Metadata {
        file_type,
        mode: version.permissions(),
        uid: version.uid,
        gid: version.gid,
        size,
        mtime: version.mtime,
    }
}

/// The names in a directory, sorted, without `.` and `..`.
///
/// # Errors
/// When it is no directory or cannot be read.
pub(crate) fn entries(directory: &Path) -> Result<Vec<OsString>, WorkspaceError> {
    let open = open_directory(directory, OFlags::RDONLY)?;
    entries_at(&open, directory)
}
