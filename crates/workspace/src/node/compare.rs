//! Whether two entries hold the same.

use std::os::fd::OwnedFd;
use std::path::Path;

use ctrlz_core::changeset::FileType;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes::Handle;
use super::{Place, failed, file_type, open_parent};

/// Whether two entries are of one type and hold the same bytes, link target or device number.
/// Directories do: what is in them is not looked at. Metadata does not count.
///
/// # Errors
/// When one is missing or cannot be read.
pub(crate) fn same_content(a: &Path, b: &Path) -> Result<bool, WorkspaceError> {
    let (a_directory, a_name) = open_parent(a)?;
    let (b_directory, b_name) = open_parent(b)?;
    same_content_at(Place::new(&a_directory, &a_name, a), Place::new(&b_directory, &b_name, b))
}

/// [`same_content`] for names in open directories.
pub(crate) fn same_content_at(a: Place<'_>, b: Place<'_>) -> Result<bool, WorkspaceError> {
    let first = Handle::open(a)?;
    let second = Handle::open(b)?;
    let (one, other) = (&first.version, &second.version);
    if file_type(one) != file_type(other) {
        return Ok(false);
    }
    match file_type(one) {
        FileType::File => {
            if one.size != other.size {
                return Ok(false);
            }
            if (one.dev, one.ino) == (other.dev, other.ino) || one.size == 0 {
                return Ok(true);
            }
            same_bytes(&open(&first, a.shown)?, a.shown, &open(&second, b.shown)?, b.shown)
        }
        FileType::Symlink => {
            let read = |handle: &Handle, shown| {
                rustix::fs::readlinkat(&handle.fd, "", Vec::new())
                    .map_err(failed("read the link", shown))
            };
            Ok(read(&first, a.shown)? == read(&second, b.shown)?)
        }
        FileType::BlockDevice | FileType::CharDevice => Ok(one.rdev == other.rdev),
        FileType::Directory | FileType::Fifo | FileType::Socket => Ok(true),
    }
}

fn open(handle: &Handle, shown: &Path) -> Result<OwnedFd, WorkspaceError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(&handle.through, flags, Mode::empty()).map_err(failed("read", shown))
}

fn same_bytes(
    a: &OwnedFd,
    a_shown: &Path,
    b: &OwnedFd,
    b_shown: &Path,
) -> Result<bool, WorkspaceError> {
    let (mut left, mut right) = (vec![0; 1 << 17], vec![0; 1 << 17]);
    loop {
        let first = read_full(a, &mut left).map_err(failed("read", a_shown))?;
        let second = read_full(b, &mut right).map_err(failed("read", b_shown))?;
        if left.get(..first) != right.get(..second) {
            return Ok(false);
        }
        if first == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match rustix::io::read(file, room) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}
