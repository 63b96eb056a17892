//! How zstd is set up: by the level alone what it writes, by the processors how fast.
//!
//! The multi-threaded coder cuts its input into jobs. What it writes depends on their size and on
//! how much of the job before each may refer to, never on how many run at once. The coder's own
//! jobs are four windows long; two windows, with all of the last window to refer to, need half the
//! memory and give the same size.

/// What all threads of the coder, with their tables and queues, may need: 64 MiB for the whole
/// program, less what the rest of it needs.
const BUDGET: u64 = 48 << 20;

/// The parameters of the coder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) level: i32,
    pub(super) workers: u32,
    /// Bytes.
    pub(super) job: u32,
    pub(super) window_log: u32,
    pub(super) hash_log: u32,
    pub(super) chain_log: u32,
}

/// The largest level. Those above need a window of more than 64 MiB.
pub(super) const MAX_LEVEL: i32 = 19;

/// Window, hash table and chain table of the levels 1 to 19 for input of unknown size, as powers of
/// two (zstd 1.5, `clevels.h`), made smaller from level 12 on so that one thread fits the budget.
const TABLES: [(u32, u32, u32); 19] = [
    (19, 14, 13),
    (20, 16, 15),
    (21, 17, 16),
    (21, 18, 18),
    (21, 19, 18),
    (21, 19, 18),
    (21, 20, 19),
    (21, 20, 19),
    (22, 21, 20),
    (22, 22, 21),
    (22, 22, 21),
    (22, 22, 22),
    (22, 22, 22),
    (22, 22, 22),
    (22, 22, 22),
    (22, 22, 22),
    (22, 22, 22),
    (22, 22, 22),
    (22, 22, 22),
];

impl Plan {
    pub(super) fn new(level: i32, cores: usize) -> Self {
        let level = level.clamp(1, MAX_LEVEL);
        let at = usize::try_from(level - 1).unwrap_or(0);
        let (window_log, hash_log, chain_log) = TABLES.get(at).copied().unwrap_or((21, 17, 16));
        let window = 1_u64 << window_log;
        // The coder takes no smaller jobs than 512 KiB; smaller ones than 2 MiB cost more than
        // their memory is worth.
        let job = (2 * window).clamp(1 << 21, 1 << 22);
        let tables = 4 * ((1_u64 << hash_log) + (1 << chain_log)) + (1 << 19);
        // Each job waits as input and as output; two more of them lie in the queue.
        let fits = (BUDGET - window - 2 * job) / (tables + 2 * job);
        let workers = u64::try_from(cores).unwrap_or(1).clamp(1, fits.max(1));
        Self {
            level,
            workers: u32::try_from(workers).unwrap_or(1),
            job: u32::try_from(job).unwrap_or(1 << 22),
            window_log,
            hash_log,
            chain_log,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_does_not_depend_on_the_machine() {
        for level in -5..=30 {
            let one = Plan::new(level, 1);
            let many = Plan::new(level, 512);
            assert_eq!(Plan { workers: 1, ..many }, one);
            assert!(one.workers == 1 && many.workers <= 16, "level {level}: {many:?}");
        }
    }
}
