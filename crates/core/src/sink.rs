//! Where events are sent on to.

use std::path::PathBuf;

use crate::size::ByteSize;
use crate::span::Span;

/// One receiver of events.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkConfig {
    /// Its name, unique; also that of its files in the store.
    pub name: String,
    /// Only types that begin with one of these, without the prefix; all when empty.
    pub types: Vec<String>,
    /// Attempts for one event before it becomes a dead letter.
    pub attempts: u32,
    /// What it is.
    pub target: SinkTarget,
}

/// What a sink is.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkTarget {
    /// A file of JSON lines, which is rotated.
    File {
        /// Where.
        path: PathBuf,
        /// From which size on it is rotated.
        max_size: ByteSize,
        /// How many rotated files are kept: `PATH.1` is the newest.
        keep: u32,
    },
    /// A command that is started for each event, which it reads from its standard input.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
        /// How long it may take.
        timeout: Span,
    },
    /// A URL to which each event is posted in the way of Standard Webhooks.
    Webhook {
        /// The URL.
        url: String,
        /// Where the secret comes from with which it is signed.
        secret: Option<SecretSource>,
        /// A file with the certificates (PEM) that are trusted, instead of the well-known ones.
        ca: Option<PathBuf>,
        /// How long it may take.
        timeout: Span,
    },
    /// A Unix stream socket on which somebody listens, to which JSON lines are written.
    Socket {
        /// Where.
        path: PathBuf,
        /// How long it may take.
        timeout: Span,
    },
}

impl SinkTarget {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Command { .. } => "command",
            Self::Webhook { .. } => "webhook",
            Self::Socket { .. } => "socket",
        }
    }
}

/// Where a secret comes from. It never stands in a configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, of which the last line feed does not count.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}
