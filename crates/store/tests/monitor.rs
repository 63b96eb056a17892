//! The history of usage: nothing is lost, nothing is counted twice.
#![allow(clippy::expect_used, reason = "a test fails by panicking, in its own functions, too")]

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::monitor::{
    HistoryAges, Reading, Resolution, RolledUp, SampleStore, Sampled, UsageTotals,
};
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;
use ctrlz_store::SqliteMonitor;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_800_000_000 * SECOND;

fn of(sandbox: i64, operation: i64) -> Sampled {
    Sampled { sandbox: SandboxId(sandbox), operation: OperationId(operation) }
}

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp(NOW - seconds_ago * SECOND)
}

fn seconds(count: u64) -> Span {
    Span(Duration::from_secs(count))
}

/// A reading of an operation that is that old.
fn reading(elapsed: u64) -> Reading {
    Reading {
        elapsed: seconds(elapsed),
        cpu: seconds(elapsed / 2),
        memory: elapsed * 100,
        processes: 3,
        open_files: 7,
        read: Some(elapsed * 10),
        written: Some(elapsed * 20),
        received: None,
        sent: Some(elapsed),
        network_attempts: Some(elapsed / 10),
    }
}

fn totals(monitor: &SqliteMonitor, sandbox: i64) -> UsageTotals {
    let rows = monitor.usage(SandboxId(sandbox), Timestamp(i64::MIN)).expect("read");
    rows.iter().fold(UsageTotals::default(), |sum, row| sum.and(&row.totals))
}

fn resolutions(monitor: &SqliteMonitor, sandbox: i64) -> Vec<Resolution> {
    let rows = monitor.usage(SandboxId(sandbox), Timestamp(0)).expect("read");
    rows.iter().map(|row| row.resolution).collect()
}

#[test]
fn a_sample_adds_what_came_since_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = SqliteMonitor::of(folder.path());
    assert_eq!(totals(&monitor, 1), UsageTotals::default());
    assert!(!monitor.path().exists(), "nothing is made before there is something to keep");
    assert!(monitor.record(of(1, 5), at(100), &reading(10)).expect("write"));
    assert!(monitor.record(of(1, 5), at(90), &reading(20)).expect("write"));
    // Another process looked at the same time, or read before and wrote later.
    let other = SqliteMonitor::of(folder.path());
    assert!(!other.record(of(1, 5), at(90), &reading(20)).expect("write"));
    assert!(!other.record(of(1, 5), at(89), &reading(15)).expect("write"));
    assert!(monitor.record(of(1, 6), at(80), &reading(1)).expect("write"));
    let all = totals(&monitor, 1);
    assert_eq!((all.samples, all.elapsed, all.cpu), (3, seconds(21), seconds(10)));
    assert_eq!((all.read, all.written, all.received, all.sent), (210, 420, 0, 21));
    assert_eq!((all.memory_peak, all.memory_sum), (2000, 1000 + 2000 + 100));
    let operations = monitor.operations(SandboxId(1), Timestamp(0)).expect("read");
    let first = &operations[1];
    assert_eq!((first.operation, first.first, first.last), (OperationId(5), at(100), at(90)));
    assert_eq!((first.totals.elapsed, first.totals.memory_peak), (seconds(20), 2000));
    assert_eq!(monitor.operations(SandboxId(1), at(85)).expect("read").len(), 1);
    assert_eq!(totals(&monitor, 2), UsageTotals::default());
}

#[test]
fn a_counter_that_seems_to_go_back_takes_nothing_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = SqliteMonitor::of(folder.path());
    for (elapsed, read) in [(10, 100), (11, 90), (12, 130)] {
        let time = at(20 - i64::try_from(elapsed).expect("small"));
        let reading = Reading { read: Some(read), ..reading(elapsed) };
        monitor.record(of(1, 1), time, &reading).expect("write");
    }
    assert_eq!(totals(&monitor, 1).read, 130);
}

#[test]
fn a_clock_that_jumps_back_neither_loses_nor_doubles() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = SqliteMonitor::of(folder.path());
    monitor.record(of(1, 1), at(0), &reading(10)).expect("write");
    // Two hours back, then to a moment for which there is a sample already.
    monitor.record(of(1, 1), at(7200), &reading(20)).expect("write");
    monitor.record(of(1, 1), at(0), &reading(30)).expect("write");
    let before = totals(&monitor, 1);
    assert_eq!((before.samples, before.elapsed, before.read), (3, seconds(30), 300));
    // By the clock that is back, one sample lies two hours in the future.
    monitor.roll_up(at(7200), HistoryAges::default(), &[SandboxId(1)]).expect("roll up");
    assert_eq!(totals(&monitor, 1), before);
    assert_eq!(resolutions(&monitor, 1), [Resolution::Raw, Resolution::Minute]);
    monitor.roll_up(at(0), HistoryAges::default(), &[SandboxId(1)]).expect("roll up");
    assert_eq!(totals(&monitor, 1), before);
}

#[test]
fn what_is_old_becomes_coarser_and_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = SqliteMonitor::of(folder.path());
    let hour = 3600;
    for (operation, ago) in
        [(1, 100 * 24 * hour), (2, 60 * hour), (3, 2 * hour), (4, 2 * hour), (5, 1)]
    {
        monitor.record(of(1, operation), at(ago), &reading(10)).expect("write");
    }
    monitor.record(of(2, 6), at(1), &reading(10)).expect("write");
    let done = monitor.roll_up(at(0), HistoryAges::default(), &[SandboxId(1)]).expect("roll up");
    // The oldest with its operation, and the two rows of the sandbox that is gone.
    assert_eq!(done, RolledUp { samples: 2, minutes: 1, removed: 4 });
    assert_eq!(resolutions(&monitor, 1), [Resolution::Hour, Resolution::Minute, Resolution::Raw]);
    assert_eq!(totals(&monitor, 1).samples, 4);
    assert_eq!(totals(&monitor, 2), UsageTotals::default());
    let again = monitor.roll_up(at(0), HistoryAges::default(), &[SandboxId(1)]).expect("roll up");
    assert_eq!(again, RolledUp::default());
    // An hour that has begun before `since` is told.
    let rows = monitor.usage(SandboxId(1), at(60 * hour - 1)).expect("read");
    assert_eq!(rows.len(), 3);
}

#[test]
fn several_that_roll_up_at_once_count_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = SqliteMonitor::of(folder.path());
    for elapsed in 1..200 {
        let ago = 100 * 3600 - i64::try_from(elapsed).expect("small") * 1700;
        monitor.record(of(1, 1), at(ago), &reading(elapsed)).expect("write");
    }
    let before = totals(&monitor, 1);
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (start, folder) = (Arc::clone(&start), folder.path().to_owned());
            std::thread::spawn(move || {
                let monitor = SqliteMonitor::of(&folder);
                start.wait();
                for _ in 0..10 {
                    // Another one's turn may take longer than this one waits.
                    let _ = monitor.roll_up(at(0), HistoryAges::default(), &[SandboxId(1)]);
                    let _ = monitor.record(of(1, 100 + number), at(0), &reading(1));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    // Whether each got to write or not: the amounts are those of whole operations.
    let written = monitor.operations(SandboxId(1), Timestamp(0)).expect("read").len() as u64 - 1;
    let after = totals(&monitor, 1);
    assert_eq!(after.samples, before.samples + written);
    assert_eq!(after.elapsed.0, before.elapsed.0 + Duration::from_secs(written));
    assert_eq!(after.written, before.written + 20 * written);
    assert_eq!(after.memory_peak, before.memory_peak);
}

#[test]
fn a_damaged_file_and_a_strangers_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = SqliteMonitor::of(folder.path());
    std::fs::write(monitor.path(), vec![b'x'; 8192]).expect("write");
    let told = |monitor: &SqliteMonitor| {
        let error = monitor.record(of(1, 1), at(0), &reading(1)).expect_err("damaged");
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    assert!(told(&monitor).contains("monitor.db"), "{}", told(&monitor));
    assert!(monitor.usage(SandboxId(1), at(0)).is_err());
    std::fs::remove_file(monitor.path()).expect("remove");
    // The same object goes on with a good file.
    assert!(monitor.record(of(1, 1), at(0), &reading(1)).expect("write"));
    drop(monitor);
    let monitor = SqliteMonitor::of(folder.path());
    let other = rusqlite::Connection::open(monitor.path()).expect("open");
    other.execute_batch("PRAGMA user_version = 9").expect("write");
    assert!(told(&monitor).contains("newer ctrlz"), "{}", told(&monitor));
    other.execute_batch("PRAGMA application_id = 7").expect("write");
    assert!(told(&monitor).contains("another program"), "{}", told(&monitor));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is recorded by whatever clock, and whenever it is rolled up: the sums and peaks are
    /// those of the readings.
    #[test]
    fn roll_up_keeps_sums_and_peaks(
        samples in prop::collection::vec(
            (1..4_i64, 1..50_u64, -40..40_i64, 0..1000_u64),
            1..40,
        ),
        roll_ups in prop::collection::vec((0..40_usize, -50_000..50_000_i64), 0..6),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let monitor = SqliteMonitor::of(folder.path());
        let ages = HistoryAges { hours: Duration::from_secs(1 << 40), ..HistoryAges::default() };
        let mut newest: BTreeMap<i64, Reading> = BTreeMap::new();
        let (mut count, mut memory_sum, mut memory_peak) = (0, 0, 0);
        for (at_step, (operation, more, ago, memory)) in samples.iter().enumerate() {
            for (_, now) in roll_ups.iter().filter(|(step, _)| *step == at_step) {
                monitor.roll_up(at(*now), ages, &[SandboxId(1)]).expect("roll up");
            }
            let elapsed = newest.get(operation).map_or(0, |one| one.elapsed.0.as_secs()) + more;
            let one = Reading { memory: *memory, ..reading(elapsed) };
            prop_assert!(monitor.record(of(1, *operation), at(*ago * 2500), &one).expect("write"));
            newest.insert(*operation, one);
            count += 1;
            memory_sum += one.memory;
            memory_peak = memory_peak.max(one.memory);
        }
        monitor.roll_up(at(0), ages, &[SandboxId(1)]).expect("roll up");
        let all = totals(&monitor, 1);
        let sum = |amount: fn(&Reading) -> u64| newest.values().map(amount).sum::<u64>();
        prop_assert_eq!(all.samples, count);
        prop_assert_eq!(all.elapsed.0.as_secs(), sum(|one| one.elapsed.0.as_secs()));
        prop_assert_eq!(all.cpu.0.as_secs(), sum(|one| one.cpu.0.as_secs()));
        prop_assert_eq!(all.read, sum(|one| one.read.unwrap_or(0)));
        prop_assert_eq!(all.network_attempts, sum(|one| one.network_attempts.unwrap_or(0)));
        prop_assert_eq!(all.memory_sum, memory_sum);
        prop_assert_eq!(all.memory_peak, memory_peak);
    }
}
