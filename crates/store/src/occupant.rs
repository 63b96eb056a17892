//! The process that works in a locked sandbox, noted in the second line of the lock file.
//!
//! It outlives a killed launcher, whose lock is gone by then, by a moment in which it still writes.
//! So whoever gets the lock next waits for its end.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Where the line begins: behind the holder's process id and the end of its line.
const LINE: u64 = 11;

/// How long a process that is being killed may take before someone is told that it is waited for.
const DYING: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Writes the line.
pub(crate) fn note(file: &File, pid: u32, process: BorrowedFd<'_>) -> io::Result<()> {
    let identity = identity(pid, process)?;
    let boot = boot();
    file.write_all_at(format!("{pid:<10} {identity:<20} {boot:<36}\n").as_bytes(), LINE)
}

/// Waits for the end of the noted process, if it still lives. `Err` has its id when `waiting`,
/// asked with that id once this takes long, answered false.
pub(crate) fn wait_for_end(
    file: &File,
    waiting: &mut dyn FnMut(u32) -> bool,
) -> Result<Result<(), u32>, Errno> {
    let Some((pid, process)) = noted(file) else { return Ok(Ok(())) };
    if ends_within(&process, Some(DYING))? {
        return Ok(Ok(()));
    }
    if !waiting(pid) {
        return Ok(Err(pid));
    }
    ends_within(&process, None).map(|_| Ok(()))
}

/// The noted process, when it lives and has not ended yet.
pub(crate) fn alive(file: &File) -> Option<(u32, OwnedFd)> {
    const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    noted(file).filter(|(_, process)| !ends_within(process, Some(NOW)).unwrap_or_default())
}

/// The noted process, when it lives.
fn noted(file: &File) -> Option<(u32, OwnedFd)> {
    let mut text = [0; 80];
    let read = file.read_at(&mut text, LINE).ok()?;
    let mut fields = std::str::from_utf8(text.get(..read)?).ok()?.split_whitespace();
    let pid: u32 = fields.next()?.parse().ok()?;
    let noted: u64 = fields.next()?.parse().ok()?;
    if fields.next().is_some_and(|noted| noted != boot()) {
        return None;
    }
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let process = pidfd_open(raw, PidfdFlags::empty()).ok()?;
    (identity(pid, process.as_fd()).ok()? == noted).then_some((pid, process))
}

/// The running kernel's boot id: after a start of the machine both numbers of a process may come
/// again, and come in the same order.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

/// What tells a process apart from later ones with its id while the machine runs. Since Linux 6.9 that is the inode of
/// its descriptor, before that its start time (proc_pid_stat(5)).
fn identity(pid: u32, process: BorrowedFd<'_>) -> io::Result<u64> {
    /// `PIDFS_MAGIC` in linux/magic.h.
    const PIDFS: u64 = 0x5049_4446;
    if rustix::fs::fstatfs(process)?.f_type as u64 == PIDFS {
        return Ok(rustix::fs::fstat(process)?.st_ino);
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field may hold anything, and ends with the last parenthesis.
    text.rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(19))
        .and_then(|ticks| ticks.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no start time")))
}

/// Waits for the end of a process, which process 1 of a namespace reaches after all others in it.
fn ends_within(process: &OwnedFd, timeout: Option<Timespec>) -> Result<bool, Errno> {
    let mut end = [PollFd::new(process, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut end, timeout.as_ref())).map(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_there_before_the_machine_started_anew_is_gone() {
        let file = tempfile::tempfile().expect("a file");
        let own = std::process::id();
        let raw = Pid::from_raw(i32::try_from(own).expect("an id")).expect("an id");
        let process = pidfd_open(raw, PidfdFlags::empty()).expect("a descriptor");
        note(&file, own, process.as_fd()).expect("noted");
        assert_eq!(alive(&file).map(|(pid, _)| pid), Some(own));
        let boot = boot();
        assert_eq!(boot.len(), 36, "{boot}");
        let mut text = vec![0; 80];
        let read = file.read_at(&mut text, 0).expect("read");
        text.truncate(read);
        let line = String::from_utf8_lossy(&text).into_owned();
        let other = line.replace(boot, &boot.replace(|c: char| c.is_ascii_digit(), "f"));
        assert_ne!(other, line);
        file.write_all_at(other.as_bytes(), 0).expect("write");
        assert!(alive(&file).is_none());
        // As it was written before boots were noted.
        let (before, _) = line.split_once(boot).expect("the boot");
        file.set_len(0).expect("empty");
        file.write_all_at(format!("{before}\n").as_bytes(), 0).expect("write");
        assert_eq!(alive(&file).map(|(pid, _)| pid), Some(own));
    }
}
