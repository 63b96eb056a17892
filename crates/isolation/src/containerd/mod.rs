//! containerd as isolation, by its API: containers of its shims, runc's and that of Kata Containers.
//!
//! ```text
//!   ctrlz ◄── channel ──► speaker ── gRPC ──► containerd ──► shim ──► process 1 ──► command
//!                            └────────────── FIFOs ────────────┘
//! ```
//!
//! A container may be a virtual machine, into which no socket and no descriptor leads. So all that is asked
//! of containerd works there, too: a root and mounts that are named by paths of this host, FIFOs for the
//! streams, signals by calls, an exit code. Process 1 in the container is this program ([`run`]), which
//! reaps, passes signals on and tells by a file in a shared folder how the command ended.
//!
//! What `native` hears from its process 1, here the *speaker* says: a process beside ctrlz, the only one that
//! calls containerd while the command runs. So streams, limits, the end and freezing are handled by the same
//! code. When ctrlz is killed, the speaker has the container removed; when the speaker is killed, ctrlz has;
//! when both are, tidying up has, by the note in the folder of the launch.

mod client;
mod grpc;
mod inside;
mod messages;
mod place;
mod probe;
mod speaking;
mod spec;
mod streams;
mod tidy;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctrlz_core::driver::Shim;
use ctrlz_core::isolation::{IsolationError, Launch, Network, Prepared, RootView};
use ctrlz_core::monitor::Observer;
use ctrlz_core::operation::CommandReport;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::native::{Asker, Contained, Protection, Protections, Speaker, adopt, not_held};

pub use inside::{ARGUMENT, run};
pub use probe::{Probe, probe};
pub use speaking::{SPEAKER, speak};
pub(crate) use tidy::tidy;

use place::Place;
use speaking::{Made, Process};

/// What is in force in every container of a shim.
pub(crate) fn protections(shim: Shim) -> Protections {
    // containerd is root's, and so is what it makes.
    let all = Protections::all().without(Protection::Landlock).without(Protection::UserNamespace);
    match shim {
        Shim::Runc => all,
        // Its system calls are those of a kernel of its own.
        Shim::Kata => all.without(Protection::Seccomp).without(Protection::FirstToBeKilled),
    }
}

fn failed(step: impl Into<String>) -> impl FnOnce(io::Error) -> IsolationError {
    move |source| IsolationError::Setup { step: step.into(), source }
}

/// The process that speaks for a container. It ends once the channel to it is closed.
struct Speaking {
    process: Process,
    place: Place,
}

impl Drop for Speaking {
    fn drop(&mut self) {
        let is_clean = self.process.ends_clean();
        // What stays, `tidy` removes.
        if !is_clean && tidy::removed(&self.place.note) {
            place::remove(self.place.path());
        }
    }
}

/// A command in a container. The fields are dropped in this order.
struct Launched {
    running: Box<dyn Prepared>,
    speaking: Speaking,
}

impl Prepared for Launched {
    fn start(&mut self) -> Result<(), IsolationError> {
        self.running.start()
    }

    fn wait(
        &mut self,
        observer: Option<&mut dyn Observer>,
    ) -> Result<CommandReport, IsolationError> {
        let report = self.running.wait(observer);
        // A speaker that was killed told nothing of the command, which may still run.
        if self.speaking.has_ended() {
            let _ = tidy::removed(&self.speaking.place.note);
        }
        report
    }
}

impl Speaking {
    fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut end = [PollFd::new(&self.process.pidfd, PollFlags::IN)];
        poll(&mut end, Some(&now)).is_ok_and(|ended| ended > 0)
    }
}

/// As [`ctrlz_core::isolation::IsolationDriver::prepare`], by containerd. The standard streams of this
/// process are those of the launch already.
pub(crate) fn prepare(
    shim: Shim,
    (asker, launch): (Option<Asker>, Launch),
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    check(shim, &launch)?;
    let found = probe(shim)?;
    let place = Place::make(shim, &found.socket)
        .map_err(failed("make a folder for what containerd is told"))?;
    let (channel, speaker) = Speaker::new().map_err(failed("make a socket"))?;
    let started = Process::start(&launch, &place, speaker);
    let (process, from) = match started {
        Ok(started) => started,
        Err(error) => {
            place::remove(place.path());
            return Err(failed("start a process that speaks for the container")(error));
        }
    };
    // Declared in this order: the channel closes before the end is awaited.
    let speaking = Speaking { process, place };
    let channel = channel;
    let (pid, pidfd) = meet(from)?;
    begun(pid.as_raw_nonzero().get().unsigned_abs(), pidfd.as_fd())
        .map_err(failed("note process 1"))?;
    if shim == Shim::Runc
        && let Some((kind, held)) = not_held(pid, &launch.limits, 1)
    {
        return Err(IsolationError::Unenforceable {
            what: format!("--{}", kind.option()),
            reason: format!(
                "the container has {} instead",
                held.map_or_else(|| "no such limit".to_owned(), |held| held.to_string())
            ),
        });
    }
    let given = protections(shim);
    let given = match launch.network {
        Network::None => given,
        Network::Host => given.without(Protection::NetworkNamespace),
    };
    let speaker = speaking.process.pidfd.try_clone().map_err(failed("copy a descriptor"))?;
    let contained = Contained { pid, pidfd, channel, given, speaker: Some(speaker) };
    let running = adopt(launch, contained, asker)?;
    Ok(Box::new(Launched { running, speaking }))
}

fn check(shim: Shim, launch: &Launch) -> Result<(), IsolationError> {
    if let RootView::Image { reference, .. } = &launch.root {
        let step = format!("use the image {reference} as root without a container engine");
        return Err(failed(step)(io::ErrorKind::Unsupported.into()));
    }
    if launch.memory.is_some() {
        return Err(IsolationError::Unenforceable {
            what: "a snapshot with memory".to_owned(),
            reason: format!("the driver containerd:{} keeps no memory", shim.word()),
        });
    }
    if shim == Shim::Kata && launch.network == Network::Host {
        return Err(IsolationError::Unenforceable {
            what: "--net host".to_owned(),
            reason:
                "a virtual machine has a network of its own; use --net none, or containerd:runc"
                    .to_owned(),
        });
    }
    Ok(())
}

/// Hears with which process the container ends.
fn meet(mut from: File) -> Result<(Pid, OwnedFd), IsolationError> {
    let mut text = Vec::new();
    let read = from.read_to_end(&mut text);
    read.map_err(failed("hear who speaks for the container"))?;
    let number = match serde_json::from_slice(&text) {
        Ok(Made::Task(number)) => number,
        Ok(Made::Failed { step, why }) => return Err(failed(step)(io::Error::other(why))),
        Err(_) => {
            let why = io::Error::other("the process that speaks for it was killed");
            return Err(failed("have a container made")(why));
        }
    };
    let pid = Pid::from_raw(number.cast_signed())
        .ok_or_else(|| failed("meet the container")(io::Error::other("it has no process")))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .map_err(|error| failed("meet the container")(error.into()))?;
    Ok((pid, pidfd))
}
