//! One way to turn a raw system call's result into an `io::Result`.

use std::io;

/// `result` as glibc's `syscall` gives it: -1 means that errno is set.
pub(crate) fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
