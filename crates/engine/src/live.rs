//! Snapshots of a sandbox while a command runs in it.
//!
//! The command may be one of another process. Nothing of it ends: where the workspace driver needs that,
//! its processes are stopped for the moment in which its files are duplicated. They go on however this
//! process ends: somebody else watches it meanwhile, who also lets them go on when it takes too long. What
//! both leave when they are killed, whoever looks at the sandbox next puts right.

use std::any::Any;
use std::io;
use std::time::{Duration, Instant};

use ctrlz_core::id::OperationId;
use ctrlz_core::live::{Captured, Live, LiveMeans};
use ctrlz_core::operation::{Operation, OperationKind};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, SnapshotScope};
use ctrlz_core::span::Span;
use ctrlz_core::store::{FreezeTurn, Momentary};
use ctrlz_core::workspace::WorkspaceDriver;

use crate::core::SandboxCore;
use crate::error::EngineError;

/// How long the processes of a command are stopped at most.
pub const LONGEST_STOP: Duration = Duration::from_secs(10);

/// Posts somebody who lets a sandbox go on, by [`SandboxCore::end_momentary`], when this process dies, or
/// after that time by [`SandboxCore::cut_momentary`]; until what it answers is dropped.
pub type Watchman<'a> = dyn Fn(&Sandbox, Duration) -> io::Result<Box<dyn Any>> + 'a;

/// The moment of which a live snapshot is.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// The operation that is under way in it.
    pub operation: OperationId,
    /// The process with which everything in it ends.
    pub process: u32,
}

/// Keeps more of a moment than files and state, while the processes are stopped.
pub type Meanwhile<'a> = dyn FnMut(Moment<'_>) -> Result<(), EngineError> + 'a;

/// Processes that are stopped until this is dropped.
struct Stopped<'s> {
    core: &'s SandboxCore<'s>,
    turn: Box<dyn FreezeTurn>,
    /// Nothing when they had been stopped before, and stay so.
    frozen: Option<(Momentary, String)>,
    since: Instant,
}

impl SandboxCore<'_> {
    /// Keeps where a sandbox stands in this moment, with what the command under way in it has written so
    /// far. The command goes on. When none runs, it is a snapshot like any other.
    ///
    /// With `meanwhile`, the processes are stopped whatever the workspace driver needs.
    ///
    /// # Errors
    /// [`ctrlz_core::workspace::WorkspaceError::Unsupported`] when the driver cannot,
    /// [`EngineError::StopTooLong`], a failed file operation, or a failure to stop the processes. Nothing
    /// is kept then, and they go on.
    pub fn snapshot_live(
        &self,
        sandbox: &Sandbox,
        new: &NewSnapshot,
        meanwhile: Option<&mut Meanwhile<'_>>,
    ) -> Result<Snapshot, EngineError> {
        let Some((sandbox, open, process)) = self.under_way(sandbox)? else {
            return self.snapshot(sandbox, new);
        };
        let operation = self.store.operation(open)?;
        let driver = self.driver_of(&sandbox)?;
        let by = driver.capabilities().live;
        let takes_files = new.scope != SnapshotScope::StateOnly;
        let needs_stop = takes_files && by == LiveMeans::Frozen || meanwhile.is_some();
        let begun = Instant::now();
        let posted = match (&self.watchman, needs_stop) {
            (Some(post), true) => {
                Some(post(&sandbox, LONGEST_STOP).map_err(EngineError::Unwatched)?)
            }
            (None, true) => {
                let why = io::Error::other("nobody is there to let it go on");
                return Err(EngineError::Unwatched(why));
            }
            (_, false) => None,
        };
        let moment = Moment { sandbox: &sandbox, operation: open, process };
        // Nobody else freezes or thaws it until the turn is over.
        let stopped = match needs_stop {
            true => Some(self.stop(self.freeze_turn(&sandbox)?, moment)?),
            false => None,
        };
        let taken = self.take(moment, (driver, &operation, takes_files), meanwhile);
        let is_late = posted.is_some() && begun.elapsed() >= LONGEST_STOP;
        // While its process lived, what was captured was its own.
        let goes_on =
            self.under_way(&sandbox)?.is_some_and(|now| (now.1, now.2) == (open, process));
        let live = match stopped {
            Some(stopped) => stopped.go_on()?,
            None => Live { by, frozen_by: None, stopped: Span::default(), memory: None },
        };
        drop(posted);
        if !goes_on {
            drop(taken);
            return self.snapshot(&sandbox, new);
        }
        let (captured, state_version) = taken?;
        if is_late {
            // Somebody may have let it go on before the end.
            let sandbox = sandbox.name.to_string();
            return Err(EngineError::StopTooLong { sandbox, most: Span(LONGEST_STOP) });
        }
        let tree = match captured {
            Some(captured) => captured.keep()?,
            None => operation.before.tree.clone(),
        };
        let new = NewSnapshot { live: Some(live), ..new.clone() };
        Ok(self.store.create_snapshot(&operation, &new, &Point { tree, state_version })?)
    }

    /// Takes what is to be kept of the moment: the files, the version of the state, and more.
    pub(crate) fn take<'d>(
        &self,
        moment: Moment<'_>,
        (driver, operation, takes_files): (&'d dyn WorkspaceDriver, &Operation, bool),
        meanwhile: Option<&mut Meanwhile<'_>>,
    ) -> Result<(Option<Kept<'d>>, u64), EngineError> {
        let state_version = self.store.state_version(moment.sandbox.id)?;
        let captured = match takes_files {
            true => Some(driver.capture(moment.sandbox.id, &operation.before.tree)?),
            false => None,
        };
        let captured = captured.map(|captured| Kept { driver, captured, is_kept: false });
        if let Some(meanwhile) = meanwhile {
            meanwhile(moment)?;
        }
        Ok((captured, state_version))
    }

    /// The command under way in a sandbox, and its process; nothing when what is under way is none, or
    /// was cut short.
    pub(crate) fn under_way(
        &self,
        sandbox: &Sandbox,
    ) -> Result<Option<(Sandbox, OperationId, u32)>, EngineError> {
        // Its open operation belongs to the process only if both are there before and after.
        let sandbox = self.store.sandbox(sandbox.id)?;
        let Some(open) = sandbox.open_operation else { return Ok(None) };
        let Some((process, _)) = self.store.occupancy(sandbox.id)?.process else { return Ok(None) };
        let again = self.store.sandbox(sandbox.id)?;
        let is_run = self.store.operation(open)?.request.kind == OperationKind::Run;
        Ok((is_run && again.open_operation == Some(open)).then_some((again, open, process)))
    }

    fn stop<'s>(
        &'s self,
        turn: Box<dyn FreezeTurn>,
        moment: Moment<'_>,
    ) -> Result<Stopped<'s>, EngineError> {
        let process = moment.process;
        let since = Instant::now();
        if self.isolation.is_frozen(process) {
            return Ok(Stopped { core: self, turn, frozen: None, since });
        }
        let momentary = Momentary { process, stopped_before: self.isolation.stopped(process) };
        turn.note(Some(&momentary)).map_err(EngineError::Unwatched)?;
        match self.isolation.freeze(process) {
            Ok(by) => Ok(Stopped { core: self, turn, frozen: Some((momentary, by)), since }),
            Err(error) => {
                // They run as before.
                let _ = turn.note(None);
                Err(error.into())
            }
        }
    }

    /// The turn to freeze or thaw what runs in a sandbox. What somebody left frozen for a moment goes on.
    pub(crate) fn freeze_turn(
        &self,
        sandbox: &Sandbox,
    ) -> Result<Box<dyn FreezeTurn>, EngineError> {
        loop {
            // It waits, so there is one.
            if let Some((turn, left)) = self.store.freeze_turn(sandbox.id, true)? {
                self.go_on(turn.as_ref(), left)?;
                return Ok(turn);
            }
        }
    }

    fn go_on(&self, turn: &dyn FreezeTurn, left: Option<Momentary>) -> Result<(), EngineError> {
        let Some(left) = left else { return Ok(()) };
        self.isolation.thaw(left.process, &left.stopped_before)?;
        turn.note(None).map_err(EngineError::Unwatched)
    }

    /// Lets what somebody who died left frozen for a moment in a sandbox go on; waits while somebody lives
    /// who has it frozen.
    ///
    /// # Errors
    /// When its processes could not be thawed, or a failure to use the store.
    pub fn end_momentary(&self, sandbox: &Sandbox) -> Result<(), EngineError> {
        self.freeze_turn(sandbox).map(drop)
    }

    /// Lets what is frozen for a moment in a sandbox go on, whoever has it frozen: that took too long.
    ///
    /// # Errors
    /// As [`Self::end_momentary`].
    pub fn cut_momentary(&self, sandbox: &Sandbox) -> Result<(), EngineError> {
        match self.store.momentary(sandbox.id)? {
            Some(frozen) => Ok(self.isolation.thaw(frozen.process, &frozen.stopped_before)?),
            None => Ok(()),
        }
    }

    /// Whether a frozen process 1 goes on in a moment: it is frozen for a snapshot, or was by somebody who
    /// died, and goes on now.
    pub(crate) fn is_momentary(
        &self,
        sandbox: &Sandbox,
        process: u32,
    ) -> Result<bool, EngineError> {
        if self.store.momentary(sandbox.id)?.is_none_or(|frozen| frozen.process != process) {
            return Ok(false);
        }
        if let Some((turn, left)) = self.store.freeze_turn(sandbox.id, false)? {
            self.go_on(turn.as_ref(), left)?;
        }
        Ok(true)
    }
}

impl Stopped<'_> {
    fn go_on(mut self) -> Result<Live, EngineError> {
        let frozen_by = self.thaw()?;
        let stopped = if frozen_by.is_some() { self.since.elapsed() } else { Duration::ZERO };
        Ok(Live { by: LiveMeans::Frozen, frozen_by, stopped: Span(stopped), memory: None })
    }

    fn thaw(&mut self) -> Result<Option<String>, EngineError> {
        let Some((frozen, by)) = self.frozen.take() else { return Ok(None) };
        self.core.isolation.thaw(frozen.process, &frozen.stopped_before)?;
        self.turn.note(None).map_err(EngineError::Unwatched)?;
        Ok(Some(by))
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // What cannot be thawed here is noted: whoever gets the turn next tries again.
        let _ = self.thaw();
    }
}

/// What was captured, which goes unless it is kept.
pub(crate) struct Kept<'d> {
    driver: &'d dyn WorkspaceDriver,
    captured: Captured,
    is_kept: bool,
}

impl Kept<'_> {
    pub(crate) fn keep(mut self) -> Result<ctrlz_core::snapshot::Tree, EngineError> {
        let sealed = self.driver.keep(&self.captured)?;
        self.is_kept = true;
        Ok(sealed.tree)
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // Collection takes what stays.
            let _ = self.driver.let_go(&self.captured);
        }
    }
}
