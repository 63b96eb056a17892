//! SandboxCore: the drivers and the store, wired together.

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::{SandboxLock, Store, StoreError};
use ctrlz_core::workspace::WorkspaceDriver;

use crate::error::EngineError;

/// Asked when a sandbox is in use by another process, with that process's id (0 when unknown).
/// True waits for it, false gives up with [`ctrlz_core::store::StoreError::Busy`].
pub type Waiting<'a> = dyn Fn(&Sandbox, u32) -> bool + 'a;

/// Carries out operations on sandboxes. Every method takes the sandbox's lock, finishes or takes
/// back what a crash left there, journals its intent, acts, and journals the outcome.
pub struct SandboxCore<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) workspaces: &'a [&'a dyn WorkspaceDriver],
    pub(crate) isolation: &'a dyn IsolationDriver,
    waiting: &'a Waiting<'a>,
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
        Self { store, workspaces, isolation, waiting }
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
        self.store.lock(sandbox.id, &mut |holder| (self.waiting)(sandbox, holder))
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
        let lock = self.store.lock(sandbox.id, &mut |holder| waiting(sandbox, holder))?;
        let mut held = Held {
            sandbox: self.store.sandbox(sandbox.id)?,
            driver: self.driver_of(sandbox)?,
            lock,
        };
        if held.sandbox.open_operation.is_some() {
            self.recover_held(&held)?;
            held.sandbox = self.store.sandbox(sandbox.id)?;
        }
        Ok(held)
    }
}
