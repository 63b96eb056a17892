//! Building the root that the command sees, and leaving the old one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::RootView;
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsPickFlags, MountAttrFlags, MountPropagationFlags, UnmountFlags, fsconfig_reconfigure,
    fsconfig_set_string, fspick, mount_change, unmount,
};

use super::hide::{Covers, KERNEL_FILES};
use super::mount_table::MountTable;
use super::mounts::{
    attach, copy_of, new_filesystem, open_below, open_host, open_or_make, restrict,
};
use super::{Setup, Start, Step, StepError, devices, overlay};
use crate::native::protection::{Protection, Protections};

/// Places that are private to the sandbox, and the directory of the scratch file system that each
/// is cut from.
const TEMPORARY: [(&str, &str); 3] = [("/tmp", "tmp"), ("/var/tmp", "var-tmp"), ("/run", "run")];

/// Where the scratch file system is attached while the root is built, and the directory of it for
/// the new root. `/sys` exists on every host, and no workspace lies in it.
pub(in crate::native) const STAGE: &str = "/sys";
const STAGED_ROOT: &str = "root";

/// As much of the root as can be built before the workspace is known.
pub(super) struct Stage {
    /// The host's root, read-only, when it is the sandbox's.
    root: Option<OwnedFd>,
    /// The host's /sys, for a root that has none.
    system: Option<OwnedFd>,
    scratch: OwnedFd,
    /// The host's mounts, where they are surely needed: reading them takes longer than a mount.
    mounts: Option<MountTable>,
    /// Whether this process may overlay what holds other mounts.
    may_overlay: bool,
    /// Another program runs the command, with a `/proc` that is not this process's.
    delegated: bool,
}

/// Begins the root; `known` are the host's mounts, when they are known.
pub(super) fn stage(start: &Start, known: Option<MountTable>) -> Result<Stage, StepError> {
    let wanted = start.protections;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "make the mounts private".into())?;
    // Read and copied first: the stage below hides a part of the host.
    let may_overlay = start.late_user_namespace;
    let mounts = match (known, may_overlay) {
        (None, true) => Some(MountTable::read().step(|| "read the mount table".into())?),
        (known, _) => known,
    };
    let (root, system) = if start.outlook.host_root {
        let root = copy_of(CWD, Path::new("/"), true).step(|| "copy the host's root".into())?;
        restrict(&root, true, wanted.has(Protection::ReadOnlyRoot))
            .step(|| "make the host's root read-only".into())?;
        (Some(root), None)
    } else {
        let system = copy_of(CWD, Path::new("/sys"), true).step(|| "copy /sys".into())?;
        restrict(&system, true, true).step(|| "make /sys read-only".into())?;
        (None, Some(system))
    };
    let scratch = scratch().step(|| "make the private file system for /tmp and /dev".into())?;
    if start.outlook.delegated {
        hide_groups(&scratch).step(|| "hide the control groups".into())?;
    }
    let delegated = start.outlook.delegated;
    let stage = Stage { root, system, scratch, mounts, may_overlay, delegated };
    if let Some(root) = &stage.root {
        stage.attach_root(root)?;
        stage.furnish(root, None, wanted)?;
    }
    Ok(stage)
}

/// The root, furnished and attached, but not yet entered.
pub(super) struct Complete {
    pub(super) root: OwnedFd,
    /// The file system from which its private places are cut.
    pub(super) scratch: OwnedFd,
}

/// Completes the root.
pub(super) fn complete(stage: Stage, setup: &Setup) -> Result<Complete, StepError> {
    let (task, wanted) = (&setup.task, setup.start.protections);
    if let Some(most) = task.rlimits.data {
        // What is written there is memory that belongs to no process.
        resize(&stage.scratch, most).step(|| "limit the private file system".into())?;
    }
    let workspace = stage.open_workspace(&task.workspace)?;
    let covers = wanted.has(Protection::HiddenSecrets).then(|| Covers::new(&stage.scratch));
    let root = match (&stage.root, &task.root) {
        (Some(root), RootView::Host { workspace_at }) => {
            // A workspace may lie in what is hidden, and is the one thing of it that is seen.
            if let Some(covers) = &covers {
                for (number, (path, inside)) in around(&task.hidden, workspace_at).enumerate() {
                    covers
                        .cover_around(root.as_fd(), path, (number, inside))
                        .step(|| format!("hide {}", path.display()))?;
                }
            }
            let target = open_or_make(root, workspace_at)
                .step(|| format!("find {} inside", workspace_at.display()))?;
            attach(&workspace, target)
                .step(|| format!("attach the workspace at {}", workspace_at.display()))?;
            // In a user namespace the overlay itself is refused when something is mounted.
            if stage.may_overlay {
                stage.show_mounts_inside(root, workspace_at, &[])?;
            }
            root.try_clone().step(|| "copy a descriptor".into())?
        }
        (None, RootView::Workspace { host_mounts }) => {
            stage.attach_root(&workspace)?;
            stage.furnish(&workspace, Some(&task.workdir), wanted)?;
            if *host_mounts {
                let own = ["/proc", "/sys", "/dev", "/run", "/tmp"];
                stage.show_mounts_inside(&workspace, Path::new("/"), &own)?;
            }
            workspace
        }
        _ => return Err(io::Error::other("another root was announced")).step(|| "begin".into()),
    };
    if let Some(covers) = &covers {
        let workspace_at = match &task.root {
            RootView::Host { workspace_at } | RootView::Image { workspace_at, .. } => {
                workspace_at.as_path()
            }
            RootView::Workspace { .. } => Path::new("/"),
        };
        let is_covered =
            |path: &Path| around(&task.hidden, workspace_at).any(|(one, _)| one == path);
        for path in task.hidden.iter().filter(|path| !is_covered(path)) {
            covers.cover(root.as_fd(), path).step(|| format!("hide {}", path.display()))?;
        }
    }
    Ok(Complete { root, scratch: stage.scratch })
}

/// The hidden folders in which the workspace lies, the outermost first, and where in them.
fn around<'p>(
    hidden: &'p [PathBuf],
    workspace_at: &'p Path,
) -> impl Iterator<Item = (&'p Path, &'p Path)> {
    let mut found: Vec<_> = hidden
        .iter()
        .filter_map(|path| Some((path.as_path(), workspace_at.strip_prefix(path).ok()?)))
        .filter(|(_, inside)| !inside.as_os_str().is_empty())
        .collect();
    found.sort();
    found.into_iter()
}

impl Stage {
    fn attach_root(&self, root: &OwnedFd) -> Result<(), StepError> {
        let place = open_below(&self.scratch, Path::new(STAGED_ROOT))
            .and_then(|found| found.ok_or_else(|| Errno::NOENT.into()))
            .step(|| "find the place of the new root".into())?;
        attach(root, place).step(|| "attach the new root".into())
    }

    /// Puts into the root what every sandbox has. A root that is a workspace comes with the working
    /// directory.
    fn furnish(
        &self,
        root: &OwnedFd,
        own_root: Option<&Path>,
        wanted: Protections,
    ) -> Result<(), StepError> {
        let make = own_root.is_some();
        let place = Place { root: root.as_fd(), scratch: self.scratch.as_fd(), make };
        if wanted.has(Protection::PrivateDevices) {
            place.devices()?;
        }
        if !self.delegated {
            place.proc(wanted)?;
        }
        if let Some(system) = &self.system {
            place.put(system, Path::new("/sys"))?;
        }
        if wanted.has(Protection::PrivateTemporary) {
            for (path, source) in TEMPORARY {
                // With a root of its own, /var/tmp belongs to the workspace, and so does the place
                // in which the user stands.
                let is_workspace = |workdir: &Path| path == "/var/tmp" || workdir.starts_with(path);
                if !own_root.is_some_and(is_workspace) {
                    place.scratch_directory(path, source)?;
                }
            }
        }
        if wanted.has(Protection::MaskedKernelFiles) {
            let covers = Covers::new(&self.scratch);
            let is_here = |path: &&str| !(self.delegated && path.starts_with("/proc"));
            for path in KERNEL_FILES.into_iter().filter(is_here) {
                covers.cover(root.as_fd(), Path::new(path)).step(|| format!("cover {path}"))?;
            }
        }
        Ok(())
    }

    /// Shows what the host has mounted below `directory`, save below `except`. It is not part of
    /// the workspace, so it is read-only.
    fn show_mounts_inside(
        &self,
        root: &OwnedFd,
        directory: &Path,
        except: &[&str],
    ) -> Result<(), StepError> {
        for path in self.mounts_below(directory)? {
            if except.iter().any(|place| path.starts_with(place)) {
                continue;
            }
            // A mount that another one hides cannot be reached, nor need it be.
            let Ok(mount) = copy_of(CWD, &path, true) else { continue };
            restrict(&mount, true, true).step(|| format!("make {} read-only", path.display()))?;
            let target = open_below(root, &path).step(|| format!("find {}", path.display()))?;
            if let Some(target) = target {
                attach(mount, target).step(|| format!("show {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn open_workspace(&self, workspace: &WorkspaceMount) -> Result<OwnedFd, StepError> {
        match workspace {
            WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
                let empty = open_below(&self.scratch, Path::new("empty"))
                    .and_then(|found| found.ok_or_else(|| Errno::NOENT.into()))
                    .step(|| "find the empty directory".into())?;
                overlay::mount(lower_dirs, upper_dir, work_dir, &empty)
                    .map_err(|error| self.explain(error, lower_dirs.last()))
            }
            WorkspaceMount::Bind { source } => {
                let mount = copy_of(CWD, source, false)
                    .step(|| format!("bind the workspace {}", source.display()))?;
                restrict(&mount, false, false).step(|| "restrict the workspace".into())?;
                Ok(mount)
            }
        }
    }

    /// The kernel answers `EINVAL` to an overlay of a directory that holds other mounts, when a
    /// user namespace asks.
    fn explain(&self, error: StepError, base: Option<&PathBuf>) -> StepError {
        let Some(base) = base.filter(|_| !self.may_overlay) else { return error };
        match self.mounts_below(base).ok().as_deref() {
            Some([inside, ..]) => StepError {
                step: format!(
                    "{} holds another mount, {}: only root can make such a folder copy-on-write; \
                     choose a folder below it",
                    base.display(),
                    inside.display()
                ),
                ..error
            },
            _ => error,
        }
    }

    fn mounts_below(&self, directory: &Path) -> Result<Vec<PathBuf>, StepError> {
        let table = match &self.mounts {
            Some(table) => return Ok(table.below(directory)),
            None => MountTable::read().step(|| "read the mount table".into())?,
        };
        Ok(table.below(directory))
    }
}

/// The file system from which the private places and the covers are cut, attached out of the way.
pub(super) fn scratch() -> io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let scratch = new_filesystem("tmpfs", &[("mode", "0755")], attributes)?;
    attach(&scratch, open_host(Path::new(STAGE))?)?;
    for (name, mode) in [
        (STAGED_ROOT, 0o755),
        ("dev", 0o755),
        ("empty", 0o555),
        ("tmp", 0o1777),
        ("var-tmp", 0o1777),
        ("run", 0o755),
    ] {
        mkdirat(&scratch, name, Mode::from_raw_mode(mode))?;
        if mode == 0o1777 {
            chmodat(&scratch, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
    }
    let flags = OFlags::CREATE | OFlags::CLOEXEC | OFlags::WRONLY;
    drop(openat(&scratch, "none", flags, Mode::from_raw_mode(0o444))?);
    Ok(scratch)
}

/// Shows whoever makes containers a host without control groups, in place of [`STAGE`].
fn hide_groups(scratch: &OwnedFd) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    mkdirat(scratch, "fs", mode)?;
    mkdirat(scratch, "fs/cgroup", mode)?;
    let empty = copy_of(scratch, Path::new("empty"), false)?;
    restrict(&empty, false, true)?;
    attach(empty, open_below(scratch, Path::new("fs/cgroup"))?.ok_or(Errno::NOENT)?)
}

/// Changes how much a tmpfs may hold, half of the machine's memory at first.
fn resize(scratch: &OwnedFd, most: ByteSize) -> io::Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(scratch, "", flags)?;
    fsconfig_set_string(context.as_fd(), "size", most.0.max(1 << 20).to_string())?;
    Ok(fsconfig_reconfigure(context.as_fd())?)
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
