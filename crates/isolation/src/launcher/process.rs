//! The launcher.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctrlz_core::isolation::IsolationError;
use ctrlz_sys::clone::{Namespaces, spawn};
use ctrlz_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt::{socket_domain, socket_peercred, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Pid, WaitOptions, getpid, wait};

use super::message::Told;
use super::wire::{Wire, take_over};
use super::worker;

/// The argument with which a program's `main` calls [`run`], before it does anything else.
pub const ARGUMENT: &str = "__launcher";

/// Launches until the service that started this process is gone. Standard input is its socket. This
/// process must have one thread.
///
/// # Errors
/// When no service of this user started it.
pub fn run() -> io::Result<()> {
    let socket = socket()?;
    // What was left open for this program is not for any sandbox, nor to be kept open by one.
    ctrlz_sys::descriptors::keep_only(&[socket.as_fd()])?;
    // Out of the service's reach of terminal signals, and of what it was told to ignore.
    let _ = rustix::process::setsid();
    signal::reset();
    let signals = signal::take_all()?;
    rustix::process::chdir("/")?;
    serve(socket.as_fd(), &signals)?;
    // Their sockets are closing, too, so they are about to take their sandboxes down.
    while !matches!(wait(WaitOptions::empty()), Err(Errno::CHILD)) {}
    Ok(())
}

/// The socket that is standard input, put elsewhere: what workers start with has nothing of it.
fn socket() -> io::Result<OwnedFd> {
    let given = rustix::stdio::stdin();
    let is_socket = socket_domain(given).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && socket_type(given).is_ok_and(|kind| kind == SocketType::SEQPACKET);
    if !is_socket {
        let why = "standard input is not the socket of a service that launches commands";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    if socket_peercred(given)?.uid != rustix::process::geteuid() {
        let why = "standard input is a socket of another user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let socket = fcntl_dupfd_cloexec(given, 3)?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(socket)
}

/// Forks a worker for each socket that comes, until none will come any more.
fn serve(socket: BorrowedFd<'_>, signals: &SignalFd) -> io::Result<()> {
    let launcher = getpid();
    loop {
        let mut waiting =
            [PollFd::from_borrowed_fd(socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_asked = waiting.first().is_some_and(|fd| !fd.revents().is_empty());
        // Whoever wants this process to end tells the service, which closes the socket.
        while signals.receive()?.is_some() {}
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if is_asked {
            match take_over(socket)? {
                Some((_, descriptors)) => begin(descriptors, launcher),
                None => return Ok(()),
            }
        }
    }
}

/// Forks the worker of a launch.
fn begin(mut descriptors: Vec<OwnedFd>, launcher: Pid) {
    let Some(control) = descriptors.pop() else { return };
    let wire = Wire::new(control);
    if let Err(source) = spawn(Namespaces::default(), None, || worker::run(&wire, launcher)) {
        let step = "fork a worker of the launcher".to_owned();
        let told = Told::Failed(IsolationError::Setup { step, source });
        // A service that is gone need not be told.
        let _ = told.to_bytes().and_then(|bytes| wire.send(&bytes, &[]));
    }
}
