//! Limits of an operation, and how a host holds them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::size::ByteSize;
use crate::span::Span;

/// What an operation may use. `None` means that nobody asked for a limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory of all processes together, in bytes.
    pub memory: Option<ByteSize>,
    /// CPU time per wall time: 1.5 is one and a half cores.
    pub cpus: Option<f64>,
    /// Processes and threads alive at once.
    pub pids: Option<u32>,
    /// Bytes that the operation may add to the workspace.
    pub disk: Option<ByteSize>,
    /// Open files of each process (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Bytes written to standard output and standard error together.
    pub max_output: Option<ByteSize>,
    /// Wall time.
    pub timeout: Option<Span>,
}

/// One of the limits, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// [`Limits::memory`]
    Memory,
    /// [`Limits::cpus`]
    Cpus,
    /// [`Limits::pids`]
    Pids,
    /// [`Limits::disk`]
    Disk,
    /// [`Limits::open_files`]
    OpenFiles,
    /// [`Limits::max_output`]
    MaxOutput,
    /// [`Limits::timeout`]
    Timeout,
}

impl LimitKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::Cpus,
        Self::Pids,
        Self::Disk,
        Self::OpenFiles,
        Self::MaxOutput,
        Self::Timeout,
    ];

    /// The command line's option for it, without dashes.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpus => "cpus",
            Self::Pids => "pids",
            Self::Disk => "disk",
            Self::OpenFiles => "open-files",
            Self::MaxOutput => "max-output",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.option())
    }
}

impl Limits {
    /// Whether the limit `kind` was asked for.
    #[must_use]
    pub fn has(&self, kind: LimitKind) -> bool {
        match kind {
            LimitKind::Memory => self.memory.is_some(),
            LimitKind::Cpus => self.cpus.is_some(),
            LimitKind::Pids => self.pids.is_some(),
            LimitKind::Disk => self.disk.is_some(),
            LimitKind::OpenFiles => self.open_files.is_some(),
            LimitKind::MaxOutput => self.max_output.is_some(),
            LimitKind::Timeout => self.timeout.is_some(),
        }
    }
}
