//! The driver's face.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use ctrlz_core::isolation::{
    Enforcement, IsolationCapabilities, IsolationDriver, IsolationError, Launch, Network, Prepared,
    Streams,
};
use ctrlz_core::limits::Limits;
use ctrlz_core::memory::Remembered;
use ctrlz_core::monitor::Reading;
use rustix::net::SocketType;

use super::message::{Request, Told, outlook_to_byte};
use super::prepared::Launched;
use super::wire::{Wire, hand_over, is_closed, pair};
use crate::native::{NativeDriver, Protections};
use crate::oci;

/// Runs commands as [`NativeDriver`] does, from a process that may have many threads: its launcher
/// clones what has to be cloned. Any number of threads may use it at once.
///
/// When it is dropped, its launcher ends as soon as the last of its launches has.
#[derive(Debug)]
pub struct LauncherDriver {
    protections: Protections,
    launcher: Mutex<Launcher>,
}

/// The launcher, and how to start it.
#[derive(Debug)]
struct Launcher {
    command: Command,
    /// `None` while there is none.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    socket: Arc<OwnedFd>,
    process: Child,
}

impl LauncherDriver {
    /// Starts the launcher: `command` is a program whose `main` calls [`super::run`], such as
    /// `/proc/self/exe` with the argument [`super::ARGUMENT`]. Its standard input and output are set
    /// here. It inherits this process's user, resource limits, file mode mask and control groups, which
    /// all its commands have.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: Command) -> Result<Self, IsolationError> {
        Self::with_protections(command, Protections::all())
    }

    /// The same without some of the protections; see [`NativeDriver::with_protections`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn with_protections(
        command: Command,
        protections: Protections,
    ) -> Result<Self, IsolationError> {
        let mut launcher = Launcher { command, running: None };
        launcher.socket().map_err(failed("start the launcher"))?;
        Ok(Self { protections, launcher: Mutex::new(launcher) })
    }

    /// The process id of the launcher, for whoever looks after processes; `None` when the next launch
    /// is going to start one.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        let launcher = self.launcher.lock().unwrap_or_else(PoisonError::into_inner);
        let running = launcher.running.as_ref()?;
        (!is_closed(running.socket.as_fd())).then(|| running.process.id())
    }

    /// What this process does by itself: it looks at sandboxes, and clones nothing.
    fn native(&self) -> NativeDriver {
        NativeDriver::with_protections(self.protections)
    }

    fn socket(&self) -> io::Result<Arc<OwnedFd>> {
        self.launcher.lock().unwrap_or_else(PoisonError::into_inner).socket()
    }

    /// Sends a request to a new worker; answers the connection, and what it told first.
    fn ask(
        &self,
        outlook: u8,
        request: &[u8],
        streams: &[BorrowedFd<'_>],
    ) -> Result<(Wire, Told, Vec<OwnedFd>), IsolationError> {
        // A worker that died before its process 1 did anything can be replaced, but not for ever: a
        // launch may kill them all. The second one is nobody's but this launch's.
        for outlook in [outlook, 0] {
            let socket = self.socket().map_err(failed("start the launcher"))?;
            let answer = ask_once(socket.as_fd(), outlook, request, streams);
            if let Some(answer) = answer.map_err(failed("send the launch to the launcher"))? {
                return Ok(answer);
            }
        }
        let source = io::Error::other("it ended before it began");
        Err(failed("use a worker of the launcher")(source))
    }
}

/// One try of [`LauncherDriver::ask`]; `None` when worker or launcher ended first.
fn ask_once(
    socket: BorrowedFd<'_>,
    outlook: u8,
    request: &[u8],
    streams: &[BorrowedFd<'_>],
) -> io::Result<Option<(Wire, Told, Vec<OwnedFd>)>> {
    let (ours, theirs) = pair(SocketType::STREAM)?;
    if !arrives(hand_over(socket, outlook, &[theirs.as_fd()]))? {
        return Ok(None);
    }
    drop(theirs);
    let wire = Wire::new(ours);
    // A launcher that could not fork says so without reading the request.
    arrives(wire.send(request, streams))?;
    let told = wire.receive()?;
    Ok(told.and_then(|(bytes, came)| Some((wire, Told::from_bytes(&bytes)?, came))))
}

/// Whether something was sent to somebody who is there.
fn arrives(sent: io::Result<()>) -> io::Result<bool> {
    match sent.as_ref().map_err(io::Error::kind) {
        Err(io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(false),
        _ => sent.map(|()| true),
    }
}

impl Launcher {
    /// The launcher's socket; starts a launcher when there is none.
    fn socket(&mut self) -> io::Result<Arc<OwnedFd>> {
        if let Some(running) = &self.running
            && !is_closed(running.socket.as_fd())
        {
            return Ok(Arc::clone(&running.socket));
        }
        if let Some(mut running) = self.running.take() {
            // Its socket is closed, which only its end does.
            let _ = running.process.wait();
        }
        let (ours, theirs) = pair(SocketType::SEQPACKET)?;
        let command = self.command.stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let process = command.spawn();
        // The command keeps what it was given, and the launcher would not see the service end.
        self.command.stdin(Stdio::null());
        let socket = Arc::new(ours);
        self.running = Some(Running { socket: Arc::clone(&socket), process: process? });
        Ok(socket)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It ends with its last launch, which may be long after this. One that has ended is not left
        // for this process's end.
        let _ = self.process.try_wait();
    }
}

fn failed(step: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Setup { step: step.to_owned(), source }
}

impl IsolationDriver for LauncherDriver {
    fn name(&self) -> &'static str {
        self.native().name()
    }

    fn capabilities(&self) -> IsolationCapabilities {
        self.native().capabilities()
    }

    fn survey(&self) -> Vec<Enforcement> {
        self.native().survey()
    }

    fn check(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.native().check(limits)
    }

    fn measure(&self, process_1: u32) -> Option<Reading> {
        self.native().measure(process_1)
    }

    fn network_of(&self, process_1: u32) -> Option<Network> {
        self.native().network_of(process_1)
    }

    fn freeze(&self, process_1: u32) -> Result<String, IsolationError> {
        self.native().freeze(process_1)
    }

    fn thaw(&self, process_1: u32, stay_stopped: &[u32]) -> Result<(), IsolationError> {
        self.native().thaw(process_1, stay_stopped)
    }

    fn is_frozen(&self, process_1: u32) -> bool {
        self.native().is_frozen(process_1)
    }

    fn stopped(&self, process_1: u32) -> Vec<u32> {
        self.native().stopped(process_1)
    }

    fn keep_memory(
        &self,
        process_1: u32,
        directory: &Path,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), IsolationError> {
        oci::keep_memory(process_1, directory, meanwhile)
    }

    fn recall(&self, directory: &Path) -> Result<Remembered, IsolationError> {
        oci::recall(directory)
    }

    fn end(&self, process_1: u32, process: BorrowedFd<'_>) -> Result<(), IsolationError> {
        self.native().end(process_1, process)
    }

    fn tidy(&self) {
        self.native().tidy();
    }

    fn prepare(
        &self,
        mut launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        let streams = std::mem::take(&mut launch.streams);
        let (terminal, descriptors) = match &streams {
            Streams::Inherited => {
                let own =
                    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
                (false, own.to_vec())
            }
            Streams::Given(given) => {
                let three = [&given.input, &given.output, &given.error];
                let all = three.into_iter().chain(&given.signals);
                (given.terminal, all.map(|fd| fd.as_fd()).collect())
            }
        };
        let request = Request { launch, protections: self.protections, terminal };
        let outlook = outlook_to_byte(request.outlook());
        let (wire, told, mut came) = self.ask(outlook, &request.to_bytes(), &descriptors)?;
        // Whoever reads what the command writes must see the end of it.
        drop(streams);
        let (process_1, process) = match (told, came.pop()) {
            (Told::Begun(process_1), Some(process)) => (process_1, process),
            (Told::Failed(error), _) => return Err(error),
            _ => {
                let source = io::Error::other("it does not tell of process 1");
                return Err(failed("use a worker of the launcher")(source));
            }
        };
        let launched = Launched::new(wire, process_1, process);
        begun(process_1, launched.process()).map_err(failed("note process 1"))?;
        launched.go_on()?;
        Ok(Box::new(launched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_be_shared_by_threads() {
        fn check<T: Send + Sync>() {}
        check::<LauncherDriver>();
    }
}
