//! A launch as the service holds it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctrlz_core::isolation::{IsolationDriver, IsolationError, Prepared};
use ctrlz_core::monitor::Observer;
use ctrlz_core::operation::CommandReport;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Signal, pidfd_send_signal};

use super::message::{Order, Told};
use super::wire::Wire;
use crate::native::NativeDriver;

/// A command that a worker has prepared.
#[derive(Debug)]
pub(crate) struct Launched {
    wire: Wire,
    process_1: u32,
    /// Its descriptor.
    process: OwnedFd,
}

impl Launched {
    pub(crate) fn new(wire: Wire, process_1: u32, process: OwnedFd) -> Self {
        Self { wire, process_1, process }
    }

    pub(crate) fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// When the worker is gone, what it told before that is still there, and tells more.
    fn order(&self, order: Order) {
        let _ = self.wire.send(&order.to_bytes(), &[]);
    }

    /// The next that the worker tells; `None` when it is gone.
    fn told(&self) -> Option<Told> {
        self.wire.receive().ok().flatten().and_then(|(bytes, _)| Told::from_bytes(&bytes))
    }

    /// Process 1 is noted. What fails until everything is prepared is answered here.
    pub(crate) fn go_on(&self) -> Result<(), IsolationError> {
        self.order(Order::Noted);
        match self.told() {
            Some(Told::Ready) => Ok(()),
            Some(Told::Failed(error)) => Err(error),
            _ => Err(self.lost()),
        }
    }

    /// The worker is gone, and with it, once this returns, everything in the sandbox.
    fn lost(&self) -> IsolationError {
        self.end();
        IsolationError::Lost { what: "the process that launched it ended before it did".to_owned() }
    }

    /// Ends process 1, whatever the worker does, and with it everything in the sandbox: the kernel
    /// ends the rest before it tells of the end of process 1 (pid_namespaces(7)).
    fn end(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        loop {
            let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
            if !matches!(retry_on_intr(|| poll(&mut ended, Some(&second))), Ok(0)) {
                return;
            }
            // What is frozen dies when it is thawed. It has been asked to already.
            let _ = NativeDriver::default().end(self.process_1, self.process());
        }
    }
}

impl Prepared for Launched {
    fn start(&mut self) -> Result<(), IsolationError> {
        self.order(Order::Start);
        Ok(())
    }

    fn wait(
        &mut self,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<CommandReport, IsolationError> {
        self.order(Order::Wait(observer.as_ref().map(|observer| observer.every())));
        loop {
            match (self.told(), &mut observer) {
                (Some(Told::Observed(reading)), Some(observer)) => {
                    let verdict = observer.observe(&reading);
                    self.order(Order::Go(verdict, observer.every()));
                }
                (Some(Told::Ended(report)), _) => return Ok(*report),
                (Some(Told::Failed(error)), _) => return Err(error),
                _ => return Err(self.lost()),
            }
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.wire.close();
        self.end();
    }
}
