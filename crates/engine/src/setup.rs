//! The commands of `setup:`: they run once, in a sandbox of their own, and later ones begin where it
//! ends.

use ctrlz_core::digest::Digest;
use ctrlz_core::event::Happening;
use ctrlz_core::lifecycle::{Life, LifeChange, Lifecycle, LifecycleChanged, OriginMove, Setup};
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{CommandReport, Exit, OperationKind};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{NewSnapshot, SnapshotKind, Tag, Tree};
use ctrlz_core::store::{Durability, StoreError};

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;
use crate::initializer::BaseChoice;
use crate::operation::Effect;
use crate::run::RunRequest;

/// How often a setup that another process fails at the same time is begun anew.
const ATTEMPTS: u32 = 10;

/// What is to be set up.
#[derive(Debug, Clone, Copy)]
pub struct SetupPlan<'a> {
    /// The digest of the commands, and of what they run on.
    pub digest: Digest,
    /// The root and the base.
    pub choice: &'a BaseChoice,
    /// How many commands there are.
    pub commands: usize,
}

impl SetupPlan<'_> {
    /// The name of the sandbox in which they run.
    #[must_use]
    pub fn name(&self) -> String {
        format!("setup-{}", self.digest.hex().get(..12).unwrap_or_default())
    }
}

impl SandboxCore<'_> {
    /// The sandbox in which the commands of `plan` have run; they are run when there is none.
    /// `request` makes the command with that number, from 0, or says why it may not run.
    ///
    /// # Errors
    /// [`EngineError::Setup`] when a command fails, what `request` answers, or what keeps a command
    /// from running. Nothing is left then but what the event log tells.
    pub fn set_up<E: From<EngineError>>(
        &self,
        plan: &SetupPlan<'_>,
        mut request: impl FnMut(&Sandbox, usize) -> Result<RunRequest, E>,
    ) -> Result<Sandbox, E> {
        for _ in 0..ATTEMPTS {
            let Some(mut held) = self.hold_setup(plan)? else { continue };
            if let Some(Setup::Made { .. }) = held.sandbox.life.setup {
                return Ok(held.sandbox);
            }
            return match self.run_setup(&mut held, plan, &mut request) {
                Ok(made) => {
                    self.remove_outdated(&made);
                    Ok(made)
                }
                Err(error) => {
                    // The first error is the one that tells.
                    let _ = self.drop_setup(&held);
                    Err(error)
                }
            };
        }
        let busy = StoreError::Busy { name: plan.name(), holder: 0 };
        Err(EngineError::from(busy).into())
    }

    /// The sandbox of a setup, made or found, and locked; nothing when it was removed just now.
    fn hold_setup(&self, plan: &SetupPlan<'_>) -> Result<Option<Held<'_>>, EngineError> {
        let name = plan.name();
        let sandbox = match self.store.sandbox_named(&name) {
            Err(StoreError::NoSandbox(_)) => {
                let Ok(name) = name.parse::<SandboxName>() else {
                    return Err(StoreError::NoSandbox(name).into());
                };
                let setup = Some(Setup::Making { digest: plan.digest });
                let life = Life { setup, ..Life::default() };
                match self.create_with(name, None, plan.choice, life) {
                    Err(EngineError::Store(StoreError::NameTaken(_))) => return Ok(None),
                    made => made?,
                }
            }
            found => found?,
        };
        let held = match self.hold(&sandbox) {
            Err(EngineError::Store(StoreError::NoSandbox(_))) => return Ok(None),
            held => held?,
        };
        match &held.sandbox.life.setup {
            Some(Setup::Making { digest } | Setup::Made { digest, .. })
                if *digest == plan.digest =>
            {
                Ok(Some(held))
            }
            // Somebody gave another sandbox this name.
            _ => Err(StoreError::NameTaken(held.sandbox.name).into()),
        }
    }

    fn run_setup<E: From<EngineError>>(
        &self,
        held: &mut Held<'_>,
        plan: &SetupPlan<'_>,
        request: &mut impl FnMut(&Sandbox, usize) -> Result<RunRequest, E>,
    ) -> Result<Sandbox, E> {
        // What a crash left of an earlier attempt.
        self.discard_held(held)?;
        for number in 0..plan.commands {
            let request = request(&held.sandbox, number)?;
            let title = request.title.clone();
            let report = self.run_held(held, request, &mut |_| {})?;
            if let Some(how) = failure(&report.command) {
                let (number, of) = (number + 1, plan.commands);
                return Err(EngineError::Setup { command: title, number, of, how }.into());
            }
            held.sandbox = self.store.sandbox(held.sandbox.id).map_err(EngineError::from)?;
        }
        Ok(self.finish_setup(held, plan)?)
    }

    fn finish_setup(&self, held: &Held<'_>, plan: &SetupPlan<'_>) -> Result<Sandbox, EngineError> {
        let mut new = NewSnapshot::of(SnapshotKind::Automatic, "the commands of setup: have run");
        new.tags.extend("keep".parse::<Tag>());
        self.snapshot_held(held, &new)?;
        let id = held.sandbox.id;
        let origin = held.sandbox.point.tree.clone();
        let made = Setup::Made { digest: plan.digest, origin };
        let reason = format!("its setup has run: {} commands", plan.commands);
        let told = told(Lifecycle::Ready, reason);
        self.store.change_life(id, &LifeChange::Setup(Some(made)), Some(told))?;
        Ok(self.store.sandbox(id)?)
    }

    fn drop_setup(&self, held: &Held<'_>) -> Result<(), EngineError> {
        let reason = "its setup failed, nothing of it is kept".to_owned();
        self.store.emit(Some(held.sandbox.id), told(Lifecycle::Failed, reason))?;
        self.drop_held(held)?;
        Ok(())
    }

    /// Removes the sandboxes in which earlier setups of the same place have run. Those that began
    /// there keep what they need.
    fn remove_outdated(&self, made: &Sandbox) {
        let others = self.store.sandboxes().unwrap_or_default();
        for other in others {
            let is_setup =
                matches!(other.life.setup, Some(Setup::Making { .. } | Setup::Made { .. }));
            let same_place = other.root == made.root && other.base == made.base;
            if is_setup && same_place && other.id != made.id {
                // One that is in use is removed by the next.
                if let Ok(Some(held)) = self.hold_if_free(&other) {
                    let _ = self.drop_held(&held);
                }
            }
        }
    }

    /// Where a sandbox began: after its setup, else at its bare base.
    ///
    /// # Errors
    /// When its tree is not one of its driver.
    pub fn start_of(&self, sandbox: &Sandbox) -> Result<Tree, EngineError> {
        match sandbox.life.origin() {
            Some(origin) => Ok(origin.clone()),
            None => Ok(self.driver_of(sandbox)?.base_tree(&sandbox.point.tree)?),
        }
    }

    /// Lets a sandbox that exists begin anew, where `made` ended. Its uncommitted changes are thrown
    /// away only with `fresh`; with some and without that, nothing happens, and the answer is false.
    ///
    /// # Errors
    /// A failure to write the store.
    pub fn begin_at(
        &self,
        sandbox: &Sandbox,
        made: &Sandbox,
        fresh: bool,
    ) -> Result<bool, EngineError> {
        let held = self.hold(sandbox)?;
        let Some(setup) = from(made) else { return Ok(false) };
        let clean = self.is_clean(&held.sandbox)?;
        if !(clean || fresh) || made.driver != held.sandbox.driver {
            return Ok(false);
        }
        let tree = made.life.origin().cloned().unwrap_or_else(|| made.point.tree.clone());
        let mut setup = setup;
        if tree != held.sandbox.point.tree {
            let before = self.start_of(&held.sandbox)?;
            let title = format!("begin where {} ended", made.name);
            let effect = Effect::tree(tree.clone());
            let durability = Durability::Process;
            let operation =
                self.perform(&held, OperationKind::Discard, title, None, durability, |_| {
                    Ok(effect)
                })?;
            let moved = OriginMove { operation: operation.id, before, after: tree };
            setup = setup.remembering(held.sandbox.life.setup.as_ref(), moved);
        }
        self.store.change_life(sandbox.id, &LifeChange::Setup(Some(setup)), None)?;
        Ok(true)
    }
}

/// What a sandbox keeps that begins where `made` ended.
pub(crate) fn from(made: &Sandbox) -> Option<Setup> {
    match &made.life.setup {
        Some(Setup::Made { digest, origin }) => {
            Some(Setup::From { digest: *digest, origin: origin.clone(), moves: Vec::new() })
        }
        _ => None,
    }
}

fn told(to: Lifecycle, reason: String) -> Happening {
    let from = Lifecycle::Init;
    Happening::LifecycleChanged(LifecycleChanged { from, to, reason, process: None })
}

fn failure(report: &CommandReport) -> Option<String> {
    match (report.stopped, report.exit) {
        (Some(_), _) => Some("a limit stopped it".to_owned()),
        (None, exit) if exit.is_success() => None,
        (None, Exit::Code(code)) => Some(format!("it ended with exit code {code}")),
        (None, Exit::Signal(signal)) => Some(format!("signal {signal} ended it")),
    }
}
