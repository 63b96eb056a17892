//! Sockets that whoever started this process passes to it, as sd_listen_fds(3) tells.

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};

/// The first of them (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// More than anybody passes.
const MOST: RawFd = 64;

/// Takes the descriptors 3, 4 and so on, `number` of them, which are not passed on to others from
/// here on. Whoever calls it knows that they were passed to this process (`LISTEN_PID` is its id),
/// and calls it before anything else is opened.
///
/// # Errors
/// When they were taken before, there are too many, or one is not open.
pub fn take(number: u32) -> std::io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = RawFd::try_from(number).unwrap_or(RawFd::MAX);
    if number > MOST || TAKEN.swap(true, Ordering::Relaxed) {
        return Err(std::io::Error::other("they are too many, or were taken before"));
    }
    let mut taken = Vec::new();
    for descriptor in FIRST..FIRST + number {
        // SAFETY: fcntl(2) with F_GETFD reads a flag of a number, whether it is open or not.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: it is open, and was opened by whoever started this process, so nothing in it
        // owns it; the flag above lets nobody get it from here twice.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        fcntl_setfd(&owned, FdFlags::CLOEXEC)?;
        taken.push(owned);
    }
    Ok(taken)
}
