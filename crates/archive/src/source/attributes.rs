//! Extended attributes of open files.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;

use crate::entry::Attribute;

/// overlayfs keeps its own notes under these; they say something of a layer, not of the file.
pub(crate) const OVERLAY: [&[u8]; 2] = [b"user.overlay.", b"trusted.overlay."];

/// The kernel's limit for the list of names as well as for a value is 64 KiB.
const MOST: usize = 1 << 16;

/// What overlayfs says of an entry of a layer (Documentation/filesystems/overlayfs.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Notes {
    /// The directory hides what lower layers have there.
    pub(crate) opaque: bool,
    /// The directory may hold whiteouts in the form of files with an attribute.
    pub(crate) whiteouts: bool,
    /// The file is such a whiteout.
    pub(crate) whiteout: bool,
    /// What the entry shows lies somewhere else: `redirect` or `metacopy`.
    pub(crate) elsewhere: bool,
    /// Notes of an overlay inside of the overlay, which mean nothing here.
    pub(crate) nested: bool,
}

/// Reads attributes into buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    list: Vec<u8>,
    value: Vec<u8>,
}

/// The two ways to reach an inode: an open file, or, for what cannot be opened, the path of its
/// name through `/proc`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    Open(BorrowedFd<'a>),
    Through(&'a Path),
}

impl Of<'_> {
    fn list(self, to: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd.as_fd(), to),
            Self::Through(path) => rustix::fs::llistxattr(path, to),
        }
    }

    fn value(self, name: &[u8], to: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd.as_fd(), name, to),
            Self::Through(path) => rustix::fs::lgetxattr(path, name, to),
        }
    }
}

impl Attributes {
    /// All that belongs to the inode, sorted by name, and what overlayfs says of it. One system
    /// call when there is nothing.
    pub(crate) fn read(&mut self, of: Of<'_>) -> Result<(Vec<Attribute>, Notes), Errno> {
        self.list.resize(MOST, 0);
        let length = match of.list(&mut self.list) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno),
        };
        let (mut found, mut notes) = (Vec::new(), Notes::default());
        if length == 0 {
            return Ok((found, notes));
        }
        let list = std::mem::take(&mut self.list);
        let names = list.get(..length).unwrap_or_default().split(|byte| *byte == 0);
        let result = names.filter(|name| !name.is_empty()).try_for_each(|name| {
            if let Some(note) = OVERLAY.iter().find_map(|own| name.strip_prefix(*own)) {
                return self.note(of, name, note, &mut notes);
            }
            if let Some(value) = self.value(of, name)? {
                found.push((name.to_vec(), value));
            }
            Ok(())
        });
        self.list = list;
        found.sort();
        result.map(|()| (found, notes))
    }

    fn value(&mut self, of: Of<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.value.resize(MOST, 0);
        match of.value(name, &mut self.value) {
            Ok(length) => Ok(Some(self.value.get(..length).unwrap_or_default().to_vec())),
            // Taken away since it was listed.
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn note(
        &mut self,
        of: Of<'_>,
        name: &[u8],
        note: &[u8],
        notes: &mut Notes,
    ) -> Result<(), Errno> {
        match note {
            b"opaque" => match self.value(of, name)?.as_deref() {
                Some(b"y") => notes.opaque = true,
                Some(b"x") => notes.whiteouts = true,
                _ => {}
            },
            b"whiteout" => notes.whiteout = true,
            b"redirect" | b"metacopy" => notes.elsewhere = true,
            // overlayfs keeps under this what an overlay on top of it would keep.
            note if note.starts_with(b"overlay.") => notes.nested = true,
            // origin, impure, nlink, upper, uuid, protattr: how the layer came about.
            _ => {}
        }
        Ok(())
    }
}
