//! Building the root that the command sees, and leaving the old one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::{Launch, RootView};
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::hide::{Covers, KERNEL_FILES};
use super::mounts::{
    attach, copy_of, new_filesystem, open_below, open_host, open_or_make, restrict,
};
use super::{Setup, Step, StepError, devices, mount_table, overlay};
use crate::native::protection::{Protection, Protections};

/// Places that are private to the sandbox, and the directory of the scratch file system that each
/// is cut from.
const TEMPORARY: [(&str, &str); 3] = [("/tmp", "tmp"), ("/var/tmp", "var-tmp"), ("/run", "run")];

/// Where the new root and the scratch file system are attached while they are built. Both exist on
/// every host, and what they hide is not needed by then.
const STAGE: &str = "/tmp";
const SCRATCH_STAGE: &str = "/sys";

/// The root, furnished and attached, but not yet entered.
pub(super) fn build(setup: &Setup, wanted: Protections) -> Result<OwnedFd, StepError> {
    let launch = &setup.launch;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "make the mounts private".into())?;
    // Copied first: the stages below hide parts of the host.
    let host = HostMounts::copy(launch, setup.late_user_namespace, wanted)?;
    let scratch = scratch(setup.rlimits.data)?;
    let workspace = open_workspace(launch, &scratch, setup.late_user_namespace)?;
    let root = match &host.root {
        Some(root) => root.try_clone(),
        None => workspace.try_clone(),
    }
    .step(|| "copy a descriptor".into())?;
    let stage = open_host(Path::new(STAGE)).step(|| format!("open {STAGE}"))?;
    attach(&root, stage).step(|| "attach the new root".into())?;
    furnish(launch, &host, root.as_fd(), scratch.as_fd(), &workspace, wanted)?;

    let covers = Covers::new(scratch);
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
    Ok(root)
}

fn furnish(
    launch: &Launch,
    host: &HostMounts,
    root: BorrowedFd<'_>,
    scratch: BorrowedFd<'_>,
    workspace: &OwnedFd,
    wanted: Protections,
) -> Result<(), StepError> {
    let place = Place { root, scratch, make: host.root.is_none() };
    if wanted.has(Protection::PrivateDevices) {
        place.devices()?;
    }
    place.proc(wanted)?;
    if let Some(system) = &host.system {
        place.put(system, Path::new("/sys"))?;
    }
    if wanted.has(Protection::PrivateTemporary) {
        for (path, source) in TEMPORARY {
            // With a root of its own, /var/tmp belongs to the workspace, and so does the place in
            // which the user stands.
            let in_workspace = path == "/var/tmp" || launch.workdir.starts_with(path);
            if !(place.make && in_workspace) {
                place.scratch_directory(path, source)?;
            }
        }
    }
    if let RootView::Host { workspace_at } = &launch.root {
        let target = open_or_make(root, workspace_at)
            .step(|| format!("find {} inside", workspace_at.display()))?;
        attach(workspace, target)
            .step(|| format!("attach the workspace at {}", workspace_at.display()))?;
    }
    for (path, mount) in &host.inside {
        if let Some(target) = open_below(root, path).step(|| format!("find {}", path.display()))? {
            attach(mount, target).step(|| format!("show {}", path.display()))?;
        }
    }
    Ok(())
}

/// Detached copies of what the host has mounted and the sandbox shows.
struct HostMounts {
    /// The host's root, when it is the sandbox's.
    root: Option<OwnedFd>,
    /// The host's /sys, for a root that has none.
    system: Option<OwnedFd>,
    /// File systems that are mounted inside the workspace. They are not part of it, so they are
    /// shown read-only.
    inside: Vec<(PathBuf, OwnedFd)>,
}

impl HostMounts {
    fn copy(launch: &Launch, may_overlay: bool, wanted: Protections) -> Result<Self, StepError> {
        match &launch.root {
            RootView::Host { workspace_at } => {
                let root =
                    copy_of(CWD, Path::new("/"), true).step(|| "copy the host's root".into())?;
                restrict(&root, true, wanted.has(Protection::ReadOnlyRoot))
                    .step(|| "make the host's root read-only".into())?;
                // In a user namespace the overlay itself is refused when something is mounted.
                let inside = if may_overlay { mounts_inside(workspace_at, &[])? } else { vec![] };
                Ok(Self { root: Some(root), system: None, inside })
            }
            RootView::Workspace { host_mounts } => {
                let system = copy_of(CWD, Path::new("/sys"), true).step(|| "copy /sys".into())?;
                restrict(&system, true, true).step(|| "make /sys read-only".into())?;
                let own = ["/proc", "/sys", "/dev", "/run", "/tmp"];
                let inside =
                    if *host_mounts { mounts_inside(Path::new("/"), &own)? } else { vec![] };
                Ok(Self { root: None, system: Some(system), inside })
            }
        }
    }
}

/// Read-only copies of the mounts below `directory`, without those in `except`.
fn mounts_inside(directory: &Path, except: &[&str]) -> Result<Vec<(PathBuf, OwnedFd)>, StepError> {
    let mut copies = Vec::new();
    for path in mount_table::below(directory).step(|| "read the mount table".into())? {
        if except.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        // A mount that another one hides cannot be reached, nor need it be.
        let Ok(mount) = copy_of(CWD, &path, true) else { continue };
        restrict(&mount, true, true).step(|| format!("make {} read-only", path.display()))?;
        copies.push((path, mount));
    }
    Ok(copies)
}

fn open_workspace(
    launch: &Launch,
    scratch: &OwnedFd,
    may_overlay: bool,
) -> Result<OwnedFd, StepError> {
    match &launch.workspace {
        WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
            let empty = open_below(scratch, Path::new("empty"))
                .and_then(|found| found.ok_or_else(|| Errno::NOENT.into()))
                .step(|| "find the empty directory".into())?;
            overlay::mount(lower_dirs, upper_dir, work_dir, &empty)
                .map_err(|error| explain(error, lower_dirs.last(), may_overlay))
        }
        WorkspaceMount::Bind { source } => {
            let mount = copy_of(CWD, source, false)
                .step(|| format!("bind the workspace {}", source.display()))?;
            restrict(&mount, false, false).step(|| "restrict the workspace".into())?;
            Ok(mount)
        }
    }
}

/// The kernel answers `EINVAL` to an overlay of a directory that holds other mounts, when a user
/// namespace asks.
fn explain(error: StepError, base: Option<&PathBuf>, may_overlay: bool) -> StepError {
    let Some(base) = base.filter(|_| !may_overlay) else { return error };
    match mount_table::below(base).unwrap_or_default().first() {
        Some(inside) => StepError {
            step: format!(
                "{} holds another mount, {}: only root can make such a folder copy-on-write; \
                 choose a folder below it",
                base.display(),
                inside.display()
            ),
            ..error
        },
        None => error,
    }
}

/// The file system from which the private places and the covers are cut, attached out of the way.
/// What is written to it is memory that belongs to no process, so `most` bounds it where no cgroup
/// does.
fn scratch(most: Option<ByteSize>) -> Result<OwnedFd, StepError> {
    let size = most.map_or("50%".to_owned(), |most| most.0.max(1 << 20).to_string());
    let make = || -> io::Result<OwnedFd> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
        let scratch =
            new_filesystem("tmpfs", &[("mode", "0755"), ("size", size.as_str())], attributes)?;
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

/// Makes `root` the root. The old one is unmounted, so that no way leads back.
pub(super) fn enter(root: &OwnedFd, wanted: Protections) -> Result<(), StepError> {
    rustix::process::fchdir(root).step(|| "enter the new root".into())?;
    if wanted.has(Protection::PivotRoot) {
        rustix::process::pivot_root(".", ".").step(|| "pivot to the new root".into())?;
        unmount(".", UnmountFlags::DETACH).step(|| "leave the old root".into())?;
    } else {
        rustix::process::chroot(".").step(|| "change the root".into())?;
    }
    rustix::process::chdir("/").step(|| "enter the new root".into())
}
