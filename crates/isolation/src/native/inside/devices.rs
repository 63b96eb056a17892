//! The sandbox's `/dev`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{
    CWD, FileType, Mode, OFlags, fstat, makedev, mkdirat, mknodat, openat, symlinkat,
};
use rustix::mount::MountAttrFlags;
use rustix::process::umask;

use super::mounts::{attach, copy_of, new_filesystem, open_below};

/// The devices that any program may have, with their numbers (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Fills the directory `device_directory` of a tmpfs and attaches what `/dev` needs.
pub(super) fn fill(device_directory: impl AsFd) -> io::Result<()> {
    let directory = device_directory.as_fd();
    if make_nodes(directory).is_err() {
        bind_nodes(directory)?;
    }
    for (target, name) in LINKS {
        symlinkat(target, directory, name)?;
    }
    let terminals = new_filesystem(
        "devpts",
        &[("ptmxmode", "0666"), ("mode", "0620")],
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    mkdirat(directory, "pts", Mode::from_raw_mode(0o755))?;
    if let Some(target) = open_below(directory, Path::new("pts"))? {
        attach(terminals, target)?;
    }
    show_terminal(directory)?;
    mkdirat(directory, "shm", Mode::from_raw_mode(0o777))?;
    Ok(())
}

/// Makes device nodes, as root may who is in no user namespace.
fn make_nodes(directory: BorrowedFd<'_>) -> io::Result<()> {
    let mask = umask(Mode::empty());
    let mode = Mode::from_raw_mode(0o666);
    let made = DEVICES.iter().try_for_each(|(name, major, minor)| {
        mknodat(directory, *name, FileType::CharacterDevice, mode, makedev(*major, *minor))
    });
    umask(mask);
    Ok(made?)
}

/// Binds the host's: a user namespace cannot make device nodes.
fn bind_nodes(directory: BorrowedFd<'_>) -> io::Result<()> {
    let host = super::mounts::open_host(Path::new("/dev"))?;
    for (name, ..) in DEVICES {
        let flags = OFlags::CREATE | OFlags::CLOEXEC | OFlags::WRONLY;
        let file = openat(directory, name, flags, Mode::from_raw_mode(0o666))?;
        match copy_of(&host, Path::new(name), false) {
            Ok(device) => attach(device, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The user's terminal is one of the host's, which is not in the sandbox's `/dev/pts`. As
/// `/dev/console` it has a name that ttyname(3) finds.
fn show_terminal(directory: BorrowedFd<'_>) -> io::Result<()> {
    if !rustix::termios::isatty(rustix::stdio::stdin()) {
        return Ok(());
    }
    // The descriptor belongs to the host's mounts, of which only a copy by its path can be bound.
    let Ok(path) = std::fs::read_link("/proc/self/fd/0") else { return Ok(()) };
    let Ok(terminal) = copy_of(CWD, &path, false) else { return Ok(()) };
    let identity = |status: rustix::fs::Stat| (status.st_dev, status.st_ino, status.st_rdev);
    if identity(fstat(&terminal)?) != identity(fstat(rustix::stdio::stdin())?) {
        return Ok(());
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY;
    let file = openat(directory, "console", flags, Mode::from_raw_mode(0o600))?;
    attach(terminal, file)
}
