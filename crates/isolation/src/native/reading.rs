//! What a running sandbox uses, asked from outside: of its control groups where it has any, else of
//! the processes that descend from its process 1.
//!
//! The sum of a counter over all living processes, each with the children that it waited for, never
//! loses what an ended process used: whoever waits for it takes that over, and process 1 waits for
//! the orphans (getrusage(2), proc_pid_io(5)).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::isolation::Network;
use ctrlz_core::monitor::Reading;
use ctrlz_core::span::Span;
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use super::cgroup::{Controller, group_of};
use super::{descendants, inside};

/// Reads it; `None` when there is no such process.
pub(super) fn of(process_1: u32) -> Option<Reading> {
    let root = Pid::from_raw(i32::try_from(process_1).ok()?)?;
    let processes = descendants::of(root);
    let stats: Vec<Stat> = processes.iter().filter_map(|pid| Stat::of(*pid)).collect();
    stats.first().filter(|stat| !stat.ended)?;
    // The command is the first child of process 1, which may have waited for it for long.
    let since = |stat: &Stat| since_boot().saturating_sub(duration(stat.started));
    let inner = processes.get(1..).unwrap_or_default();
    let io: Vec<Io> = processes.iter().filter_map(|pid| Io::of(*pid)).collect();
    // Process 1 hides itself from an ordinary user. Nobody inside can get another network.
    let net = processes.iter().find_map(|pid| OwnNetwork::of(*pid)).flatten();
    let group = Groups::of(process_1);
    let ticks = stats.iter().fold(0, |sum: u64, stat| sum.saturating_add(stat.cpu_ticks));
    Some(Reading {
        elapsed: Span(stats.get(1).map(since).unwrap_or_default()),
        cpu: Span(group.cpu().unwrap_or_else(|| duration(ticks))),
        memory: group.memory().unwrap_or_else(|| descendants::memory(&processes, 0)),
        processes: stats.iter().skip(1).filter(|stat| !stat.ended).count() as u64,
        open_files: inner.iter().map(|pid| open_files(*pid)).sum(),
        read: sum(io.iter().map(|io| io.read)),
        written: sum(io.iter().map(|io| io.written)),
        received: net.as_ref().map(|net| net.received),
        sent: net.as_ref().map(|net| net.sent),
        network_attempts: net.as_ref().map(|net| net.attempts),
    })
}

/// The network of a sandbox; `None` when none of its processes may be asked.
pub(super) fn network_of(process_1: u32) -> Option<Network> {
    let root = Pid::from_raw(i32::try_from(process_1).ok()?)?;
    let shared = |pid: &i32| is_our_network(&PathBuf::from(format!("/proc/{pid}")));
    let is_shared = descendants::of(root).iter().find_map(shared)?;
    Some(if is_shared { Network::Host } else { Network::None })
}

/// Whether the process of a folder of /proc is in this process's network; `None` when that may not
/// be asked.
fn is_our_network(folder: &Path) -> Option<bool> {
    let namespace = |folder: &Path| fs::read_link(folder.join("ns/net")).ok();
    Some(namespace(folder)? == namespace(Path::new("/proc/self"))?)
}

/// `None` of nothing: then nobody told.
fn sum(amounts: impl Iterator<Item = u64>) -> Option<u64> {
    amounts.fold(None, |sum, amount| Some(sum.unwrap_or(0_u64).saturating_add(amount)))
}

/// The control groups that were made for one sandbox.
struct Groups {
    memory: Option<(u8, PathBuf)>,
    cpu: Option<(u8, PathBuf)>,
}

impl Groups {
    fn of(process_1: u32) -> Self {
        let find = |controller| group_of(process_1, controller);
        Self { memory: find(Controller::Memory), cpu: find(Controller::Cpu) }
    }

    /// Memory that is not of files on a disk.
    fn memory(&self) -> Option<u64> {
        let (version, directory) = self.memory.as_ref()?;
        let text = fs::read_to_string(directory.join("memory.stat")).ok()?;
        let names = if *version == 1 { ["total_rss", "total_shmem"] } else { ["anon", "shmem"] };
        let amounts = names.map(|name| counter(&text, name));
        // Shared memory is not told apart by every kernel of version 1.
        Some(amounts[0]?.saturating_add(amounts[1].unwrap_or(0)))
    }

    fn cpu(&self) -> Option<Duration> {
        let (version, directory) = self.cpu.as_ref()?;
        if *version == 1 {
            // Only where both controllers are one hierarchy.
            let text = fs::read_to_string(directory.join("cpuacct.usage")).ok()?;
            return Some(Duration::from_nanos(text.trim().parse().ok()?));
        }
        let text = fs::read_to_string(directory.join("cpu.stat")).ok()?;
        Some(Duration::from_micros(counter(&text, "usage_usec")?))
    }
}

/// A name and a number on each line.
fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .find(|(candidate, _)| candidate.trim_end_matches(':') == name)
        .and_then(|(_, number)| number.trim().parse().ok())
}

/// Of proc_pid_stat(5).
struct Stat {
    ended: bool,
    cpu_ticks: u64,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field may hold anything, and ends with the last parenthesis.
        let fields: Vec<&str> = text.rsplit(')').next()?.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        Some(Self {
            ended: matches!(fields.first(), Some(&("Z" | "X"))),
            // Own time, and that of children that were waited for.
            cpu_ticks: (11..15).filter_map(number).fold(0, u64::saturating_add),
            started: number(19)?,
        })
    }
}

fn duration(ticks: u64) -> Duration {
    let frequency = rustix::param::clock_ticks_per_second().max(1);
    let rest = ticks % frequency * 1_000_000_000 / frequency;
    Duration::new(ticks / frequency, u32::try_from(rest).unwrap_or(0))
}

/// The clock in which the kernel tells when a process began.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Of proc_pid_io(5).
struct Io {
    read: u64,
    written: u64,
}

impl Io {
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        Some(Self { read: counter(&text, "read_bytes")?, written: counter(&text, "write_bytes")? })
    }
}

fn open_files(pid: i32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// A network that only this sandbox uses.
struct OwnNetwork {
    received: u64,
    sent: u64,
    attempts: u64,
}

impl OwnNetwork {
    /// The network of a process; `None` when that may not be asked. `Some(None)` when it is this
    /// process's: whose traffic that is, nobody tells.
    fn of(pid: i32) -> Option<Option<Self>> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        if is_our_network(&folder)? {
            return Some(None);
        }
        let text = fs::read_to_string(folder.join("net/dev")).ok()?;
        let (received, sent) = traffic(&text);
        let attempts = u64::from(inside::network_attempts(&folder));
        Some(Some(Self { received, sent, attempts }))
    }
}

/// Bytes in and out over all interfaces of proc_pid_net(5), `dev`.
fn traffic(text: &str) -> (u64, u64) {
    let rows = text.lines().filter_map(|line| line.split_once(':'));
    rows.fold((0, 0), |(received, sent), (_, numbers)| {
        let mut numbers = numbers.split_ascii_whitespace().map(|n| n.parse::<u64>().unwrap_or(0));
        let (in_, out) = (numbers.next().unwrap_or(0), numbers.nth(7).unwrap_or(0));
        (received.saturating_add(in_), sent.saturating_add(out))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let spinning = std::time::Instant::now();
        while spinning.elapsed() < Duration::from_millis(30) {}
        let reading = of(std::process::id()).expect("this process lives");
        assert!(reading.memory > 0 && reading.cpu.0 > Duration::ZERO, "{reading:?}");
        assert_eq!(reading.received, None, "the network is not its own");
        assert_eq!(of(u32::MAX), None);
    }

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let folder = std::env::temp_dir().join(format!("ctrlz-groups-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("create");
        for (file, text) in [
            ("memory.stat", "anon 5\nfile 900\nshmem 7\ntotal_rss 50\ntotal_shmem 70\n"),
            ("cpu.stat", "usage_usec 2000\nuser_usec 1\n"),
            ("cpuacct.usage", "3000000\n"),
        ] {
            fs::write(folder.join(file), text).expect("write");
        }
        let read = |version| {
            let group = Some((version, folder.clone()));
            let groups = Groups { memory: group.clone(), cpu: group };
            (groups.memory(), groups.cpu())
        };
        assert_eq!(read(1), (Some(120), Some(Duration::from_millis(3))));
        assert_eq!(read(2), (Some(12), Some(Duration::from_millis(2))));
        fs::remove_dir_all(&folder).expect("remove");
        // A group that does not tell is no group.
        assert_eq!(read(2), (None, None));
    }

    #[test]
    fn a_name_may_hold_parentheses() {
        let text = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 10 20 30 40 20 0 1 0 500 0";
        let stat = Stat::parse(text).expect("a line of the kernel");
        assert_eq!((stat.cpu_ticks, stat.started, stat.ended), (100, 500, false));
        assert!(
            Stat::parse("7 (a) Z 1 1 1 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 5 0").expect("one").ended
        );
        assert!(Stat::parse("7 (a").is_none());
    }

    #[test]
    fn finds_counters_and_traffic() {
        assert_eq!(counter("anon 5\nshmem 7\n", "shmem"), Some(7));
        assert_eq!(counter("rchar: 5\nread_bytes: 7\n", "read_bytes"), Some(7));
        assert_eq!(counter("anon x\n", "anon"), None);
        let text = "Inter-|   Receive\n face |bytes\n    lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  \
                    eth0: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(text), (15, 26));
    }
}
