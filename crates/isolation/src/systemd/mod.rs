//! Transient units of systemd as isolation.
//!
//! ```text
//!   ctrlz ── systemd-run ──► manager ──► unit: this program ── clones ──► process 1 ──► command
//!     └──────────────── one socket, the unit's standard input ┘
//! ```
//!
//! The manager makes a unit with the properties of `unit.rs`: its control groups hold the limits, the
//! host's files are read-only or out of sight, devices are gone, no privileges are to be gained. What runs in
//! the unit is this program ([`run`]), which is to this process what a worker of [`crate::launcher`]
//! is to a service: it gets the launch and the standard streams themselves over its socket, and
//! has [`crate::native`] carry it out. So a command has whatever `native` puts in force, inside of
//! what the manager does; and an ordinary user without control groups of his own gets limits that the kernel
//! holds, where his manager has been delegated some.
//!
//! What the manager was asked for is looked up at the unit's process (`in_force.rs`) before it is
//! sent anything: systemd passes over properties that the host has no means for.
//!
//! When ctrlz is killed, the socket closes; the unit's process takes the sandbox down and ends, and the
//! manager forgets the unit (`--collect`). When that process is killed, process 1 dies with it.

mod in_force;
mod manager;
mod unit;
mod waiting;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{IsolationError, Launch, Prepared, RootView};
use rustix::net::sockopt::{socket_domain, socket_peercred};
use rustix::net::{AddressFamily, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::stdio::{stderr, stdin, stdout};

use crate::launcher::{Launched, Request, Told, Wire, pair, run_in_groups};
use crate::native::{Asker, Protections};

pub use manager::{Manager, Missing, Probe, probe};
pub use unit::ARGUMENT;

use unit::Unit;
use waiting::Proxied;

fn failed(step: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Setup { step: step.to_owned(), source }
}

/// As [`ctrlz_core::isolation::IsolationDriver::prepare`], in a unit. The standard streams of this process
/// are those of the launch already.
pub(crate) fn prepare(
    (asker, mut launch): (Option<Asker>, Launch),
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    if let RootView::Image { reference, .. } = &launch.root {
        let step = format!("use the image {reference} as root without a container engine");
        return Err(failed(&step)(io::ErrorKind::Unsupported.into()));
    }
    if launch.memory.is_some() {
        return Err(IsolationError::Unenforceable {
            what: "a snapshot with memory".to_owned(),
            reason: "the driver `systemd` keeps no memory".to_owned(),
        });
    }
    let manager = manager::find().map_err(|missing| IsolationError::Unenforceable {
        what: "--isolation systemd".to_owned(),
        reason: missing.to_string(),
    })?;
    let (ours, theirs) = pair(SocketType::STREAM).map_err(failed("make a socket"))?;
    let mut unit = Unit::start(manager, &launch, theirs)?;
    let wire = Wire::new(ours);
    let process = unit.meet(&wire)?;
    let in_force = in_force::verify(process, &unit, &launch)?;

    launch.driver = Driver::Native;
    // Without an asker, signals come to this process, which passes them on.
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|error| failed("make a pipe")(error.into()))?;
    let (terminal, signals) = match &asker {
        Some(asker) => (asker.terminal, asker.signals.as_ref()),
        None => (false, Some(&reader)),
    };
    let streams: Vec<BorrowedFd<'_>> =
        [stdin(), stdout(), stderr()].into_iter().chain(signals.map(AsFd::as_fd)).collect();
    let request = Request { launch, protections: Protections::all(), terminal };
    wire.send(&request.to_bytes(), &streams).map_err(failed("send the launch to the unit"))?;
    drop(reader);
    let told = wire.receive().map_err(failed("hear the unit"))?;
    let told = told.and_then(|(bytes, came)| Some((Told::from_bytes(&bytes)?, came)));
    let (number, process) = match told {
        Some((Told::Begun(number), mut came)) => match came.pop() {
            Some(process) => (number, process),
            None => return Err(unit.ended()),
        },
        Some((Told::Failed(error), _)) => return Err(error),
        _ => return Err(unit.ended()),
    };
    let launched = Launched::new(wire, number, process);
    begun(number, launched.process()).map_err(failed("note process 1"))?;
    launched.go_on()?;
    Ok(Box::new(Proxied::new(launched, (asker, writer), in_force, unit)))
}

/// Runs as the process of a unit, until its command has ended or the ctrlz that asked for it is gone.
///
/// # Errors
/// When nobody asked for it: standard input is no socket of a ctrlz of this user.
pub fn run() -> io::Result<()> {
    let given = stdin();
    let is_socket = socket_domain(given).is_ok_and(|domain| domain == AddressFamily::UNIX);
    if !is_socket || socket_peercred(given)?.uid != rustix::process::geteuid() {
        let why = "standard input is not the socket of a ctrlz of this user";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let wire = Wire::new(rustix::io::fcntl_dupfd_cloexec(given, 3)?);
    ctrlz_sys::descriptors::keep_only(&[wire.as_fd()])?;
    ctrlz_sys::signal::unblock_all();
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    wire.send(unit::HERE, &[own.as_fd()])?;
    drop(own);
    run_in_groups(&wire);
    Ok(())
}

/// The process id behind a descriptor, as this process sees it (proc_pid_fdinfo(5)).
fn id_of(process: &OwnedFd) -> io::Result<rustix::process::Pid> {
    use std::os::fd::AsRawFd;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    id.and_then(rustix::process::Pid::from_raw).ok_or_else(|| {
        io::Error::other("the manager is in another pid namespace, such as the host's")
    })
}

/// How a program ended, in words.
fn words(status: std::process::ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it died of signal {signal}"),
        _ => "it ended".to_owned(),
    }
}
