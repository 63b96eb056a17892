//! All drivers behind one face: each launch says which of them it wants.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{
    Enforcement, IsolationCapabilities, IsolationDriver, IsolationError, Launch, Network, Prepared,
};
use ctrlz_core::limits::Limits;
use ctrlz_core::memory::Remembered;
use ctrlz_core::monitor::Reading;

use crate::engine::{self, Engine};
use crate::native::{Asker, NativeDriver};
use crate::{containerd, oci, systemd, wasm};

/// The drivers of this host, for a process with one thread. What runs is looked at and ended as a tree
/// of processes, whichever driver began it.
#[derive(Debug, Default)]
pub struct Isolator {
    native: NativeDriver,
}

impl From<NativeDriver> for Isolator {
    fn from(native: NativeDriver) -> Self {
        Self { native }
    }
}

impl Isolator {
    /// See [`NativeDriver::expect`].
    pub fn expect(&self, network: Network, host_root: bool) {
        self.native.expect(network, host_root);
    }

    /// See [`NativeDriver::expect_nothing`].
    pub fn expect_nothing(&self) {
        self.native.expect_nothing();
    }

    /// As [`IsolationDriver::prepare`], for a process that asked this one.
    pub(crate) fn prepare_for(
        &self,
        asker: Option<Asker>,
        launch: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        match &launch.driver {
            Driver::Native => self.native.prepare_for(asker, launch, begun),
            Driver::Oci(runtime) => {
                let runtime = oci::find(runtime)?;
                oci::prepare(&self.native, &runtime, (asker, launch), begun)
            }
            Driver::Podman(_) => engine::prepare(Engine::Podman, (asker, launch), begun),
            Driver::Docker(_) => engine::prepare(Engine::Docker, (asker, launch), begun),
            Driver::Containerd(shim) => containerd::prepare(*shim, (asker, launch), begun),
            Driver::Wasm => self.native.prepare_for(asker, wasm::inside(launch), begun),
            Driver::Systemd => systemd::prepare((asker, launch), begun),
        }
    }
}

impl IsolationDriver for Isolator {
    fn name(&self) -> &'static str {
        self.native.name()
    }

    fn capabilities(&self) -> IsolationCapabilities {
        self.native.capabilities()
    }

    fn survey(&self) -> Vec<Enforcement> {
        self.native.survey()
    }

    fn check(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.native.check(limits)
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

    fn keep_memory(
        &self,
        process_1: u32,
        directory: &Path,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), IsolationError> {
        oci::keep_memory(process_1, directory, meanwhile)
    }

    fn recall(&self, directory: &Path) -> Result<Remembered, IsolationError> {
        oci::recall(directory)
    }

    fn end(&self, process_1: u32, process: BorrowedFd<'_>) -> Result<(), IsolationError> {
        self.native.end(process_1, process)
    }

    fn tidy(&self) {
        self.native.tidy();
        engine::tidy();
        containerd::tidy();
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
