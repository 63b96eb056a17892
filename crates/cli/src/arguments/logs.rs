//! The grammar of `ctrlz logs`.

use clap::{Args, ValueEnum};
use ctrlz_core::size::ByteSize;

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// A process, an operation, or a sandbox, which stands for its last one; the last of all when left out
    #[arg(value_name = "PROCESS|SANDBOX")]
    pub(crate) of: Option<String>,
    /// Go on with what it writes, until it ends; with --json one object a line
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Only the last lines, of those in the last MiB
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "tail")]
    pub(crate) lines: Option<usize>,
    /// Only the last bytes, up to 1MiB
    #[arg(long, value_name = "SIZE")]
    pub(crate) tail: Option<ByteSize>,
    /// Only what was written to this stream
    #[arg(long, value_enum, default_value_t = LogStream::Both)]
    pub(crate) stream: LogStream,
}

/// Which of what a process wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogStream {
    /// Standard output and standard error, each to that of ctrlz
    Both,
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

impl LogStream {
    /// As the service names it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}
