//! Answering for system calls of a filtered process (seccomp_unotify(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;

/// One system call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Names the call until it is answered.
    pub id: u64,
    /// The calling thread, as this process sees it; `None` when it lies outside this process's
    /// pid namespace.
    pub pid: Option<Pid>,
    /// The system call's number.
    pub number: i32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Receives the calls for which a filter says [`Action::Notify`](super::Action::Notify). When it
/// is closed they fail with `ENOSYS`.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits for a call.
    ///
    /// # Errors
    /// `ENOENT` when the caller was killed meanwhile, `EINTR`.
    pub fn receive(&self) -> io::Result<Notification> {
        // SAFETY: seccomp_notif is plain data, and the kernel demands that it is zeroed.
        let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, &mut request)?;
        Ok(Notification {
            id: request.id,
            pid: Pid::from_raw(request.pid as i32),
            number: request.data.nr,
            arguments: request.data.args,
        })
    }

    /// Whether the call still waits, so that what was read of its process is what it passed.
    #[must_use]
    pub fn is_waiting(&self, notification: &Notification) -> bool {
        let mut id = notification.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id).is_ok()
    }

    /// Lets the kernel execute the call.
    ///
    /// # Errors
    /// `ENOENT` when the caller is gone.
    pub fn pass_on(&self, notification: &Notification) -> io::Result<()> {
        self.answer(notification, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// Makes the call succeed with 0, or fail with `errno` when it is positive.
    ///
    /// # Errors
    /// `ENOENT` when the caller is gone.
    pub fn finish(&self, notification: &Notification, errno: i32) -> io::Result<()> {
        self.answer(notification, -errno, 0)
    }

    fn answer(&self, notification: &Notification, error: i32, flags: u32) -> io::Result<()> {
        let mut response = libc::seccomp_notif_resp { id: notification.id, val: 0, error, flags };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, &mut response)
    }

    fn ioctl<T>(&self, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
        // SAFETY: each caller passes the type that its request reads and writes, valid for the
        // whole call.
        let result =
            unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
