//! Which driver a level stands for on this host.

use ctrlz_core::driver::{Driver, Level, Shim};
use ctrlz_core::isolation::IsolationError;

use crate::engine::{self, Engine};
use crate::{containerd, oci, systemd, wasm};

/// What a level came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The driver.
    pub driver: Driver,
    /// Those that the level would rather have, and why each cannot be had here.
    pub missing: Vec<(Driver, String)>,
}

/// The drivers of a level, the one that it stands for first; the others are weaker.
#[must_use]
pub fn drivers(level: Level) -> Vec<Driver> {
    let oci = |name: &str| name.parse().map(Driver::Oci);
    let gvisor = oci("runsc").ok();
    let wanted = match level {
        Level::Dev => vec![Some(Driver::Native)],
        Level::Standard => vec![Some(Driver::Containerd(Shim::Kata)), gvisor, Some(Driver::Native)],
        Level::Strict => vec![gvisor, Some(Driver::Native)],
    };
    wanted.into_iter().flatten().collect()
}

/// The first driver of `level` that this host has.
#[must_use]
pub fn choose(level: Level) -> Chosen {
    let mut missing = Vec::new();
    for driver in drivers(level) {
        match is_there(&driver) {
            Ok(()) => return Chosen { driver, missing },
            Err(why) => missing.push((driver, why)),
        }
    }
    Chosen { driver: Driver::Native, missing }
}

/// Whether this host has what a driver needs; else why not.
///
/// # Errors
/// The reason, in words.
pub fn is_there(driver: &Driver) -> Result<(), String> {
    match driver {
        Driver::Native => Ok(()),
        Driver::Wasm => wasm::program().map(drop).map_err(|error| told(&error)),
        Driver::Oci(runtime) => oci::find(runtime).map(drop).map_err(|error| told(&error)),
        Driver::Podman(_) => listens(Engine::Podman),
        Driver::Docker(_) => listens(Engine::Docker),
        Driver::Containerd(shim) => {
            containerd::probe(*shim).map(drop).map_err(|error| told(&error))
        }
        Driver::Systemd => systemd::probe().map(drop).map_err(|missing| missing.to_string()),
    }
}

/// Whether an engine answers; else why not.
fn listens(engine: Engine) -> Result<(), String> {
    let sockets = engine.sockets().map_err(|error| told(&error))?;
    engine::probe(engine, &sockets).map(drop).map_err(|error| told(&error))
}

/// An error and its cause, in words.
#[must_use]
pub fn told(error: &IsolationError) -> String {
    match error {
        IsolationError::Setup { step, source } => format!("cannot {step}: {source}"),
        IsolationError::Unenforceable { reason, .. } => reason.clone(),
        other => match std::error::Error::source(other) {
            Some(cause) => format!("{other}: {cause}"),
            None => other.to_string(),
        },
    }
}
