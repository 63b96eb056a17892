//! Mounting an overlay (Documentation/filesystems/overlayfs.rst).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::mounts::open_host;
use super::{Step, StepError};

/// A detached overlay of `lower_dirs` (topmost first) that writes to `upper_dir`.
///
/// `userxattr`: its marks are `user.overlay.*`, which a user namespace may write and which the
/// store reads back without privileges. `volatile`: no sync at unmount; an operation that the
/// machine's death cuts short is thrown away anyhow.
///
/// `empty` is an empty directory on a file system of its own.
pub(super) fn mount(
    lower_dirs: &[PathBuf],
    upper_dir: &Path,
    work_dir: &Path,
    empty: &OwnedFd,
) -> Result<OwnedFd, StepError> {
    // Layers are given as /proc/self/fd/N: short, whatever the store's path, and without any
    // byte that would need escaping.
    let open = |path: &Path| {
        open_host(path).step(|| format!("open the workspace's layer {}", path.display()))
    };
    let mut lower: Vec<OwnedFd> = lower_dirs.iter().map(|p| open(p)).collect::<Result<_, _>>()?;
    // overlayfs refuses layers that lie in one another, as they do when the store lies in the
    // base. An overlay of the base alone has inodes of its own, in which nothing else lies.
    if let Some(base) = lower_dirs.last().filter(|base| upper_dir.starts_with(base)) {
        let wrapped = read_only(lower.last().unwrap_or(empty), empty)
            .step(|| format!("mount {} as an overlay (it holds the store)", base.display()))?;
        lower.pop();
        lower.push(wrapped);
    }
    let upper = open(upper_dir)?;
    let work = open(work_dir)?;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .step(|| "use overlayfs (is the kernel's overlay module loaded?)".into())?;
    let set = |key: &str, value: &str| -> io::Result<()> {
        Ok(fsconfig_set_string(context.as_fd(), key, value)?)
    };
    let configured = (|| -> io::Result<()> {
        set_lower(&set, &lower.iter().map(name).collect::<Vec<_>>())?;
        set("upperdir", &name(&upper))?;
        set("workdir", &name(&work))?;
        // Before Linux 6.0 overlayfs reads its options from one string only.
        fsconfig_set_flag(context.as_fd(), "userxattr")?;
        fsconfig_set_flag(context.as_fd(), "volatile")?;
        Ok(fsconfig_create(context.as_fd())?)
    })();
    configured
        .step(|| format!("mount the workspace as an overlay of {} layers", lower_dirs.len() + 1))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .step(|| "mount the workspace".into())
}

fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A read-only overlay that shows `directory` and nothing else. Two layers are the fewest that
/// overlayfs takes without an upper one.
fn read_only(directory: &OwnedFd, empty: &OwnedFd) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &str| -> io::Result<()> {
        Ok(fsconfig_set_string(context.as_fd(), key, value)?)
    };
    set_lower(&set, &[name(directory), name(empty)])?;
    fsconfig_set_flag(context.as_fd(), "userxattr")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn set_lower(set: &dyn Fn(&str, &str) -> io::Result<()>, names: &[String]) -> io::Result<()> {
    for (index, name) in names.iter().enumerate() {
        match set("lowerdir+", name) {
            Ok(()) => {}
            // Before Linux 6.7 there is only the list, whose text may have 255 bytes.
            Err(error)
                if index == 0 && error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
            {
                return set("lowerdir", &names.join(":"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
