//! Owner, attributes, mode and time of what was made.

use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use ctrlz_core::path::RelPath;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::target::{IdRange, Ownership};
use crate::entry::{FileTime, Metadata};
use crate::loss::{Losses, Lost};
use crate::source::OVERLAY;

/// What is the same for all entries of a restore.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    ownership: Ownership,
    us: (u32, u32),
    umask: u32,
}

const ACL: &[u8] = b"system.posix_acl_";
const SET_ID: u32 = 0o6000;

/// The process's umask. It can only be read without changing it from `/proc`.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // Where it is unknown, every mode is set once more.
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
}

impl Keep {
    pub(super) fn new(ownership: Ownership) -> Self {
        let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { ownership, us, umask: umask() }
    }

    /// The mode to create a file with. It is the final one where nothing else has to happen in
    /// between.
    pub(super) fn first_mode(&self, metadata: &Metadata) -> Mode {
        if metadata.attributes.is_empty() {
            // Without set-user-id, which is for the final owner only.
            Mode::from_raw_mode(metadata.mode & 0o777)
        } else {
            Mode::RUSR | Mode::WUSR
        }
    }

    /// The owner to give, `None` for each part that is ours already; and whether it is not the one
    /// of the archive.
    fn owner(&self, metadata: &Metadata) -> ((Option<u32>, Option<u32>), bool) {
        let (uid, gid) = (metadata.uid, metadata.gid);
        let wanted = match &self.ownership {
            Ownership::AsArchived => (Some(uid), Some(gid)),
            Ownership::Mine => {
                ((uid == self.us.0).then_some(uid), (gid == self.us.1).then_some(gid))
            }
            Ownership::Mapped(map) => {
                (IdRange::map(&map.users, uid), IdRange::map(&map.groups, gid))
            }
        };
        let lost = wanted.0.is_none() || wanted.1.is_none();
        let other = |id: Option<u32>, ours: u32| id.filter(|id| *id != ours);
        ((other(wanted.0, self.us.0), other(wanted.1, self.us.1)), lost)
    }

    /// For what is open. `mode` is what it was created with, when it was.
    pub(super) fn on_open(
        &self,
        fd: impl AsFd,
        path: &RelPath,
        metadata: &Metadata,
        mode: Option<Mode>,
        losses: &mut Losses,
    ) -> Result<(), Errno> {
        let ((uid, gid), mut lost) = self.owner(metadata);
        if uid.is_some() || gid.is_some() {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            lost |= !is_given(rustix::fs::fchown(&fd, uid, gid))?;
        }
        if lost {
            losses.add(path, Lost::Owner { uid: metadata.uid, gid: metadata.gid });
        }
        // An ACL changes the mode, and the mode decides who may set the others.
        let (acl, others): (Vec<_>, Vec<_>) =
            metadata.attributes.iter().partition(|(name, _)| name.starts_with(ACL));
        for (name, value) in others.into_iter().chain(acl) {
            let set = |name: &[u8], value: &[u8]| {
                rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty())
            };
            self.attribute(path, name, value, losses, set)?;
        }
        let wanted = self.mode(metadata, lost, path, losses);
        let made = mode.is_some_and(|mode| {
            mode.as_raw_mode() == wanted
                && wanted & self.umask == 0
                && metadata.attributes.is_empty()
        });
        if !made {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(wanted))?;
            // A group that we are not in silently loses set-group-id (chmod(2)).
            if wanted & SET_ID != 0 && rustix::fs::fstat(&fd)?.st_mode & SET_ID != wanted & SET_ID {
                losses.add(path, Lost::SetId);
            }
        }
        rustix::fs::futimens(&fd, &times(metadata.mtime))
    }

    fn mode(&self, metadata: &Metadata, lost: bool, path: &RelPath, losses: &mut Losses) -> u32 {
        if lost && metadata.mode & SET_ID != 0 {
            losses.add(path, Lost::SetId);
            metadata.mode & !SET_ID
        } else {
            metadata.mode
        }
    }

    /// For what cannot be opened: the entry `name` in `directory`. A link has no mode.
    pub(super) fn on_name(
        &self,
        directory: impl AsFd,
        name: &[u8],
        path: &RelPath,
        metadata: &Metadata,
        is_link: bool,
        losses: &mut Losses,
    ) -> Result<(), Errno> {
        let ((uid, gid), mut lost) = self.owner(metadata);
        let this = AtFlags::SYMLINK_NOFOLLOW;
        if uid.is_some() || gid.is_some() {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            lost |= !is_given(rustix::fs::chownat(&directory, name, uid, gid, this))?;
        }
        if lost {
            losses.add(path, Lost::Owner { uid: metadata.uid, gid: metadata.gid });
        }
        if !metadata.attributes.is_empty() {
            let through = through(&directory, name);
            for (attribute, value) in &metadata.attributes {
                let set = |name: &[u8], value: &[u8]| {
                    rustix::fs::lsetxattr(&through, name, value, XattrFlags::empty())
                };
                self.attribute(path, attribute, value, losses, set)?;
            }
        }
        if !is_link {
            let mode = Mode::from_raw_mode(self.mode(metadata, lost, path, losses));
            rustix::fs::chmodat(&directory, name, mode, AtFlags::empty())?;
        }
        rustix::fs::utimensat(&directory, name, &times(metadata.mtime), this)
    }

    fn attribute(
        &self,
        path: &RelPath,
        name: &[u8],
        value: &[u8],
        losses: &mut Losses,
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        // overlayfs would believe what a stranger's archive says to it.
        let foreign = OVERLAY.iter().any(|own| name.starts_with(own));
        match if foreign { Err(Errno::PERM) } else { set(name, value) } {
            Ok(()) => Ok(()),
            // Not ours to set, or not for this file system, or not for this kind of entry.
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL | Errno::RANGE) => {
                let name = String::from_utf8_lossy(name).into_owned();
                losses.add(path, Lost::Attribute { name });
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }
}

/// Whether an owner was given. Root may not do that everywhere: in a user namespace without that
/// number, or on a file system that knows no owners.
fn is_given(result: Result<(), Errno>) -> Result<bool, Errno> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The path of a name in an open directory.
pub(super) fn through(directory: impl AsFd, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

fn times(mtime: FileTime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
    }
}
