//! How zstd is set up: by the level alone what it writes, by the processors how fast.
//!
//! The multi-threaded coder cuts its input into jobs. What it writes depends on their size and on
//! how much of the job before each may refer to, never on how many run at once. The coder's own
//! jobs are four windows long and refer to an eighth of one; shorter jobs that refer to half a
//! window need a quarter of the memory and give no larger output.

/// What all threads of the coder, with their tables and queues, may need: 64 MiB for the whole
/// program, less what the rest of it needs.
const BUDGET: u64 = 40 << 20;

/// Bytes in a job. Shorter ones cost more than their memory is worth.
const JOB: u64 = 2 << 20;

/// How much of the input before a job it refers to (`ZSTD_c_overlapLog`): half a window, which is
/// never more than a job; less where the tables are too small for that, as at level 3.
pub(super) const OVERLAP: u32 = 8;

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
/// two (zstd 1.5, `clevels.h`). Made smaller from level 12 on so that one thread fits the budget, and
/// at level 3: half as large as the coder's own, its tables stay in a processor's cache. That saves a
/// seventh of the processor time and costs up to 2.5 % of the size.
const TABLES: [(u32, u32, u32); 19] = [
    (19, 14, 13),
    (20, 16, 15),
    (21, 16, 15),
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
        let tables = 4 * ((1_u64 << hash_log) + (1 << chain_log)) + (1 << 19);
        let most = u32::try_from(cores).unwrap_or(u32::MAX).max(1);
        let fits = |workers: &u32| memory(u64::from(*workers), tables) <= BUDGET;
        let workers = (1..=most).take_while(fits).last().unwrap_or(1);
        Self {
            level,
            workers,
            job: u32::try_from(JOB).unwrap_or(1 << 21),
            window_log,
            hash_log,
            chain_log,
        }
    }
}

/// What so many threads need when nothing can be compressed. The input lies in a ring of one job for
/// each thread and three more; there are outputs for two more than threads, rounded up to a power of
/// two (`zstdmt_compress.c`).
fn memory(workers: u64, tables: u64) -> u64 {
    let jobs = (workers + 3) + (workers + 2).next_power_of_two();
    workers.saturating_mul(tables).saturating_add(jobs.saturating_mul(JOB))
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
