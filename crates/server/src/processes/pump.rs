//! The pipes of a command, or its terminal: what it writes goes to its log.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ctrlz_core::isolation::{GivenStreams, Streams};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use super::terminal::Terminal;
use super::{Closable, Log, Stream};
use crate::port::TerminalSize;
use crate::problem::Problem;

/// How much is read at once.
const PIECE: usize = 1 << 14;

/// The service's ends of a command's pipes.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Held while something is written, so that what several clients write is not mixed.
    input: tokio::sync::Mutex<Option<pipe::Sender>>,
    terminal: Mutex<Option<Terminal>>,
    signals: Closable,
}

/// What a command writes, to be read.
pub(crate) enum Outputs {
    /// Apart.
    Pipes { output: pipe::Receiver, error: pipe::Receiver },
    /// As it is shown.
    Terminal(pipe::Receiver),
}

/// Makes the pipes of a command, or its terminal: the service's ends, what is to be read, and the
/// command's ends.
pub(crate) fn pipes(size: Option<TerminalSize>) -> io::Result<(Ends, Outputs, Streams)> {
    let pair = || pipe_with(PipeFlags::CLOEXEC);
    let (signal_end, to_signals) = pair()?;
    // Nobody reads them before the command begins.
    rustix::io::ioctl_fionbio(&to_signals, true)?;
    let signals = Some(Arc::new(signal_end));
    let (input, outputs, given, terminal) = match size {
        Some(size) => {
            let (terminal, inner) = Terminal::open(size)?;
            let error = Arc::new(inner);
            let [input, output] = [Arc::clone(&error), Arc::clone(&error)];
            let given = GivenStreams { input, output, error, terminal: true, signals };
            // Whether it is read, written and polled as a pipe is all that counts.
            let shown = pipe::Receiver::from_owned_fd_unchecked(terminal.side()?)?;
            let typed = pipe::Sender::from_owned_fd_unchecked(terminal.side()?)?;
            (typed, Outputs::Terminal(shown), given, Some(terminal))
        }
        None => {
            let (input_end, to_input) = pair()?;
            let (from_output, output) = pair()?;
            let (from_error, error) = pair()?;
            let [input, output, error] = [input_end, output, error].map(Arc::new);
            let given = GivenStreams { input, output, error, terminal: false, signals };
            let outputs = Outputs::Pipes {
                output: pipe::Receiver::from_owned_fd(from_output)?,
                error: pipe::Receiver::from_owned_fd(from_error)?,
            };
            (pipe::Sender::from_owned_fd(to_input)?, outputs, given, None)
        }
    };
    let ends = Ends {
        input: tokio::sync::Mutex::new(Some(input)),
        terminal: Mutex::new(terminal),
        signals: Mutex::new(Some(to_signals)),
    };
    Ok((ends, outputs, Streams::Given(given)))
}

impl Outputs {
    /// Reads all that is written, until nobody can write any more.
    pub(crate) async fn read(self, log: &Log) {
        match self {
            Self::Pipes { output, error } => {
                tokio::join!(read(output, Stream::Output, log), read(error, Stream::Error, log));
            }
            Self::Terminal(shown) => read(shown, Stream::Output, log).await,
        }
    }
}

async fn read(mut from: pipe::Receiver, stream: Stream, log: &Log) {
    let mut piece = vec![0; PIECE];
    // A pipe cannot fail otherwise than by ending; a terminal fails when the other side has.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        log.add(stream, Bytes::copy_from_slice(piece.get(..length).unwrap_or_default()));
        log.room().await;
    }
}

impl Ends {
    /// Those of what has ended, or has none.
    pub(crate) fn closed() -> Self {
        Self {
            input: tokio::sync::Mutex::default(),
            terminal: Mutex::default(),
            signals: Mutex::default(),
        }
    }

    /// Gives the command something to read.
    pub(crate) async fn write(&self, bytes: &[u8]) -> Result<(), Problem> {
        let mut input = self.input.lock().await;
        let closed = || Problem::of_kind("conflict", "the command's input is closed");
        let sender = input.as_mut().ok_or_else(closed)?;
        if sender.write_all(bytes).await.is_err() {
            *input = None;
            return Err(closed());
        }
        Ok(())
    }

    /// Ends the command's input. At a terminal that is typed, and the input goes on.
    pub(crate) async fn end_input(&self) {
        let mut input = self.input.lock().await;
        let end = self.terminal().as_ref().and_then(|terminal| terminal.end_of_input().ok());
        let goes_on = match (input.as_mut(), end) {
            (Some(typed), Some(end)) => typed.write_all(&[end]).await.is_ok(),
            _ => false,
        };
        if !goes_on {
            *input = None;
        }
    }

    /// The size of the terminal; `None` without one.
    pub(crate) fn size(&self) -> Option<TerminalSize> {
        self.terminal().as_ref().and_then(|terminal| terminal.size().ok())
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, size: TerminalSize) -> Result<(), Problem> {
        let none = || Problem::of_kind("conflict", "the process has no terminal, or has ended");
        let resized = self.terminal().as_ref().ok_or_else(none)?.resize(size);
        resized.map_err(|error| Problem::internal(format!("cannot resize: {error}")))
    }

    fn terminal(&self) -> MutexGuard<'_, Option<Terminal>> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, number: u8) -> Result<(), Problem> {
        let signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        match signals.as_ref().map(|fd| rustix::io::write(fd, &[number])) {
            Some(Ok(_)) => Ok(()),
            Some(Err(Errno::AGAIN)) => {
                let title = "the process has not taken the signals that it got before";
                Err(Problem::of_kind("busy", title))
            }
            Some(Err(_)) | None => Err(Problem::of_kind("conflict", "the process has ended")),
        }
    }

    /// Lets everything go that the command's end makes useless.
    pub(crate) async fn close(&self) {
        *self.input.lock().await = None;
        *self.terminal() = None;
        *self.signals.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
