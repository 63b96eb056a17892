//! Names in open directories, and how to get there from a path of any length.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::failed;

/// A name in an open directory. `shown` is only for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The directory.
    pub directory: BorrowedFd<'a>,
    /// One component.
    pub name: &'a OsStr,
    /// The path that messages name.
    pub shown: &'a Path,
}

impl<'a> Place<'a> {
    /// `name` in `directory`.
    pub(crate) fn new(
        directory: &'a impl AsFd,
        name: &'a (impl AsRef<OsStr> + ?Sized),
        shown: &'a Path,
    ) -> Self {
        Self { directory: directory.as_fd(), name: name.as_ref(), shown }
    }
}

/// Longest path handed to the kernel in one piece; its own limit is 4096 with the NUL.
const PIECE: usize = 3000;

/// Opens the directory at `path`. Symbolic links above it are followed, one in its place is not.
/// Paths longer than `PATH_MAX` work.
///
/// # Errors
/// When it is missing, no directory, or may not be opened that way.
pub(crate) fn open_directory(path: &Path, access: OFlags) -> Result<OwnedFd, WorkspaceError> {
    open_by_pieces(path, access | OFlags::NOFOLLOW)
}

/// Opens the directory that holds `path`, and gives the name in it. For `/`, and for what ends
/// in `..`, that is `.` in the directory itself.
///
/// # Errors
/// When the parent is missing or no directory.
pub(crate) fn open_parent(path: &Path) -> Result<(OwnedFd, OsString), WorkspaceError> {
    let (parent, name) = match path.components().next_back() {
        Some(Component::Normal(name)) => (path.parent().unwrap_or(Path::new("")), name),
        _ => (path, OsStr::new(".")),
    };
    open_by_pieces(parent, OFlags::PATH).map(|fd| (fd, name.to_owned()))
}

fn open_by_pieces(path: &Path, access: OFlags) -> Result<OwnedFd, WorkspaceError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fail = |errno: Errno| failed("open the directory", path)(errno);
    if path.as_os_str().len() <= PIECE {
        return rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty()).map_err(fail);
    }
    let mut at = rustix::fs::openat(rustix::fs::CWD, ".", way, Mode::empty()).map_err(fail)?;
    let mut piece = PathBuf::new();
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        piece.push(component);
        let next = components.peek().map(|next| next.as_os_str().len());
        if next.is_none_or(|next| piece.as_os_str().len() + next + 1 > PIECE) {
            let flags = if next.is_none() { flags } else { way };
            at = rustix::fs::openat(&at, &piece, flags, Mode::empty()).map_err(fail)?;
            piece = PathBuf::new();
        }
    }
    Ok(at)
}

/// The names in an open directory, sorted, without `.` and `..`.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn entries_at(
    directory: impl AsFd,
    shown: &Path,
) -> Result<Vec<OsString>, WorkspaceError> {
    let fail = |errno: Errno| failed("list", shown)(errno);
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
