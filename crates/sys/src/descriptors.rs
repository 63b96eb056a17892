//! File descriptors of a child that is about to become something else.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::call::checked;

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes plain numbers. That descriptors owned elsewhere are closed is
    // what the callers' documentation demands care for.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Closes every descriptor of this process above standard error but those in `keep`.
///
/// Meant for a child made by [`crate::clone::spawn`] which from then on uses nothing else that it
/// inherited: values that own a closed descriptor must not be used or dropped.
///
/// # Errors
/// `ENOSYS` before Linux 5.9.
pub fn keep_only(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok())
        .filter(|n| *n > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept {
        if number > first {
            close_range(first, number - 1, 0)?;
        }
        first = number + 1;
    }
    close_range(first, u32::MAX, 0)
}

/// Marks every descriptor above standard error to be closed by the next execve(2).
///
/// # Errors
/// `ENOSYS` before Linux 5.9, `EINVAL` before 5.11.
pub fn close_all_on_exec() -> io::Result<()> {
    close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}
