//! The one place that wires the store and the drivers to the engine.

use std::path::PathBuf;

use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::store::Store;
use ctrlz_core::workspace::WorkspaceDriver;
use ctrlz_engine::SandboxCore;
use ctrlz_isolation::native::NativeDriver;
use ctrlz_workspace::{CopyDriver, OverlayDriver};

use crate::failure::{Failure, REFUSED};
use crate::places;
use crate::store::OpenStore;

/// An open store and its drivers.
pub(crate) struct Context {
    pub(crate) directory: PathBuf,
    pub(crate) isolation: NativeDriver,
    store: OpenStore,
    overlay: OverlayDriver,
    copy: CopyDriver,
}

/// What to do when another process uses a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenBusy {
    /// Say so and wait.
    Wait,
    /// Fail.
    Fail,
}

impl Context {
    /// Opens the store; makes it when there is none.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_with(NativeDriver::default())
    }

    /// Opens the store, with a driver that may have begun already.
    pub(crate) fn open_with(isolation: NativeDriver) -> Result<Self, Failure> {
        let directory = places::store()?;
        Ok(Self {
            isolation,
            store: crate::store::open(&directory)?,
            overlay: OverlayDriver::new(&directory),
            copy: CopyDriver::new(&directory.join("copies")),
            directory,
        })
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &self.store
    }

    /// Calls `action` with the engine.
    pub(crate) fn with_core<T>(
        &self,
        when_busy: WhenBusy,
        action: impl FnOnce(&SandboxCore<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let waiting = |sandbox: &Sandbox, holder: u32| {
            if when_busy == WhenBusy::Wait {
                eprintln!(
                    "ctrlz: sandbox `{}` is in use by process {holder}; waiting for it",
                    sandbox.name
                );
            }
            when_busy == WhenBusy::Wait
        };
        // The copy driver takes over where overlayfs cannot be had.
        let drivers: [&dyn WorkspaceDriver; 2] = match std::env::var_os("CTRLZ_WORKSPACE") {
            Some(word) if word == "copy" => [&self.copy, &self.overlay],
            _ => [&self.overlay, &self.copy],
        };
        action(&SandboxCore::new(&self.store, &drivers, &self.isolation, &waiting))
    }

    /// The sandbox of that name, or the one of this folder that was used last.
    pub(crate) fn sandbox(&self, name: Option<&SandboxName>) -> Result<Sandbox, Failure> {
        if let Some(name) = name {
            return Ok(self.store.sandbox_named(name.as_str())?);
        }
        let folder = places::working_folder()?;
        let here = self.store.sandboxes_of_folder(&folder)?.into_iter().next();
        here.ok_or_else(|| {
            let message = format!("there is no sandbox of {}", folder.display());
            let failure = Failure::new(REFUSED, "no-sandbox", message);
            let above = folder.ancestors().skip(1).find(|above| {
                self.store.sandboxes_of_folder(above).is_ok_and(|found| !found.is_empty())
            });
            failure.hint(match above {
                Some(above) => format!("there is one of {}: go there", above.display()),
                None => "`ctrlz run -- COMMAND` makes one; `ctrlz ls` lists all".to_owned(),
            })
        })
    }
}
