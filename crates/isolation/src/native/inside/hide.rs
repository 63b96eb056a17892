//! Putting empty, read-only files and directories over what must not be seen.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, fstat, mkdirat};
use rustix::io::Errno;

use super::mounts::{attach, copy_of, open_below, restrict};

/// The empty file and the empty directory from which covers are cut.
#[derive(Debug)]
pub(super) struct Covers<'s> {
    scratch: &'s OwnedFd,
}

/// Parts of /proc and /sys that tell about the host, or read what only its root may.
pub(crate) const KERNEL_FILES: [&str; 20] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

impl<'s> Covers<'s> {
    /// `scratch` holds the directory `empty` and the file `none`, and is attached somewhere.
    pub(super) fn new(scratch: &'s OwnedFd) -> Self {
        Self { scratch }
    }

    /// Covers the directory `path` below `root` by one that has nothing in it but the way to
    /// `inside`, a directory below it, which is there to be mounted on. Each has a number of its own.
    pub(super) fn cover_around(
        &self,
        root: BorrowedFd<'_>,
        path: &Path,
        (number, inside): (usize, &Path),
    ) -> io::Result<()> {
        let around = Path::new("around").join(number.to_string());
        let mut way = std::path::PathBuf::new();
        for part in around.components().chain(inside.components()) {
            way.push(part);
            match mkdirat(self.scratch, &way, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.cover_by(root, path, |_| &around)
    }

    /// Covers `path` below `root`, when it exists there.
    pub(super) fn cover(&self, root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        self.cover_by(root, path, source_of)
    }

    /// A cover for something of that kind, not yet attached.
    pub(super) fn of(&self, kind: FileType) -> io::Result<OwnedFd> {
        self.cut(source_of(kind))
    }

    fn cut(&self, source: &Path) -> io::Result<OwnedFd> {
        let cover = copy_of(self.scratch.as_fd(), source, false)?;
        restrict(&cover, false, true)?;
        Ok(cover)
    }

    fn cover_by<'p>(
        &self,
        root: BorrowedFd<'_>,
        path: &Path,
        source: impl Fn(FileType) -> &'p Path,
    ) -> io::Result<()> {
        while let Some(target) = open_below(root, path)? {
            let kind = FileType::from_raw_mode(fstat(&target)?.st_mode);
            let cover = self.cut(source(kind))?;
            match attach(cover, target) {
                // Removed just now, as a server does with its socket when it ends. There may be a
                // new one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        Ok(())
    }
}

fn source_of(kind: FileType) -> &'static Path {
    Path::new(if kind == FileType::Directory { "empty" } else { "none" })
}
