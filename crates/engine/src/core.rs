//! SandboxCore: the drivers and the store, wired together.

use std::path::{Path, PathBuf};

use ctrlz_core::changeset::Changeset;
use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::{SandboxLock, Store, StoreError};
use ctrlz_core::workspace::WorkspaceDriver;

use crate::error::EngineError;
use crate::live::Watchman;
use crate::mending::Lost;
use crate::tracker::Recorder;

/// Asked when a sandbox is in use by another process, with that process's id (0 when unknown).
/// True waits for it, false gives up with [`ctrlz_core::store::StoreError::Busy`].
pub type Waiting<'a> = dyn Fn(&Sandbox, u32) -> bool + 'a;

/// Answers a digest of what lies in files as a command of the sandbox sees them, in which was
/// changed what the changeset says.
pub type Contents<'a> = dyn Fn(&[PathBuf], &Sandbox, &Changeset) -> String + 'a;

/// Carries out operations on sandboxes. Every method takes the sandbox's lock, finishes or takes
/// back what a crash left there, journals its intent, acts, and journals the outcome.
pub struct SandboxCore<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) workspaces: &'a [&'a dyn WorkspaceDriver],
    pub(crate) isolation: &'a dyn IsolationDriver,
    waiting: &'a Waiting<'a>,
    pub(crate) recorder: Option<Recorder<'a>>,
    pub(crate) contents: Option<&'a Contents<'a>>,
    pub(crate) lost: Option<&'a Lost<'a>>,
    pub(crate) watchman: Option<&'a Watchman<'a>>,
    pub(crate) memories: Option<&'a Path>,
    pub(crate) chosen: Option<&'static str>,
}

impl std::fmt::Debug for SandboxCore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxCore")
            .field("isolation", &self.isolation.name())
            .finish_non_exhaustive()
    }
}

/// A locked sandbox, as it is now.
pub(crate) struct Held<'a> {
    pub(crate) sandbox: Sandbox,
    pub(crate) driver: &'a dyn WorkspaceDriver,
    pub(crate) lock: Box<dyn SandboxLock>,
}

impl<'a> SandboxCore<'a> {
    /// Wires a store and drivers together. The first workspace driver is the one for new
    /// sandboxes.
    #[must_use]
    pub fn new(
        store: &'a dyn Store,
        workspaces: &'a [&'a dyn WorkspaceDriver],
        isolation: &'a dyn IsolationDriver,
        waiting: &'a Waiting<'a>,
    ) -> Self {
        Self {
            store,
            workspaces,
            isolation,
            waiting,
            recorder: None,
            contents: None,
            lost: None,
            watchman: None,
            memories: None,
            chosen: None,
        }
    }

    /// The same for sandboxes of one workspace driver: new ones are kept by it or not made, and those
    /// of other drivers are not found by their folder. Any driver will do when that is nothing.
    #[must_use]
    pub fn choosing(&self, driver: Option<&'static str>) -> SandboxCore<'_> {
        SandboxCore {
            recorder: self.recorder,
            chosen: driver,
            store: self.store,
            workspaces: self.workspaces,
            isolation: self.isolation,
            waiting: self.waiting,
            contents: self.contents,
            lost: self.lost,
            watchman: self.watchman,
            memories: self.memories,
        }
    }

    /// The drivers that may keep a new sandbox, the best first.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &'a dyn WorkspaceDriver> {
        let chosen = self.chosen;
        let fits = move |d: &&dyn WorkspaceDriver| chosen.is_none_or(|name| d.name() == name);
        self.workspaces.iter().copied().filter(fits)
    }

    /// Notes what commands use while they run.
    #[must_use]
    pub fn recording(mut self, recorder: Recorder<'a>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Looks into files that were approved with a command. Without it such a command does not run.
    #[must_use]
    pub fn reading(mut self, contents: &'a Contents<'a>) -> Self {
        self.contents = Some(contents);
        self
    }

    /// Fetches what is missing or damaged of a tree from where `lost` finds it.
    #[must_use]
    pub fn mending(mut self, lost: &'a Lost<'a>) -> Self {
        self.lost = Some(lost);
        self
    }

    /// Posts a watchman while processes are stopped for a moment. Without one they are not.
    #[must_use]
    pub fn watching(mut self, watchman: &'a Watchman<'a>) -> Self {
        self.watchman = Some(watchman);
        self
    }

    /// Keeps the memory of what runs in folders below this one. Without it none is kept.
    #[must_use]
    pub fn remembering(mut self, memories: &'a Path) -> Self {
        self.memories = Some(memories);
        self
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store
    }

    /// The driver that keeps a sandbox's trees.
    ///
    /// # Errors
    /// [`EngineError::NoDriver`]
    pub fn driver_of(&self, sandbox: &Sandbox) -> Result<&'a dyn WorkspaceDriver, EngineError> {
        self.workspaces.iter().find(|d| d.name() == sandbox.driver).copied().ok_or_else(|| {
            EngineError::NoDriver {
                sandbox: sandbox.name.to_string(),
                driver: sandbox.driver.clone(),
            }
        })
    }

    pub(crate) fn lock(&self, sandbox: &Sandbox) -> Result<Box<dyn SandboxLock>, StoreError> {
        self.store.lock(sandbox.id, &mut |holder| {
            self.isolation.tidy();
            (self.waiting)(sandbox, holder)
        })
    }

    /// Locks `sandbox`, reads it anew, and recovers it if a crash left it in the middle of
    /// something.
    pub(crate) fn hold(&self, sandbox: &Sandbox) -> Result<Held<'a>, EngineError> {
        self.hold_asking(sandbox, self.waiting)
    }

    /// The same, with somebody else to ask whether to wait.
    pub(crate) fn hold_asking(
        &self,
        sandbox: &Sandbox,
        waiting: &Waiting<'_>,
    ) -> Result<Held<'a>, EngineError> {
        let mut suspended = Ok(());
        let taken = self.store.lock(sandbox.id, &mut |holder| {
            // A container whose launcher was killed may go on, and would be waited for in vain.
            self.isolation.tidy();
            // What is frozen is not waited for: it ends when somebody resumes it, or never.
            suspended = self.not_frozen(sandbox);
            suspended.is_ok() && waiting(sandbox, holder)
        });
        suspended?;
        let lock = taken?;
        let mut held = Held {
            sandbox: self.store.sandbox(sandbox.id)?,
            driver: self.driver_of(sandbox)?,
            lock,
        };
        self.not_suspended(&held.sandbox)?;
        if held.sandbox.open_operation.is_some() {
            self.recover_held(&held)?;
            held.sandbox = self.store.sandbox(sandbox.id)?;
        }
        Ok(held)
    }
}
