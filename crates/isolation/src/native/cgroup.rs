//! cgroups for one operation: cgroups(7), version 2 where its controllers are delegated, version 1
//! where they are writable.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ctrlz_core::limits::Limits;
use rustix::process::Pid;

/// A controller that holds one of our limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    fn is_wanted(self, limits: &Limits) -> bool {
        match self {
            Self::Memory => limits.memory.is_some(),
            Self::Cpu => limits.cpus.is_some(),
            Self::Pids => limits.pids.is_some(),
        }
    }
}

/// How the names of groups begin that are made for an operation.
const PREFIX: &str = "ctrlz-";

/// Where a child group can be made for a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: u8,
    /// This process's own group.
    pub(super) parent: PathBuf,
}

/// Finds a writable group for `controller`: this process's own.
pub(super) fn place_for(controller: Controller) -> Option<Place> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let v1 = membership.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|c| c == controller.name()).then_some(path)
    });
    let place = match v1 {
        Some(path) => {
            Place { version: 1, parent: below_mount(&mounts, Some(controller.name()), path)? }
        }
        None => {
            let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
            let parent = below_mount(&mounts, None, path)?;
            let delegated = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
            delegated.split_whitespace().any(|c| c == controller.name()).then_some(())?;
            Place { version: 2, parent }
        }
    };
    let writable = rustix::fs::access(&place.parent, rustix::fs::Access::WRITE_OK).is_ok();
    writable.then_some(place)
}

/// The groups of `process` that can be frozen and are writable, the better one first: what version 2
/// froze can still be killed.
pub(super) fn freezers(process: u32) -> Vec<Place> {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let membership = text(&format!("/proc/{process}/cgroup"));
    let mounts = text("/proc/self/mountinfo");
    let v2 = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let v2 = v2.and_then(|path| below_mount(&mounts, None, path));
    let v1 = membership.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|c| c == "freezer").then_some(path)
    });
    let v1 = v1.and_then(|path| below_mount(&mounts, Some("freezer"), path));
    let places = [(2, v2), (1, v1)].into_iter();
    places
        .filter_map(|(version, parent)| Some(Place { version, parent: parent? }))
        .filter(|place| rustix::fs::access(&place.parent, rustix::fs::Access::WRITE_OK).is_ok())
        .collect()
}

/// The directory of the group `path` in the hierarchy of `controller` (version 2 when `None`).
fn below_mount(mounts: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let kind = right.next()?;
        let matches = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && right.nth(1)?.split(',').any(|option| option == name),
        };
        let relative = Path::new(path).strip_prefix(root).ok()?;
        matches.then(|| Path::new(point).join(relative))
    })
}

/// The group of a process in the hierarchy of `controller`, with the version of that, when it is one
/// that was made for an operation.
pub(super) fn group_of(pid: u32, controller: Controller) -> Option<(u8, PathBuf)> {
    membership(pid, controller).filter(|(_, path)| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
    })
}

/// The group of a process in the hierarchy of `controller`, with the version of that.
fn membership(pid: u32, controller: Controller) -> Option<(u8, PathBuf)> {
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let (version, path) = membership.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        if controllers.split(',').any(|c| c == controller.name()) {
            return Some((1, path));
        }
        controllers.is_empty().then_some((2, path))
    })?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let name = (version == 1).then(|| controller.name());
    Some((version, below_mount(&mounts, name, path)?))
}

/// The groups of one operation. They are removed when this is dropped, after the last process is
/// gone.
#[derive(Debug, Default)]
pub(super) struct Groups {
    directories: Vec<(u8, Controller, PathBuf)>,
    /// Somebody else made them, and removes them.
    are_foreign: bool,
}

impl Groups {
    /// Makes groups for those of `limits` that a cgroup can hold here.
    ///
    /// `own_processes` of theirs are not the user's: process 1, and what makes a container.
    pub(super) fn make(limits: &Limits, own_processes: u32) -> io::Result<Self> {
        let mut groups = Self::default();
        for controller in Controller::ALL.into_iter().filter(|c| c.is_wanted(limits)) {
            let Some(place) = place_for(controller) else { continue };
            let name = format!("{PREFIX}{}", std::process::id());
            let directory = place.parent.join(name);
            match fs::create_dir(&directory) {
                Ok(()) => {}
                // In version 2 one group serves all controllers; and a dead process of the same
                // id may have left one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            groups.directories.push((place.version, controller, directory.clone()));
            set(&directory, place.version, controller, (limits, own_processes))?;
        }
        Ok(groups)
    }

    /// The groups that a process is in, made by whoever started it.
    pub(super) fn of_process(pid: Pid) -> Self {
        let find = |controller: Controller| {
            let (version, path) =
                membership(pid.as_raw_nonzero().get().unsigned_abs(), controller)?;
            Some((version, controller, path))
        };
        Self {
            directories: Controller::ALL.into_iter().filter_map(find).collect(),
            are_foreign: true,
        }
    }

    /// Those of this process, whoever made them, for what is demanded by `limits`: they hold it.
    pub(super) fn given(limits: &Limits) -> Self {
        let mut groups = Self::of_process(rustix::process::getpid());
        groups.directories.retain(|(_, controller, _)| controller.is_wanted(limits));
        groups
    }

    /// The value of a file of the group of `controller`, as its first word.
    pub(super) fn value(&self, controller: Controller, names: [&str; 2]) -> Option<String> {
        let (version, _, directory) = self.directories.iter().find(|(_, c, _)| *c == controller)?;
        let [first, second] = names;
        let name = if *version == 1 { first } else { second };
        let text = fs::read_to_string(directory.join(name)).ok()?;
        Some(text.trim().to_owned())
    }

    /// From now on only `own_processes` are not the user's.
    pub(super) fn settle(&self, limits: &Limits, own_processes: u32) -> io::Result<()> {
        let pids = self.directories.iter().filter(|(_, kind, _)| *kind == Controller::Pids);
        pids.into_iter().try_for_each(|(version, kind, directory)| {
            set(directory, *version, *kind, (limits, own_processes))
        })
    }

    /// Whether `controller` holds its limit by a group.
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.directories.iter().any(|(_, c, _)| *c == controller)
    }

    /// Puts a process into all groups.
    pub(super) fn add(&self, pid: Pid) -> io::Result<()> {
        if self.are_foreign {
            // A child of whom they are given to is in them.
            return Ok(());
        }
        for (_, _, directory) in &self.directories {
            fs::write(directory.join("cgroup.procs"), pid.as_raw_nonzero().to_string())?;
        }
        Ok(())
    }

    /// Whether the kernel ended a process here because memory ran out.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.directories.iter().any(|(version, controller, directory)| {
            let file = match (version, controller) {
                (1, Controller::Memory) => "memory.oom_control",
                (_, Controller::Memory) => "memory.events",
                _ => return false,
            };
            let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
            text.lines()
                .any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        if self.are_foreign {
            return;
        }
        for (_, _, directory) in &self.directories {
            // A process that is just dying may hold it for a moment.
            for _ in 0..50 {
                match fs::remove_dir(directory) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// The groups of operations whose launcher is gone, and in which nothing runs.
#[must_use]
pub fn abandoned_groups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let limits = Controller::ALL.into_iter().filter_map(place_for);
    for place in limits.chain(freezers(std::process::id())) {
        let Ok(entries) = fs::read_dir(&place.parent) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(pid) = name.strip_prefix(PREFIX).and_then(|pid| pid.parse::<u32>().ok())
            else {
                continue;
            };
            let gone = !Path::new("/proc").join(pid.to_string()).exists();
            let empty =
                fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|list| list.is_empty());
            if gone && empty && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

fn set(
    directory: &Path,
    version: u8,
    controller: Controller,
    (limits, own_processes): (&Limits, u32),
) -> io::Result<()> {
    let write = |file: &str, value: String| fs::write(directory.join(file), value);
    match (version, controller) {
        (1, Controller::Memory) => {
            let bytes = limits.memory.unwrap_or_default().0;
            write("memory.limit_in_bytes", bytes.to_string())?;
            // Absent without swap accounting; then there is no swap to count either.
            let _ = write("memory.memsw.limit_in_bytes", bytes.to_string());
            Ok(())
        }
        (_, Controller::Memory) => {
            let _ = write("memory.swap.max", "0".into());
            write("memory.max", limits.memory.unwrap_or_default().0.to_string())
        }
        (1, Controller::Cpu) => {
            write("cpu.cfs_period_us", PERIOD.to_string())?;
            write("cpu.cfs_quota_us", quota(limits).to_string())
        }
        (_, Controller::Cpu) => write("cpu.max", format!("{} {PERIOD}", quota(limits))),
        (_, Controller::Pids) => {
            let most = u64::from(limits.pids.unwrap_or_default()) + u64::from(own_processes);
            write("pids.max", most.to_string())
        }
    }
}

/// Microseconds; the kernel's default.
const PERIOD: u64 = 100_000;

fn quota(limits: &Limits) -> u64 {
    // The kernel takes no quota below one millisecond.
    ((limits.cpus.unwrap_or(1.0) * PERIOD as f64) as u64).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_group_below_its_mount() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      32 25 0:28 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        let find = |controller, path| below_mount(mounts, controller, path);
        assert_eq!(find(Some("memory"), "/a"), Some("/sys/fs/cgroup/memory/a".into()));
        assert_eq!(find(None, "/"), Some("/sys/fs/cgroup/unified/".into()));
        assert_eq!(find(Some("pids"), "/docker/abc/x"), Some("/sys/fs/cgroup/pids/x".into()));
        assert_eq!(find(Some("pids"), "/other"), None);
        assert_eq!(find(Some("cpu"), "/"), None);
    }
}
