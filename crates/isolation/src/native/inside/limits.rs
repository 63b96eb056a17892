//! Limits that process 1 sets on itself, and that all it starts inherit.

use std::fs;

use ctrlz_core::size::ByteSize;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Step, StepError};
use crate::native::protection::{Protection, Protections};

/// The limits that are held by setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rlimits {
    /// `RLIMIT_NOFILE`
    pub(crate) open_files: Option<u64>,
    /// `RLIMIT_NPROC`, counted for the user in this user namespace.
    pub(crate) processes: Option<u64>,
    /// `RLIMIT_DATA`, each process.
    pub(crate) data: Option<ByteSize>,
    /// `RLIMIT_FSIZE`, each file.
    pub(crate) file_size: Option<ByteSize>,
}

/// The most process ids of a sandbox for which nobody asked a limit. Generous for builds, small
/// for a fork bomb.
const PROCESS_CEILING: u32 = 16_384;

/// Applies the limits.
pub(super) fn apply(rlimits: &Rlimits) -> Result<(), StepError> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let pairs = [
        (Resource::Nofile, rlimits.open_files, "open files"),
        (Resource::Nproc, rlimits.processes, "processes"),
        (Resource::Data, rlimits.data.map(|size| size.0), "memory of a process"),
        (Resource::Fsize, rlimits.file_size.map(|size| size.0), "size of a file"),
    ];
    for (resource, value, what) in pairs {
        if let Some(value) = value {
            setrlimit(resource, both(value)).step(|| format!("limit the {what} to {value}"))?;
        }
    }
    Ok(())
}

/// Lowers `kernel.pid_max` of the sandbox's pid namespace; answers whether that is in force. Must
/// be written through a writable /proc, before the root is built.
pub(super) fn lower_process_ceiling(wanted: Protections) -> bool {
    // Before Linux 6.14 this file is the whole host's, and root could write it.
    wanted.has(Protection::ProcessCeiling)
        && wanted.has(Protection::PidNamespace)
        && is_at_least(rustix::system::uname().release().to_bytes(), (6, 14))
        && fs::write("/proc/sys/kernel/pid_max", PROCESS_CEILING.to_string()).is_ok()
}

/// Whether a kernel release such as `6.18.44-amd64` is that version or a later one.
pub(in crate::native) fn is_at_least(release: &[u8], wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0)
    });
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}

/// Offers the sandbox to the kernel when memory runs out (proc_pid_oom_score_adj(5)). Must be
/// written through a writable /proc, before the root is built. Failing is harmless.
pub(super) fn score_for_out_of_memory(wanted: Protections) {
    if wanted.has(Protection::FirstToBeKilled) {
        let _ = fs::write("/proc/self/oom_score_adj", "500");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_kernel_releases() {
        for (release, expected) in [
            ("6.14.0", true),
            ("6.18.44-fc", true),
            ("7.0-rc1", true),
            ("6.1.0-38-amd64", false),
            ("5.15", false),
        ] {
            assert_eq!(is_at_least(release.as_bytes(), (6, 14)), expected, "{release}");
        }
    }
}
