//! Bringing up the loopback interface of a new network namespace (netdevice(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets `IFF_UP` on `lo` in the network namespace of this thread. `socket` is any IP socket that
/// was made in it.
///
/// # Errors
/// As `SIOCSIFFLAGS`: `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn bring_up(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: ifreq is plain data (a name and a union of plain data); zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, and `request` is one that outlives the call.
    let result = unsafe {
        libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
