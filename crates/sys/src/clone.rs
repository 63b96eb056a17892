//! clone3(2): a child process in new namespaces.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::call::checked;

/// The namespaces that a child starts in anew; see namespaces(7). What is false is shared with
/// the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// user_namespaces(7)
    pub user: bool,
    /// mount_namespaces(7)
    pub mount: bool,
    /// pid_namespaces(7): the child is process 1 of it, and its death kills all others.
    pub pid: bool,
    /// network_namespaces(7)
    pub network: bool,
    /// ipc_namespaces(7)
    pub ipc: bool,
    /// uts_namespaces(7)
    pub uts: bool,
    /// cgroup_namespaces(7)
    pub cgroup: bool,
}

impl Namespaces {
    fn flags(self) -> u64 {
        [
            (self.user, libc::CLONE_NEWUSER),
            (self.mount, libc::CLONE_NEWNS),
            (self.pid, libc::CLONE_NEWPID),
            (self.network, libc::CLONE_NEWNET),
            (self.ipc, libc::CLONE_NEWIPC),
            (self.uts, libc::CLONE_NEWUTS),
            (self.cgroup, libc::CLONE_NEWCGROUP),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(0, |flags, (_, flag)| flags | flag as u64)
    }
}

/// From linux/sched.h; libc's constant has the wrong width.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child process. Dropping it neither ends nor reaps the process.
#[derive(Debug)]
pub struct Child {
    /// Its process id, as the parent sees it.
    pub pid: Pid,
    /// A descriptor that stays with this process even when the id is used again.
    pub pidfd: OwnedFd,
}

/// Starts a child that runs `child` and exits with the code it returns. The child is a copy of
/// this process, as after fork(2); it dies with SIGKILL when this thread does.
///
/// `into_cgroup` is a cgroup v2 directory in which the child starts (`CLONE_INTO_CGROUP`).
///
/// # Errors
/// `EBUSY` when this process has more than one thread: the copy would hold their locks for ever.
/// Otherwise as clone3(2), such as `EPERM` or `ENOSPC` for user namespaces.
pub fn spawn(
    namespaces: Namespaces,
    into_cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<Child> {
    check_single_threaded()?;
    let mut pidfd: libc::c_int = -1;
    let mut flags = namespaces.flags() | libc::CLONE_PIDFD as u64;
    // SAFETY: clone_args is plain data for which all zeros is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    if let Some(cgroup) = into_cgroup {
        flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    args.flags = flags;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: `args` is a valid clone_args of the size passed. Without CLONE_VM and a new stack
    // the child continues on its own copy of this stack, as after fork. The process has a single
    // thread (checked above), so no lock is held by a thread that the copy lacks.
    let pid = checked(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut args, std::mem::size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        exit_now(child());
    }
    let pid = pid_of(pid)?;
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so the kernel stored a new descriptor that
    // nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// Moves this process into new namespaces (unshare(2)). A pid namespace is entered by its children
/// only.
///
/// # Errors
/// `EINVAL` with more than one thread; as unshare(2).
pub fn enter_new(namespaces: Namespaces) -> io::Result<()> {
    let flags = libc::c_int::try_from(namespaces.flags()).map_err(io::Error::other)?;
    // SAFETY: unshare takes a number. Other threads, which would be left behind, make it fail
    // where that matters.
    checked(unsafe { libc::c_long::from(libc::unshare(flags)) }).map(drop)
}

/// A process that only holds a namespace. It shares the memory of the process that made it, so that no
/// page is copied for it, and does nothing. Dropping this ends it and waits for that.
#[derive(Debug)]
pub struct Holder {
    process: OwnedFd,
    /// The process stands on it until it was waited for.
    _stack: Vec<u8>,
}

impl Holder {
    /// One in a new user namespace, the ids of which are unmapped until someone writes
    /// `/proc/PID/uid_map` and `gid_map`.
    ///
    /// # Errors
    /// As clone(2).
    pub fn of_user_namespace() -> io::Result<Self> {
        extern "C" fn hold(_: *mut libc::c_void) -> libc::c_int {
            loop {
                // SAFETY: pause takes nothing. It returns only after a handled signal.
                unsafe { libc::pause() };
            }
        }
        let mut stack = vec![0_u8; 16 << 10];
        let mut pidfd: libc::c_int = -1;
        let flags = libc::CLONE_NEWUSER | libc::CLONE_VM | libc::CLONE_PIDFD | libc::SIGCHLD;
        let null = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: `hold` touches nothing but its stack, of which the end is passed (clone aligns it).
        // The stack lives until the process was waited for, in `drop`. With CLONE_PIDFD the kernel
        // stores a descriptor where the argument after `arg` points.
        checked(unsafe {
            let end = stack.as_mut_ptr().add(stack.len()).cast();
            libc::c_long::from(libc::clone(hold, end, flags, null, &raw mut pidfd, null, null))
        })?;
        // SAFETY: clone succeeded with CLONE_PIDFD, so this is a new descriptor that nothing owns.
        Ok(Self { process: unsafe { OwnedFd::from_raw_fd(pidfd) }, _stack: stack })
    }

    /// A pidfd of the process.
    #[must_use]
    pub fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Lets the process end, which takes a moment; who drops this after that moment need not wait.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn end(&self) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.process, Signal::KILL)?)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A process that is gone already cannot be signalled, and is waited for all the same.
        let _ = self.end();
        let options = WaitIdOptions::EXITED;
        while let Err(Errno::INTR) = waitid(WaitId::PidFd(self.process.as_fd()), options) {}
    }
}

fn check_single_threaded() -> io::Result<()> {
    // The directory has one link per thread, and two more.
    match std::fs::metadata("/proc/self/task") {
        Ok(task) if task.nlink() > 3 => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        _ => Ok(()),
    }
}

fn pid_of(result: libc::c_long) -> io::Result<Pid> {
    i32::try_from(result)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the kernel answered with no process id"))
}

/// Ends this process at once, without exit handlers and without flushing buffers (_exit(2)).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};

    #[test]
    fn refuses_to_copy_a_process_with_threads() {
        // The test harness itself runs each test in a thread of its own.
        let error = spawn(Namespaces::default(), None, || 0).expect_err("must be refused");
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        // Other tests have children, too: only those of this thread count (__WNOTHREAD).
        let of_this_thread = WaitOptions::from_bits_retain(libc::__WNOTHREAD.cast_unsigned());
        assert!(waitpid(None, WaitOptions::NOHANG | of_this_thread).is_err(), "no child may exist");
    }

    #[test]
    fn names_the_kernel_flags() {
        let all = Namespaces { user: true, pid: true, ..Namespaces::default() };
        assert_eq!(all.flags(), (libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64);
        assert_eq!(Namespaces::default().flags(), 0);
    }
}
