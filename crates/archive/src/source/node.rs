//! One inode: looked at, and opened where it has content.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{Attributes, Notes, Of};
use crate::descent::{Closed, Descent, unseal};
use crate::entry::{Attribute, FileTime, Kind, Metadata};

/// What changes when an inode does. The device number is no part of it: it may be another one
/// after the next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) ino: u64,
    pub(crate) size: u64,
    pub(crate) mtime: FileTime,
    pub(crate) ctime: FileTime,
    /// With the bits of the type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u64,
    pub(crate) nlink: u64,
}

impl Version {
    pub(crate) fn new(stat: &Stat) -> Self {
        let time = |seconds: i64, nanoseconds: i64| FileTime {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        // The types of the fields differ between architectures.
        Self {
            ino: stat.st_ino as _,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
            ctime: time(stat.st_ctime as _, stat.st_ctime_nsec as _),
            mode: stat.st_mode as _,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev as _,
            nlink: stat.st_nlink as _,
        }
    }

    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether the content is surely the same.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        (self.ino, self.size, self.mtime, self.ctime)
            == (other.ino, other.size, other.mtime, other.ctime)
    }
}

/// An inode as it was found.
#[derive(Debug)]
pub(crate) struct Node {
    /// `None` for a socket.
    pub(crate) kind: Option<Kind>,
    pub(crate) version: Version,
    pub(crate) dev: u64,
    /// In units of 512 bytes.
    pub(crate) blocks: u64,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) notes: Notes,
    /// A regular file or a directory, open.
    pub(crate) open: Option<OwnedFd>,
}

/// Nothing has the name any more.
#[derive(Debug)]
pub(crate) struct Vanished;

/// How entries are opened, with buffers for it.
#[derive(Debug)]
pub(crate) struct Opener {
    closed: Closed,
    attributes: Attributes,
}

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Opener {
    pub(crate) fn new(closed: Closed) -> Self {
        Self { closed, attributes: Attributes::default() }
    }

    /// Looks at `name` where `at` stands. `file_type` is what the directory says it is.
    pub(crate) fn open(
        &mut self,
        at: &Descent,
        name: &[u8],
        file_type: FileType,
    ) -> Result<Result<Node, Vanished>, Errno> {
        match self.open_as(at, name, file_type) {
            Err(Errno::NOENT) => Ok(Err(Vanished)),
            result => result.map(Ok),
        }
    }

    /// The directory where `at` stands itself.
    pub(crate) fn here(&mut self, at: &Descent) -> Result<Node, Errno> {
        let flags = OPEN.union(OFlags::DIRECTORY);
        let open = rustix::fs::openat(at.here(), ".", flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&open)?;
        self.opened(open, &stat)
    }

    fn open_as(&mut self, at: &Descent, name: &[u8], file_type: FileType) -> Result<Node, Errno> {
        let flags = match file_type {
            FileType::RegularFile => OPEN,
            FileType::Directory => OPEN.union(OFlags::DIRECTORY),
            _ => return self.look(at, name),
        };
        let wanted = if file_type == FileType::Directory { Mode::RWXU } else { Mode::RUSR };
        let (open, mode) = match rustix::fs::openat(at.here(), name, flags, Mode::empty()) {
            Ok(open) => (open, None),
            // It is something else meanwhile.
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return self.look(at, name),
            Err(Errno::ACCESS) if self.closed == Closed::Unseal => {
                let (open, mode) = unseal(at.here(), name, flags, wanted)?;
                (open, Some(mode))
            }
            Err(errno) => return Err(errno),
        };
        if let Some(mode) = mode {
            // What is open stays open.
            rustix::fs::fchmod(&open, mode)?;
        }
        let stat = rustix::fs::fstat(&open)?;
        let found = FileType::from_raw_mode(stat.st_mode);
        if matches!(found, FileType::RegularFile | FileType::Directory) {
            self.opened(open, &stat)
        } else {
            self.look(at, name)
        }
    }

    fn opened(&mut self, open: OwnedFd, stat: &Stat) -> Result<Node, Errno> {
        let (attributes, notes) = self.attributes.read(Of::Open(open.as_fd()))?;
        let version = Version::new(stat);
        let kind = match version.file_type() {
            FileType::Directory => Kind::Directory,
            _ => Kind::file(version.size),
        };
        Ok(Node {
            kind: Some(kind),
            version,
            dev: stat.st_dev as _,
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            attributes,
            notes,
            open: Some(open),
        })
    }

    /// Of what is not to be opened.
    fn look(&mut self, at: &Descent, name: &[u8]) -> Result<Node, Errno> {
        let stat = rustix::fs::statat(at.here(), name, AtFlags::SYMLINK_NOFOLLOW)?;
        let version = Version::new(&stat);
        let (major, minor) =
            (rustix::fs::major(stat.st_rdev as _), rustix::fs::minor(stat.st_rdev as _));
        let kind = match version.file_type() {
            found @ (FileType::RegularFile | FileType::Directory) => {
                return self.open_as(at, name, found);
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(at.here(), name, Vec::new())?;
                Some(Kind::Symlink { target: target.into_bytes() })
            }
            FileType::Fifo => Some(Kind::Fifo),
            FileType::CharacterDevice => Some(Kind::CharDevice { major, minor }),
            FileType::BlockDevice => Some(Kind::BlockDevice { major, minor }),
            _ => None,
        };
        let mut path = format!("/proc/self/fd/{}/", at.here().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        let path = PathBuf::from(OsString::from_vec(path));
        let (attributes, notes) = self.attributes.read(Of::Through(&path))?;
        Ok(Node { kind, version, dev: stat.st_dev as _, blocks: 0, attributes, notes, open: None })
    }
}

impl Node {
    /// What the inode carries.
    pub(crate) fn metadata(&mut self) -> Metadata {
        Metadata {
            mode: self.version.mode & 0o7777,
            uid: self.version.uid,
            gid: self.version.gid,
            mtime: self.version.mtime,
            attributes: std::mem::take(&mut self.attributes),
        }
    }

    /// Whether overlayfs takes it for "nothing here".
    pub(crate) fn is_whiteout(&self, whiteout_files: bool) -> bool {
        match self.kind {
            Some(Kind::CharDevice { major: 0, minor: 0 }) => true,
            Some(Kind::File { size: 0, .. }) => whiteout_files && self.notes.whiteout,
            _ => false,
        }
    }
}
