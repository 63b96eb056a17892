//! One event to one sink.

use ctrlz_core::sink::{SinkConfig, SinkTarget};

use crate::discreet::Redact;
use crate::{command, file, socket, webhook};

/// Why a sink did not take an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// In words.
    pub(crate) reason: String,
    /// Whether it will never take this one, so that trying again helps nothing.
    pub(crate) for_good: bool,
}

impl Refused {
    pub(crate) fn now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_good: false }
    }
}

/// A sink that may keep something open from one event to the next.
pub(crate) enum Sender<'c> {
    File(file::Writer<'c>),
    Socket(socket::Writer<'c>),
    Each(&'c SinkConfig, &'c Redact<'c>),
}

/// An event as it is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter<'e> {
    /// The log's `source` and the event's number: what it is recognised by.
    pub(crate) source: &'e str,
    pub(crate) number: i64,
    /// Its bytes.
    pub(crate) text: &'e str,
    /// Now, in seconds since 1970.
    pub(crate) now: i64,
}

impl<'c> Sender<'c> {
    /// `redact` takes secrets out of what is told of a failure.
    pub(crate) fn new(config: &'c SinkConfig, redact: &'c Redact<'c>) -> Self {
        match &config.target {
            SinkTarget::File { path, max_size, keep } => {
                Self::File(file::Writer::new(path, max_size.0, *keep))
            }
            SinkTarget::Socket { path, timeout } => {
                Self::Socket(socket::Writer::new(path, timeout.0))
            }
            SinkTarget::Command { .. } | SinkTarget::Webhook { .. } => Self::Each(config, redact),
        }
    }

    /// Whether what was sent is to be settled, and written down, before this one is sent.
    pub(crate) fn must_settle(&self, letter: Letter<'_>) -> bool {
        match self {
            Self::File(writer) => writer.must_settle(letter),
            // Nothing of it is written down later than the next one is sent.
            Self::Socket(_) | Self::Each(..) => false,
        }
    }

    /// Whether the position is written after each event, so that as few as possible come twice. A
    /// file knows its events, so there it is enough to write it now and then.
    pub(crate) fn is_written_each(&self) -> bool {
        !matches!(self, Self::File(_))
    }

    /// Makes sure of what was sent, as far as that is in its power.
    pub(crate) fn settle(&mut self) -> Result<(), Refused> {
        match self {
            Self::File(writer) => writer.settle(),
            Self::Socket(_) | Self::Each(..) => Ok(()),
        }
    }

    pub(crate) fn send(&mut self, letter: Letter<'_>) -> Result<(), Refused> {
        match self {
            Self::File(writer) => writer.send(letter),
            Self::Socket(writer) => writer.send(letter),
            Self::Each(config, redact) => match &config.target {
                SinkTarget::Command { argv, timeout } => {
                    command::send(argv, timeout.0, letter, redact)
                }
                SinkTarget::Webhook { url, secret, ca, timeout } => {
                    let place = webhook::Place { url, secret: secret.as_ref(), ca: ca.as_deref() };
                    webhook::send(&place, timeout.0, letter, redact)
                }
                SinkTarget::File { .. } | SinkTarget::Socket { .. } => Ok(()),
            },
        }
    }
}
