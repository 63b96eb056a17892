//! A copy of one entry.

use std::os::fd::OwnedFd;
use std::path::Path;

use ctrlz_core::changeset::FileType;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Handle, Marks, carry, times};
use super::{Place, content, failed, file_type, open_parent};

/// Copies the entry `from` to the new entry `to`: type, content (blocks shared where possible,
/// holes kept), owner, mode, extended attributes with ACLs and file capabilities (overlayfs's own
/// left out), times. A directory is copied without what is in it. `from` is only read: a file
/// that we may not read is an error.
///
/// # Errors
/// When `to` exists, or which property could not be kept. Nothing is left at `to` then.
pub(crate) fn copy_node(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    copy_by_path(from, to, Unreadable::Refuse)
}

/// [`copy_node`] for a source in our own store. A file of ours that its mode keeps even from us
/// (only without root) gets the owner's read permission until it is open, then its mode back. A
/// crash in between leaves that one bit; it never happens to a live file, since those go through
/// [`copy_node`].
///
/// # Errors
/// As [`copy_node`].
pub(crate) fn copy_sealed_node(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    copy_by_path(from, to, Unreadable::Unseal)
}

/// What to do with a source that its owner may not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is an error.
    Refuse,
    /// It is made readable for the moment; only for files of our own store.
    Unseal,
    /// The same for a layer, of which overlayfs's own attributes are copied, too.
    UnsealLayer,
}

impl Unreadable {
    /// Whether it is made readable.
    pub(super) fn unseals(self) -> bool {
        matches!(self, Self::Unseal | Self::UnsealLayer)
    }

    fn marks(self) -> Marks {
        if self == Self::UnsealLayer { Marks::Kept } else { Marks::LeftOut }
    }
}

fn copy_by_path(from: &Path, to: &Path, unreadable: Unreadable) -> Result<(), WorkspaceError> {
    let (from_directory, from_name) = open_parent(from)?;
    let (to_directory, to_name) = open_parent(to)?;
    copy_node_at(
        Place::new(&from_directory, &from_name, from),
        Place::new(&to_directory, &to_name, to),
        unreadable,
    )
}

/// [`copy_node`] for names in open directories.
pub(crate) fn copy_node_at(
    from: Place<'_>,
    to: Place<'_>,
    unreadable: Unreadable,
) -> Result<(), WorkspaceError> {
    place_node_at(from, to, unreadable, Blocks::SharedWherePossible)
}

/// How content comes to be in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// As the file system can.
    SharedWherePossible,
    /// By nothing but sharing.
    Shared,
}

fn place_node_at(
    from: Place<'_>,
    to: Place<'_>,
    unreadable: Unreadable,
    blocks: Blocks,
) -> Result<(), WorkspaceError> {
    let source = Source::open(from, unreadable)?;
    create(&source, from, to)?;
    let finished = fill_with(&source, from, to, blocks);
    if finished.is_err() {
        let directory = source.handle.version.is_directory();
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        // The first error is the one to tell; what cannot be removed now is in a directory that
        // its maker removes as a whole.
        let _ = rustix::fs::unlinkat(to.directory, to.name, flags);
    }
    finished
}

/// [`copy_node_at`] that errs where the content cannot share its blocks.
pub(super) fn clone_node_at(
    from: Place<'_>,
    to: Place<'_>,
    unreadable: Unreadable,
) -> Result<(), WorkspaceError> {
    place_node_at(from, to, unreadable, Blocks::Shared)
}

/// Gives the directory `to` the metadata of `from`, as the last step of making a directory with
/// something in it.
pub(crate) fn finish_directory_at(
    from: Place<'_>,
    to: Place<'_>,
    unreadable: Unreadable,
) -> Result<(), WorkspaceError> {
    fill(&Source::open(from, unreadable)?, from, to)
}

/// An entry, open to be copied.
pub(super) struct Source {
    pub(super) handle: Handle,
    content: Option<OwnedFd>,
    attributes: Attributes,
}

impl Source {
    pub(super) fn open(place: Place<'_>, unreadable: Unreadable) -> Result<Self, WorkspaceError> {
        let handle = Handle::open(place)?;
        let marks = unreadable.marks();
        match Self::read(&handle, marks) {
            Ok((content, attributes)) => Ok(Self { handle, content, attributes }),
            Err(Errno::ACCESS)
                if unreadable.unseals()
                    && handle.version.uid == rustix::process::geteuid().as_raw() =>
            {
                let mode = handle.version.permissions();
                let fail = |errno: Errno| failed("make readable", place.shown)(errno);
                handle.set_permissions(mode | 0o400).map_err(fail)?;
                let read = Self::read(&handle, marks);
                handle.set_permissions(mode).map_err(fail)?;
                let (content, attributes) = read.map_err(failed("read", place.shown))?;
                Ok(Self { handle, content, attributes })
            }
            Err(errno) => Err(failed("read", place.shown)(errno)),
        }
    }

    fn read(handle: &Handle, marks: Marks) -> Result<(Option<OwnedFd>, Attributes), Errno> {
        let content = if handle.version.is_file() {
            // Through the descriptor: the inode that was looked at, not what has its name now.
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            Some(rustix::fs::open(&handle.through, flags, Mode::empty())?)
        } else {
            None
        };
        Ok((content, handle.attributes_with(marks)?))
    }
}

/// Makes an empty entry of the source's type that only we may use.
pub(super) fn create(
    source: &Source,
    from: Place<'_>,
    to: Place<'_>,
) -> Result<(), WorkspaceError> {
    let version = &source.handle.version;
    let fail = |errno: Errno| failed("create", to.shown)(errno);
    let special = |kind| {
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(to.directory, to.name, kind, mode, version.rdev).map_err(fail)
    };
    match file_type(version) {
        FileType::Directory => {
            rustix::fs::mkdirat(to.directory, to.name, Mode::from_raw_mode(0o700)).map_err(fail)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&source.handle.fd, "", Vec::new())
                .map_err(failed("read the link", from.shown))?;
            rustix::fs::symlinkat(&target, to.directory, to.name).map_err(fail)
        }
        FileType::File => {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(to.directory, to.name, flags, Mode::from_raw_mode(0o600))
                .map(drop)
                .map_err(fail)
        }
        FileType::Fifo => special(rustix::fs::FileType::Fifo),
        FileType::Socket => special(rustix::fs::FileType::Socket),
        FileType::BlockDevice => special(rustix::fs::FileType::BlockDevice),
        FileType::CharDevice => special(rustix::fs::FileType::CharacterDevice),
    }
}

/// Gives the entry content and metadata.
pub(super) fn fill(source: &Source, from: Place<'_>, to: Place<'_>) -> Result<(), WorkspaceError> {
    fill_with(source, from, to, Blocks::SharedWherePossible)
}

fn fill_with(
    source: &Source,
    from: Place<'_>,
    to: Place<'_>,
    blocks: Blocks,
) -> Result<(), WorkspaceError> {
    let target = Handle::open(to)?;
    if let Some(content) = &source.content {
        let file =
            rustix::fs::open(&target.through, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(failed("open", to.shown))?;
        let size = source.handle.version.size;
        match blocks {
            Blocks::SharedWherePossible => content::copy(content, &file, size)
                .map_err(failed("copy the content to", to.shown))?,
            Blocks::Shared if size == 0 => {}
            Blocks::Shared => content::share_blocks(content, &file)
                .map_err(failed("share the blocks of", from.shown))?,
        }
    }
    let times = times(&source.handle.fd, from.shown)?;
    carry(&target, &source.handle.version, &source.attributes, &times, to.shown)
}
