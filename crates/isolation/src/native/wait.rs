//! The launcher while the command runs: it forwards signals, holds limits, and learns the end.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ctrlz_core::isolation::{GivenStreams, IsolationError};
use ctrlz_core::limits::LimitKind;
use ctrlz_core::monitor::{Observer, Verdict};
use ctrlz_core::operation::{CommandReport, Exit, Stopped, Usage};
use ctrlz_core::span::Span;
use ctrlz_sys::signal::{self, SignalFd};
use ctrlz_sys::usage::ChildrenUsage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::cgroup::Controller;
use super::control::{Channel, Ended, Order, Report};
use super::feed::Feed;
use super::freeze;
use super::launch::Running;
use super::protection::Protections;
use super::reading;
use crate::wasm::Keeper;

/// How often demanding limits are measured.
const MEASURE_OFTEN: Duration = Duration::from_millis(50);
/// How often the store's free space is looked at.
const MEASURE: Duration = Duration::from_millis(500);
/// From when on a command takes long enough that both of ctrlz's processes give back the pages of
/// their program, and bring back at its end what they then need, which takes less than 1 ms.
pub(super) const LONG: Duration = Duration::from_millis(200);
/// How long a command has after `SIGTERM` when its time is up, and how long whoever reads its output
/// has for the rest of it.
const GRACE: Duration = Duration::from_secs(1);

/// What process 1 told so far.
#[derive(Debug, Default)]
struct Told {
    failed: Option<(i32, String)>,
    exec_failed: Option<i32>,
    protections: Option<u32>,
    ended: Option<Ended>,
}

/// A command that began.
#[derive(Debug)]
pub(super) struct Started {
    begun: Instant,
    foreground: Foreground,
    signals: SignalFd,
}

impl Started {
    /// Lets the command begin. From here on its signals are ours to pass on.
    pub(super) fn now(channel: &Channel) -> Result<Self, IsolationError> {
        let begun = Instant::now();
        let foreground = Foreground::remember();
        let signals = signal::take_all().map_err(lost("cannot receive signals"))?;
        // When process 1 failed already, it is gone, and its report waits.
        let _ = channel.order(Order::Start);
        Ok(Self { begun, foreground, signals })
    }
}

fn lost(what: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Lost { what: format!("{what}: {source}") }
}

/// Waits for the end of what was started.
pub(super) fn wait(
    running: &mut Running,
    started: Started,
    observer: Option<&mut dyn Observer>,
) -> Result<CommandReport, IsolationError> {
    let Started { begun, foreground, signals } = started;
    let mut told = Told::default();
    let mut looks = observer.map(|observer| Looks::new(observer, begun));
    let stopped = watch(running, &signals, &mut told, begun, &mut looks);
    // What came last, at the same moment as the end.
    keep_code(running);
    let stopped = stopped.map_err(lost("cannot wait"))?;
    if !told.ended.is_some_and(|ended| ended.alone) {
        running.waiting.reap().map_err(|errno| lost("cannot wait for process 1")(errno.into()))?;
        drain_reports(running, &mut told).map_err(lost("cannot hear process 1"))?;
    }
    // What came until the end was for the command, and must not end this process before the outcome
    // is journaled.
    signals.give_back().map_err(lost("cannot receive signals"))?;
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
    let used = match told.ended {
        Some(ended) if ended.alone || running.waiting.is_foreign => ended.usage,
        None if running.waiting.is_foreign => ChildrenUsage::default(),
        _ => ctrlz_sys::usage::of_children(),
    };
    let stopped = stopped.or_else(|| stopped_by_group(running));
    // Process 1 that tells nothing was killed, by a limit or from outside, and the command with it.
    let exit = told.ended.map_or(Exit::Signal(Signal::KILL.as_raw()), |e| exit_of(e.status));
    Ok(CommandReport {
        exit,
        stopped,
        network_attempts: told.ended.map_or(0, |ended| u64::from(ended.network_attempts)),
        usage: Usage {
            wall: Some(Span(begun.elapsed())),
            user: Some(Span(used.user)),
            system: Some(Span(used.system)),
            peak_resident: used.peak_resident,
            processes: told.ended.map_or(0, |ended| u64::from(ended.processes)),
        },
        driver: running.driver.clone(),
        enforced: Protections::from_bits(told.protections.unwrap_or_default())
            .and(running.given)
            .iter()
            .map(|protection| protection.word().to_owned())
            .collect(),
    })
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

/// Waits until process 1 is gone, or has nothing more to do. Answers what stopped it, if this
/// function did.
fn watch(
    running: &mut Running,
    signals: &SignalFd,
    told: &mut Told,
    begun: Instant,
    looks: &mut Option<Looks<'_>>,
) -> io::Result<Option<Stopped>> {
    let mut stopped = None;
    let mut kill_at = None;
    let mut measure_at = Instant::now() + MEASURE_OFTEN;
    let mut give_back_at = Some(begun + LONG);
    loop {
        let timeout = running.timeout.filter(|_| stopped.is_none()).map(|t| begun + t);
        let look_at = looks.as_ref().and_then(|looks| looks.next);
        let deadline = [timeout, kill_at, give_back_at, look_at]
            .into_iter()
            .flatten()
            .fold(measure_at, Instant::min);
        let event = wait_for_event(running, signals, deadline)?;
        keep_code(running);
        match event {
            Event::Ended => {
                pass_rest_of_output_on(running, &mut stopped)?;
                return Ok(stopped);
            }
            Event::AskerGone => {
                running.waiting.kill()?;
                return Err(io::Error::other("who asked for the command is gone"));
            }
            Event::AskedSignals => pass_on_asked_signals(running)?,
            Event::Other => {}
        }
        forward_signals(running, signals)?;
        pass_output_on(running, &mut stopped)?;
        if let Some(feed) = &mut running.feed {
            feed.pass_on();
        }
        drain_reports(running, told)?;
        // It still takes its mounts down, which the caller need not wait for. Output, though, may
        // be in the pipes.
        if told.ended.is_some_and(|ended| ended.alone) {
            if running.waiting.is_foreign {
                // It waits for us, so that what it used can still be read.
                pass_rest_of_output_on(running, &mut stopped)?;
                return Ok(stopped);
            }
            if running.output.is_none() {
                return Ok(stopped);
            }
        }
        let now = Instant::now();
        let is_over = running.timeout.is_some_and(|timeout| now >= begun + timeout);
        if stopped.is_none() && is_over && freeze::is_frozen(running.waiting.pid()) {
            // Who is suspended is not in a hurry: the limit holds again once it is resumed.
            running.timeout = running.timeout.map(|timeout| timeout + MEASURE);
        } else if stopped.is_none() && is_over {
            stopped = Some(Stopped::Limit(LimitKind::Timeout));
            kill_at = Some(now + GRACE);
            let _ = running.waiting.channel().order(Order::Terminate);
        }
        if kill_at.is_some_and(|at| now >= at) {
            kill_at = None;
            running.waiting.kill()?;
        }
        if now >= measure_at {
            if stopped.is_none() {
                stopped = running.meter.exceeded();
                if stopped.is_some() {
                    running.waiting.kill()?;
                }
            }
            let interval = if running.meter.is_demanding() { MEASURE_OFTEN } else { MEASURE };
            measure_at = now + interval;
        }
        if let Some(looks) = looks
            && stopped.is_none()
            && looks.next.is_some_and(|next| now >= next)
        {
            stopped = looks.take(running)?;
        }
        // Last, so that what this round needed goes, too.
        if give_back_at.is_some_and(|at| now >= at) {
            give_back_at = None;
            // A kernel that refuses keeps them, which costs memory only.
            let _ = ctrlz_sys::program_pages::give_back();
        }
    }
}

/// When an observer looks at the command.
struct Looks<'o> {
    observer: &'o mut dyn Observer,
    /// `None` for never.
    next: Option<Instant>,
}

impl<'o> Looks<'o> {
    fn new(observer: &'o mut dyn Observer, begun: Instant) -> Self {
        let next = begun.checked_add(observer.every());
        Self { observer, next }
    }

    /// Looks once, and does what follows from it.
    fn take(&mut self, running: &Running) -> io::Result<Option<Stopped>> {
        let reading = reading::of(running.waiting.pid());
        let verdict = reading.map(|reading| self.observer.observe(&reading));
        // What took long is not made up for.
        self.next = Instant::now().checked_add(self.observer.every());
        match verdict {
            None | Some(Verdict::GoOn) => Ok(None),
            Some(Verdict::End) => {
                running.waiting.kill()?;
                Ok(Some(Stopped::Unusual))
            }
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Process 1 is gone.
    Ended,
    /// Who asked for the command is gone.
    AskerGone,
    /// Who asked for the command sent it signals.
    AskedSignals,
    /// Something else, or nothing until the deadline.
    Other,
}

/// Waits for anything to happen.
fn wait_for_event(running: &Running, signals: &SignalFd, deadline: Instant) -> io::Result<Event> {
    let mut waiting = vec![
        PollFd::from_borrowed_fd(running.waiting.last(), PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
        PollFd::new(running.waiting.channel(), PollFlags::IN),
    ];
    if let Some(asker) = &running.asker {
        // That it is closed is told unasked; what it says is for others.
        waiting.push(PollFd::new(&asker.control, PollFlags::empty()));
        waiting.extend(asker.signals.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
    }
    if let Some(output) = &running.output {
        waiting.extend(output.events());
    }
    waiting.extend(running.feed.as_ref().and_then(Feed::event));
    waiting.extend(running.keeper.as_ref().map(Keeper::event));
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout =
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut waiting, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |at: usize| waiting.get(at).is_some_and(|fd| !fd.revents().is_empty());
    // A closed channel is ready for ever; process 1 closes it only by ending.
    if waiting.get(2).is_some_and(|fd| fd.revents().contains(PollFlags::HUP)) {
        drop(waiting);
        let mut end = [PollFd::from_borrowed_fd(running.waiting.last(), PollFlags::IN)];
        let _ = poll(&mut end, None);
        return Ok(Event::Ended);
    }
    let asker = running.asker.as_ref();
    Ok(if is_ready(0) {
        Event::Ended
    } else if asker.is_some() && is_ready(3) {
        Event::AskerGone
    } else if asker.is_some_and(|asker| asker.signals.is_some()) && is_ready(4) {
        Event::AskedSignals
    } else {
        Event::Other
    })
}

/// Answers what an engine asks of compiled code.
fn keep_code(running: &mut Running) {
    if running.keeper.as_mut().is_some_and(|keeper| !keeper.serve()) {
        running.keeper = None;
    }
}

/// A terminal sends its signals to the command too; those of processes are passed on.
fn forward_signals(running: &Running, signals: &SignalFd) -> io::Result<()> {
    while let Some(received) = signals.receive()? {
        let is = |signal: Signal| received.signal == signal.as_raw();
        let own = [Signal::CHILD, Signal::WINCH, Signal::CONT, Signal::TTIN, Signal::TTOU];
        // The command is not in the session of this terminal, but may use it.
        let typed = [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH, Signal::HUP];
        let is_for_both = received.from_kernel && running.waiting.is_foreign;
        if (is_for_both && typed.into_iter().any(is))
            || (!received.from_kernel && !own.into_iter().any(is))
        {
            pass_on(running, received.signal)?;
        }
    }
    Ok(())
}

/// Sends the command the signals that the asker sent for it.
fn pass_on_asked_signals(running: &mut Running) -> io::Result<()> {
    let mut numbers = [0; 64];
    let asked = running.asker.as_ref().and_then(|asker| asker.signals.as_ref());
    let read = asked.map_or(Ok(0), |fd| rustix::io::read(fd, &mut numbers));
    match read {
        Ok(count) if count > 0 => {
            let numbers = numbers.get(..count).unwrap_or_default();
            let valid = numbers.iter().filter(|number| GivenStreams::SIGNALS.contains(number));
            valid.into_iter().try_for_each(|number| pass_on(running, i32::from(*number)))
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(()),
        // Nobody will send any more.
        _ => {
            if let Some(asker) = &mut running.asker {
                asker.signals = None;
            }
            Ok(())
        }
    }
}

/// What is frozen takes no signals, so what asks it to end kills it.
fn pass_on(running: &Running, signal: i32) -> io::Result<()> {
    let ending = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::KILL];
    let ends = ending.into_iter().any(|ending| ending.as_raw() == signal);
    if ends && freeze::is_frozen(running.waiting.pid()) {
        return freeze::end(running.waiting.pid(), running.waiting.pidfd());
    }
    let _ = running.waiting.channel().order(Order::Signal(signal));
    Ok(())
}

fn pass_output_on(running: &mut Running, stopped: &mut Option<Stopped>) -> io::Result<()> {
    let within = running.output.as_mut().is_none_or(|output| output.pass_on());
    if !within && stopped.is_none() {
        *stopped = Some(Stopped::Limit(LimitKind::MaxOutput));
        running.waiting.kill()?;
    }
    Ok(())
}

/// Output that was written before the end is still in the pipes. Whoever reads it may take his time, but
/// not that of a command that was stopped.
fn pass_rest_of_output_on(running: &mut Running, stopped: &mut Option<Stopped>) -> io::Result<()> {
    let Some(output) = &mut running.output else { return Ok(()) };
    let asker = running.asker.as_ref().map(|asker| asker.control.as_fd());
    let patience = Instant::now() + GRACE;
    let is_stopped = stopped.is_some();
    let deadline = |within: bool| (is_stopped || !within).then_some(patience);
    if !output.finish(asker, deadline)? && stopped.is_none() {
        *stopped = Some(Stopped::Limit(LimitKind::MaxOutput));
    }
    Ok(())
}

fn drain_reports(running: &Running, told: &mut Told) -> io::Result<()> {
    while let Some(report) = running.waiting.channel().next_report(false)? {
        match report {
            Report::SetupFailed { errno, step } => told.failed = Some((errno, step)),
            Report::ExecFailed { errno } => told.exec_failed = Some(errno),
            Report::Started { protections } => {
                told.protections = Some(protections);
                if let Some(limits) = &running.settles {
                    // Process 1, and who waits for orphans.
                    running.groups.settle(limits, 2)?;
                }
            }
            Report::Ended(ended) => told.ended = Some(ended),
            // No shell waits for this process: whoever stopped the command continues it.
            Report::Stopped { .. } if running.asker.is_some() => {}
            Report::Stopped { signal } => {
                // The shell that waits for ctrlz must see it stop, too.
                signal::stop_by(signal);
                let _ = running.waiting.channel().order(Order::Continue);
            }
        }
    }
    Ok(())
}

/// The terminal's foreground process group, to be given back after a command with job control took
/// it.
#[derive(Debug)]
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
