//! Asking the keeper of a sandbox for its memory; see `inside::keeper`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use super::delegate::Bundle;
use ctrlz_sys::passing::send_with;

/// How an answer begins.
pub(super) const DONE: u8 = 1;
pub(super) const REFUSED: u8 = 0;

/// The most bytes of words in an answer.
pub(super) const MOST_WORDS: usize = 1000;

/// As [`ctrlz_core::isolation::IsolationDriver::keep_memory`]; `None` when the sandbox has nobody who keeps
/// memory.
pub(crate) fn keep(
    process_1: u32,
    directory: &Path,
    meanwhile: &mut dyn FnMut(),
) -> io::Result<Option<()>> {
    let inside = Bundle::keeper();
    let inside = inside.strip_prefix("/").unwrap_or(&inside);
    let address = SocketAddrUnix::new(Path::new(&format!("/proc/{process_1}/root")).join(inside))?;
    let asking =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    match rustix::io::retry_on_intr(|| connect(&asking, &address)) {
        Ok(()) => {}
        // A process 1 that hides from its command hides its mounts from its own user, too.
        Err(Errno::NOENT | Errno::CONNREFUSED | Errno::ACCESS) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let folder =
        open(directory, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    send_with(asking.as_fd(), &[DONE], &[folder.as_fd()])?;
    answer(&asking)?;
    meanwhile();
    send(&asking, &[DONE], SendFlags::NOSIGNAL)?;
    answer(&asking).map(Some)
}

fn answer(asking: &OwnedFd) -> io::Result<()> {
    let mut message = [0; MOST_WORDS + 1];
    let received =
        rustix::io::retry_on_intr(|| recv(asking, message.as_mut_slice(), RecvFlags::empty()))?;
    match message.get(..received.0).unwrap_or_default() {
        [DONE, ..] => Ok(()),
        [_, words @ ..] => Err(io::Error::other(String::from_utf8_lossy(words).into_owned())),
        [] => Err(io::Error::other("what runs ended meanwhile")),
    }
}
