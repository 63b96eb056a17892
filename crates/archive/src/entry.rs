//! One entry of a layer, as the walker finds it, tar writes it and a restore makes it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use ctrlz_core::path::RelPath;

use crate::tar::{OPAQUE, WHITEOUT};

/// A point in time with the range of a file system's stamps, which is wider than that of
/// [`ctrlz_core::time::Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub seconds: i64,
    /// The rest, 0 to 999 999 999.
    pub nanoseconds: u32,
}

/// An extended attribute: its full name (`user.note`) and its value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// What an inode carries beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The low 12 bits of the mode.
    pub mode: u32,
    /// Owner, as a number.
    pub uid: u32,
    /// Group, as a number.
    pub gid: u32,
    /// When the content was last changed.
    pub mtime: FileTime,
    /// Extended attributes, ACLs and capabilities among them, sorted by name; overlayfs's own
    /// are never here.
    pub attributes: Vec<Attribute>,
}

/// A part of a file that holds data. What lies between two of them is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its size, holes included.
        size: u64,
        /// Where its data lies, ascending and apart; `None` when all of it is data.
        segments: Option<Vec<Segment>>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says, byte for byte.
        target: Vec<u8>,
    },
    /// One more name of an entry before it.
    HardLink {
        /// The first name.
        target: RelPath,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// What lower layers have at this path is gone (OCI: `.wh.NAME`).
    Whiteout,
    /// What lower layers have below this directory is gone (OCI: `.wh..wh..opq`).
    Opaque,
}

impl Kind {
    /// A file of which all is data.
    #[must_use]
    pub fn file(size: u64) -> Self {
        Self::File { size, segments: None }
    }

    /// How many bytes of content lie in the archive for this entry, a sparse file's map left out.
    #[must_use]
    pub fn data(&self) -> u64 {
        match self {
            Self::File { segments: Some(segments), .. } => {
                segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.length))
            }
            Self::File { size, segments: None } => *size,
            _ => 0,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies in the tree; the root is the tree's own directory.
    pub path: RelPath,
    /// What it is.
    pub kind: Kind,
    /// What it carries. A whiteout carries nothing.
    pub metadata: Metadata,
}

impl Entry {
    /// The entry as a layer means it (OCI image specification 1.1, layer.md, "Whiteouts"): a file
    /// `.wh.NAME` becomes a whiteout of `NAME`, `.wh..wh..opq` makes its directory opaque. `None`
    /// for what aufs left for itself (`.wh..wh.…`).
    ///
    /// # Errors
    /// Why the entry means nothing.
    pub fn in_layer(mut self) -> Result<Option<Self>, &'static str> {
        let aufs = |path: &RelPath| {
            path.as_bytes().split(|b| *b == b'/').any(|part| part.starts_with(b".wh..wh."))
        };
        let name = self.path.file_name().as_bytes();
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return Ok(if aufs(&self.path) { None } else { Some(self) });
        };
        let directory = self.path.parent().unwrap_or_default();
        if name == OPAQUE && !aufs(&directory) {
            self.kind = Kind::Opaque;
            self.path = directory;
        } else if aufs(&self.path) {
            return Ok(None);
        } else if !matches!(self.kind, Kind::File { .. } | Kind::HardLink { .. }) {
            return Err("a whiteout must be a file");
        } else if matches!(hidden, b"" | b"." | b"..") {
            return Err("it is a whiteout of nothing");
        } else {
            let path = directory.child(OsStr::from_bytes(hidden));
            self.kind = Kind::Whiteout;
            self.path = path;
        }
        self.metadata = Metadata::default();
        Ok(Some(self))
    }
}
