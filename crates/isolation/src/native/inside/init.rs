//! Process 1 while the command runs: it reaps, forwards signals, and answers for renames.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use ctrlz_sys::seccomp::Listener;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use super::{network, rename};
use crate::native::control::{Channel, Ended, Order, Report};
use crate::native::wait::LONG;

/// Waits until `command` has ended; `None` when the launcher is gone first. What the command left
/// behind dies with this process, process 1 of its pid namespace.
pub(super) fn reap(
    command: Pid,
    (channel_fd, channel): (BorrowedFd<'_>, &Channel),
    listener: Option<&Listener>,
    passing: Passing,
) -> io::Result<Option<Ended>> {
    let signals = ctrlz_sys::signal::take_all()?;
    // The command may have ended before its signal could be seen.
    let (mut ended, mut alone) = reap_all(command, channel)?;
    let mut give_back_at = Some(Instant::now() + LONG);
    while ended.is_none() {
        let mut waiting = vec![
            PollFd::new(&signals, PollFlags::IN),
            PollFd::from_borrowed_fd(channel_fd, PollFlags::IN),
        ];
        waiting.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
        let left = give_back_at.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            give_back_at = None;
            // A kernel that refuses keeps them, which costs memory only.
            let _ = ctrlz_sys::program_pages::give_back();
        }
        let left = left.filter(|left| !left.is_zero()).and_then(|left| left.try_into().ok());
        match poll(&mut waiting, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = waiting
            .iter()
            .map(|fd| fd.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR))
            .collect();
        if let ([.., true], Some(listener)) = (ready.as_slice(), listener) {
            rename::answer(listener);
        }
        if ready.get(1) == Some(&true) && !obey(command, channel)? {
            return Ok(None);
        }
        while let Some(received) = signals.receive()? {
            match passing {
                Passing::TerminalSignals if received.from_kernel => {
                    pass_on(command, received.signal);
                }
                Passing::All if received.signal != Signal::CHILD.as_raw() => {
                    if let Some(signal) = Signal::from_named_raw(received.signal) {
                        let _ = kill_process(command, signal);
                    }
                }
                _ => {}
            }
        }
        (ended, alone) = reap_all(command, channel)?;
    }
    Ok(ended.map(|status| Ended {
        status: status.as_raw(),
        network_attempts: network::attempts(Path::new("/proc/self")),
        alone,
        processes: begun_since(command),
        usage: ctrlz_sys::usage::of_children(),
    }))
}

/// Which signals that process 1 gets are the command's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// None: it gets its own.
    Nothing,
    /// Those of the terminal: the command is in a session without one.
    TerminalSignals,
    /// All that are sent to it: nobody can tell it otherwise which ones the command is to get.
    All,
}

fn pass_on(command: Pid, number: i32) {
    let of_terminal =
        [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TSTP, Signal::CONT, Signal::WINCH];
    if let Some(signal) = of_terminal.into_iter().find(|signal| signal.as_raw() == number) {
        let _ = kill_process(command, signal);
    }
}

/// Reaps every child that has ended; answers the command's status when it is among them, and
/// whether no child is left. All processes of a pid namespace descend from its process 1.
fn reap_all(command: Pid, channel: &Channel) -> io::Result<(Option<WaitStatus>, bool)> {
    let mut ended = None;
    loop {
        // Any child, also one that left this process group, as a shell with job control does.
        match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) if pid == command => match status.stopping_signal() {
                Some(signal) => channel.report(&Report::Stopped { signal })?,
                None => ended = Some(status),
            },
            Ok(Some(_)) => {}
            Ok(None) => return Ok((ended, false)),
            Err(Errno::CHILD) => return Ok((ended, true)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How many processes and threads of this pid namespace were begun since `command`, itself included:
/// as many as got an id, unless the ids ran out and began anew.
fn begun_since(command: Pid) -> u32 {
    let mut text = [0; 16];
    let read = File::open("/proc/sys/kernel/ns_last_pid").and_then(|mut file| file.read(&mut text));
    let text = text.get(..read.unwrap_or(0)).and_then(|text| std::str::from_utf8(text).ok());
    let last = text.and_then(|text| text.trim().parse().ok()).unwrap_or(0_i32);
    u32::try_from(last.saturating_sub(command.as_raw_nonzero().get()).saturating_add(1))
        .unwrap_or(0)
}

/// Carries out what the launcher asks; answers false when the launcher is gone.
fn obey(command: Pid, channel: &Channel) -> io::Result<bool> {
    match channel.next_order(false)? {
        Some(Order::Signal(signal)) => {
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = kill_process(command, signal);
            }
            Ok(true)
        }
        Some(Order::Continue) => {
            let _ = kill_process(command, Signal::CONT);
            Ok(true)
        }
        Some(Order::Terminate) => {
            let _ = kill_process(command, Signal::TERM);
            let _ = kill_process(command, Signal::CONT);
            Ok(true)
        }
        Some(Order::Build | Order::Start) => Ok(true),
        None => Ok(false),
    }
}
