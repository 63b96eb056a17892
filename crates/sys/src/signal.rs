//! Signals: blocking them, receiving them through a descriptor, dying of one.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A received signal (signalfd(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel sent it itself, as a terminal does on Ctrl-C, and not a process.
    pub from_kernel: bool,
}

/// Blocks all signals that can be blocked, but those by which the kernel reports a program error
/// (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`), and returns a non-blocking, close-on-exec
/// descriptor from which they are read.
///
/// # Errors
/// As signalfd(2).
pub fn take_all() -> io::Result<SignalFd> {
    // SAFETY: sigset_t is plain data which sigfillset then initializes.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid sigset_t for all these calls, which outlives them; the old mask
    // is not asked for.
    let fd = unsafe {
        libc::sigfillset(&raw mut set);
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
    };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: signalfd returned a new descriptor that nothing else owns.
    Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The descriptor of [`take_all`].
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl std::os::fd::AsFd for SignalFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl SignalFd {
    /// The next pending signal; `None` when there is none.
    ///
    /// # Errors
    /// As read(2).
    pub fn receive(&self) -> io::Result<Option<Received>> {
        const SIZE: usize = std::mem::size_of::<libc::signalfd_siginfo>();
        // SAFETY: signalfd_siginfo is plain data; zeros are valid.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        // SAFETY: `info` has the SIZE bytes that the kernel may write, and outlives the call.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), SIZE) };
        if read == SIZE as isize {
            let from_kernel = info.ssi_code == libc::SI_KERNEL;
            return Ok(Some(Received { signal: info.ssi_signo as i32, from_kernel }));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        }
    }

    /// Unblocks all signals. Those that are pending are thrown away: they came while this process
    /// took signals for another, and would end it instead.
    ///
    /// # Errors
    /// As read(2).
    pub fn give_back(self) -> io::Result<()> {
        while self.receive()?.is_some() {}
        unblock_all();
        Ok(())
    }
}

/// Unblocks all signals.
pub fn unblock_all() {
    // SAFETY: sigset_t is plain data which sigemptyset initializes; SIG_SETMASK with a valid set
    // cannot fail.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Gives every signal its default action, but `SIGPIPE`, which Rust ignores: what the process that
/// started this one ignored is not ignored any more.
pub fn reset() {
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: SIG_DFL installs no handler. The kernel and the C library refuse the numbers that
        // are not to be changed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Gives `signal` its default action and sends it to this process, without a core dump. Returns
/// when the default action does not end or stop the process.
pub fn die_of(signal: i32) {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    stop_by(signal);
}

/// Gives `signal` its default action, unblocks it and sends it to this process. For a stop signal
/// it returns when the process is continued.
pub fn stop_by(signal: i32) {
    // SAFETY: signal, sigprocmask and kill are called with a valid set and plain numbers;
    // SIG_DFL installs no handler.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, &raw mut old);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const old, std::ptr::null_mut());
    }
}
