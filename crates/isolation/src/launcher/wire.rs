//! The sockets between service, launcher and worker.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
    socketpair,
};

use ctrlz_sys::passing::{receive_with, send_with};

/// The most bytes of a message: four times what the kernel takes for arguments and environment of a
/// program with its usual stack (execve(2)).
pub(super) const LARGEST: usize = 8 << 20;

/// A pair of connected sockets.
pub(crate) fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// Whether the other end of a socket is closed.
pub(super) fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut ends = [PollFd::new(&socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut ends, Some(&now))).is_ok_and(|closed| closed > 0)
}

/// Sends one byte and descriptors.
pub(super) fn hand_over(
    socket: BorrowedFd<'_>,
    byte: u8,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_with(socket, &[byte], descriptors).map(drop)
}

/// What [`hand_over`] sent; `None` when the other end is closed.
pub(super) fn take_over(socket: BorrowedFd<'_>) -> io::Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut byte = [0];
    let (count, descriptors) = receive_with(socket, &mut byte)?;
    Ok((count > 0).then(|| (byte[0], descriptors)))
}

/// One end of the connection between service and worker: messages of any length up to [`LARGEST`],
/// with descriptors.
#[derive(Debug)]
pub(crate) struct Wire(OwnedFd);

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wire {
    /// One over a stream socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Closes it for both ends.
    pub(super) fn close(&self) {
        let _ = shutdown(&self.0, Shutdown::Both);
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if message.len() > LARGEST {
            return Err(Errno::TOOBIG.into());
        }
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let whole = [&length.to_ne_bytes(), message].concat();
        let mut sent = send_with(self.as_fd(), &whole, descriptors)?;
        while let Some(rest) = whole.get(sent..).filter(|rest| !rest.is_empty()) {
            sent += retry_on_intr(|| send(&self.0, rest, SendFlags::NOSIGNAL))?;
        }
        Ok(())
    }

    /// Waits for the next message; `None` when the other end is closed.
    pub(crate) fn receive(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut length = [0; 4];
        let (count, descriptors) = match receive_with(self.as_fd(), &mut length) {
            // It was closed while something that was sent there was unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            received => received?,
        };
        if count < length.len() && !self.fill(length.get_mut(count..).unwrap_or_default())? {
            return Ok(None);
        }
        let length = u32::from_ne_bytes(length) as usize;
        if length > LARGEST {
            return Err(Errno::TOOBIG.into());
        }
        let mut message = vec![0; length];
        Ok(self.fill(&mut message)?.then_some((message, descriptors)))
    }

    /// Fills `buffer`; answers false when the other end is closed before that.
    fn fill(&self, mut buffer: &mut [u8]) -> io::Result<bool> {
        while !buffer.is_empty() {
            let count = match recv(&self.0, &mut *buffer, RecvFlags::WAITALL) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(false),
                Ok((_, count)) => count,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            buffer = buffer.get_mut(count..).unwrap_or_default();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wires() -> (Wire, Wire) {
        let (a, b) = pair(SocketType::STREAM).expect("a pair");
        (Wire::new(a), Wire::new(b))
    }

    #[test]
    fn messages_of_any_length_arrive_with_their_descriptors() {
        let (a, b) = wires();
        let long: Vec<u8> = (0..3 << 20).map(|number: u32| number as u8).collect();
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                a.send(b"", &[]).expect("send");
                a.send(&long, &[read.as_fd(), write.as_fd()]).expect("send");
                a.send(b"last", &[]).expect("send");
            });
            let receive = || b.receive().expect("receive").expect("a message");
            assert_eq!((receive().0, 0), (Vec::new(), 0));
            let (message, descriptors) = receive();
            assert!(message == long, "{} bytes", message.len());
            assert_eq!(descriptors.len(), 2);
            rustix::io::write(&descriptors[1], b"x").expect("the writing end of the pipe");
            assert_eq!(rustix::io::read(&read, &mut [0; 2]), Ok(1));
            let (message, descriptors) = receive();
            assert_eq!((message.as_slice(), descriptors.len()), (b"last".as_slice(), 0));
        });
        drop(a);
        // Waits for the last who holds it: another test's process has it, too, between its fork and its exec.
        assert!(b.receive().expect("closed").is_none());
        assert!(is_closed(b.as_fd()));
    }

    #[test]
    fn what_is_too_long_is_neither_sent_nor_received() {
        let (a, b) = wires();
        let error = a.send(&vec![0; LARGEST + 1], &[]).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
        let length = u32::try_from(LARGEST + 1).expect("fits");
        rustix::io::write(&a, &length.to_ne_bytes()).expect("send");
        assert!(b.receive().is_err());
        assert!(!is_closed(b.as_fd()));
    }

    #[test]
    fn a_message_that_breaks_off_is_none() {
        let (a, b) = wires();
        rustix::io::write(&a, &[9, 0, 0, 0, b'x']).expect("send");
        drop(a);
        assert!(b.receive().expect("closed").is_none());
    }
}
