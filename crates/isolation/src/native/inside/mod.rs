//! What happens in process 1 of a sandbox, from its first instruction to its last.

mod command;
mod devices;
mod hide;
mod init;
mod limits;
mod mount_table;
mod mounts;
mod network;
mod overlay;
mod privileges;
mod rename;
mod root;
mod streams;

use std::io;
use std::os::fd::AsFd;

use ctrlz_core::isolation::{Launch, Network};
use rustix::process::{DumpableBehavior, Signal};

use super::control::{Channel, Order, Report};
use super::identity::Identity;
use super::protection::{Protection, Protections};

/// All that process 1 needs to know; prepared by the launcher before the clone.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) launch: Launch,
    pub(super) identity: Identity,
    pub(super) protections: Protections,
    /// Enter the user namespace when the mounts are made, not before: root may overlay directories
    /// that hold other mounts, a user namespace may not.
    pub(super) late_user_namespace: bool,
    /// The user's ids outside.
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Limits that process 1 has to hold by itself, since no cgroup does.
    pub(super) rlimits: limits::Rlimits,
    /// Processors are limited by affinity, which the command must not change.
    pub(super) fixed_processors: bool,
    /// Where standard output and error go when output is limited.
    pub(super) output: Option<[std::os::fd::OwnedFd; 2]>,
}

pub(super) use limits::Rlimits;
pub(super) use privileges::become_root_inside as become_root;

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
pub(super) fn process_1(setup: Setup, channel: &Channel) -> i32 {
    match run(setup, channel) {
        Ok(()) => 0,
        Err(error) => {
            let errno = error.source.raw_os_error().unwrap_or(0);
            // An error without errno says more in words.
            let step = match errno {
                0 => format!("{}: {}", error.step, error.source),
                _ => error.step,
            };
            let _ = channel.report(&Report::SetupFailed { errno, step });
            1
        }
    }
}

fn run(mut setup: Setup, channel: &Channel) -> Result<(), StepError> {
    let wanted = setup.protections;
    if wanted.has(Protection::ClosedDescriptors) {
        // What the launcher holds (its store, its locks, what its caller left open) ends here.
        let mut keep = vec![channel.as_fd()];
        keep.extend(setup.output.iter().flatten().map(AsFd::as_fd));
        ctrlz_sys::descriptors::keep_only(&keep).step(|| "close descriptors".into())?;
    }
    tie_to_launcher(wanted)?;
    let early = wanted.has(Protection::UserNamespace) && !setup.late_user_namespace;
    if early && setup.identity.is_written_inside() {
        setup
            .identity
            .write_inside(setup.uid, setup.gid)
            .step(|| "write the id maps of the user namespace".into())?;
    }
    // A launcher that died before the death signal was set is seen here: the channel is closed.
    if channel.next_order(true).ok().flatten() != Some(Order::Build) {
        return Ok(());
    }
    if let Identity::Root(_) = setup.identity {
        privileges::become_root_inside().step(|| "become root inside".into())?;
    }
    limits::score_for_out_of_memory(wanted);
    let mut in_force = wanted;
    if !limits::lower_process_ceiling(wanted) {
        in_force = in_force.without(Protection::ProcessCeiling);
    }
    if setup.launch.network == Network::Host {
        in_force = in_force.without(Protection::NetworkNamespace);
    } else if wanted.has(Protection::NetworkNamespace) {
        network::bring_up_loopback().step(|| "bring up the loopback interface".into())?;
    }
    let input = match wanted.has(Protection::ClosedDescriptors) {
        true => streams::confine().step(|| "confine the standard streams".into())?,
        false => None,
    };
    let root = root::build(&setup, wanted)?;
    // A process that changed its root by chroot may not make user namespaces.
    if wanted.has(Protection::PivotRoot) {
        root::enter(&root, wanted)?;
        enter_user_namespace(&setup, channel)?;
    } else {
        enter_user_namespace(&setup, channel)?;
        root::enter(&root, wanted)?;
    }
    limits::apply(&setup.rlimits)?;
    if wanted.has(Protection::OpaqueInit) {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .step(|| "hide process 1 from the command".into())?;
    }
    let listener = privileges::give_up(&setup, &mut in_force)?;
    // The kernel forgets it where ids change.
    tie_to_launcher(wanted)?;
    if channel.next_order(true).ok().flatten() != Some(Order::Start) {
        return Ok(());
    }
    // Taken before the command starts, so that its own streams are the only way out for output.
    let output = setup.output.take();
    let command = command::start(&setup, output, channel)?;
    if let Some(started) = command {
        let report = Report::Started { protections: in_force.bits() };
        channel.report(&report).step(|| "report to ctrlz".into())?;
        init::reap(started, channel.as_fd(), channel, listener.as_ref())
            .step(|| "wait for the command".into())?;
    }
    if let Some(input) = input {
        input.hand_back();
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

fn enter_user_namespace(setup: &Setup, channel: &Channel) -> Result<(), StepError> {
    if !setup.late_user_namespace || !setup.protections.has(Protection::UserNamespace) {
        return Ok(());
    }
    ctrlz_sys::clone::enter_new_user_namespace().step(|| "enter a user namespace".into())?;
    channel.report(&Report::NeedsIds).step(|| "report to ctrlz".into())?;
    match channel.next_order(true) {
        Ok(Some(Order::Build)) => Ok(()),
        Ok(_) => Err(io::Error::other("the launcher is gone")).step(|| "get the id maps".into()),
        Err(error) => Err(error).step(|| "get the id maps".into()),
    }
}

/// Whether `name` is a capability that this kernel's headers know.
pub(super) fn check_capability(name: &str) -> io::Result<()> {
    privileges::capability(name).map(drop)
}

/// Whether each pid namespace has a `kernel.pid_max` of its own here.
pub(super) fn has_own_process_ids() -> bool {
    limits::is_at_least(rustix::system::uname().release().to_bytes(), (6, 14))
}
