//! Whether each protection is in force: forbidden acts, tried for real in a throwaway sandbox.
//!
//! The probe is this program itself, executed inside as any command is: what is tried there is what
//! any command could try. Acts that would do harm where the protection is missing are begun in a way
//! that changes nothing, such as opening a file without writing to it.

mod inside;
mod outside;
mod overrun;

pub use inside::main as probe_inside;
pub use outside::probe;

use std::fmt;

/// The word by which this program knows that it is the probe.
pub const PROBE: &str = "probe-inside";

/// What one try showed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Trial {
    /// The protection, by its word, or a limit.
    pub what: String,
    /// Whether it is in force.
    pub held: bool,
    /// Whether that was tried; otherwise the set-up said it.
    pub tried: bool,
    /// What was tried, and what came of it.
    pub evidence: String,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.evidence)
    }
}

/// What the probe is told of the host.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Facts {
    /// The namespaces outside: their names below /proc/self/ns, and what they lead to.
    namespaces: Vec<(String, String)>,
    /// The launcher.
    launcher: u32,
    /// Files in places that a sandbox has of its own.
    markers: Vec<String>,
    /// Files that are hidden.
    hidden: Vec<String>,
    /// A descriptor that the launcher left open.
    descriptor: i32,
    /// The launcher's score when memory runs out.
    oom_score: i32,
    /// The home folder.
    home: Option<String>,
    /// Limits that are held, by their words.
    limits: Vec<String>,
}

/// The limits under which the probe runs.
const OPEN_FILES: u64 = 64;
const PIDS: u32 = 48;
const MEMORY: u64 = 48 << 20;
const DISK: u64 = 4 << 20;
