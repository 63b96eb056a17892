//! Process 1 of a container that a container engine made: it was given its root, its namespaces and its
//! capabilities, takes away what an engine leaves, and then does what every process 1 does.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, kill_process, wait};

use super::init::Passing;
use super::{
    Ended, Identity, Order, Outlook, Provision, Report, Session, Setup, Start, Step, StepError,
    command, init, limits, privileges, report_failure, streams,
};
use crate::native::control::Channel;
use crate::native::protection::{Protection, Protections};

/// How long it waits until what it used was read.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Runs process 1 of a container, which is told over `channel` what to do.
pub(crate) fn process_1(channel: &Channel) {
    if let Err(error) = run(channel) {
        report_failure(channel, error);
    }
}

fn run(channel: &Channel) -> Result<(), StepError> {
    // The command has the same user and the same capabilities, and could trace it otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .step(|| "hide process 1 from the command".into())?;
    ctrlz_sys::descriptors::keep_only(&[channel.as_fd()]).step(|| "close descriptors".into())?;
    let Some((task, along)) = channel.next_task().ok().flatten() else { return Ok(()) };
    let missing = || io::Error::other("nobody gave them");
    let given = along.streams.ok_or_else(missing).step(|| "take the standard streams".into())?;
    streams::take(given).step(|| "take the standard streams".into())?;
    own_session().step(|| "control the terminal".into())?;
    limits::apply(&task.rlimits)?;

    // Capabilities are the engine's to drop: this process may not.
    let wanted = Protections::all().without(Protection::NoCapabilities);
    let start = Start {
        outlook: Outlook {
            network: ctrlz_core::isolation::Network::None,
            host_root: false,
            delegated: false,
        },
        identity: Identity::choose(false),
        protections: wanted,
        late_user_namespace: false,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        session: Session::Own { terminal: false },
        output: None,
        provision: Provision::default(),
    };
    let setup = Setup { start, task, program: None, handed: None };
    let own = [
        Protection::NoNewPrivileges,
        Protection::Seccomp,
        Protection::Landlock,
        Protection::ClosedDescriptors,
        Protection::DiesWithLauncher,
        Protection::OpaqueInit,
    ];
    let mut in_force = own.into_iter().fold(Protections::none(), Protections::with);
    let listener = privileges::give_up(&setup, privileges::Filter::usual(wanted), &mut in_force)?;
    if channel.next_order(true).ok().flatten() != Some(Order::Start) {
        return Ok(());
    }
    let Some(started) = command::start(&setup, (None, None), channel)? else { return Ok(()) };
    let report = Report::Started { protections: in_force.bits() };
    channel.report(&report).step(|| "report to ctrlz".into())?;
    let ended =
        init::reap(started, (channel.as_fd(), channel), listener.as_ref(), Passing::Nothing)
            .step(|| "wait for the command".into())?;
    let Some(ended) = ended else { return Ok(()) };
    end_others().step(|| "end what the command left behind".into())?;
    let usage = ctrlz_sys::usage::of_children();
    let report = Report::Ended(Ended { alone: true, usage, ..ended });
    channel.report(&report).step(|| "report to ctrlz".into())?;
    // The container's groups, and what they counted, go with this process.
    let _ = poll(&mut [PollFd::new(channel, PollFlags::RDHUP)], Some(&PATIENCE));
    Ok(())
}

/// Begins a session, of which a terminal that is nobody's becomes the controlling one.
fn own_session() -> io::Result<()> {
    match rustix::process::setsid() {
        // A container's first process usually leads one already.
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    if !rustix::termios::isatty(rustix::stdio::stdin()) {
        return Ok(());
    }
    match rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()) {
        // That of the user's session stays there; its signals are passed on.
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends all other processes of this pid namespace, and waits for them.
pub(super) fn end_others() -> io::Result<()> {
    loop {
        for entry in fs::read_dir("/proc")?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = id.and_then(Pid::from_raw)
                && !pid.is_init()
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
