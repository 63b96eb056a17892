//! Looking at the host.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::health::{HostFacts, Pressure, Room};
use ctrlz_core::span::Span;
use rustix::time::{ClockId, clock_gettime};

/// What this host tells of itself, with the store in `store`.
pub(super) fn facts(store: &Path) -> HostFacts {
    let (disk, inodes) = file_system(store);
    HostFacts {
        disk,
        inodes,
        memory: memory(&text("/proc/meminfo")),
        pressure: Pressure {
            cpu: waiting(&text("/proc/pressure/cpu")),
            memory: waiting(&text("/proc/pressure/memory")),
            io: waiting(&text("/proc/pressure/io")),
        },
        load: text("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        open_files: open_files(&text("/proc/sys/fs/file-nr")),
        tasks: tasks(
            &text("/proc/loadavg"),
            &[text("/proc/sys/kernel/threads-max"), text("/proc/sys/kernel/pid_max")],
        ),
        asleep: asleep(),
        mounts: mounts(&text("/proc/self/mountinfo"), store),
        control_groups: ctrlz_isolation::native::abandoned_groups(),
    }
}

/// What one clock counts and the other does not (clock_gettime(2)).
fn asleep() -> Span {
    let read = |clock| {
        let now = clock_gettime(clock);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    };
    let awake = read(ClockId::Monotonic);
    Span(read(ClockId::Boottime).saturating_sub(awake))
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn file_system(store: &Path) -> (Option<Room>, Option<Room>) {
    let Ok(found) = rustix::fs::statvfs(store) else { return (None, None) };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    // What root has kept for itself is neither free nor used.
    let kept = found.f_bfree.saturating_sub(found.f_bavail);
    let total = bytes(found.f_blocks.saturating_sub(kept));
    (
        Some(Room { total, free: bytes(found.f_bavail) }),
        Some(Room { total: found.f_files, free: found.f_favail }),
    )
}

/// From `/proc/meminfo`.
fn memory(text: &str) -> Option<Room> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Room { total: field("MemTotal")?, free: field("MemAvailable")? })
}

/// From a file below `/proc/pressure`.
fn waiting(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split(' ').find_map(|field| field.strip_prefix("avg10=")?.parse().ok())
}

/// From `/proc/sys/fs/file-nr`: allocated, free of these, most.
fn open_files(text: &str) -> Option<Room> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let allocated = numbers.next()?.ok()?;
    let total = numbers.nth(1)?.ok()?;
    Some(Room { total, free: total.saturating_sub(allocated) })
}

/// From `/proc/loadavg`, where the fourth field is runnable/all, and the limits of the kernel.
fn tasks(load: &str, limits: &[String]) -> Option<Room> {
    let all: u64 = load.split(' ').nth(3)?.split_once('/')?.1.parse().ok()?;
    let total = limits.iter().filter_map(|limit| limit.trim().parse::<u64>().ok()).min()?;
    Some(Room { total, free: total.saturating_sub(all) })
}

/// The overlays below the heads of `store`, innermost first, so that they can be taken down in
/// that order. Anything else that is mounted in the store, somebody wanted there.
fn mounts(mountinfo: &str, store: &Path) -> Vec<PathBuf> {
    let heads = store.join("heads");
    let overlay = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let is_overlay = kind.split(' ').next() == Some("overlay");
        mount.split(' ').nth(4).filter(|_| is_overlay).map(unescaped)
    };
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(overlay)
        .filter(|point| point.starts_with(&heads) && *point != heads)
        .collect();
    found.reverse();
    found
}

/// A path of mountinfo, in which blanks and backslashes are octal numbers (proc(5)).
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|d| *first == b'\\' && d.iter().all(u8::is_ascii_digit));
        let number = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match number {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let meminfo =
            "MemTotal:       24683520 kB\nMemFree:         1 kB\nMemAvailable:  2048 kB\n";
        assert_eq!(memory(meminfo), Some(Room { total: 24_683_520 << 10, free: 2 << 20 }));
        assert_eq!(memory("MemTotal: 5 kB\n"), None);
        let pressure = "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00\n";
        assert_eq!(waiting(pressure), Some(12.34));
        assert_eq!(waiting(""), None);
        assert_eq!(open_files("1088\t0\t100\n"), Some(Room { total: 100, free: 0 }));
        assert_eq!(open_files(""), None);
        let limits = ["100\n".to_owned(), "90\n".to_owned()];
        let room = tasks("0.00 0.01 0.05 1/30 999\n", &limits);
        assert_eq!(room, Some(Room { total: 90, free: 60 }));
        assert_eq!(tasks("", &limits), None);
    }

    #[test]
    fn finds_the_mounts_in_the_store_innermost_first() {
        let mountinfo = "21 1 8:1 / / rw - ext4 /dev/sda rw\n\
            30 21 0:40 / /st\\040ore rw - tmpfs none rw\n\
            31 30 0:41 / /st\\040ore/heads/1 rw - overlay none rw\n\
            32 31 0:42 / /st\\040ore/heads/1/in rw - overlay none rw\n\
            33 21 0:43 / /st\\040orey/heads/1 rw - overlay none rw\n\
            34 21 8:2 / /st\\040ore/heads/2 rw - ext4 /dev/sdb rw\n\
            35 21 0:44 / /st\\040ore/layers/l rw - overlay none rw\n";
        let found = mounts(mountinfo, Path::new("/st ore"));
        assert_eq!(found, [Path::new("/st ore/heads/1/in"), Path::new("/st ore/heads/1")]);
    }

    #[test]
    fn this_host_is_looked_at() {
        let host = facts(Path::new("/"));
        assert!(host.disk.is_some() && host.memory.is_some() && host.processors > 0, "{host:?}");
    }
}
