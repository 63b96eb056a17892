//! What is measured: memory, descriptors, disk, and what is left over.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Answer, Failure};

/// One number over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) start: u64,
    pub(super) peak: u64,
    pub(super) end: u64,
    seen: bool,
}

impl Course {
    pub(super) fn add(&mut self, value: u64) {
        if !self.seen {
            (self.start, self.seen) = (value, true);
        }
        self.peak = self.peak.max(value);
        self.end = value;
    }
}

/// What a store takes on its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes of the databases: the journal and the event log, which retention does not shorten.
    pub(super) database: u64,
    /// Bytes of everything else.
    pub(super) files: u64,
    /// Inodes.
    pub(super) inodes: u64,
}

/// Numbers over time.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Resident memory of the daemon, in KiB.
    pub(super) memory: Course,
    /// Its open descriptors.
    pub(super) descriptors: Course,
    /// Its threads.
    pub(super) threads: Course,
    pub(super) database: Course,
    pub(super) files: Course,
    pub(super) inodes: Course,
}

impl Numbers {
    pub(super) fn add_daemon(&mut self, pid: u32) {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) else { return };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        };
        // Between its death and the wait for it, it has none of them.
        let (Some(memory), Some(threads)) = (field("VmRSS:"), field("Threads:")) else { return };
        let Ok(list) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
        self.memory.add(memory);
        self.threads.add(threads);
        self.descriptors.add(list.count() as u64);
    }

    pub(super) fn add_store(&mut self, store: &Path) {
        let size = size(store);
        self.database.add(size.database);
        self.files.add(size.files);
        self.inodes.add(size.inodes);
    }
}

/// What `store` takes now; what goes meanwhile is passed over.
pub(super) fn size(store: &Path) -> Size {
    let mut size = Size::default();
    add(store, &mut size);
    size
}

fn add(folder: &Path, size: &mut Size) {
    let Ok(list) = fs::read_dir(folder) else { return };
    for entry in list.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let bytes = found.blocks() * 512;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_database = name.starts_with("store.db") || name.starts_with("monitor.db");
        if is_database {
            size.database += bytes
        } else {
            size.files += bytes
        }
        size.inodes += 1;
        if found.is_dir() {
            add(&entry.path(), size);
        }
    }
}

/// What is left over of ended operations: mounts below the store, and processes that know of it.
pub(super) fn leftovers(store: &Path) -> Vec<String> {
    let own = store.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounted = mounts.lines().filter(|line| line.contains(&*own));
    let mut found: Vec<String> = mounted.map(|line| format!("mount {line}")).collect();
    let me = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let holds = |file: &str| {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(&*own)
        };
        if pid != me && (holds("environ") || holds("cmdline") || holds("mountinfo")) {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(format!("process {pid}: {command}"));
        }
    }
    found
}

/// Whether a process blocks SIGTERM, to take it when it comes, as the daemon does once it runs.
pub(super) fn takes_signals(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = text.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    blocked.is_some_and(|mask| mask & (1 << 14) != 0)
}

/// Waits until something holds, for at most a minute.
pub(super) fn until(holds: impl FnMut() -> bool) -> Answer {
    until_within(Duration::from_secs(60), holds)
}

/// Waits until something holds, for that time at most, and looks three thousand times in it.
pub(super) fn until_within(most: Duration, mut holds: impl FnMut() -> bool) -> Answer {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > most {
            let seconds = most.as_secs();
            return Err(Failure::told(format!("it does not come to an end within {seconds} s")));
        }
        thread::sleep(most / 3000);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_knows_its_start_peak_and_end() {
        let mut course = Course::default();
        for value in [3, 1, 7, 2] {
            course.add(value);
        }
        assert_eq!((course.start, course.peak, course.end), (3, 7, 2));
    }

    #[test]
    fn a_store_is_measured_by_what_it_is_made_of() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store.db"), [1; 5000]).unwrap();
        fs::create_dir(folder.path().join("layers")).unwrap();
        fs::write(folder.path().join("layers/one"), [1; 5000]).unwrap();
        let size = size(folder.path());
        assert_eq!(size.inodes, 3);
        assert!(size.database >= 5000 && size.files >= 5000, "{size:?}");
    }

    #[test]
    fn a_process_that_knows_of_a_store_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("CTRLZ_HOME", folder.path())
            .spawn()
            .unwrap();
        let is_sleep = |one: &String| one.contains("sleep 60");
        // What a process was given shows a moment after it was started.
        let found = until(|| leftovers(folder.path()).iter().any(is_sleep));
        child.kill().unwrap();
        child.wait().unwrap();
        found.unwrap();
        assert_eq!(leftovers(folder.path()), Vec::<String>::new());
    }
}
