//! Continuing as root of a user namespace that has the user's subordinate ids, to handle files that
//! belong to them.

use std::io;
use std::os::fd::AsFd;

use ctrlz_core::isolation::IsolationError;
use ctrlz_sys::clone::{Child, Namespaces, spawn};
use ctrlz_sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::control::{Channel, Order, channel};
use super::identity::{Identity, Subordinate};
use super::inside;

/// Whether this user is not root, and has subordinate ids and the tools to use them.
#[must_use]
pub fn has_subordinate_ids() -> bool {
    !rustix::process::geteuid().is_root() && Subordinate::of_this_user().is_some()
}

/// Runs `action` in a child that is root of a user namespace with the user's subordinate ids, and
/// answers how the child ended, as a shell counts: its code, or 128 and the signal's number.
///
/// # Errors
/// When the namespace cannot be made or mapped.
pub fn with_subordinate_ids(action: impl FnOnce() -> i32) -> Result<i32, IsolationError> {
    let setup = |step: &'static str| {
        move |source: io::Error| IsolationError::Setup { step: step.to_owned(), source }
    };
    let ids = Identity::Root(Subordinate::of_this_user());
    let (outer, inner) = channel().map_err(setup("make a control channel"))?;
    let mut action = Some(action);
    let namespaces = Namespaces { user: true, ..Namespaces::default() };
    let child = spawn(namespaces, None, || match (begin(&inner), action.take()) {
        (Ok(()), Some(action)) => action(),
        _ => 125,
    })
    .map_err(setup("create a user namespace for the subordinate ids"))?;
    drop(inner);
    let written = ids.write_outside(child.pid);
    if written.is_ok() {
        let _ = outer.order(Order::Build);
    }
    drop(outer);
    let status = wait(&child).map_err(setup("wait for the child"))?;
    written.map_err(setup("write the subordinate ids"))?;
    Ok(status)
}

fn begin(channel: &Channel) -> io::Result<()> {
    // The launcher's end among them: while it is open here, its closing would not be seen.
    ctrlz_sys::descriptors::keep_only(&[channel.as_fd()])?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match channel.next_order(true)? {
        Some(Order::Build) => inside::become_root(),
        _ => Err(Errno::PIPE.into()),
    }
}

/// Waits for the child. A terminal sends its signals to the child too; those of processes are
/// passed on; when the child stops, so does this process.
fn wait(child: &Child) -> io::Result<i32> {
    let signals = signal::take_all()?;
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        if let Some(status) = waitid(WaitId::PidFd(child.pidfd.as_fd()), options)? {
            if let Some(signal) = status.stopping_signal() {
                signal::stop_by(signal);
                let _ = pidfd_send_signal(&child.pidfd, Signal::CONT);
                continue;
            }
            signals.give_back()?;
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            return Ok(status.exit_status().or(signal).unwrap_or(125));
        }
        let mut waiting =
            [PollFd::new(&child.pidfd, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(received) = signals.receive()? {
            let passed = !received.from_kernel && received.signal != Signal::CHILD.as_raw();
            if let Some(signal) = Signal::from_named_raw(received.signal).filter(|_| passed) {
                let _ = pidfd_send_signal(&child.pidfd, signal);
            }
        }
    }
}
