//! The pipes of a command: what it writes goes to its log.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ctrlz_core::isolation::{GivenStreams, Streams};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use super::{Closable, Log, Stream};
use crate::problem::Problem;

/// How much is read at once.
const PIECE: usize = 1 << 14;

/// The service's ends of a command's pipes.
#[derive(Debug)]
pub(crate) struct Ends {
    input: tokio::sync::Mutex<Option<pipe::Sender>>,
    signals: Closable,
}

/// What a command writes, to be read.
pub(crate) struct Outputs {
    output: pipe::Receiver,
    error: pipe::Receiver,
}

/// Makes the pipes of a command: the service's ends, what is to be read, and the command's ends.
/// Without `input` it reads the end of its input at once.
pub(crate) fn pipes(input: bool) -> io::Result<(Ends, Outputs, Streams)> {
    let pair = || pipe_with(PipeFlags::CLOEXEC);
    let (input_end, to_input) = pair()?;
    let (from_output, output) = pair()?;
    let (from_error, error) = pair()?;
    let (signal_end, to_signals) = pair()?;
    // Nobody reads them before the command begins.
    rustix::io::ioctl_fionbio(&to_signals, true)?;
    let given = GivenStreams {
        input: Arc::new(input_end),
        output: Arc::new(output),
        error: Arc::new(error),
        terminal: false,
        signals: Some(Arc::new(signal_end)),
    };
    let sender = if input { Some(pipe::Sender::from_owned_fd(to_input)?) } else { None };
    let ends =
        Ends { input: tokio::sync::Mutex::new(sender), signals: Mutex::new(Some(to_signals)) };
    let outputs = Outputs {
        output: pipe::Receiver::from_owned_fd(from_output)?,
        error: pipe::Receiver::from_owned_fd(from_error)?,
    };
    Ok((ends, outputs, Streams::Given(given)))
}

impl Outputs {
    /// Reads all that is written, until nobody can write any more.
    pub(crate) async fn read(self, log: &Log) {
        let Self { output, error } = self;
        tokio::join!(read(output, Stream::Output, log), read(error, Stream::Error, log));
    }
}

async fn read(mut from: pipe::Receiver, stream: Stream, log: &Log) {
    let mut piece = vec![0; PIECE];
    // A pipe cannot fail otherwise than by ending.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        log.add(stream, Bytes::copy_from_slice(piece.get(..length).unwrap_or_default()));
    }
}

impl Ends {
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

    /// Ends the command's input.
    pub(crate) async fn close_input(&self) {
        *self.input.lock().await = None;
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
        self.close_input().await;
        *self.signals.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
