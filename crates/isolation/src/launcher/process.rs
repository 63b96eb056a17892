//! The launcher.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ctrlz_core::isolation::{IsolationError, Network};
use ctrlz_sys::clone::{Namespaces, spawn};
use ctrlz_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt::{socket_domain, socket_peercred, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Pid, WaitOptions, getpid, getppid, wait};

use super::message::{Told, outlook_of_byte};
use super::networks::Networks;
use super::wire::{Wire, hand_over, pair, take_over};
use super::worker;
use crate::native::network_namespace::NetworkNamespace;
use crate::native::{MountTable, Outlook};

/// The argument with which a program's `main` calls [`run`], before it does anything else.
pub const ARGUMENT: &str = "__launcher";

/// So many workers are ready for launches like those before.
const READY: usize = 2;

/// For so long nothing has to be launched for them to go.
const IDLE: Duration = Duration::from_secs(60);

/// How long the sandboxes of a service that died may take to be taken down.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let mounts = File::open("/proc/self/mountinfo")?;
    let service = getppid();
    let networks = Networks::new()?;
    let (id, table, ready) = (getpid(), None, Vec::new());
    let launcher = Launcher { socket, signals, mounts, id, networks, table, ready };
    let signals = launcher.serve()?;
    wait_for_workers(service, &signals)
}

/// Waits until all workers have ended. When the service is dead, their sockets are closed, too, and they
/// take their sandboxes down. One that cannot, as when somebody has stopped it, dies with this process.
fn wait_for_workers(service: Option<Pid>, signals: &SignalFd) -> io::Result<()> {
    let mut died_at = None;
    loop {
        while signals.receive()?.is_some() {}
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => continue,
            Err(Errno::CHILD) => return Ok(()),
            _ => {}
        }
        if getppid() != service && died_at.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Ok(());
        }
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        match poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&second)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
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

struct Launcher {
    socket: OwnedFd,
    signals: SignalFd,
    /// Tells when something is mounted or unmounted (proc_pid_mountinfo(5)).
    mounts: File,
    id: Pid,
    networks: Networks,
    /// What is mounted, since that changed last.
    table: Option<MountTable>,
    /// The oldest first.
    ready: Vec<Ready>,
}

/// A worker that has begun a process 1 before it was asked. Dropping this ends both.
struct Ready {
    outlook: Outlook,
    socket: OwnedFd,
}

impl Launcher {
    /// Gives each socket that comes to a worker, until none will come any more.
    /// Those that are ready end with it.
    fn serve(mut self) -> io::Result<SignalFd> {
        let mut used = Instant::now();
        loop {
            let mut waiting = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(&self.mounts, PollFlags::PRI),
            ];
            let left = IDLE.saturating_sub(used.elapsed());
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let left = (!self.ready.is_empty()).then_some(left);
            match poll(&mut waiting, left.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [asked, _, mounted] = waiting.map(|fd| !fd.revents().is_empty());
            // Whoever wants this process to end tells the service, which closes the socket.
            while self.signals.receive()?.is_some() {}
            while let Ok(Some((worker, status))) = wait(WaitOptions::NOHANG) {
                self.networks.take_back(worker, status);
            }
            let is_idle = used.elapsed() >= IDLE;
            if mounted || is_idle {
                self.begin_anew();
            }
            if is_idle {
                self.networks.clear();
            }
            if asked {
                let Some((byte, mut descriptors)) = take_over(self.socket.as_fd())? else {
                    return Ok(self.signals);
                };
                let Some(control) = descriptors.pop() else { continue };
                match outlook_of_byte(byte) {
                    Some(outlook) => self.launch_soon(outlook, control)?,
                    None => self.begin(control),
                }
                used = Instant::now();
            }
        }
    }

    /// Gives a launch to a worker that is ready for it, and has others ready for the next ones.
    ///
    /// # Errors
    /// As [`Networks::take`].
    fn launch_soon(&mut self, outlook: Outlook, control: OwnedFd) -> io::Result<()> {
        // The answer to the question before may be older than the launch.
        if has_event(&self.mounts) {
            self.begin_anew();
        }
        let mut is_begun = false;
        while let (false, Some(at)) =
            (is_begun, self.ready.iter().position(|ready| ready.outlook == outlook))
        {
            // One that was killed does not take it.
            is_begun =
                hand_over(self.ready.remove(at).socket.as_fd(), 0, &[control.as_fd()]).is_ok();
        }
        if is_begun {
            drop(control);
        } else {
            self.begin(control);
        }
        while self.ready.iter().filter(|ready| ready.outlook == outlook).count() < READY {
            let network = match outlook.network {
                Network::None => self.networks.take()?,
                Network::Host => None,
            };
            // Without it the next launch takes longer, and tells what is wrong.
            let Ok(ready) = self.make_ready(outlook, network) else { break };
            self.ready.push(ready);
        }
        Ok(())
    }

    /// Ends those that are ready: they have a copy of the mounts.
    fn begin_anew(&mut self) {
        self.ready.clear();
        self.table = None;
    }

    /// Forks the worker of a launch.
    fn begin(&self, control: OwnedFd) {
        let wire = Wire::new(control);
        if let Err(source) = spawn(Namespaces::default(), None, || worker::run(&wire, self.id)) {
            let step = "fork a worker of the launcher".to_owned();
            let told = Told::Failed(IsolationError::Setup { step, source });
            // A service that is gone need not be told.
            let _ = told.to_bytes().and_then(|bytes| wire.send(&bytes, &[]));
        }
    }

    /// Forks a worker that is to be ready.
    fn make_ready(
        &mut self,
        outlook: Outlook,
        network: Option<NetworkNamespace>,
    ) -> io::Result<Ready> {
        let (socket, theirs) = pair(SocketType::SEQPACKET)?;
        if self.table.is_none() {
            self.table = MountTable::read().ok();
        }
        let given = (network.as_ref(), self.table.as_ref());
        let child = spawn(Namespaces::default(), None, || {
            worker::be_ready(theirs.as_fd(), outlook, given, self.id)
        })?;
        if let Some(network) = network {
            self.networks.lend(child.pid, network);
        }
        Ok(Ready { outlook, socket })
    }
}

/// Whether mounts have changed since the last question.
fn has_event(mounts: &File) -> bool {
    let mut changed = [PollFd::new(mounts, PollFlags::PRI)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut changed, Some(&now)), Ok(0))
}
