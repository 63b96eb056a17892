//! Asking an errand to end. It is another process, which is sent a signal; what it had done by then is what
//! a killed ctrlz leaves, and mended in the same way.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::watch;

use crate::problem::Problem;

/// The way to whoever carries out an errand.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    is_asked: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// The signal that asked for the end.
    asked: Option<Signal>,
    /// The process that carries it out, as long as it runs.
    process: Option<OwnedFd>,
}

/// A process that can be asked to end, until this is dropped.
#[derive(Debug)]
pub struct Halting<'a>(&'a Halt);

impl Drop for Halting<'_> {
    fn drop(&mut self) {
        self.0.state().process = None;
    }
}

impl Halt {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `process`, a pidfd, end when it is asked for, at once when it was.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn watch(&self, process: OwnedFd) -> std::io::Result<Halting<'_>> {
        let mut state = self.state();
        if let Some(signal) = state.asked {
            send(&process, signal)?;
        }
        state.process = Some(process);
        Ok(Halting(self))
    }

    /// The problem of an errand that was asked to end, and did not do all that it was to; nothing for one that
    /// was not asked.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let signal = self.state().asked?.as_raw();
        let title = format!("it was ended by signal {signal} before it was done");
        Some(Problem::new(StatusCode::CONFLICT, "ended", title).hint(
            "nothing that was there is lost; what it wrote until then is used when the same is asked \
             again, or goes with `archive gc`",
        ))
    }

    /// Waits until it is asked to end.
    pub(crate) async fn asked(&self) {
        // The sender lives as long as this.
        let _ = self.0.is_asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// When that signal does not ask anybody to end, or cannot be sent.
    pub(crate) fn ask(&self, number: u8) -> Result<(), Problem> {
        let signal = match number {
            1 | 2 | 3 | 15 => Signal::TERM,
            9 => Signal::KILL,
            _ => {
                let title = format!(
                    "an errand takes signals that ask it to end (1, 2, 3, 9 and 15), not {number}"
                );
                return Err(Problem::new(StatusCode::CONFLICT, "errand-signal", title));
            }
        };
        let mut state = self.state();
        state.asked = Some(signal);
        if let Some(process) = &state.process {
            let failed = |error: std::io::Error| Problem::internal(error.to_string());
            send(process, signal).map_err(failed)?;
        }
        self.0.is_asked.send_replace(true);
        Ok(())
    }
}

fn send(process: &OwnedFd, signal: Signal) -> std::io::Result<()> {
    match pidfd_send_signal(process, signal) {
        // It has ended by itself.
        Err(Errno::SRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn sleeps() -> (std::process::Child, OwnedFd) {
        let child = Command::new("sleep").arg("600").spawn().expect("a process");
        let fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a pidfd");
        (child, fd)
    }

    #[test]
    fn what_carries_it_out_is_ended_whether_it_began_before_or_after() {
        for is_before in [true, false] {
            let halt = Halt::default();
            assert_eq!(halt.problem(), None);
            let (mut child, fd) = sleeps();
            if is_before {
                halt.ask(2).expect("asked");
            }
            let watched = halt.watch(fd).expect("watched");
            if !is_before {
                halt.ask(2).expect("asked");
            }
            let status = child.wait().expect("its end");
            drop(watched);
            assert_eq!(status.signal(), Some(15));
            assert_eq!(halt.problem().expect("ended").kind(), "ended");
            // Nothing runs any more.
            halt.ask(9).expect("asked again");
        }
    }

    #[test]
    fn what_does_not_end_it_is_not_sent() {
        let halt = Halt::default();
        let refused = halt.ask(19).expect_err("a stop");
        assert_eq!((refused.kind(), refused.status()), ("errand-signal", StatusCode::CONFLICT));
        assert_eq!(halt.problem(), None);
    }
}
