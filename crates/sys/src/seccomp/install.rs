//! Putting a filter in force.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::notify::Listener;
use super::program::Program;
use crate::call::checked;

fn seccomp(program: &Program, flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let len = u16::try_from(program.instructions.len())
        .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let filter = libc::sock_fprog { len, filter: program.instructions.as_ptr().cast_mut() };
    // SAFETY: `filter` points at `len` instructions that outlive the call; the kernel copies
    // them and does not write.
    checked(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    })
}

/// Installs `program` for this thread and all that it starts, for ever.
///
/// # Errors
/// `EACCES` without `no_new_privs`; as seccomp(2).
pub fn install(program: &Program) -> io::Result<()> {
    seccomp(program, 0).map(drop)
}

/// As [`install`], and returns the listener that [`Action::Notify`](super::Action::Notify) asks.
///
/// # Errors
/// As [`install`]; `EBUSY` when a filter with a listener is installed already.
pub fn install_with_listener(program: &Program) -> io::Result<Listener> {
    let fd = seccomp(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: with NEW_LISTENER the call returned a new descriptor that nothing else owns.
    Ok(Listener::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}
