//! Where process 1 begins to run.

use rustix::process::Pid;
use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Moves a process that was just cloned to another processor than ours, so that it works while we do.
///
/// The kernel often queues it behind its parent, and leaves it there for as long as the parent does not
/// block, even while another processor is idle: 1.2 to 2.9 ms of a start that takes 5. It may run
/// everywhere again before this returns. What fails here costs time and nothing else.
pub(super) fn beside(process: Pid) {
    let Ok(available) = sched_getaffinity(None) else { return };
    if available.count() < 2 {
        return;
    }
    let mut others = available;
    others.unset(sched_getcpu());
    if sched_setaffinity(Some(process), &others).is_ok() {
        let _ = sched_setaffinity(Some(process), &available);
    }
}
