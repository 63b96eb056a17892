//! What happens in process 1 of a sandbox, from its first instruction to its last.

mod apart;
mod command;
mod contained;
mod devices;
mod handing_over;
mod hide;
mod in_container;
mod init;
mod keeper;
mod limits;
mod mount_table;
mod mounts;
mod namespaces;
mod network;
mod nursery;
mod on_host;
mod overlay;
mod privileges;
mod rename;
mod root;
mod streams;
mod user_namespace;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{Launch, Network, RootView};
use rustix::process::{DumpableBehavior, Signal};

use self::init::Passing;
use super::control::{Channel, Ended, Order, Report};
use super::identity::Identity;
use super::protection::{Protection, Protections};
use super::task::Task;

/// What process 1 knows from its first instruction on.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) outlook: Outlook,
    pub(super) identity: Identity,
    pub(super) protections: Protections,
    /// Enter the user namespace when the mounts are made, not before: root may overlay directories
    /// that hold other mounts, a user namespace may not.
    pub(super) late_user_namespace: bool,
    /// The user's ids outside.
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) session: Session,
    /// Where standard output and error go when output is limited.
    pub(super) output: Option<[OwnedFd; 2]>,
    pub(super) provision: Provision,
}

/// What a process 1 need not find out or make for itself, when it is there already.
#[derive(Debug, Default)]
pub(crate) struct Provision {
    /// The network namespace of the sandbox.
    pub(crate) network: Option<OwnedFd>,
    /// The mounts of the host.
    pub(crate) mounts: Option<MountTable>,
}

/// The session (setsid(2)) of process 1 and of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// The launcher's, with its terminal.
    Launchers,
    /// Its own, which has a number inside, too: a shell asks for it to control jobs.
    Own {
        /// Standard input is the terminal of that session.
        terminal: bool,
    },
}

/// What has to be known of a launch before the rest of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub(crate) network: Network,
    /// The root is the host's, not the workspace.
    pub(crate) host_root: bool,
    /// Another program runs the command; see [`super::Delegate`].
    pub(crate) delegated: bool,
}

impl Outlook {
    pub(crate) fn of(launch: &Launch) -> Self {
        Self {
            network: launch.network,
            host_root: matches!(launch.root, RootView::Host { .. }),
            delegated: matches!(launch.driver, Driver::Oci(_)),
        }
    }
}

/// All that process 1 needs to know.
#[derive(Debug)]
struct Setup {
    start: Start,
    task: Task,
    /// What is executed, when no path inside leads to it.
    program: Option<OwnedFd>,
    /// What that is handed.
    handed: Option<OwnedFd>,
}

pub(crate) use apart::{Apart, Told as ToldApart, process_1 as process_1_apart};
pub(crate) use contained::process_1 as process_1_of_container;
pub(crate) use hide::KERNEL_FILES;
pub(crate) use in_container::{Place, mount_workspace};
pub(crate) use limits::Rlimits;
pub(crate) use mount_table::MountTable;
pub(super) use network::{attempts as network_attempts, bring_up_loopback};
pub(crate) use on_host::mount_overlay;
pub(super) use privileges::become_root_inside as become_root;
pub(super) use root::STAGE;

/// A step of the set-up that failed.
#[derive(Debug)]
pub(super) struct StepError {
    step: String,
    source: io::Error,
}

/// Names the step on which an error happened.
pub(super) trait Step<T> {
    fn step(self, name: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|source| StepError { step: name(), source: source.into() })
    }
}

/// Runs process 1; answers its exit code, which nobody reads.
pub(super) fn process_1(start: Start, channel: &Channel) -> i32 {
    match run(start, channel) {
        Ok(()) => 0,
        Err(error) => {
            report_failure(channel, error);
            1
        }
    }
}

/// Tells of a step that failed.
fn report_failure(channel: &Channel, error: StepError) {
    let errno = error.source.raw_os_error().unwrap_or(0);
    // An error without errno says more in words.
    let step = match errno {
        0 => format!("{}: {}", error.step, error.source),
        _ => error.step,
    };
    let _ = channel.report(&Report::SetupFailed { errno, step });
}

fn run(mut start: Start, channel: &Channel) -> Result<(), StepError> {
    let wanted = start.protections;
    if wanted.has(Protection::ClosedDescriptors) {
        // What the launcher holds (its store, its locks, what its caller left open) ends here.
        let mut keep = vec![channel.as_fd()];
        keep.extend(start.output.iter().flatten().chain(&start.provision.network).map(AsFd::as_fd));
        ctrlz_sys::descriptors::keep_only(&keep).step(|| "close descriptors".into())?;
    }
    if let Session::Own { terminal } = start.session {
        rustix::process::setsid().step(|| "begin a session".into())?;
        if terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
                .step(|| "control the terminal".into())?;
        }
    }
    tie_to_launcher(wanted)?;
    let Provision { network, mounts } = std::mem::take(&mut start.provision);
    let Some(ready) = namespaces::enter(&start, network, channel)? else { return Ok(()) };
    let stage = root::stage(&start, mounts)?;
    let filter = privileges::Filter::usual(wanted);
    // A launcher that died before the death signal was set is seen here: the channel is closed.
    let Some((mut task, along)) = channel.next_task().ok().flatten() else { return Ok(()) };
    if let Some(given) = along.streams {
        streams::take(given).step(|| "take the standard streams".into())?;
    }
    if let RootView::Host { workspace_at } = &task.root {
        // Those of the beginning, unless that was long ago.
        let missing = || io::Error::other("nobody told of them");
        let sockets = task.sockets.take().or(ready.sockets).ok_or_else(missing);
        let mut sockets = sockets.step(|| "hide the sockets of the host".into())?;
        // An overlay does not lead to the sockets below it, so those inside need no cover.
        sockets.retain(|path| !path.starts_with(workspace_at));
        task.hidden.append(&mut sockets);
    }
    let mut setup = Setup { start, task, program: along.program, handed: along.handed };
    let input = match wanted.has(Protection::ClosedDescriptors) {
        true => streams::confine().step(|| "confine the standard streams".into())?,
        false => None,
    };
    let complete = root::complete(stage, &setup)?;
    if let Some(delegated) = setup.task.delegated.take() {
        // A program that makes containers needs what the command must not have.
        tie_to_launcher(wanted)?;
        return handing_over::run(&mut setup, &delegated, &complete, (input, channel));
    }
    root::enter(&complete.root, wanted)?;
    drop(complete);
    if let Some(namespace) = ready.user {
        namespace.enter().step(|| "enter the user namespace".into())?;
    }
    limits::apply(&setup.task.rlimits)?;
    if wanted.has(Protection::OpaqueInit) {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .step(|| "hide process 1 from the command".into())?;
    }
    let mut in_force = ready.in_force;
    let listener = privileges::give_up(&setup, filter, &mut in_force)?;
    // The kernel forgets it where ids change.
    tie_to_launcher(wanted)?;
    if channel.next_order(true).ok().flatten() != Some(Order::Start) {
        return Ok(());
    }
    // Taken before the command starts, so that its own streams are the only way out for output.
    let output = setup.start.output.take();
    // And what it is handed is in no other hands then.
    let handed = setup.handed.take();
    let command = command::start(&setup, (output, handed), channel)?;
    if let Some(started) = command {
        let report = Report::Started { protections: in_force.bits() };
        channel.report(&report).step(|| "report to ctrlz".into())?;
        let ended =
            init::reap(started, (channel.as_fd(), channel), listener.as_ref(), Passing::Nothing)
                .step(|| "wait for the command".into())?;
        if let Some(input) = input {
            input.hand_back();
        }
        if let Some(ended) = ended {
            let alone = ended.alone && wanted.has(Protection::PidNamespace);
            // The last thing that this process does.
            let report = Report::Ended(Ended { alone, ..ended });
            channel.report(&report).step(|| "report to ctrlz".into())?;
        }
    }
    Ok(())
}

fn tie_to_launcher(wanted: Protections) -> Result<(), StepError> {
    if !wanted.has(Protection::DiesWithLauncher) {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step(|| "tie the sandbox's life to ctrlz".into())
}

/// Whether `name` is a capability that this kernel's headers know.
pub(super) fn check_capability(name: &str) -> io::Result<()> {
    privileges::capability(name).map(drop)
}

/// The capabilities of these names, one bit each (capabilities(7)).
pub(crate) fn capability_bits(names: &[String]) -> io::Result<u64> {
    names.iter().try_fold(0, |bits, name| Ok(bits | privileges::capability(name)?.bits()))
}

/// Whether each pid namespace has a `kernel.pid_max` of its own here.
pub(super) fn has_own_process_ids() -> bool {
    limits::is_at_least(rustix::system::uname().release().to_bytes(), (6, 14))
}
