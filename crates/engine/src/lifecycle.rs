//! Suspending, resuming and destroying: what moves a sandbox from one state of its life to another
//! besides its operations.

use std::os::fd::AsFd;

use ctrlz_core::event::Happening;
use ctrlz_core::isolation::Network;
use ctrlz_core::lifecycle::{
    IllegalTransition, Life, LifeChange, Lifecycle, LifecycleChanged, Seen, Suspension, Transition,
    lifecycle,
};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::{Occupancy, StoreError};
use serde::{Deserialize, Serialize};

use crate::core::SandboxCore;
use crate::error::EngineError;

/// A sandbox's state, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeReport {
    /// The state.
    pub lifecycle: Lifecycle,
    /// The process that holds it, 0 when it is unknown which.
    pub holder: Option<u32>,
    /// The process 1 of what runs in it.
    pub process: Option<u32>,
    /// The suspension that is not over.
    pub suspension: Option<Suspension>,
}

/// What a suspension or its end did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The state before.
    pub from: Lifecycle,
    /// The state now.
    pub to: Lifecycle,
    /// The process 1 that was frozen or goes on; nothing when nothing ran.
    pub process: Option<u32>,
    /// How it was frozen.
    pub by: Option<String>,
    /// What a crash had left, and was finished or taken back.
    pub recovered: bool,
}

/// A sandbox and who works in it, as they are at one moment.
struct Look {
    sandbox: Sandbox,
    occupancy: Occupancy,
    state: Lifecycle,
}

impl Look {
    fn pid(&self) -> Option<u32> {
        self.occupancy.process.as_ref().map(|(pid, _)| *pid)
    }
}

impl SandboxCore<'_> {
    /// In which state a sandbox is, without waiting for it.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn life_of(&self, sandbox: &Sandbox) -> Result<LifeReport, EngineError> {
        let look = self.look(sandbox)?;
        Ok(LifeReport {
            lifecycle: look.state,
            holder: look.occupancy.holder,
            process: look.pid(),
            suspension: look.sandbox.life.suspended().cloned(),
        })
    }

    fn look(&self, sandbox: &Sandbox) -> Result<Look, EngineError> {
        let sandbox = self.store.sandbox(sandbox.id)?;
        // Nothing that is idle needs a second look.
        let idle = sandbox.open_operation.is_none() && sandbox.life == Life::default();
        let occupancy = match idle {
            true => Occupancy { holder: None, process: None },
            false => self.store.occupancy(sandbox.id)?,
        };
        let frozen = match &occupancy.process {
            Some((pid, _)) if self.isolation.is_frozen(*pid) => {
                Some(sandbox.life.suspended().is_some() || !self.is_momentary(&sandbox, *pid)?)
            }
            process => process.as_ref().map(|_| false),
        };
        let held = occupancy.holder.is_some() || frozen.is_some();
        let state = lifecycle(&sandbox, Seen { held, frozen });
        Ok(Look { sandbox, occupancy, state })
    }

    /// Freezes what runs in a sandbox, and lets nothing begin in it until it is resumed.
    ///
    /// # Errors
    /// [`EngineError::Illegal`], or when its processes could not be frozen; then they go on.
    pub fn suspend(&self, sandbox: &Sandbox, reason: &str) -> Result<Moved, EngineError> {
        let look = self.look(sandbox)?;
        let runs = matches!(look.state, Lifecycle::Running | Lifecycle::Resumed);
        if let Some(pid) = look.pid().filter(|_| runs) {
            return self.suspend_running(&look, pid, reason);
        }
        // It is taken first, so that nothing is about to begin.
        let lock = match self.store.lock(sandbox.id, &mut |_| false) {
            Err(StoreError::Busy { .. }) => {
                // Something has begun meanwhile, or works without processes of its own.
                let look = self.look(sandbox)?;
                return match look.pid() {
                    Some(pid) => self.suspend_running(&look, pid, reason),
                    None => self.suspend_after(&look, reason),
                };
            }
            other => other?,
        };
        let look = self.look(sandbox)?;
        let moved = match look.state {
            // Its lock is ours, so this is not held by anybody else.
            Lifecycle::Running if look.sandbox.open_operation.is_some() => {
                Err(self.illegal(&look.sandbox, Lifecycle::Failed, Transition::Suspend))
            }
            Lifecycle::Running => self.write_suspended(&look, Lifecycle::Ready, None, reason),
            state => self.write_suspended(&look, state, None, reason),
        };
        drop(lock);
        moved
    }

    /// What works without processes in the sandbox, such as a commit, is let end first.
    fn suspend_after(&self, look: &Look, reason: &str) -> Result<Moved, EngineError> {
        let lock = self.lock(&look.sandbox)?;
        let look = self.look(&look.sandbox)?;
        let from = match look.state {
            Lifecycle::Running => Lifecycle::Ready,
            state => state,
        };
        let moved = self.write_suspended(&look, from, None, reason);
        drop(lock);
        moved
    }

    fn suspend_running(&self, look: &Look, pid: u32, reason: &str) -> Result<Moved, EngineError> {
        let _turn = self.freeze_turn(&look.sandbox)?;
        // Intent comes first: whoever looks after a crash sees by the processes how far it came.
        let moved = self.write_suspended(look, look.state, Some(pid), reason)?;
        match self.isolation.freeze(pid) {
            Ok(by) => Ok(Moved { by: Some(by), ..moved }),
            // It ended just now; what is left is an idle sandbox that is suspended.
            Err(_) if self.store.occupancy(look.sandbox.id)?.process.is_none() => Ok(moved),
            Err(error) => {
                let told = self.told(moved.to, look.state, &error.to_string(), Some(pid));
                self.store.change_life(look.sandbox.id, &LifeChange::Forget, Some(told))?;
                Err(error.into())
            }
        }
    }

    fn write_suspended(
        &self,
        look: &Look,
        from: Lifecycle,
        process: Option<u32>,
        reason: &str,
    ) -> Result<Moved, EngineError> {
        let to = self.legal(&look.sandbox, from, Transition::Suspend)?;
        let change = LifeChange::Suspend {
            before: look.sandbox.life.suspension.clone(),
            reason: reason.to_owned(),
            process,
            stopped_before: process.map(|pid| self.isolation.stopped(pid)).unwrap_or_default(),
        };
        let told = self.told(from, to, reason, process);
        if self.store.change_life(look.sandbox.id, &change, Some(told))?.is_none() {
            return Err(self.illegal(&look.sandbox, Lifecycle::Suspended, Transition::Suspend));
        }
        Ok(Moved { from, to, process, by: None, recovered: false })
    }

    /// Lets a suspended sandbox go on. What a crash left of its command is taken back.
    ///
    /// # Errors
    /// [`EngineError::Illegal`], [`EngineError::Contained`] for what has a network, or is not known to
    /// have none, or when its processes could not be thawed.
    pub fn resume(&self, sandbox: &Sandbox) -> Result<Moved, EngineError> {
        let look = self.look(sandbox)?;
        let to = self.legal(&look.sandbox, look.state, Transition::Resume)?;
        let from = look.state;
        let process = look.pid();
        if let (Some(pid), Some(reason)) = (process, &look.sandbox.guard.contained)
            && self.isolation.network_of(pid) != Some(Network::None)
        {
            let sandbox = look.sandbox.name.to_string();
            return Err(EngineError::Contained { sandbox, reason: reason.clone() });
        }
        let before = look.sandbox.life.suspended().cloned();
        let stay: Vec<u32> = before.as_ref().map(|s| s.stopped_before.clone()).unwrap_or_default();
        // Of what is gone, its group may have stayed.
        if let Some(pid) = process.or(before.as_ref().and_then(|s| s.process)) {
            let _turn = self.freeze_turn(sandbox)?;
            self.isolation.thaw(pid, &stay)?;
        }
        let told = self.told(from, to, "", process);
        let written = match before {
            Some(before) => {
                let change = LifeChange::Resume { before };
                self.store.change_life(sandbox.id, &change, Some(told))?.is_some()
            }
            // Somebody else had frozen it.
            None => {
                self.store.emit(Some(sandbox.id), told)?;
                true
            }
        };
        if !written {
            return Err(self.illegal(&look.sandbox, Lifecycle::Resumed, Transition::Resume));
        }
        let recovered = process.is_none() && look.sandbox.open_operation.is_some();
        if recovered {
            drop(self.hold(sandbox)?);
        }
        Ok(Moved { from, to, process, by: None, recovered })
    }

    /// Ends what is frozen in a suspended sandbox, and the suspension with it, so that it can be
    /// removed or brought back to an earlier point. Answers the process that was ended; nothing for
    /// one that is not suspended.
    ///
    /// # Errors
    /// When its processes do not end.
    pub fn end_suspended(&self, sandbox: &Sandbox) -> Result<Option<u32>, EngineError> {
        let look = self.look(sandbox)?;
        if look.state != Lifecycle::Suspended && look.sandbox.life.suspended().is_none() {
            return Ok(None);
        }
        let noted = look.sandbox.life.suspended().and_then(|suspension| suspension.process);
        match (&look.occupancy.process, noted) {
            (Some((pid, process)), _) => self.isolation.end(*pid, process.as_fd())?,
            (None, Some(gone)) => self.isolation.thaw(gone, &[])?,
            (None, None) => {}
        }
        if let Some(before) = look.sandbox.life.suspended().cloned() {
            let change = LifeChange::Resume { before };
            let told = self.told(look.state, Lifecycle::Resumed, "to end it", look.pid());
            self.store.change_life(sandbox.id, &change, Some(told))?;
        }
        Ok(look.pid())
    }

    /// Errs when nothing may begin in a sandbox, since it is suspended.
    pub(crate) fn not_suspended(&self, sandbox: &Sandbox) -> Result<(), EngineError> {
        match sandbox.life.suspended() {
            None => Ok(()),
            Some(suspension) => Err(EngineError::Suspended {
                sandbox: sandbox.name.to_string(),
                reason: suspension.reason.clone(),
            }),
        }
    }

    /// The same for one that somebody else holds, by what is seen of it now.
    pub(crate) fn not_frozen(&self, sandbox: &Sandbox) -> Result<(), EngineError> {
        let look = self.look(sandbox)?;
        match (look.state, look.sandbox.life.suspended()) {
            (Lifecycle::Suspended, Some(_)) => self.not_suspended(&look.sandbox),
            (Lifecycle::Suspended, None) => Err(EngineError::Suspended {
                sandbox: look.sandbox.name.to_string(),
                reason: String::new(),
            }),
            _ => Ok(()),
        }
    }

    fn legal(
        &self,
        sandbox: &Sandbox,
        from: Lifecycle,
        action: Transition,
    ) -> Result<Lifecycle, EngineError> {
        from.after(action).map_err(|refusal| illegal(sandbox, refusal))
    }

    fn illegal(&self, sandbox: &Sandbox, from: Lifecycle, action: Transition) -> EngineError {
        illegal(sandbox, IllegalTransition { from, action })
    }

    fn told(
        &self,
        from: Lifecycle,
        to: Lifecycle,
        reason: &str,
        process: Option<u32>,
    ) -> Happening {
        let reason = reason.to_owned();
        Happening::LifecycleChanged(LifecycleChanged { from, to, reason, process })
    }
}

fn illegal(sandbox: &Sandbox, illegal: IllegalTransition) -> EngineError {
    EngineError::Illegal { sandbox: sandbox.name.to_string(), illegal }
}
