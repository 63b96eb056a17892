//! getrusage(2) for children.

use std::time::Duration;

/// What waited-for children and their waited-for descendants used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChildrenUsage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// The largest resident set of any of them, in bytes.
    pub peak_resident: u64,
}

/// Reads it.
#[must_use]
pub fn of_children() -> ChildrenUsage {
    // SAFETY: rusage is plain data; zeros are valid, and getrusage with a valid `who` only
    // writes it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| {
        Duration::new(t.tv_sec.unsigned_abs(), (t.tv_usec.unsigned_abs() as u32) * 1000)
    };
    ChildrenUsage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        peak_resident: usage.ru_maxrss.unsigned_abs() * 1024,
    }
}
