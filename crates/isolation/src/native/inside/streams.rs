//! The standard streams that the command is given. Those that are files of the host lie on the
//! host's own mounts, where neither the read-only root nor a hidden path counts.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, SeekFrom, fcntl_getfl, fstat, open, openat2,
    readlinkat, seek,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use super::mounts::{copy_of, open_below, restrict};

/// Standard input as the launcher's caller opened it, while the command has another description of
/// the same file.
#[derive(Debug)]
pub(super) struct Input {
    original: OwnedFd,
}

/// Makes the descriptors the standard streams.
pub(super) fn take([input, output, error]: [OwnedFd; 3]) -> io::Result<()> {
    dup2_stdin(input)?;
    dup2_stdout(output)?;
    Ok(dup2_stderr(error)?)
}

/// Takes away what the streams would allow beyond reading and writing their files. A directory,
/// from which `..` leads to everything, becomes `/dev/null`. A file that standard input may only
/// read is opened again on a read-only mount, so that it cannot be opened for writing through
/// `/proc/self/fd`, nor its mode or times be changed. A file that cannot be found by its name any
/// more, or not be opened again, stays as it is.
pub(super) fn confine() -> io::Result<Option<Input>> {
    let is = |stream: BorrowedFd<'_>, kind| {
        fstat(stream).is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == kind)
    };
    let directory = FileType::Directory;
    if is(stdin(), directory) || is(stdout(), directory) || is(stderr(), directory) {
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        if is(stdin(), directory) {
            dup2_stdin(&null)?;
        }
        if is(stdout(), directory) {
            dup2_stdout(&null)?;
        }
        if is(stderr(), directory) {
            dup2_stderr(&null)?;
        }
    }
    if !is(stdin(), FileType::RegularFile) || may_write(stdin())? {
        return Ok(None);
    }
    match open_again(stdin()) {
        Ok(Some(file)) => {
            let original = fcntl_dupfd_cloexec(stdin(), 3)?;
            dup2_stdin(&file)?;
            Ok(Some(Input { original }))
        }
        Ok(None) | Err(Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Input {
    /// The caller goes on reading where the command stopped, as without a sandbox.
    pub(super) fn hand_back(&self) {
        if let Ok(position) = seek(stdin(), SeekFrom::Current(0)) {
            let _ = seek(&self.original, SeekFrom::Start(position));
        }
    }
}

/// Whether the stream was opened for writing.
pub(super) fn may_write(stream: BorrowedFd<'_>) -> io::Result<bool> {
    let mode = fcntl_getfl(stream)? & OFlags::ACCMODE;
    Ok(mode == OFlags::WRONLY || mode == OFlags::RDWR)
}

/// The same file on a read-only copy of the host's mounts, at the same position; `None` when its
/// name leads elsewhere.
fn open_again(stream: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let path = readlinkat(CWD, "/proc/self/fd/0", Vec::new())?.into_bytes();
    let path = PathBuf::from(OsString::from_vec(path));
    if !path.is_absolute() {
        return Ok(None);
    }
    let host = copy_of(CWD, Path::new("/"), true).map_err(errno)?;
    restrict(&host, true, true).map_err(errno)?;
    // Looked at before it is opened, since opening something else could block.
    let Some(found) = open_below(&host, &path).map_err(errno)? else { return Ok(None) };
    if !is_same(stream, found.as_fd())? {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let file = openat2(&host, &path, flags, Mode::empty(), resolve)?;
    if !is_same(stream, file.as_fd())? {
        return Ok(None);
    }
    rustix::fs::fcntl_setfl(&file, fcntl_getfl(stream)?)?;
    seek(&file, SeekFrom::Start(seek(stream, SeekFrom::Current(0))?))?;
    Ok(Some(file))
}

fn is_same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<bool, Errno> {
    let (a, b) = (fstat(a)?, fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}
