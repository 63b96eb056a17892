//! Checks of the host.

use ctrlz_core::event::Severity;
use ctrlz_core::health::{Finding, HostFacts, Remedy, Room, Thresholds};
use ctrlz_core::size::ByteSize;

use super::{Advice, finding};

/// So many percent below what is critical, something needs a look.
const EARLIER: u64 = 8;
/// However large it is, so many free bytes are little, and so many next to nothing.
const LITTLE: (u64, u64) = (1 << 30, 64 << 20);
/// Above this, free bytes are plenty, whatever share of the whole they are.
const PLENTY: u64 = 32 << 30;
/// Waiting for memory so many percent of the time is thrashing.
const THRASHING: f64 = 20.0;
/// Load per processor from which on everything is slow.
const OVERLOADED: f64 = 4.0;

fn unknown(check: &str, what: &str) -> Finding {
    finding(check, Severity::Ok, format!("the host does not tell {what}"))
}

/// The shares from which on something needs a look, and is critical.
fn shares(critical: u8) -> (u64, u64) {
    (u64::from(critical).saturating_sub(EARLIER), u64::from(critical))
}

fn of_room(used: u64, (warning, critical): (u64, u64)) -> Severity {
    match used {
        used if used >= critical => Severity::Critical,
        used if used >= warning => Severity::Warning,
        _ => Severity::Ok,
    }
}

fn bytes(room: &Room) -> String {
    format!("{} of {} are free", ByteSize(room.free), ByteSize(room.total))
}

pub(super) fn disk(host: &HostFacts, thresholds: Thresholds) -> Finding {
    let Some(room) = &host.disk else { return unknown("disk", "how full the store's disk is") };
    let used = room.used_percent().unwrap_or(0);
    let full = shares(thresholds.disk_percent);
    let is_read_only = thresholds.least_free(room).is_some_and(|least| room.free < least);
    let severity = match room.free {
        _ if is_read_only => Severity::Critical,
        free if free < LITTLE.1 => Severity::Critical,
        free if free >= PLENTY => Severity::Ok,
        free if free < LITTLE.0 => of_room(used, full).max(Severity::Warning),
        _ => of_room(used, full),
    };
    let evidence = match is_read_only {
        true => format!("{}: nothing begins that only writes more", bytes(room)),
        false => bytes(room),
    };
    room_finding("disk", severity, evidence).advice(
        "`ctrlz gc` removes snapshots that nothing needs, `ctrlz rm SANDBOX` a sandbox with all of it",
    )
}

/// A finding that retention may do something about.
fn room_finding(check: &str, severity: Severity, evidence: String) -> Finding {
    let remedies = if severity > Severity::Ok { vec![Remedy::Retain] } else { Vec::new() };
    finding(check, severity, evidence).remedies(remedies)
}

pub(super) fn inodes(host: &HostFacts, thresholds: Thresholds) -> Finding {
    let Some(room) = &host.inodes else {
        return unknown("inodes", "how many inodes the store's disk has");
    };
    let Some(used) = room.used_percent() else {
        return finding("inodes", Severity::Ok, "the store's disk has no such limit".to_owned());
    };
    let evidence = format!("{} of {} are free", room.free, room.total);
    let severity = of_room(used, shares(thresholds.inodes_percent));
    room_finding("inodes", severity, evidence)
        .advice("`ctrlz gc` and `ctrlz rm SANDBOX` remove files that nothing needs")
}

pub(super) fn memory(host: &HostFacts, thresholds: Thresholds) -> Finding {
    let Some(room) = &host.memory else { return unknown("memory", "how much memory is free") };
    let critical = u64::from(thresholds.memory_percent);
    let used = room.used_percent().unwrap_or(0);
    let mut severity = of_room(used, (critical.saturating_sub(10), critical));
    let mut evidence = bytes(room);
    if let Some(waiting) = host.pressure.memory.filter(|waiting| *waiting >= THRASHING) {
        severity = severity.max(Severity::Warning);
        evidence = format!("{evidence}; tasks wait for it {waiting:.0} % of the time");
    }
    finding("memory", severity, evidence).advice("`--memory` limits what a command may take")
}

pub(super) fn processors(host: &HostFacts, thresholds: Thresholds) -> Finding {
    let Some(load) = host.load else { return unknown("processors", "its load") };
    let processors = host.processors.max(1);
    let share = load / f64::from(processors);
    let waiting = host.pressure.cpu.unwrap_or(0.0);
    let severity = match () {
        () if share >= OVERLOADED && waiting >= f64::from(thresholds.cpu_percent) => {
            Severity::Critical
        }
        () if share >= OVERLOADED || waiting >= f64::from(thresholds.cpu_percent) => {
            Severity::Warning
        }
        () => Severity::Ok,
    };
    let evidence = format!("load {load:.1} on {processors} processors, tasks wait {waiting:.0} %");
    finding("processors", severity, evidence).advice("`--cpus` limits what a command may take")
}

pub(super) fn open_files(host: &HostFacts, thresholds: Thresholds) -> Finding {
    let Some(room) = &host.open_files else {
        return unknown("open-files", "how many files are open");
    };
    let used = room.used_percent().unwrap_or(0);
    let evidence = format!("{} of {} are free", room.free, room.total);
    finding("open-files", of_room(used, shares(thresholds.open_files_percent)), evidence)
        .advice("look for the process that holds them (lsof); `--open-files` limits a command")
}

pub(super) fn tasks(host: &HostFacts, thresholds: Thresholds) -> Finding {
    let Some(room) = &host.tasks else {
        return unknown("processes", "how many processes there are");
    };
    let used = room.used_percent().unwrap_or(0);
    let evidence = format!("{} more processes and threads may be, of {}", room.free, room.total);
    finding("processes", of_room(used, shares(thresholds.tasks_percent)), evidence)
        .advice("look for the process that begins them (ps -eLf); `--pids` limits a command")
}

pub(super) fn leftovers(host: &HostFacts) -> Finding {
    let (mounts, groups) = (host.mounts.len(), host.control_groups.len());
    if mounts + groups == 0 {
        return finding("leftovers", Severity::Ok, "no mounts, no control groups".to_owned());
    }
    let detach = host.mounts.iter().cloned().map(|path| Remedy::Detach { path });
    let remove = host.control_groups.iter().cloned();
    let remove = remove.map(|path| Remedy::RemoveControlGroup { path });
    let evidence = format!("{mounts} mounts and {groups} control groups of operations that ended");
    finding("leftovers", Severity::Warning, evidence)
        .advice("`ctrlz health --fix` removes them")
        .remedies(detach.chain(remove).collect())
}
