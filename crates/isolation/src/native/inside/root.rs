//! Building the root that the command sees, and leaving the old one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::{Launch, RootView};
use ctrlz_core::workspace::WorkspaceMount;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::hide::{Covers, KERNEL_FILES};
use super::mounts::{
    attach, copy_of, new_filesystem, open_below, open_host, open_or_make, restrict,
};
use super::{Step, StepError, devices, overlay};
use crate::native::protection::{Protection, Protections};

/// Places that are private to the sandbox, and the directory of the scratch file system that each
/// is cut from.
const TEMPORARY: [(&str, &str); 3] = [("/tmp", "tmp"), ("/var/tmp", "var-tmp"), ("/run", "run")];

/// Where the new root and the scratch file system are attached while they are built. Both exist on
/// every host, and what they hide is not needed by then.
const STAGE: &str = "/tmp";
const SCRATCH_STAGE: &str = "/sys";

pub(super) fn build(launch: &Launch, wanted: Protections) -> Result<(), StepError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "make the mounts private".into())?;
    // Opened first: later mounts may hide them.
    let workspace = open_workspace(&launch.workspace)?;
    let own_root = matches!(launch.root, RootView::Workspace { .. });
    let host_system = match own_root {
        true => Some(copy_of(CWD, Path::new("/sys"), true).step(|| "copy /sys".into())?),
        false => None,
    };
    let root = match &launch.root {
        RootView::Host { .. } => {
            let root = copy_of(CWD, Path::new("/"), true).step(|| "copy the host's root".into())?;
            restrict(&root, true, wanted.has(Protection::ReadOnlyRoot))
                .step(|| "make the host's root read-only".into())?;
            root
        }
        RootView::Workspace { .. } => workspace.try_clone().step(|| "copy a descriptor".into())?,
    };
    let host_mounts = host_mounts(launch)?;
    let stage = open_host(Path::new(STAGE)).step(|| format!("open {STAGE}"))?;
    attach(&root, stage).step(|| "attach the new root".into())?;

    let scratch = scratch()?;
    let covers = Covers::new(scratch.try_clone().step(|| "copy a descriptor".into())?);
    for (path, mount) in &host_mounts {
        if let Some(target) = open_below(&root, path).step(|| format!("find {}", path.display()))? {
            attach(mount, target).step(|| format!("show {}", path.display()))?;
        }
    }
    let place = Place { root: root.as_fd(), scratch: scratch.as_fd(), make: own_root };
    if wanted.has(Protection::PrivateDevices) {
        place.devices()?;
    }
    place.proc(wanted)?;
    if let Some(host_system) = host_system {
        restrict(&host_system, true, true).step(|| "make /sys read-only".into())?;
        place.put(&host_system, Path::new("/sys"))?;
    }
    if wanted.has(Protection::PrivateTemporary) {
        for (path, source) in TEMPORARY {
            // With a root of its own, /var/tmp belongs to the workspace.
            if !(place.make && path == "/var/tmp") {
                place.scratch_directory(path, source)?;
            }
        }
    }
    if let RootView::Host { workspace_at } = &launch.root {
        let target = open_or_make(&root, workspace_at)
            .step(|| format!("find {} inside", workspace_at.display()))?;
        attach(&workspace, target)
            .step(|| format!("attach the workspace at {}", workspace_at.display()))?;
    }
    if wanted.has(Protection::MaskedKernelFiles) {
        for path in KERNEL_FILES {
            covers.cover(root.as_fd(), Path::new(path)).step(|| format!("cover {path}"))?;
        }
    }
    if wanted.has(Protection::HiddenSecrets) {
        for path in &launch.hidden {
            covers.cover(root.as_fd(), path).step(|| format!("hide {}", path.display()))?;
        }
    }
    enter(&root, wanted)
}

fn open_workspace(workspace: &WorkspaceMount) -> Result<OwnedFd, StepError> {
    match workspace {
        WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
            overlay::mount(lower_dirs, upper_dir, work_dir)
        }
        WorkspaceMount::Bind { source } => {
            let mount = copy_of(CWD, source, false)
                .step(|| format!("bind the workspace {}", source.display()))?;
            restrict(&mount, false, false).step(|| "restrict the workspace".into())?;
            Ok(mount)
        }
    }
}

/// The file system from which the private places and the covers are cut, attached out of the way.
fn scratch() -> Result<OwnedFd, StepError> {
    let make = || -> io::Result<OwnedFd> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
        let scratch = new_filesystem("tmpfs", &[("mode", "0755"), ("size", "50%")], attributes)?;
        attach(&scratch, open_host(Path::new(SCRATCH_STAGE))?)?;
        for (name, mode) in
            [("dev", 0o755), ("empty", 0o555), ("tmp", 0o1777), ("var-tmp", 0o1777), ("run", 0o755)]
        {
            mkdirat(&scratch, name, Mode::from_raw_mode(mode))?;
            if mode == 0o1777 {
                rustix::fs::chmodat(
                    &scratch,
                    name,
                    Mode::from_raw_mode(mode),
                    rustix::fs::AtFlags::empty(),
                )?;
            }
        }
        let flags = OFlags::CREATE | OFlags::CLOEXEC | OFlags::WRONLY;
        drop(openat(&scratch, "none", flags, Mode::from_raw_mode(0o444))?);
        Ok(scratch)
    };
    make().step(|| "make the private file system for /tmp and /dev".into())
}

/// The new root while it is being furnished.
struct Place<'a> {
    root: BorrowedFd<'a>,
    scratch: BorrowedFd<'a>,
    /// Whether missing mount points may be made: only in a root that is a workspace.
    make: bool,
}

impl Place<'_> {
    fn target(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        if self.make {
            open_or_make(self.root, path).map(Some)
        } else {
            open_below(self.root, path)
        }
    }

    fn put(&self, mount: impl AsFd, path: &Path) -> Result<(), StepError> {
        match self.target(path).step(|| format!("find {}", path.display()))? {
            Some(target) => attach(mount, target).step(|| format!("mount {}", path.display())),
            None => Ok(()),
        }
    }

    fn scratch_directory(&self, path: &str, source: &str) -> Result<(), StepError> {
        let mount = copy_of(self.scratch, Path::new(source), false)
            .step(|| format!("make a private {path}"))?;
        self.put(mount, Path::new(path))
    }

    fn devices(&self) -> Result<(), StepError> {
        self.scratch_directory("/dev", "dev")?;
        let fill = || -> io::Result<()> {
            match open_below(self.root, Path::new("/dev"))? {
                Some(directory) => devices::fill(directory),
                None => Ok(()),
            }
        };
        fill().step(|| "fill /dev".into())
    }

    fn proc(&self, wanted: Protections) -> Result<(), StepError> {
        let mount = if wanted.has(Protection::PrivateProc) {
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC;
            new_filesystem("proc", &[], attributes).step(|| {
                "mount a new /proc (in a container whose /proc is masked, the kernel refuses)"
                    .into()
            })?
        } else {
            copy_of(CWD, Path::new("/proc"), true).step(|| "copy /proc".into())?
        };
        self.put(mount, Path::new("/proc"))
    }
}

/// The host's other file systems, when they are to be shown in a root of their own: detached,
/// read-only copies.
fn host_mounts(launch: &Launch) -> Result<Vec<(PathBuf, OwnedFd)>, StepError> {
    if launch.root != (RootView::Workspace { host_mounts: true }) {
        return Ok(Vec::new());
    }
    let table = std::fs::read("/proc/self/mountinfo").step(|| "read the mount table".into())?;
    let mut shown = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let Some(point) = line.split(|byte| *byte == b' ').nth(4) else { continue };
        let path = unescape(point);
        let own = ["/proc", "/sys", "/dev", "/run", "/tmp"].iter().any(|p| path.starts_with(p));
        if path == Path::new("/") || own || shown.iter().any(|(above, _)| path.starts_with(above)) {
            continue;
        }
        let Ok(mount) = copy_of(CWD, &path, true) else { continue };
        restrict(&mount, true, true).step(|| format!("make {} read-only", path.display()))?;
        shown.push((path, mount));
    }
    Ok(shown)
}

/// Undoes the octal escapes of proc_pid_mountinfo(5).
fn unescape(text: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u32, |n, d| {
                d.checked_sub(b'0').filter(|d| *d < 8).map(|d| n * 8 + u32::from(d))
            })
        });
        match octal.and_then(|n| u8::try_from(n).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Makes `root` the root. The old one is unmounted, so that no way leads back.
fn enter(root: &OwnedFd, wanted: Protections) -> Result<(), StepError> {
    rustix::process::fchdir(root).step(|| "enter the new root".into())?;
    if wanted.has(Protection::PivotRoot) {
        rustix::process::pivot_root(".", ".").step(|| "pivot to the new root".into())?;
        unmount(".", UnmountFlags::DETACH).step(|| "leave the old root".into())?;
    } else {
        rustix::process::chroot(".").step(|| "change the root".into())?;
    }
    rustix::process::chdir("/").step(|| "enter the new root".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(br"/mnt/a\040b\134c"), Path::new(r"/mnt/a b\c"));
        assert_eq!(unescape(br"/x\9\04"), Path::new(r"/x\9\04"));
    }
}
