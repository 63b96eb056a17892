//! This program as process 1 of a container.

use std::io;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::native::{Channel, process_1_of_container};

/// The first argument of process 1 in a container.
pub const ARGUMENT: &str = "--container-process-1";

/// Where this program is in a container.
pub(super) const PROGRAM: &str = "/.ctrlz/init";
/// Where its launcher listens.
pub(super) const SOCKET: &str = "/.ctrlz/socket";

/// Runs process 1 of a container, until its command has ended or its launcher is gone.
///
/// # Errors
/// When there is no launcher: nobody but an engine that was asked to has this run.
pub fn run() -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(SOCKET)?)?;
    process_1_of_container(&Channel::from(socket));
    Ok(())
}
