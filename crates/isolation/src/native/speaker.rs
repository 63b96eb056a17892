//! Speaking for a process 1 that is out of reach: to whoever waits, this is as if it did so itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::control::{Channel, Ended, Order, Report, channel};
use super::inside::ToldApart;
use super::protection::Protections;

/// The other end of the channel to process 1.
#[derive(Debug)]
pub(crate) struct Speaker(Channel);

/// What whoever waits wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Begin the command.
    Start,
    /// Send it this signal.
    Signal(i32),
    /// Ask it to end.
    Terminate,
    /// Nothing.
    Nothing,
    /// Whoever waited is gone.
    End,
}

impl From<OwnedFd> for Speaker {
    fn from(socket: OwnedFd) -> Self {
        Self(socket.into())
    }
}

impl From<Speaker> for OwnedFd {
    fn from(speaker: Speaker) -> Self {
        speaker.0.into()
    }
}

impl Speaker {
    /// A channel, and who speaks at its other end.
    pub(crate) fn new() -> io::Result<(Channel, Self)> {
        let (ours, other) = channel()?;
        Ok((ours, Self(other)))
    }

    /// Waits for the standard streams of the command; `None` when nobody waits any more.
    pub(crate) fn streams(&self) -> Option<[OwnedFd; 3]> {
        self.0.next_task().ok().flatten().and_then(|(_, along)| along.streams)
    }

    /// Another one at the same end.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.as_fd().try_clone_to_owned()?.into()))
    }

    /// Waits for what is wanted next.
    pub(crate) fn wait(&self) -> Wanted {
        match self.0.next_order(true) {
            Ok(Some(Order::Start)) => Wanted::Start,
            Ok(Some(Order::Signal(signal))) => Wanted::Signal(signal),
            Ok(Some(Order::Continue)) => Wanted::Signal(Signal::CONT.as_raw()),
            Ok(Some(Order::Terminate)) => Wanted::Terminate,
            Ok(Some(Order::Build)) => Wanted::Nothing,
            Ok(None) | Err(_) => Wanted::End,
        }
    }

    /// Waits until nobody waits any more, so many seconds at most.
    pub(crate) fn await_end(&self, seconds: i64) {
        let span = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::RDHUP)], Some(&span));
    }

    /// The command runs under these protections.
    pub(crate) fn started(&self, protections: Protections) {
        let _ = self.0.report(&Report::Started { protections: protections.bits() });
    }

    /// It could not be begun.
    pub(crate) fn failed(&self, step: String) {
        let _ = self.0.report(&Report::SetupFailed { errno: 0, step });
    }

    /// What came of it, as process 1 told, or as its exit code says.
    pub(crate) fn ended(&self, told: Option<ToldApart>, code: Option<u32>) {
        // Whoever was killed told nothing; then there is only what somebody else has put there.
        let told = told.filter(|told| code.is_none_or(|code| code == u32::from(told.code())));
        let report = match (&told, code) {
            (Some(ToldApart::Failed(step)), _) => {
                Report::SetupFailed { errno: 0, step: step.clone() }
            }
            (Some(ToldApart::NotExecuted(errno)), _) => Report::ExecFailed { errno: *errno },
            (Some(told @ ToldApart::Ended { .. }), _) => match told.ended() {
                Some(ended) => Report::Ended(ended),
                None => return,
            },
            (None, code) => {
                let status = code.map_or(Signal::KILL.as_raw(), |code| match code {
                    129..=192 => (code - 128).cast_signed(),
                    code => (code & 0xff).cast_signed() << 8,
                });
                let usage = ctrlz_sys::usage::ChildrenUsage::default();
                let processes = 0;
                Report::Ended(Ended { status, network_attempts: 0, alone: true, processes, usage })
            }
        };
        let _ = self.0.report(&report);
    }
}
