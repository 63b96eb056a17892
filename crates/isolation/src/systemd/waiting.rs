//! A command in a unit, as the process sees it that asked for it.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{GivenStreams, IsolationError, Prepared};
use ctrlz_core::monitor::Observer;
use ctrlz_core::operation::CommandReport;
use ctrlz_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use super::unit::Unit;
use crate::launcher::Launched;
use crate::native::Asker;

/// The fields are dropped in this order: first the socket closes, then the unit's end is awaited.
pub(super) struct Proxied {
    launched: Launched,
    /// Its other end has the unit's process.
    signals: Option<OwnedFd>,
    received: Option<SignalFd>,
    asker: Option<Asker>,
    in_force: Vec<String>,
    unit: Unit,
}

impl Proxied {
    pub(super) fn new(
        launched: Launched,
        (asker, signals): (Option<Asker>, OwnedFd),
        in_force: Vec<String>,
        unit: Unit,
    ) -> Self {
        // Those that an asker sends, the unit's process reads itself.
        let signals = asker.is_none().then_some(signals);
        Self { launched, signals, received: None, asker, in_force, unit }
    }
}

fn lost(what: &str) -> impl FnOnce(io::Error) -> IsolationError + '_ {
    move |source| IsolationError::Lost { what: format!("{what}: {source}") }
}

impl Prepared for Proxied {
    fn start(&mut self) -> Result<(), IsolationError> {
        self.received = Some(signal::take_all().map_err(lost("cannot receive signals"))?);
        self.launched.start()
    }

    fn wait(
        &mut self,
        observer: Option<&mut dyn Observer>,
    ) -> Result<CommandReport, IsolationError> {
        let Some(received) = self.received.take() else {
            return Err(IsolationError::Lost { what: "the command was not started".to_owned() });
        };
        let (over, end) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| lost("cannot make a pipe")(error.into()))?;
        let watched = Watched {
            received: &received,
            signals: self.signals.as_ref(),
            asker: self.asker.as_ref(),
            process: self.launched.process().try_clone_to_owned().map_err(lost("cannot wait"))?,
            over,
        };
        // The launch is made: no process is cloned while there is a second thread.
        let launched = &mut self.launched;
        let report = thread::scope(|scope| {
            scope.spawn(|| watched.pass_on());
            let report = launched.wait(observer);
            drop(end);
            report
        });
        received.give_back().map_err(lost("cannot receive signals"))?;
        let mut report = report?;
        self.unit.reap();
        report.driver = Driver::Systemd;
        report.enforced.append(&mut self.in_force);
        Ok(report)
    }
}

/// What goes on beside the wait for the end.
struct Watched<'a> {
    received: &'a SignalFd,
    /// Where the unit's process reads signals.
    signals: Option<&'a OwnedFd>,
    asker: Option<&'a Asker>,
    /// Process 1.
    process: OwnedFd,
    /// Closed at its other end when the wait is over.
    over: OwnedFd,
}

impl Watched<'_> {
    /// Passes signals on, and ends the command when who asked for it is gone.
    fn pass_on(&self) {
        loop {
            let mut waiting = vec![
                PollFd::new(&self.over, PollFlags::empty()),
                PollFd::new(self.received, PollFlags::IN),
            ];
            waiting.extend(self.asker.map(|a| PollFd::new(&a.control, PollFlags::empty())));
            match poll(&mut waiting, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            let is_ready = |at: usize| waiting.get(at).is_some_and(|fd| !fd.revents().is_empty());
            if is_ready(0) {
                return;
            }
            if is_ready(2) {
                let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
                return;
            }
            while let Ok(Some(received)) = self.received.receive() {
                let number = u8::try_from(received.signal).unwrap_or_default();
                if let Some(signals) = self.signals
                    && is_for_command(number, received.from_kernel)
                {
                    // It is gone, or has so many waiting that one more says nothing.
                    let _ = write(signals, &[number]);
                }
            }
        }
    }
}

/// Whether the command is to have a signal that this process got. It is not in the session of the
/// terminal, whose signals it would have missed; a stop by the terminal is for the user's shell, which
/// does not know the command.
fn is_for_command(number: u8, from_kernel: bool) -> bool {
    let typed = [Signal::INT, Signal::QUIT, Signal::WINCH, Signal::HUP];
    let own =
        [Signal::CHILD, Signal::WINCH, Signal::CONT, Signal::TTIN, Signal::TTOU, Signal::TSTP];
    let is = |signal: &Signal| signal.as_raw() == i32::from(number);
    GivenStreams::SIGNALS.contains(&number)
        && if from_kernel { typed.iter().any(is) } else { !own.iter().any(is) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_gets_what_is_meant_for_it() {
        let number = |signal: Signal| u8::try_from(signal.as_raw()).expect("small");
        assert!(is_for_command(number(Signal::INT), true));
        assert!(is_for_command(number(Signal::TERM), false));
        assert!(!is_for_command(number(Signal::TSTP), true));
        assert!(!is_for_command(number(Signal::CHILD), true));
        assert!(!is_for_command(number(Signal::CONT), false));
    }
}
