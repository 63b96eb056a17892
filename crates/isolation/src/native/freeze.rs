//! Freezing what runs in a sandbox: by a cgroup where one is writable (cgroup-v2's `cgroup.freeze`,
//! else version 1's freezer), else by `SIGSTOP` to each process.
//!
//! How a sandbox is frozen is not noted anywhere: its process 1 tells it, by the group that it is in
//! and by its state, so that this stays true after a crash.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, pidfd_send_signal};

use super::cgroup::{self, Place};
use super::descendants;

/// How long the kernel may take to freeze.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// Freezes `root` and all its descendants; answers how.
pub(super) fn freeze(root: u32) -> io::Result<String> {
    let pid = pid(root)?;
    match Group::for_freezing(root)? {
        Some(group) => {
            let done = group.freeze(pid);
            if done.is_err() {
                let _ = group.thaw();
            }
            done.map(|()| format!("cgroup v{}", group.place.version))
        }
        None => {
            let done = stop_all(pid);
            if done.is_err() {
                continue_all(pid, &[]);
            }
            done.map(|()| "SIGSTOP".to_owned())
        }
    }
}

/// Lets them go on.
pub(super) fn thaw(root: u32, stay_stopped: &[u32]) -> io::Result<()> {
    let pid = pid(root)?;
    if let Some(group) = Group::of(root) {
        group.thaw()?;
    }
    match state(pid) {
        Some('T' | 't') => continue_all(pid, stay_stopped),
        Some(_) => {}
        // It is gone; the group in which it was may have stayed.
        None => {
            for place in cgroup::freezers(std::process::id()) {
                let _ = fs::remove_dir(place.parent.join(own_name(root)));
            }
        }
    }
    Ok(())
}

/// Whether they are frozen, or about to be: from then on they do nothing but die.
pub(super) fn is_frozen(root: u32) -> bool {
    let Ok(pid) = pid(root) else { return false };
    Group::of(root).is_some_and(|group| group.is_asked_to_freeze()) || is_stopped(pid)
}

/// Those that are stopped by a signal.
pub(super) fn stopped(root: u32) -> Vec<u32> {
    let Ok(root) = pid(root) else { return Vec::new() };
    let all = descendants::of(root).into_iter().filter_map(Pid::from_raw);
    all.filter(|pid| is_stopped(*pid)).map(number).collect()
}

/// Ends them, frozen or not. What version 1 froze dies when it is thawed.
pub(super) fn end(root: u32, process: BorrowedFd<'_>) -> io::Result<()> {
    let group = Group::of(root);
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    if let Some(group) = &group {
        let word = if group.place.version == 2 { "0" } else { "THAWED" };
        let _ = fs::write(group.state_file(), word);
    }
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    if rustix::io::retry_on_intr(|| poll(&mut ended, Some(&patience)))? == 0 {
        return Err(io::Error::other("it does not end, although it was killed"));
    }
    remove_group(group.as_ref());
    Ok(())
}

/// Removes the group in which `root` was frozen, once it is empty.
fn remove_group(group: Option<&Group>) {
    let Some(group) = group.filter(|group| group.is_own) else { return };
    let begun = Instant::now();
    while let Err(error) = fs::remove_dir(&group.directory) {
        let busy = error.kind() == io::ErrorKind::ResourceBusy;
        if !busy || begun.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// A group that is frozen as a whole.
#[derive(Debug)]
struct Group {
    place: Place,
    directory: PathBuf,
    /// It was made for freezing, and not for a limit.
    is_own: bool,
}

impl Group {
    /// The group in which `root` is to be frozen.
    fn for_freezing(root: u32) -> io::Result<Option<Self>> {
        for place in cgroup::freezers(root) {
            let name = place.parent.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A group that was made for a limit holds this sandbox and nothing else.
            if is_ours(&name) {
                let directory = place.parent.clone();
                let is_own = name == own_name(root);
                return Ok(Some(Self { place, directory, is_own }));
            }
            let directory = place.parent.join(own_name(root));
            match fs::create_dir(&directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Not everything that looks writable is.
                Err(_) => continue,
            }
            return Ok(Some(Self { place, directory, is_own: true }));
        }
        Ok(None)
    }

    /// The group in which `root` is, when that can freeze it alone.
    fn of(root: u32) -> Option<Self> {
        cgroup::freezers(root).into_iter().find_map(|place| {
            let name = place.parent.file_name()?.to_string_lossy().into_owned();
            let directory = place.parent.clone();
            let group = Self { place, directory, is_own: name == own_name(root) };
            (is_ours(&name) && (group.is_own || group.is_asked_to_freeze())).then_some(group)
        })
    }

    fn state_file(&self) -> PathBuf {
        let file = if self.place.version == 2 { "cgroup.freeze" } else { "freezer.state" };
        self.directory.join(file)
    }

    fn is_asked_to_freeze(&self) -> bool {
        let text = fs::read_to_string(self.state_file()).unwrap_or_default();
        matches!(text.trim(), "1" | "FREEZING" | "FROZEN")
    }

    fn is_frozen(&self) -> bool {
        if self.place.version == 2 {
            let text = fs::read_to_string(self.directory.join("cgroup.events"));
            return text.unwrap_or_default().lines().any(|line| line == "frozen 1");
        }
        fs::read_to_string(self.state_file()).unwrap_or_default().trim() == "FROZEN"
    }

    /// First the group is frozen, then filled: who enters stops at once and has no more children.
    fn freeze(&self, root: Pid) -> io::Result<()> {
        let word = if self.place.version == 2 { "1" } else { "FROZEN" };
        fs::write(self.state_file(), word)?;
        let begun = Instant::now();
        loop {
            let members = self.members();
            let mut outside = 0;
            for pid in descendants::of(root).into_iter().filter(|pid| !members.contains(pid)) {
                // A zombie is in no group that could be seen, and does nothing.
                if Pid::from_raw(pid).is_none_or(|pid| matches!(state(pid), None | Some('Z' | 'X')))
                {
                    continue;
                }
                outside += 1;
                enter(&self.directory, pid)?;
            }
            if outside == 0 && self.is_frozen() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("the kernel did not freeze it in time"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn thaw(&self) -> io::Result<()> {
        let word = if self.place.version == 2 { "0" } else { "THAWED" };
        fs::write(self.state_file(), word)?;
        let Some(above) = self.directory.parent().filter(|_| self.is_own) else { return Ok(()) };
        let begun = Instant::now();
        loop {
            let members = self.members();
            if members.is_empty() || begun.elapsed() > PATIENCE {
                break;
            }
            for pid in members {
                enter(above, pid)?;
            }
        }
        remove_group(Some(self));
        Ok(())
    }
}

fn own_name(root: u32) -> String {
    format!("ctrlz-{root}")
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix("ctrlz-").is_some_and(|pid| pid.parse::<u32>().is_ok())
}

/// One that is gone meanwhile need not be moved.
fn enter(group: &Path, pid: i32) -> io::Result<()> {
    match fs::write(group.join("cgroup.procs"), pid.to_string()) {
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        done => done,
    }
}

/// Process 1 first, which would take the stop of another for the command's own.
fn stop_all(root: Pid) -> io::Result<()> {
    let begun = Instant::now();
    let mut told = HashSet::new();
    loop {
        let running: Vec<Pid> = descendants::of(root)
            .into_iter()
            .filter_map(Pid::from_raw)
            .filter(|pid| !is_still(*pid, told.contains(pid)))
            .collect();
        if running.is_empty() {
            return Ok(());
        }
        for pid in running {
            match kill_process(pid, Signal::STOP) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
            told.insert(pid);
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("a process does not stop"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The youngest first: whoever waits for a child finds it going on.
fn continue_all(root: Pid, stay_stopped: &[u32]) {
    for pid in descendants::of(root).into_iter().rev().filter_map(Pid::from_raw) {
        if !stay_stopped.contains(&number(pid)) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

fn pid(number: u32) -> io::Result<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw).ok_or_else(|| Errno::SRCH.into())
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// The letter of proc_pid_stat(5).
fn state(pid: Pid) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit(')').next()?.trim_start().chars().next()
}

fn is_stopped(pid: Pid) -> bool {
    matches!(state(pid), Some('T' | 't'))
}

/// Whether it is stopped or has ended. Who was told to stop while it waits in the kernel, as the
/// parent of a vfork(2) does for its child, does nothing more before it stops.
fn is_still(pid: Pid, was_told: bool) -> bool {
    match state(pid) {
        None | Some('T' | 't' | 'Z' | 'X') => true,
        Some('D') => was_told,
        Some(_) => false,
    }
}
