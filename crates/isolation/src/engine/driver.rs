//! The driver's face.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use ctrlz_core::isolation::{
    Enforcement, IsolationCapabilities, IsolationDriver, IsolationError, Launch, Network, Prepared,
};
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::monitor::Reading;

use super::client::{Client, Engine};
use super::probe::Probe;
use super::{launch, probe, tidy};
use crate::native::{Asker, NativeDriver};

/// Runs commands in containers of an engine.
///
/// A process that launches must have one thread, as for [`NativeDriver`]: a service does it by a worker
/// of its launcher.
#[derive(Debug)]
pub struct EngineDriver {
    engine: Engine,
    /// Where it may listen; `None` for [`Engine::sockets`].
    sockets: Option<Vec<PathBuf>>,
    /// Looks at processes from outside, whoever made them.
    native: NativeDriver,
}

impl EngineDriver {
    /// A driver for the engine at its usual sockets.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, sockets: None, native: NativeDriver::default() }
    }

    /// The same for the engine at that socket.
    #[must_use]
    pub fn at(engine: Engine, socket: PathBuf) -> Self {
        Self { sockets: Some(vec![socket]), ..Self::new(engine) }
    }

    /// What the engine tells of itself.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn probe(&self) -> Result<Probe, IsolationError> {
        probe::ask(&self.connect()?)
    }

    fn connect(&self) -> Result<Client, IsolationError> {
        match &self.sockets {
            Some(sockets) => Client::connect(self.engine, sockets),
            None => Client::connect(self.engine, &self.engine.sockets()?),
        }
    }

    /// As [`IsolationDriver::prepare`], for a process that asked this one. The standard streams of this
    /// process are those of the launch already.
    pub(crate) fn prepare_for(
        &self,
        asker: Option<Asker>,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        launch::prepare(&self.connect()?, launch, asker, begun)
    }
}

impl IsolationDriver for EngineDriver {
    fn name(&self) -> &'static str {
        match self.engine {
            Engine::Podman => "engine:podman",
            Engine::Docker => "engine:docker",
        }
    }

    fn capabilities(&self) -> IsolationCapabilities {
        let limits = self.probe().map(|probe| probe.limits).unwrap_or_default();
        IsolationCapabilities {
            rootless: true,
            memory_snapshot: false,
            pause: true,
            networks: vec![Network::None, Network::Host],
            limits,
        }
    }

    fn survey(&self) -> Vec<Enforcement> {
        let engine = self.engine;
        let tell = |what: &str, by: Option<String>, note: String| Enforcement {
            what: what.to_owned(),
            by,
            note,
        };
        let probe = match self.probe() {
            Ok(probe) => probe,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                let why = format!("{error}{}", cause.unwrap_or_default());
                return vec![tell(self.name(), None, why)];
            }
        };
        let version = format!("{engine} {}", probe.version);
        let about = format!(
            "{}{}, cgroup v{}, runtimes {}",
            if probe.rootless { "without root, " } else { "" },
            probe.storage_driver,
            probe.cgroup_version,
            probe.runtimes.join(" ")
        );
        let limits = LimitKind::ALL.into_iter().map(|kind| {
            let held = probe.limits.contains(&kind);
            let note = if held { "" } else { "the engine says that it cannot" };
            tell(&format!("limit {kind}"), held.then(|| version.clone()), note.to_owned())
        });
        [tell(self.name(), Some(version.clone()), about)].into_iter().chain(limits).collect()
    }

    fn check(&self, limits: &Limits) -> Result<(), IsolationError> {
        let asked = [LimitKind::Memory, LimitKind::Pids, LimitKind::Cpus];
        if !asked.into_iter().any(|kind| limits.has(kind)) {
            return Ok(());
        }
        let probe = self.probe()?;
        match asked.into_iter().find(|kind| limits.has(*kind) && !probe.limits.contains(kind)) {
            None => Ok(()),
            Some(kind) => Err(IsolationError::Unenforceable {
                what: format!("--{}", kind.option()),
                reason: format!("{} {} says that it cannot hold it", self.engine, probe.version),
            }),
        }
    }

    fn measure(&self, process_1: u32) -> Option<Reading> {
        self.native.measure(process_1)
    }

    fn network_of(&self, process_1: u32) -> Option<Network> {
        self.native.network_of(process_1)
    }

    fn freeze(&self, process_1: u32) -> Result<String, IsolationError> {
        self.native.freeze(process_1)
    }

    fn thaw(&self, process_1: u32, stay_stopped: &[u32]) -> Result<(), IsolationError> {
        self.native.thaw(process_1, stay_stopped)
    }

    fn is_frozen(&self, process_1: u32) -> bool {
        self.native.is_frozen(process_1)
    }

    fn stopped(&self, process_1: u32) -> Vec<u32> {
        self.native.stopped(process_1)
    }

    fn end(&self, process_1: u32, process: BorrowedFd<'_>) -> Result<(), IsolationError> {
        self.native.end(process_1, process)
    }

    fn tidy(&self) {
        tidy::tidy(|engine| engine == self.engine);
    }

    fn prepare(
        &self,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        NativeDriver::check_streams(&launch)?;
        self.prepare_for(None, launch, begun)
    }
}
