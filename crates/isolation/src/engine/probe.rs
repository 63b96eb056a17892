//! What an engine is and can do.

use std::path::PathBuf;

use bollard::models::SystemInfo;
use ctrlz_core::isolation::IsolationError;
use ctrlz_core::limits::LimitKind;
use serde::{Deserialize, Serialize};

use super::client::{Client, Engine};

/// What an engine tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which one.
    pub engine: Engine,
    /// Its socket.
    pub socket: PathBuf,
    /// Its version.
    pub version: String,
    /// It is an ordinary user's.
    pub rootless: bool,
    /// How it keeps images, such as `overlay2`.
    pub storage_driver: String,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// The limits that it says its cgroups hold; a launch looks whether they do.
    pub limits: Vec<LimitKind>,
    /// The OCI runtimes that it knows, the usual one first.
    pub runtimes: Vec<String>,
}

/// Asks an engine at the first of the sockets on which something listens.
///
/// # Errors
/// When it cannot be reached: what to do is in the error.
pub fn probe(engine: Engine, sockets: &[PathBuf]) -> Result<Probe, IsolationError> {
    let client = Client::connect(engine, sockets)?;
    let told = client.run(|| "ask for its abilities".to_owned(), client.docker.info())?;
    let limits = limits(&told);
    let usual = told.default_runtime.unwrap_or_default();
    let mut runtimes: Vec<String> = told.runtimes.unwrap_or_default().into_keys().collect();
    runtimes.sort_by_key(|name| (*name != usual, name.clone()));
    Ok(Probe {
        engine: client.engine,
        socket: client.socket.clone(),
        version: told.server_version.unwrap_or_default(),
        rootless: client.rootless,
        storage_driver: told.driver.unwrap_or_default(),
        cgroup_version: told.cgroup_version.map(|v| v.to_string()).unwrap_or_default(),
        limits,
        runtimes,
    })
}

fn limits(told: &SystemInfo) -> Vec<LimitKind> {
    let holds = |kind: &LimitKind| match kind {
        LimitKind::Memory => told.memory_limit == Some(true),
        LimitKind::Pids => told.pids_limit == Some(true),
        LimitKind::Cpus => told.cpu_cfs_quota == Some(true) && told.cpu_cfs_period == Some(true),
        // ctrlz holds these, whatever the engine does.
        LimitKind::Disk | LimitKind::OpenFiles | LimitKind::MaxOutput | LimitKind::Timeout => true,
    };
    LimitKind::ALL.into_iter().filter(holds).collect()
}
