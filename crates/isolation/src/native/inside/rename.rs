//! Renaming directories of the base.
//!
//! An overlay that a user namespace may mount cannot rename a directory that exists in a lower
//! layer: the kernel answers `EXDEV`, and npm, cargo or Python's `os.rename` fail. The seccomp
//! filter therefore asks process 1 about every rename. Process 1 lets the kernel execute all but
//! those of directories; for these it tries the rename itself and, on `EXDEV`, copies the
//! directory within the workspace, puts the copy in place by a rename, and removes the original.
//!
//! This is a service, not a border: process 1 is confined exactly as the command is, so a program
//! that races or misleads it gains nothing.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ctrlz_sys::process_memory::read_c_string;
use ctrlz_sys::seccomp::{Listener, Notification};
use rustix::fs::{AtFlags, CWD, FileType, statat};
use rustix::io::Errno;
use rustix::process::Pid;

mod copy;

/// The longest path that the kernel takes (`PATH_MAX`).
const PATH_MAX: usize = 4096;

struct Call {
    old: PathBuf,
    new: PathBuf,
    flags: u32,
}

/// Takes one waiting call and answers it.
pub(super) fn answer(listener: &Listener) {
    let Ok(notification) = listener.receive() else { return };
    let outcome = read_call(&notification).filter(|_| listener.is_waiting(&notification));
    // A caller that was killed meanwhile needs no answer, so errors of answering are dropped.
    let _ = match outcome.as_ref().and_then(rename_directory) {
        None => listener.pass_on(&notification),
        Some(Ok(())) => listener.finish(&notification, 0),
        Some(Err(error)) => {
            listener.finish(&notification, error.raw_os_error().unwrap_or(libc_eio()))
        }
    };
}

fn libc_eio() -> i32 {
    Errno::IO.raw_os_error()
}

/// What the call says, with both paths made absolute by the caller's own view; `None` when it
/// cannot be read, and the kernel may answer.
fn read_call(notification: &Notification) -> Option<Call> {
    let pid = notification.pid?;
    let [a, b, c, d, e, _] = notification.arguments;
    let (old_at, old, new_at, new, flags) =
        match crate::native::syscalls::rename_kind(notification.number)? {
            crate::native::syscalls::RenameKind::Plain => (CURRENT, a, CURRENT, b, 0),
            crate::native::syscalls::RenameKind::At => (a, b, c, d, 0),
            crate::native::syscalls::RenameKind::At2 => (a, b, c, d, e as u32),
        };
    Some(Call { old: caller_path(pid, old_at, old)?, new: caller_path(pid, new_at, new)?, flags })
}

/// `AT_FDCWD` as it stands in a register.
const CURRENT: u64 = -100_i32 as u32 as u64;

fn caller_path(pid: Pid, directory: u64, address: u64) -> Option<PathBuf> {
    let text = read_c_string(pid, address, PATH_MAX).ok()?;
    let path = Path::new(OsStr::from_bytes(&text));
    if text.is_empty() {
        return None;
    }
    let start = if path.is_absolute() {
        format!("/proc/{pid}/root")
    } else if directory as u32 == CURRENT as u32 {
        format!("/proc/{pid}/cwd")
    } else {
        format!("/proc/{pid}/fd/{}", directory as u32)
    };
    let relative = path.strip_prefix("/").unwrap_or(path);
    // The link is resolved once, so that messages and temporary names are real paths.
    Some(fs::read_link(&start).ok()?.join(relative))
}

/// `None` when the kernel shall execute the call: it is no directory, or needs no help.
fn rename_directory(call: &Call) -> Option<io::Result<()>> {
    let status = statat(CWD, &call.old, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        return None;
    }
    match ctrlz_sys::rename::marked(CWD, &call.old, CWD, &call.new, call.flags) {
        Err(error) if error.raw_os_error() == Some(Errno::XDEV.raw_os_error()) => {}
        other => return Some(other),
    }
    let target = statat(CWD, parent(&call.new), AtFlags::empty()).ok()?;
    // Another file system altogether: EXDEV is the truth. Exchanges are not emulated.
    if target.st_dev != status.st_dev || call.flags & !RENAME_NOREPLACE != 0 {
        return Some(Err(Errno::XDEV.into()));
    }
    Some(move_by_copy(&call.old, &call.new, call.flags & RENAME_NOREPLACE != 0))
}

const RENAME_NOREPLACE: u32 = 1;

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Does what rename(2) would: `new` may be absent or an empty directory.
fn move_by_copy(old: &Path, new: &Path, no_replace: bool) -> io::Result<()> {
    if canonical_parent(new)?.starts_with(fs::canonicalize(old)?) {
        return Err(Errno::INVAL.into());
    }
    match fs::symlink_metadata(new) {
        Ok(_) if no_replace => return Err(Errno::EXIST.into()),
        Ok(existing) if !existing.is_dir() => return Err(Errno::NOTDIR.into()),
        Ok(_) if fs::read_dir(new)?.next().is_some() => return Err(Errno::NOTEMPTY.into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let temporary = temporary_beside(new);
    copy::tree(old, &temporary)
        .and_then(|()| {
            // The copy lies in the upper layer alone, so the kernel can rename it.
            ctrlz_sys::rename::marked(CWD, &temporary, CWD, new, 0)
        })
        .inspect_err(|_| {
            let _ = fs::remove_dir_all(&temporary);
        })?;
    fs::remove_dir_all(old)
}

fn canonical_parent(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(parent(path))
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".ctrlz-rename-");
    name.push(rustix::process::getpid().as_raw_nonzero().to_string());
    name.push("-");
    // Two of them at once cannot be: process 1 answers one call at a time.
    name.push(path.file_name().unwrap_or_default().as_bytes().len().to_string());
    parent(path).join(name)
}
