//! Mounting a workspace in a container that runs already, from outside: the mount is in the mount
//! namespace of the container alone, and goes with its last process, whoever is killed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_sys::clone::{Namespaces, enter_new, spawn};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, mount_change};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::hide::Covers;
use super::mounts::{attach, new_filesystem, open_below, open_host};
use super::overlay;
use super::root::scratch;
use super::{Step, StepError};

/// Where to mount, and what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'p> {
    /// Process 1 of the container.
    pub(crate) process_1: Pid,
    /// An overlay; a directory that the engine bound already stays.
    pub(crate) workspace: &'p WorkspaceMount,
    /// An existing directory, as the container sees it.
    pub(crate) target: &'p Path,
    /// What to hide of the workspace, those that exist, as the container would see them.
    pub(crate) hidden: &'p [PathBuf],
}

impl<'p> Place<'p> {
    /// Whether the engine did not do it all.
    pub(crate) fn is_needed(self) -> bool {
        matches!(self.workspace, WorkspaceMount::Overlay { .. }) || self.within().next().is_some()
    }

    /// What is hidden, as paths in the workspace.
    fn within(self) -> impl Iterator<Item = &'p Path> {
        let below = self.hidden.iter().filter_map(move |path| path.strip_prefix(self.target).ok());
        below.filter(|path| !path.as_os_str().is_empty())
    }
}

/// Mounts at that place. `alive` is asked once the namespaces are opened by the id of process
/// 1: whether that id is still its own.
pub(crate) fn mount_workspace(place: Place<'_>, alive: impl FnOnce() -> bool) -> io::Result<()> {
    let id = place.process_1.as_raw_nonzero();
    let open = |name: &str| File::open(format!("/proc/{id}/ns/{name}"));
    let (user, mounts) = (open("user")?, open("mnt")?);
    let own = File::open("/proc/self/ns/user")?;
    let is_own = is_same(&user, &own)?;
    if !alive() {
        return Err(io::Error::other("the container ended"));
    }
    let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let child = spawn(Namespaces::default(), None, || {
        let user = (!is_own).then_some(&user);
        match mount(place, user, &mounts) {
            Ok(()) => 0,
            Err(error) => {
                let text = format!("{}: {}", error.step, error.source);
                let _ = rustix::io::write(&to, text.as_bytes());
                1
            }
        }
    })?;
    drop(to);
    let mut why = String::new();
    io::Read::read_to_string(&mut File::from(from), &mut why)?;
    let ended = rustix::io::retry_on_intr(|| {
        waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)
    })?;
    match ended.and_then(|status| status.exit_status()) {
        Some(0) => Ok(()),
        _ => Err(io::Error::other(why)),
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (fstat(one)?, fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Runs in a process of its own, which enters the namespaces.
fn mount(place: Place<'_>, user: Option<&File>, mounts: &File) -> Result<(), StepError> {
    if let Some(user) = user {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
            .step(|| "enter the container's user namespace".into())?;
    }
    // The layers are the host's, and a mount can only be made where one may mount.
    enter_new(Namespaces { mount: true, ..Namespaces::default() })
        .step(|| "make a mount namespace".into())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "make the mounts private".into())?;
    let (overlay, workspace) = match place.workspace {
        WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
            let empty = new_filesystem("tmpfs", &[], MountAttrFlags::MOUNT_ATTR_RDONLY)
                .step(|| "make an empty file system".into())?;
            let overlay = overlay::mount(lower_dirs, upper_dir, work_dir, &empty)?;
            let copy = overlay.try_clone().step(|| "copy a descriptor".into())?;
            (Some(overlay), copy)
        }
        WorkspaceMount::Bind { source } => {
            let source = open_host(source).step(|| format!("open {}", source.display()))?;
            (None, source)
        }
    };
    let covers = covers(place, &workspace)?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))
        .step(|| "enter the container's mount namespace".into())?;
    let root = open_host(Path::new("/")).step(|| "open the container's root".into())?;
    let put = |mount: OwnedFd, path: &Path| {
        let at = || format!("mount on {} in the container", path.display());
        let target = open_below(&root, path).step(at)?;
        attach(mount, target.ok_or(Errno::NOENT).step(at)?).step(at)
    };
    if let Some(overlay) = overlay {
        put(overlay, place.target)?;
    }
    covers.into_iter().try_for_each(|(cover, path)| put(cover, &place.target.join(path)))
}

/// Covers for what is hidden of the workspace and exists there.
fn covers<'p>(
    place: Place<'p>,
    workspace: &OwnedFd,
) -> Result<Vec<(OwnedFd, &'p Path)>, StepError> {
    let within: Vec<&Path> = place.within().collect();
    if within.is_empty() {
        return Ok(Vec::new());
    }
    let scratch = scratch().step(|| "make a file system for what is hidden".into())?;
    let covers = Covers::new(&scratch);
    let mut made = Vec::new();
    for path in within {
        let hiding = || format!("hide {}", path.display());
        if let Some(found) = open_below(workspace, path).step(hiding)? {
            let kind = FileType::from_raw_mode(fstat(&found).step(hiding)?.st_mode);
            made.push((covers.of(kind).step(hiding)?, path));
        }
    }
    Ok(made)
}
