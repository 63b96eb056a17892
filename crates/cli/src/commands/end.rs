//! Ending what runs in a sandbox, so that what it wrote is kept.
//!
//! A command is ended by its process 1; the ctrlz that waits for it then seals and journals what it
//! wrote. That ctrlz is ended only when it does nothing for long, and only by an emergency.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ctrlz_core::id::OperationId;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::{Store, StoreError};
use ctrlz_engine::SandboxCore;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::failure::{Failure, OWN_FAILURE};

/// For how long a ctrlz that is told to end may go on.
const GRACE: Duration = Duration::from_secs(3);

/// For how long a ctrlz that holds a sandbox may do nothing at all before it is ended.
const IDLE: Duration = Duration::from_secs(60);

/// For how long it is waited for a ctrlz that keeps what an operation wrote. It goes on by itself.
const KEEPING: Duration = Duration::from_secs(10);

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// The process that holds a sandbox, 0 when it is unknown which; nothing when it is free.
pub(super) fn holder(store: &dyn Store, sandbox: &Sandbox) -> Result<Option<u32>, Failure> {
    match store.lock(sandbox.id, &mut |_| false) {
        Ok(_) => Ok(None),
        Err(StoreError::Busy { holder, .. }) => Ok(Some(holder)),
        Err(error) => Err(error.into()),
    }
}

/// Ends all that runs in a sandbox, frozen or not, until nobody holds it, and a suspension with it.
/// Answers the process that held it first, or the process 1 of what ran when nobody did. What works
/// without processes, such as a commit, is let end by itself.
pub(super) fn all(
    store: &dyn Store,
    core: &SandboxCore<'_>,
    sandbox: &Sandbox,
) -> Result<Option<u32>, Failure> {
    let mut first = None;
    let mut watched: Option<Watched> = None;
    loop {
        let life = core.life_of(sandbox)?;
        if life.suspension.is_some() || life.process.is_some() {
            let held = life.holder.filter(|pid| *pid != 0).or(life.process);
            if core.end_suspended(sandbox)?.is_none()
                && let Some(operation) = store.sandbox(sandbox.id)?.open_operation
            {
                core.end_operation(sandbox, operation)?;
            }
            first = first.or(held);
        }
        let Some(pid) = holder(store, sandbox)? else { return Ok(first) };
        let idle = match &mut watched {
            Some(watched) if watched.pid == pid => watched.idle(),
            other => {
                wake(pid);
                *other = Some(Watched::new(pid));
                Duration::ZERO
            }
        };
        if idle > IDLE {
            stop(store, sandbox, pid)?;
            first = first.or(Some(pid));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The ctrlz that waits for what runs in a sandbox. While it lives, it uses the store, and layers
/// that nobody else needs stay.
pub(super) struct Waiter(OwnedFd);

/// How long such a ctrlz is waited for once nothing runs any more.
const LEAVING: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

impl Waiter {
    /// Nothing when nothing runs, or nobody waits for it.
    pub(super) fn of(core: &SandboxCore<'_>, sandbox: &Sandbox) -> Result<Option<Self>, Failure> {
        let life = core.life_of(sandbox)?;
        let holder = life.holder.filter(|_| life.process.is_some()).and_then(number);
        Ok(holder.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).map(Self))
    }

    /// Waits for its end; answers whether that came.
    pub(super) fn has_left(&self) -> bool {
        let mut ended = [PollFd::new(&self.0, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut ended, Some(&LEAVING))).is_ok_and(|ended| ended > 0)
    }
}

/// What came of ending one operation.
pub(super) enum Ended {
    /// It was over.
    Over,
    /// Its process 1 was ended, and what it wrote is kept.
    Kept,
    /// Its process 1 was ended; a ctrlz is about to keep what it wrote.
    Keeping(u32),
    /// Its process 1 was ended, and nobody is left who keeps what it wrote.
    Left,
    /// It runs nothing, and a ctrlz is about to journal it, or hangs.
    RunsNothing(u32),
}

/// Ends what one operation runs, when that is not over. No ctrlz is ended: nothing that was written
/// is lost.
pub(super) fn operation(
    store: &dyn Store,
    core: &SandboxCore<'_>,
    sandbox: &Sandbox,
    operation: OperationId,
) -> Result<Ended, Failure> {
    let is_open = || match store.sandbox(sandbox.id) {
        Ok(now) => Ok(now.open_operation == Some(operation)),
        Err(StoreError::NoSandbox(_)) => Ok(false),
        Err(error) => Err(Failure::from(error)),
    };
    let ended = core.end_operation(sandbox, operation)?.is_some();
    let begun = Instant::now();
    let mut woken = None;
    loop {
        let held = holder(store, sandbox)?;
        if !is_open()? {
            return Ok(if ended { Ended::Kept } else { Ended::Over });
        }
        let Some(pid) = held else { return Ok(Ended::Left) };
        if woken.replace(pid) != Some(pid) {
            wake(pid);
        }
        if begun.elapsed() > KEEPING {
            return Ok(if ended { Ended::Keeping(pid) } else { Ended::RunsNothing(pid) });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Lets a process go on that was stopped by a signal: it has something to keep. That it may not be told
/// so is no error, it is waited for anyway.
fn wake(pid: u32) {
    if Seen::of(pid).is_some_and(|seen| seen.state == 'T')
        && let Some(pid) = number(pid)
    {
        let _ = rustix::process::kill_process(pid, Signal::CONT);
    }
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Of proc_pid_stat(5).
#[derive(Clone, Copy)]
struct Seen {
    state: char,
    cpu_ticks: u64,
}

impl Seen {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field may hold anything, and ends with the last parenthesis.
        let mut fields = text.rsplit(')').next()?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let ticks = fields.skip(10).take(2).filter_map(|field| field.parse::<u64>().ok());
        Some(Self { state, cpu_ticks: ticks.fold(0, u64::saturating_add) })
    }
}

/// A process, and when it was last seen to do something.
struct Watched {
    pid: u32,
    seen: Option<Seen>,
    since: Instant,
}

impl Watched {
    fn new(pid: u32) -> Self {
        Self { pid, seen: Seen::of(pid), since: Instant::now() }
    }

    /// For how long it has used no processor and waited for no disk.
    fn idle(&mut self) -> Duration {
        let seen = Seen::of(self.pid);
        let ticks = |seen: Option<Seen>| seen.map(|seen| seen.cpu_ticks);
        if ticks(seen) != ticks(self.seen) || seen.is_some_and(|seen| seen.state == 'D') {
            self.seen = seen;
            self.since = Instant::now();
        }
        self.since.elapsed()
    }
}

/// Ends a ctrlz that holds a sandbox. One that does not end when it is told to is killed, and its
/// command with it; what it was about to keep is taken back.
fn stop(store: &dyn Store, sandbox: &Sandbox, held_by: u32) -> Result<(), Failure> {
    let own = |error: Errno| {
        let message = format!("cannot stop process {held_by}, which runs in `{}`", sandbox.name);
        Failure::new(OWN_FAILURE, "stop", message)
            .detail(error.to_string())
            .hint("it is contained; stop the process by hand and call this again")
    };
    let pid = number(held_by).ok_or_else(|| own(Errno::SRCH))?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        opened => opened.map_err(own)?,
    };
    for signal in [Signal::TERM, Signal::KILL] {
        // Only what still holds it is what the descriptor stands for.
        if holder(store, sandbox)? != Some(held_by) {
            return Ok(());
        }
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(own(error)),
        }
        let begun = Instant::now();
        while begun.elapsed() < GRACE && holder(store, sandbox)? == Some(held_by) {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}
