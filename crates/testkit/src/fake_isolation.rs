//! An isolation driver that isolates nothing: the process with which a sandbox ends is a sleeping one,
//! and no command runs.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{
    Enforcement, IsolationCapabilities, IsolationDriver, IsolationError, Launch, Network, Prepared,
};
use ctrlz_core::limits::Limits;
use ctrlz_core::memory::Remembered;
use ctrlz_core::monitor::{Observer, Reading};
use ctrlz_core::operation::{CommandReport, Exit, Usage};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A fake, and what it was asked.
pub struct FakeIsolation<'f> {
    /// Called when the process of a sandbox has been told, before anybody can start the command.
    meanwhile: Box<dyn Fn() + 'f>,
    prepared: Cell<u32>,
    started: Rc<Cell<u32>>,
}

impl std::fmt::Debug for FakeIsolation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeIsolation").field("started", &self.started).finish_non_exhaustive()
    }
}

impl<'f> FakeIsolation<'f> {
    /// One that calls `meanwhile` between the set-up of a sandbox and its command.
    pub fn new(meanwhile: impl Fn() + 'f) -> Self {
        Self { meanwhile: Box::new(meanwhile), prepared: Cell::default(), started: Rc::default() }
    }

    /// How many sandboxes were set up.
    #[must_use]
    pub fn prepared(&self) -> u32 {
        self.prepared.get()
    }

    /// How many commands were started.
    #[must_use]
    pub fn started(&self) -> u32 {
        self.started.get()
    }
}

struct FakePrepared {
    process: Child,
    started: Rc<Cell<u32>>,
}

impl FakePrepared {
    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for FakePrepared {
    fn drop(&mut self) {
        self.end();
    }
}

impl Prepared for FakePrepared {
    fn start(&mut self) -> Result<(), IsolationError> {
        self.started.set(self.started.get() + 1);
        Ok(())
    }

    fn wait(&mut self, _: Option<&mut dyn Observer>) -> Result<CommandReport, IsolationError> {
        self.end();
        Ok(CommandReport {
            exit: Exit::Code(0),
            stopped: None,
            network_attempts: 0,
            usage: Usage::default(),
            driver: Driver::Native,
            enforced: Vec::new(),
        })
    }
}

fn setup(source: io::Error) -> IsolationError {
    IsolationError::Setup { step: "a fake".to_owned(), source }
}

fn refused(action: &'static str, pid: u32) -> IsolationError {
    IsolationError::Pause { action, pid, source: io::Error::other("a fake does not") }
}

impl IsolationDriver for FakeIsolation<'_> {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> IsolationCapabilities {
        IsolationCapabilities {
            rootless: true,
            memory_snapshot: false,
            pause: false,
            networks: vec![Network::None, Network::Host],
            limits: Vec::new(),
        }
    }

    fn survey(&self) -> Vec<Enforcement> {
        Vec::new()
    }

    fn check(&self, _: &Limits) -> Result<(), IsolationError> {
        Ok(())
    }

    fn measure(&self, _: u32) -> Option<Reading> {
        None
    }

    fn network_of(&self, _: u32) -> Option<Network> {
        None
    }

    fn freeze(&self, process_1: u32) -> Result<String, IsolationError> {
        Err(refused("freeze", process_1))
    }

    fn thaw(&self, process_1: u32, _: &[u32]) -> Result<(), IsolationError> {
        Err(refused("thaw", process_1))
    }

    fn is_frozen(&self, _: u32) -> bool {
        false
    }

    fn stopped(&self, _: u32) -> Vec<u32> {
        Vec::new()
    }

    fn keep_memory(&self, _: u32, _: &Path, _: &mut dyn FnMut()) -> Result<(), IsolationError> {
        Err(refused("keep the memory of", 0))
    }

    fn recall(&self, _: &Path) -> Result<Remembered, IsolationError> {
        Err(refused("recall the memory of", 0))
    }

    fn end(&self, process_1: u32, process: BorrowedFd<'_>) -> Result<(), IsolationError> {
        let sent = pidfd_send_signal(process, Signal::KILL);
        sent.map_err(|_| refused("end", process_1))
    }

    fn tidy(&self) {}

    fn prepare(
        &self,
        _: Launch,
        begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Box<dyn Prepared>, IsolationError> {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().map_err(setup)?;
        let prepared = FakePrepared { process, started: Rc::clone(&self.started) };
        let pid = Pid::from_child(&prepared.process);
        let opened = pidfd_open(pid, PidfdFlags::empty());
        let descriptor = opened.map_err(|errno| setup(errno.into()))?;
        begun(prepared.process.id(), descriptor.as_fd()).map_err(setup)?;
        self.prepared.set(self.prepared.get() + 1);
        (self.meanwhile)();
        Ok(Box::new(prepared))
    }
}
