//! A Unix stream socket.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::send::{Letter, Refused};

/// Writes JSON lines to whoever listens.
pub(crate) struct Writer<'c> {
    path: &'c Path,
    timeout: Duration,
    open: Option<UnixStream>,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(path: &'c Path, timeout: Duration) -> Self {
        Self { path, timeout, open: None }
    }

    pub(crate) fn send(&mut self, letter: Letter<'_>) -> Result<(), Refused> {
        let mut written = || -> std::io::Result<UnixStream> {
            let mut stream = match self.open.take() {
                Some(stream) => stream,
                None => open(self.path, self.timeout)?,
            };
            stream.set_write_timeout(Some(self.timeout))?;
            stream.write_all(format!("{}\n", letter.text).as_bytes())?;
            Ok(stream)
        };
        // A stream that failed in the middle of a line is of no use.
        let stream = written().map_err(|error| {
            Refused::now(format!("cannot write to {}: {error}", self.path.display()))
        })?;
        self.open = Some(stream);
        Ok(())
    }
}

fn open(path: &Path, timeout: Duration) -> std::io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Before it connects: connecting waits while the listener's queue is full, for this long.
    set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
    connect(&socket, &address)?;
    Ok(socket.into())
}
