//! Each check with a fault, and without.

use std::path::PathBuf;
use std::time::Duration;

use ctrlz_core::event::Severity::{self, Critical, Ok, Warning};
use ctrlz_core::health::{
    ArchiveFacts, ArchiveWanted, HostFacts, LongChain, NewestArchived, OpenOperation, Pressure,
    Remedy, Room, StoreFacts, Thresholds,
};
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

use super::{gravest, judge};

const GIB: u64 = 1 << 30;
const THRESHOLDS: Thresholds = Thresholds {
    cpu_percent: 90,
    memory_percent: 90,
    disk_percent: 98,
    inodes_percent: 98,
    open_files_percent: 98,
    tasks_percent: 98,
    read_only_below: Some(ByteSize(64 << 20)),
    stuck_after: Span(Duration::from_secs(60)),
};

fn room(free: u64, total: u64) -> Option<Room> {
    Some(Room { total, free })
}

fn healthy() -> HostFacts {
    HostFacts {
        disk: room(50 * GIB, 100 * GIB),
        inodes: room(900, 1000),
        memory: room(8 * GIB, 16 * GIB),
        pressure: Pressure::default(),
        load: Some(1.0),
        processors: 2,
        open_files: room(900, 1000),
        tasks: room(900, 1000),
        mounts: Vec::new(),
        control_groups: Vec::new(),
        asleep: Span::default(),
    }
}

/// The severity of one check.
#[track_caller]
fn severity(check: &str, host: &HostFacts, store: &StoreFacts) -> Severity {
    let findings = judge(host, store, THRESHOLDS);
    let found = findings.iter().find(|finding| finding.check == check).expect("such a check");
    assert_eq!(found.advice.is_empty(), found.severity == Ok, "{found:?}");
    assert!(!found.evidence.is_empty());
    for other in findings.iter().filter(|finding| finding.check != check) {
        assert_eq!(other.severity, Ok, "{other:?}");
    }
    assert_eq!(gravest(&findings), found.severity);
    found.severity
}

#[test]
fn without_a_fault_all_is_well_and_what_is_unknown_is_no_fault() {
    assert_eq!(gravest(&judge(&healthy(), &StoreFacts::default(), THRESHOLDS)), Ok);
    assert_eq!(gravest(&judge(&HostFacts::default(), &StoreFacts::default(), THRESHOLDS)), Ok);
}

#[test]
fn room_is_judged_by_share_and_by_what_is_left() {
    let disk = |free, total| {
        let host = HostFacts { disk: room(free, total), ..healthy() };
        severity("disk", &host, &StoreFacts::default())
    };
    assert_eq!(disk(40 * GIB, 4000 * GIB), Ok, "1 %, but plenty");
    assert_eq!(disk(9 * GIB, 100 * GIB), Warning);
    assert_eq!(disk(GIB, 100 * GIB), Critical);
    assert_eq!(disk(GIB / 2, GIB), Warning, "half of little");
    assert_eq!(disk(1 << 20, GIB), Critical);
    let inodes = |free, total| {
        let host = HostFacts { inodes: room(free, total), ..healthy() };
        severity("inodes", &host, &StoreFacts::default())
    };
    assert_eq!([inodes(11, 100), inodes(10, 100), inodes(2, 100)], [Ok, Warning, Critical]);
    assert_eq!(inodes(0, 0), Ok, "btrfs has no such limit");
    let files = |free| {
        let host = HostFacts { open_files: room(free, 100), ..healthy() };
        severity("open-files", &host, &StoreFacts::default())
    };
    assert_eq!([files(11), files(10), files(1)], [Ok, Warning, Critical]);
    let tasks = |free| {
        let host = HostFacts { tasks: room(free, 100), ..healthy() };
        severity("processes", &host, &StoreFacts::default())
    };
    assert_eq!([tasks(11), tasks(10), tasks(1)], [Ok, Warning, Critical]);
}

#[test]
fn memory_and_processors_are_judged_by_the_profiles_thresholds() {
    let memory = |free, waiting| {
        let pressure = Pressure { memory: Some(waiting), ..Pressure::default() };
        let host = HostFacts { memory: room(free, 100), pressure, ..healthy() };
        severity("memory", &host, &StoreFacts::default())
    };
    assert_eq!([memory(21, 0.0), memory(20, 0.0), memory(10, 0.0)], [Ok, Warning, Critical]);
    assert_eq!(memory(50, 40.0), Warning, "it thrashes");
    let processors = |load, waiting| {
        let pressure = Pressure { cpu: Some(waiting), ..Pressure::default() };
        let host = HostFacts { load: Some(load), pressure, ..healthy() };
        severity("processors", &host, &StoreFacts::default())
    };
    assert_eq!([processors(7.9, 0.0), processors(8.0, 0.0)], [Ok, Warning]);
    assert_eq!([processors(1.0, 95.0), processors(8.0, 95.0)], [Warning, Critical]);
}

#[test]
fn what_is_left_over_can_be_removed() {
    let mounts = vec![PathBuf::from("/store/heads/1")];
    let host = HostFacts { mounts: mounts.clone(), ..healthy() };
    assert_eq!(severity("leftovers", &host, &StoreFacts::default()), Warning);
    let findings = judge(&host, &StoreFacts::default(), THRESHOLDS);
    let remedies: Vec<&Remedy> = findings.iter().flat_map(|finding| &finding.remedies).collect();
    assert_eq!(remedies, [&Remedy::Detach { path: mounts[0].clone() }]);
}

#[test]
fn the_store_is_judged_by_what_is_wrong_in_it() {
    let with = |store: StoreFacts| {
        let findings = judge(&healthy(), &store, THRESHOLDS);
        let bad = findings.iter().find(|finding| finding.severity > Ok).expect("a fault");
        (bad.check.clone(), bad.severity, bad.evidence.clone())
    };
    let name = "web".parse().expect("a name");
    let open = |attended, seconds| OpenOperation {
        sandbox: "web".parse().expect("a name"),
        operation: OperationId(7),
        attended,
        age: Span(Duration::from_secs(seconds)),
        limit: Some(Span(Duration::from_secs(10))),
        orphaned: false,
    };
    for (store, check, severity, evidence) in [
        (
            StoreFacts { database: vec!["page 3 is bad".to_owned()], ..StoreFacts::default() },
            "store",
            Critical,
            "page 3",
        ),
        (
            StoreFacts { open: vec![open(false, 5)], ..StoreFacts::default() },
            "journal",
            Warning,
            "op-7",
        ),
        (
            StoreFacts { open: vec![open(true, 71)], ..StoreFacts::default() },
            "journal",
            Critical,
            "op-7",
        ),
        (
            StoreFacts {
                damaged: vec![(SnapshotId(3), "gone".to_owned())],
                ..StoreFacts::default()
            },
            "snapshots",
            Critical,
            "snap-3: gone",
        ),
        (
            StoreFacts {
                damaged_sandboxes: vec![(name, "gone".to_owned())],
                ..StoreFacts::default()
            },
            "snapshots",
            Critical,
            "`web`: gone",
        ),
        (
            StoreFacts {
                open: vec![OpenOperation { orphaned: true, limit: None, ..open(true, 1) }],
                ..StoreFacts::default()
            },
            "journal",
            Critical,
            "is gone",
        ),
        (
            StoreFacts {
                chains: vec![LongChain { sandbox: "web".parse().expect("a name"), layers: 44 }],
                ..StoreFacts::default()
            },
            "layers",
            Warning,
            "`web` stands on 44 layers",
        ),
        (
            StoreFacts { usage: vec!["page 2 is bad".to_owned()], ..StoreFacts::default() },
            "usage",
            Warning,
            "page 2",
        ),
        (
            StoreFacts { unsigned: Some(10_000), ..StoreFacts::default() },
            "evidence",
            Warning,
            "10000",
        ),
        (
            StoreFacts {
                sinks: vec![("hook".to_owned(), "3 dead letters".to_owned())],
                ..StoreFacts::default()
            },
            "sinks",
            Warning,
            "`hook`: 3 dead",
        ),
    ] {
        let found = with(store);
        assert_eq!((found.0.as_str(), found.1), (check, severity));
        assert!(found.2.contains(evidence), "{}", found.2);
    }
    let busy = StoreFacts { open: vec![open(true, 69)], ..StoreFacts::default() };
    assert_eq!(gravest(&judge(&healthy(), &busy, THRESHOLDS)), Ok, "it may take that long");
    let hasty = Thresholds { stuck_after: Span(Duration::from_secs(1)), ..THRESHOLDS };
    let findings = judge(&healthy(), &busy, hasty);
    let remedies: Vec<&Remedy> = findings.iter().flat_map(|finding| &finding.remedies).collect();
    let sandbox = "web".parse().expect("a name");
    assert_eq!(remedies, [&Remedy::EndOperation { sandbox, operation: OperationId(7) }]);
    let slept = HostFacts { asleep: Span(Duration::from_secs(3600)), ..healthy() };
    assert_eq!(gravest(&judge(&slept, &busy, hasty)), Ok, "it may have slept with its host");
}

#[test]
fn thresholds_are_those_of_the_configuration() {
    let full = HostFacts { disk: room(20 * GIB, 100 * GIB), ..healthy() };
    let judged = |thresholds| {
        let findings = judge(&full, &StoreFacts::default(), thresholds);
        let disk = findings.iter().find(|finding| finding.check == "disk").expect("a check");
        (disk.severity, disk.remedies.clone(), disk.evidence.contains("only writes more"))
    };
    assert_eq!(judged(THRESHOLDS), (Ok, vec![], false));
    let strict = Thresholds { disk_percent: 85, ..THRESHOLDS };
    assert_eq!(judged(strict), (Warning, vec![Remedy::Retain], false));
    let strict = Thresholds { disk_percent: 80, ..THRESHOLDS };
    assert_eq!(judged(strict), (Critical, vec![Remedy::Retain], false));
    let read_only = Thresholds { read_only_below: Some(ByteSize(21 * GIB)), ..THRESHOLDS };
    assert_eq!(judged(read_only), (Ok, vec![], false), "a 64th of the disk is enough");
    let less = HostFacts { disk: room(GIB, 100 * GIB), ..healthy() };
    let findings = judge(&less, &StoreFacts::default(), read_only);
    assert!(findings[0].evidence.contains("only writes more"), "{findings:?}");
}

#[test]
fn what_is_to_be_archived_and_is_not_is_told_when_it_fails_or_waits_for_a_day() {
    let of = |wanted: Option<ArchiveWanted>| StoreFacts {
        archive: Some(ArchiveFacts { wanted, ..ArchiveFacts::default() }),
        ..StoreFacts::default()
    };
    let due = |hours: u64| {
        let age = Span(Duration::from_secs(hours * 3600));
        of(Some(ArchiveWanted { due: vec![("web.snap-7".to_owned(), age)], troubles: Vec::new() }))
    };
    let findings = judge(&healthy(), &of(None), THRESHOLDS);
    assert!(!findings.iter().any(|one| one.check == "unarchived"), "nothing is asked for");
    assert_eq!(severity("unarchived", &healthy(), &of(Some(ArchiveWanted::default()))), Ok);
    assert_eq!(severity("unarchived", &healthy(), &due(23)), Ok);
    assert_eq!(severity("unarchived", &healthy(), &due(25)), Warning);
    let troubles = vec![("web.snap-7".to_owned(), "no luck".to_owned())];
    let store = of(Some(ArchiveWanted { due: Vec::new(), troubles }));
    assert_eq!(severity("unarchived", &healthy(), &store), Warning);
}

#[test]
fn an_archive_is_judged_by_what_was_noted_of_it() {
    let of = |facts: ArchiveFacts| StoreFacts { archive: Some(facts), ..StoreFacts::default() };
    let drilled = |days: Option<u64>| {
        let drilled = days.map(|days| Span(Duration::from_secs(days * 86_400)));
        of(ArchiveFacts {
            newest: vec![NewestArchived { name: "web.snap-7".to_owned(), drilled }],
            ..ArchiveFacts::default()
        })
    };
    let findings = judge(&healthy(), &StoreFacts::default(), THRESHOLDS);
    assert!(!findings.iter().any(|one| one.check.contains("archive") || one.check == "undrilled"));
    for (days, expected) in [(None, Warning), (Some(31), Warning), (Some(30), Ok), (Some(0), Ok)] {
        assert_eq!(severity("undrilled", &healthy(), &drilled(days)), expected, "{days:?}");
    }
    let damaged = vec![("web.snap-7".to_owned(), "a blob is gone".to_owned())];
    let store = of(ArchiveFacts { damaged, ..ArchiveFacts::default() });
    assert_eq!(severity("archive-damaged", &healthy(), &store), Critical);
    assert_eq!(severity("archive-damaged", &healthy(), &of(ArchiveFacts::default())), Ok);
    let unreadable = Some("no index".to_owned());
    let store = of(ArchiveFacts { unreadable, ..ArchiveFacts::default() });
    assert_eq!(severity("archive-damaged", &healthy(), &store), Critical);
}
