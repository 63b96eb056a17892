//! A worker: the process that carries out one launch.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ctrlz_core::isolation::IsolationError;
use ctrlz_core::monitor::{Observer, Reading, Verdict};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::message::{Order, Request, Told};
use super::networks::AS_NEW;
use super::wire::{Wire, take_over};
use crate::isolator::Isolator;
use crate::native::network_namespace::NetworkNamespace;
use crate::native::{Asker, MountTable, NativeDriver, Outlook, Provision};

/// Why a worker has nothing more to do.
enum End {
    /// The service is gone, or has dropped the launch.
    Gone,
    /// It is to be told.
    Failed(IsolationError),
}

impl From<IsolationError> for End {
    fn from(error: IsolationError) -> Self {
        Self::Failed(error)
    }
}

/// Runs the worker of a launch; answers its exit code, which nobody reads.
pub(super) fn run(wire: &Wire, launcher: Pid) -> i32 {
    let own = become_own(&[wire.as_fd()], launcher);
    let own =
        own.map_err(|source| End::Failed(failed("make the worker a process of its own")(source)));
    answer(
        wire,
        own.and_then(|()| {
            carry_out(wire, |request| NativeDriver::with_protections(request.protections))
        }),
    )
}

/// Carries out the launch that comes over `wire`, in a process of its own whose control groups hold the
/// limits already; answers its exit code, which nobody reads.
pub(crate) fn run_in_groups(wire: &Wire) -> i32 {
    let driver = |request: &Request| NativeDriver::in_given_groups(request.protections);
    answer(wire, carry_out(wire, driver))
}

/// Runs a worker that begins a process 1 in advance, with what is given of `network` and `mounts`, and waits
/// at `socket` for its launch. The exit code says whether that network may be used again.
pub(super) fn be_ready(
    socket: BorrowedFd<'_>,
    outlook: Outlook,
    (network, mounts): (Option<&NetworkNamespace>, Option<&MountTable>),
    launcher: Pid,
) -> i32 {
    let keep: Vec<BorrowedFd<'_>> = [socket].into_iter().chain(network.map(AsFd::as_fd)).collect();
    let copy = || network.map(|network| network.as_fd().try_clone_to_owned()).transpose();
    let Ok(copy) = become_own(&keep, launcher).and_then(|()| copy()) else { return 1 };
    let driver = NativeDriver::default();
    driver.expect_asker(outlook, Provision { network: copy, mounts: mounts.cloned() });
    let taken = take_over(socket);
    let code = match taken.map(|taken| taken.and_then(|(_, mut descriptors)| descriptors.pop())) {
        Ok(Some(control)) => {
            let wire = Wire::new(control);
            let suits = |request: &Request| match request.outlook() {
                Some(_) => driver,
                None => NativeDriver::with_protections(request.protections),
            };
            answer(&wire, carry_out(&wire, suits))
        }
        // The launcher needs it no more.
        _ => {
            drop(driver);
            0
        }
    };
    // Whatever lived in the sandbox is dead now.
    match network {
        Some(network) if code == 0 && network.is_as_new() => AS_NEW,
        _ => code,
    }
}

fn answer(wire: &Wire, ended: Result<(), End>) -> i32 {
    match ended {
        Ok(()) | Err(End::Gone) => 0,
        Err(End::Failed(error)) => i32::from(tell(wire, &Told::Failed(error)).is_err()),
    }
}

/// Carries out what comes over `wire`, with the driver that is made for it.
fn carry_out(wire: &Wire, native: impl FnOnce(&Request) -> NativeDriver) -> Result<(), End> {
    let Ok(Some((bytes, descriptors))) = wire.receive() else { return Err(End::Gone) };
    let request = Request::from_bytes(&bytes)
        .ok_or_else(|| io::Error::other("it is not what this program sends"))
        .map_err(failed("read the launch"))?;
    drop(bytes);
    let driver = Isolator::from(native(&request));
    let signals =
        take_streams(descriptors, request.terminal).map_err(failed("take the standard streams"))?;
    let control = wire.as_fd().try_clone_to_owned().map_err(failed("copy a descriptor"))?;
    let asker = Asker { control, signals, terminal: request.terminal };
    let mut prepared =
        driver.prepare_for(Some(asker), request.launch, &mut |process_1, process| {
            wire.send(&Told::Begun(process_1).to_bytes()?, &[process])?;
            match next_order(wire) {
                Ok(Order::Noted) => Ok(()),
                _ => Err(Errno::PIPE.into()),
            }
        })?;
    tell(wire, &Told::Ready)?;
    let Order::Start = next_order(wire)? else { return Err(End::Gone) };
    prepared.start()?;
    let Order::Wait(every) = next_order(wire)? else { return Err(End::Gone) };
    let mut observer = every.map(|every| Remote { wire, every });
    let report = prepared.wait(observer.as_mut().map(|observer| observer as &mut dyn Observer))?;
    tell(wire, &Told::Ended(Box::new(report)))
}

/// Leaves what is the launcher's, and dies with it.
fn become_own(keep: &[BorrowedFd<'_>], launcher: Pid) -> io::Result<()> {
    ctrlz_sys::descriptors::keep_only(keep)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(launcher) {
        // It died before this process was tied to it.
        return Err(Errno::PIPE.into());
    }
    ctrlz_sys::signal::unblock_all();
    rustix::process::setsid()?;
    Ok(())
}

/// Makes the descriptors the standard streams; answers the one from which signals come.
fn take_streams(descriptors: Vec<OwnedFd>, terminal: bool) -> io::Result<Option<OwnedFd>> {
    let mut descriptors = descriptors.into_iter();
    let mut stream = || descriptors.next().ok_or_else(|| io::Error::from(Errno::BADF));
    rustix::stdio::dup2_stdin(stream()?)?;
    rustix::stdio::dup2_stdout(stream()?)?;
    rustix::stdio::dup2_stderr(stream()?)?;
    if terminal && !rustix::termios::isatty(rustix::stdio::stdin()) {
        return Err(Errno::NOTTY.into());
    }
    Ok(descriptors.next())
}

fn failed(step: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Setup { step: step.to_owned(), source }
}

fn tell(wire: &Wire, told: &Told) -> Result<(), End> {
    told.to_bytes().and_then(|bytes| wire.send(&bytes, &[])).map_err(|_| End::Gone)
}

fn next_order(wire: &Wire) -> Result<Order, End> {
    match wire.receive() {
        Ok(Some((bytes, _))) => Order::from_bytes(&bytes).ok_or(End::Gone),
        _ => Err(End::Gone),
    }
}

/// The service's observer.
struct Remote<'w> {
    wire: &'w Wire,
    every: Duration,
}

impl Observer for Remote<'_> {
    fn every(&self) -> Duration {
        self.every
    }

    fn observe(&mut self, reading: &Reading) -> Verdict {
        let asked = tell(self.wire, &Told::Observed(Box::new(*reading)));
        match asked.and_then(|()| next_order(self.wire)) {
            Ok(Order::Go(verdict, every)) => {
                self.every = every;
                verdict
            }
            // Nobody is left for whom it would go on.
            _ => Verdict::End,
        }
    }
}
