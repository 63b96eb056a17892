//! The launcher while the command runs: it forwards signals, holds limits, and learns the end.

use std::io;
use std::time::{Duration, Instant};

use ctrlz_core::isolation::IsolationError;
use ctrlz_core::limits::LimitKind;
use ctrlz_core::operation::{CommandReport, Exit, Stopped, Usage};
use ctrlz_core::span::Span;
use ctrlz_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::cgroup::Controller;
use super::control::{Order, Report};
use super::identity::Identity;
use super::launch::Running;
use super::protection::Protections;

/// How often demanding limits are measured.
const MEASURE_OFTEN: Duration = Duration::from_millis(50);
/// How often the store's free space is looked at.
const MEASURE: Duration = Duration::from_millis(500);
/// How long a command has after `SIGTERM` when its time is up.
const GRACE: Duration = Duration::from_secs(1);

/// What process 1 told so far.
#[derive(Debug, Default)]
struct Told {
    failed: Option<(i32, String)>,
    exec_failed: Option<i32>,
    protections: Option<u32>,
    ended: Option<(i32, u32)>,
}

pub(super) fn run(running: &mut Running) -> Result<CommandReport, IsolationError> {
    let lost = |what: &str| {
        let what = what.to_owned();
        move |source: io::Error| IsolationError::Lost { what: format!("{what}: {source}") }
    };
    let before = ctrlz_sys::usage::of_children();
    let begun = Instant::now();
    let foreground = Foreground::remember();
    let signals = signal::take_all().map_err(lost("cannot receive signals"))?;
    let mut told = Told::default();
    if let Some(ids) = running.ids.take() {
        give_ids(running, &ids, &mut told)?;
    }
    // When process 1 failed already, it is gone, and its report waits.
    let _ = running.channel.order(Order::Start);

    let stopped = watch(running, &signals, &mut told, begun).map_err(lost("cannot wait"))?;
    reap(running).map_err(lost("cannot wait for process 1"))?;
    drain_reports(running, &mut told).map_err(lost("cannot hear process 1"))?;
    drop(signals);
    signal::unblock_all();
    foreground.restore();

    if let Some((errno, step)) = told.failed {
        let source = match errno {
            0 => io::Error::other("see above"),
            errno => io::Error::from_raw_os_error(errno),
        };
        return Err(IsolationError::Setup { step, source });
    }
    if let Some(errno) = told.exec_failed {
        let program = running.program.clone();
        let source = io::Error::from_raw_os_error(errno);
        return Err(match source.kind() {
            io::ErrorKind::NotFound => IsolationError::NotFound { program },
            _ => IsolationError::NotExecutable { program, source },
        });
    }
    let after = ctrlz_sys::usage::of_children();
    let stopped = stopped.or_else(|| stopped_by_group(running));
    let exit = match (told.ended, stopped) {
        (Some((status, _)), _) => exit_of(status),
        (None, Some(_)) => Exit::Signal(Signal::KILL.as_raw()),
        (None, None) => {
            return Err(IsolationError::Lost {
                what: "process 1 of the sandbox was killed from outside".to_owned(),
            });
        }
    };
    Ok(CommandReport {
        exit,
        stopped,
        network_attempts: told.ended.map_or(0, |(_, attempts)| u64::from(attempts)),
        usage: Usage {
            wall: Some(Span(begun.elapsed())),
            user: Some(Span(after.user.saturating_sub(before.user))),
            system: Some(Span(after.system.saturating_sub(before.system))),
            peak_resident: after.peak_resident,
        },
        enforced: Protections::from_bits(told.protections.unwrap_or_default())
            .iter()
            .map(|protection| protection.word().to_owned())
            .collect(),
    })
}

/// Waits for process 1 to enter its user namespace and writes the id maps.
fn give_ids(running: &Running, ids: &Identity, told: &mut Told) -> Result<(), IsolationError> {
    let setup = |step: &str| {
        let step = step.to_owned();
        move |source| IsolationError::Setup { step, source }
    };
    match running.channel.next_report(true).map_err(setup("hear process 1"))? {
        Some(Report::NeedsIds) => {
            ids.write_outside(running.child.pid)
                .map_err(setup("write the id maps of the user namespace"))?;
            let _ = running.channel.order(Order::Build);
        }
        Some(Report::SetupFailed { errno, step }) => told.failed = Some((errno, step)),
        _ => {}
    }
    Ok(())
}

/// A limit that the kernel enforced by a cgroup, told apart from a failure of the command's own.
fn stopped_by_group(running: &Running) -> Option<Stopped> {
    if running.groups.has(Controller::Memory) && running.groups.ran_out_of_memory() {
        return Some(Stopped::Limit(LimitKind::Memory));
    }
    None
}

fn exit_of(status: i32) -> Exit {
    // As in <sys/wait.h>: the low seven bits name the signal, the next byte the code.
    match status & 0x7f {
        0 => Exit::Code(status >> 8 & 0xff),
        signal => Exit::Signal(signal),
    }
}

/// Waits until process 1 is gone. Answers what stopped it, if this function did.
fn watch(
    running: &mut Running,
    signals: &SignalFd,
    told: &mut Told,
    begun: Instant,
) -> io::Result<Option<Stopped>> {
    let mut stopped = None;
    let mut kill_at = None;
    let mut measure_at = Instant::now() + MEASURE_OFTEN;
    loop {
        let deadline = [running.timeout.filter(|_| stopped.is_none()).map(|t| begun + t), kill_at]
            .into_iter()
            .flatten()
            .fold(measure_at, Instant::min);
        if wait_for_event(running, signals, deadline)? {
            // Output that was written before the end is still in the pipes.
            pass_output_on(running, &mut stopped)?;
            return Ok(stopped);
        }
        forward_signals(running, signals)?;
        pass_output_on(running, &mut stopped)?;
        drain_reports(running, told)?;
        let now = Instant::now();
        if stopped.is_none() && running.timeout.is_some_and(|timeout| now >= begun + timeout) {
            stopped = Some(Stopped::Limit(LimitKind::Timeout));
            kill_at = Some(now + GRACE);
            let _ = running.channel.order(Order::Terminate);
        }
        if kill_at.is_some_and(|at| now >= at) {
            kill_at = None;
            kill(running)?;
        }
        if now >= measure_at {
            if stopped.is_none() {
                stopped = running.meter.exceeded();
                if stopped.is_some() {
                    kill(running)?;
                }
            }
            let interval = if running.meter.is_demanding() { MEASURE_OFTEN } else { MEASURE };
            measure_at = now + interval;
        }
    }
}

/// Waits for anything to happen; answers whether process 1 is gone.
fn wait_for_event(running: &Running, signals: &SignalFd, deadline: Instant) -> io::Result<bool> {
    let mut waiting = vec![
        PollFd::new(&running.child.pidfd, PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
        PollFd::new(&running.channel, PollFlags::IN),
    ];
    if let Some(output) = &running.output {
        waiting.extend(output.streams.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout =
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut waiting, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    // A closed channel is ready for ever; process 1 closes it only by ending.
    if waiting.get(2).is_some_and(|fd| fd.revents().contains(PollFlags::HUP)) {
        drop(waiting);
        let mut end = [PollFd::new(&running.child.pidfd, PollFlags::IN)];
        let _ = poll(&mut end, None);
        return Ok(true);
    }
    Ok(waiting.first().is_some_and(is_ready))
}

/// A terminal sends its signals to the command too; those of processes are passed on.
fn forward_signals(running: &Running, signals: &SignalFd) -> io::Result<()> {
    while let Some(received) = signals.receive()? {
        let own = [Signal::CHILD, Signal::WINCH, Signal::CONT, Signal::TTIN, Signal::TTOU];
        if received.from_kernel || own.iter().any(|s| s.as_raw() == received.signal) {
            continue;
        }
        let _ = running.channel.order(Order::Signal(received.signal));
    }
    Ok(())
}

fn pass_output_on(running: &mut Running, stopped: &mut Option<Stopped>) -> io::Result<()> {
    let within = running.output.as_mut().is_none_or(|output| output.pass_on());
    if !within && stopped.is_none() {
        *stopped = Some(Stopped::Limit(LimitKind::MaxOutput));
        kill(running)?;
    }
    Ok(())
}

fn drain_reports(running: &Running, told: &mut Told) -> io::Result<()> {
    while let Some(report) = running.channel.next_report(false)? {
        match report {
            Report::SetupFailed { errno, step } => told.failed = Some((errno, step)),
            Report::NeedsIds => {}
            Report::ExecFailed { errno } => told.exec_failed = Some(errno),
            Report::Started { protections } => told.protections = Some(protections),
            Report::Ended { status, network_attempts } => {
                told.ended = Some((status, network_attempts));
            }
            Report::Stopped { signal } => {
                // The shell that waits for ctrlz must see it stop, too.
                signal::stop_by(signal);
                let _ = running.channel.order(Order::Continue);
            }
        }
    }
    Ok(())
}

fn kill(running: &Running) -> io::Result<()> {
    match pidfd_send_signal(&running.child.pidfd, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the end of process 1. The kernel ends every other process of the sandbox before it
/// lets process 1 be reaped (pid_namespaces(7)).
pub(super) fn reap(running: &mut Running) -> io::Result<()> {
    use std::os::fd::AsFd;
    loop {
        match waitid(WaitId::PidFd(running.child.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(_) | Err(Errno::CHILD) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    running.reaped = true;
    Ok(())
}

/// The terminal's foreground process group, to be given back after a command with job control took
/// it.
struct Foreground(Option<rustix::process::Pid>);

impl Foreground {
    fn remember() -> Self {
        Self(rustix::termios::tcgetpgrp(rustix::stdio::stdin()).ok())
    }

    fn restore(&self) {
        let Some(before) = self.0 else { return };
        let now = rustix::termios::tcgetpgrp(rustix::stdio::stdin()).ok();
        if now != Some(before) && before == rustix::process::getpgrp() {
            // A process of the background would be stopped for this, but for a blocked SIGTTOU.
            if let Ok(_blocked) = signal::take_all() {
                let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), before);
                signal::unblock_all();
            }
        }
    }
}
