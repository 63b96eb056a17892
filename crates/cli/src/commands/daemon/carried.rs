//! What a task has another process of ctrlz do.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, kill_process};

/// How much of what it says is told.
const MOST: usize = 4096;

/// A process at work, and what it says: in memory, so that it can say it when nobody listens any more.
pub(super) struct CarriedOut {
    child: Child,
    said: File,
}

impl CarriedOut {
    /// Starts ctrlz with those arguments, in the root directory.
    pub(super) fn start(arguments: &[String]) -> io::Result<Self> {
        let said = File::from(rustix::fs::memfd_create("ctrlz-carried-out", MemfdFlags::CLOEXEC)?);
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ctrlz").args(arguments).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
        Ok(Self { child: command.spawn()?, said })
    }

    /// How it ended, once it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What it said on standard error, from the beginning.
    pub(super) fn said(&self) -> String {
        let mut told = vec![0; MOST];
        let read = self.said.read_at(&mut told, 0).unwrap_or(0);
        told.truncate(read);
        String::from_utf8_lossy(&told).trim().to_owned()
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn end(&mut self) {
        // Until it was waited for, its number is that of no other process.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
