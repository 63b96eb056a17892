//! A pid namespace for a command that another program runs.
//!
//! The command would be process 1 of one that such a program makes, and no signal ends a process 1 by
//! default. In the namespace of our process 1, it could signal the program. So it gets one whose process 1
//! does nothing but wait for orphans, and ends when the command does: then all ends that the command left
//! behind, and nobody waits for output that it could still write.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ctrlz_sys::clone::{Child, Namespaces, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, wait};

use super::hide::{Covers, KERNEL_FILES};
use super::mounts::{attach, new_filesystem, open_below};
use crate::native::delegate::Bundle;

/// Makes the namespace, mounts its `/proc` in `root`, with covers cut from `scratch`, and names it `link`. It is
/// gone when this process is.
pub(super) fn make(root: &OwnedFd, scratch: &OwnedFd, link: &Path) -> io::Result<Child> {
    let (ready, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    let namespaces = Namespaces { pid: true, ..Namespaces::default() };
    let child = spawn(namespaces, None, || match live(root, scratch, &tell) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(1),
    })?;
    drop(tell);
    let mut byte = [0];
    if rustix::io::read(&ready, &mut byte)? == 0 {
        return Err(io::Error::other("it ended before it was ready"));
    }
    std::os::unix::fs::symlink(format!("/proc/{}/ns/pid", child.pid), link)?;
    Ok(child)
}

fn live(root: &OwnedFd, scratch: &OwnedFd, tell: &OwnedFd) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let signals = ctrlz_sys::signal::take_all()?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let target = open_below(root, Path::new("proc"))?.ok_or(Errno::NOENT)?;
    attach(new_filesystem("proc", &[], attributes)?, target)?;
    let covers = Covers::new(scratch);
    for path in KERNEL_FILES.iter().filter(|path| path.starts_with("/proc")) {
        covers.cover(root.as_fd(), Path::new(path))?;
    }
    let notices = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let written = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO;
    let Bundle { directory, process, .. } = Bundle::new();
    inotify::add_watch(&notices, &directory, written)?;
    // Streams that it keeps would keep whoever reads them waiting.
    rustix::io::write(tell, &[1])?;
    ctrlz_sys::descriptors::keep_only(&[signals.as_fd(), notices.as_fd()])?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    let mut command = None;
    loop {
        let mut waiting = vec![PollFd::new(&signals, PollFlags::IN)];
        waiting.push(PollFd::new(command.as_ref().unwrap_or(&notices), PollFlags::IN));
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_told = waiting.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(waiting);
        while signals.receive()?.is_some() {}
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        match (is_told, &command) {
            (true, Some(_)) => return Ok(()),
            (true, None) => {
                let mut events = [0; 1024];
                let _ = rustix::io::read(&notices, &mut events)?;
                match begun(&process) {
                    Begun::NotYet => {}
                    Begun::Runs(process) => command = Some(process),
                    Begun::Ended => return Ok(()),
                }
            }
            (false, _) => {}
        }
    }
}

/// How far the command is.
enum Begun {
    NotYet,
    /// A descriptor of its process.
    Runs(OwnedFd),
    Ended,
}

/// Reads the file in which the program tells the command's process id, of the namespace of `/proc`.
fn begun(process: &Path) -> Begun {
    let Ok(text) = fs::read_to_string(process) else { return Begun::NotYet };
    let Ok(outer) = text.trim().parse::<u32>() else { return Begun::NotYet };
    let own = || -> Option<OwnedFd> {
        let status = fs::read_to_string(format!("/proc/{outer}/status")).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let id = ids.split_ascii_whitespace().next_back()?.parse().ok()?;
        pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()
    };
    own().map_or(Begun::Ended, Begun::Runs)
}
