//! renameat2(2) with a mark that tells our own calls from those of a sandboxed program.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::call::checked;

/// The value of the sixth argument register, which renameat2 does not have, in the calls of
/// [`marked`]. It is no secret: a program that sets it gets the kernel's own answer, which it
/// may have.
pub const MARK: u32 = 0x6374_727a;

/// renameat2(2), marked with [`MARK`] so that a seccomp filter can let it pass.
///
/// # Errors
/// As renameat2(2).
pub fn marked(
    old_directory: impl AsFd,
    old: &Path,
    new_directory: impl AsFd,
    new: &Path,
    flags: u32,
) -> io::Result<()> {
    let old = CString::new(old.as_os_str().as_bytes())?;
    let new = CString::new(new.as_os_str().as_bytes())?;
    // SAFETY: both strings are NUL-terminated and outlive the call, which only reads them.
    checked(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            old_directory.as_fd().as_raw_fd(),
            old.as_ptr(),
            new_directory.as_fd().as_raw_fd(),
            new.as_ptr(),
            flags,
            MARK as libc::c_ulong,
        )
    })?;
    Ok(())
}
