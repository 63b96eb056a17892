//! The grammar of `ctrlz stats` and `ctrlz top`.

use clap::{Args, ValueEnum};
use ctrlz_core::name::SandboxName;
use ctrlz_core::span::Span;

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// The sandbox; that of this folder when left out
    pub(crate) sandbox: Option<SandboxName>,
    /// Only what began then or later: a time, or how long ago (2h, 7d)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// Show it once, and end
    #[arg(long, short = '1')]
    pub(crate) once: bool,
    /// The time between two looks
    #[arg(long, short = 'd', value_name = "TIME", default_value = "1s")]
    pub(crate) every: Span,
    /// What comes first
    #[arg(long, value_enum, default_value_t = SortBy::Cpu)]
    pub(crate) sort: SortBy,
}

/// What a row of `ctrlz top` is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// The share of a processor
    Cpu,
    /// Memory
    Memory,
    /// The number of processes
    Processes,
    /// The number of open file descriptors
    Files,
    /// Bytes written to and read from disks
    Disk,
    /// How long it has been running
    Time,
    /// The sandbox's name
    Name,
}
