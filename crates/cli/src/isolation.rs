//! Who launches: this process itself, or for a service its launcher.

use std::sync::Arc;

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_isolation::Isolator;
use ctrlz_isolation::launcher::LauncherDriver;

/// The isolation driver of a store.
pub(crate) enum Isolation {
    /// This process, which does nothing else.
    Own(Isolator),
    /// The launcher of a service, which all of its stores share.
    Launcher(Arc<LauncherDriver>),
}

impl Isolation {
    pub(crate) fn driver(&self) -> &dyn IsolationDriver {
        match self {
            Self::Own(driver) => driver,
            Self::Launcher(driver) => &**driver,
        }
    }

    /// Drops a process 1 that was started in advance: its standard streams are no longer those of the
    /// launches to come.
    pub(crate) fn expect_nothing(&self) {
        if let Self::Own(driver) = self {
            driver.expect_nothing();
        }
    }
}
