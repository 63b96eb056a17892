//! Owner, mode, extended attributes and times: what an inode carries beside its content.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Place, Version, failed, open_parent, version_of};

/// What zfs-fuse puts into a buffer that is too short, in place of an error: the number of `ERANGE`.
const FUSE_RANGE: [u8; 8] = [34, 0, 0, 0, 0, 0, 0, 0];

/// overlayfs keeps its own notes in these; they belong to a layer's directory, not to the file.
const OVERLAY: [&[u8]; 2] = [b"user.overlay.", b"trusted.overlay."];
/// Written by the kernel or a security module by itself; a copy without them is still a copy.
const AUTOMATIC: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];
const ACL: &[u8] = b"system.posix_acl_";

/// What a copy does with overlayfs's own attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    LeftOut,
    /// It is a copy of a layer.
    Kept,
}

/// Any inode, opened only as a place (`O_PATH`), so that nothing on it is triggered.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) fd: OwnedFd,
    /// The path by which calls without a descriptor form reach exactly this inode.
    pub(crate) through: PathBuf,
    pub(crate) version: Version,
}

impl Handle {
    /// Opens the entry itself, a link not followed.
    pub(crate) fn open(place: Place<'_>) -> Result<Self, WorkspaceError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(place.directory, place.name, flags, Mode::empty())
            .map_err(failed("open", place.shown))?;
        let through = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let version = version_of(&fd, place.shown)?;
        Ok(Self { fd, through, version })
    }

    /// Sets the low 12 bits of the mode. Not for symbolic links, which have none.
    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), Errno> {
        rustix::fs::chmod(&self.through, Mode::from_raw_mode(mode & 0o7777))
    }

    /// All extended attributes that a copy keeps, sorted, ACLs last: setting an ACL narrows the
    /// mode, and the others may need the write permission.
    pub(super) fn attributes(&self) -> Result<Attributes, Errno> {
        self.attributes_with(Marks::LeftOut)
    }

    pub(super) fn attributes_with(&self, marks: Marks) -> Result<Attributes, Errno> {
        let mut list = vec![0; 1024];
        let length = loop {
            match rustix::fs::listxattr(&self.through, list.as_mut_slice()) {
                Ok(length) => break length,
                Err(Errno::RANGE) if list.len() < 1 << 20 => list.resize(list.len() * 8, 0),
                Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
                Err(errno) => return Err(errno),
            }
        };
        list.truncate(length);
        let mut attributes = Vec::new();
        for name in list.split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            let is_mark = OVERLAY.iter().any(|own| name.to_bytes().starts_with(own));
            if is_mark && marks == Marks::LeftOut {
                continue;
            }
            if let Some(value) = self.attribute(name)? {
                attributes.push((name.to_owned(), value));
            }
        }
        attributes.sort_by_key(|(name, _)| (name.to_bytes().starts_with(ACL), name.clone()));
        Ok(attributes)
    }

    fn attribute(&self, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
        // 64 KiB is the kernel's limit.
        const MOST: usize = 1 << 17;
        let mut value = vec![0; 256];
        let mut is_all = false;
        loop {
            match rustix::fs::getxattr(&self.through, name, value.as_mut_slice()) {
                Ok(length) => {
                    value.truncate(length);
                    if value == FUSE_RANGE && !is_all {
                        is_all = true;
                        value = vec![0; MOST];
                        continue;
                    }
                    return Ok(Some(value));
                }
                Err(Errno::RANGE) if value.len() < MOST => value.resize(value.len() * 8, 0),
                Err(Errno::NODATA) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Makes the attributes those of `wanted`, and removes others, such as an ACL that a new
    /// file got from its directory.
    fn set_attributes(&self, wanted: &Attributes, shown: &Path) -> Result<(), WorkspaceError> {
        let fail = |errno: Errno| failed("keep the extended attributes of", shown)(errno);
        let now = self.attributes().map_err(fail)?;
        for (name, _) in &now {
            let automatic = AUTOMATIC.contains(&name.to_bytes());
            if !automatic && !wanted.iter().any(|(kept, _)| kept == name) {
                self.writable(|| rustix::fs::removexattr(&self.through, name)).map_err(fail)?;
            }
        }
        for (name, value) in wanted {
            if now.iter().any(|(have, same)| have == name && same == value) {
                continue;
            }
            let set = || rustix::fs::setxattr(&self.through, name, value, XattrFlags::empty());
            match self.writable(set) {
                Err(_) if AUTOMATIC.contains(&name.to_bytes()) => {}
                result => result.map_err(fail)?,
            }
        }
        Ok(())
    }

    /// Runs `change`; an owner without the write permission gets it for the moment. The mode is
    /// set for good afterwards by the caller.
    fn writable(&self, change: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
        match change() {
            Err(Errno::ACCESS) => {
                self.set_permissions(self.version.permissions() | 0o200)?;
                change()
            }
            result => result,
        }
    }
}

/// Names and values.
pub(super) type Attributes = Vec<(CString, Vec<u8>)>;

/// Gives `to` the owner, attributes, mode and times of `from`. In this order: a change of owner
/// clears set-user-id and file capabilities, an ACL changes the mode, and all of it would touch
/// the times.
pub(super) fn carry(
    to: &Handle,
    from: &Version,
    attributes: &Attributes,
    times: &Timestamps,
    shown: &Path,
) -> Result<(), WorkspaceError> {
    let uid = (to.version.uid != from.uid).then_some(from.uid);
    let gid = (to.version.gid != from.gid).then_some(from.gid);
    if uid.is_some() || gid.is_some() {
        rustix::fs::chownat(
            &to.fd,
            "",
            uid.map(Uid::from_raw),
            gid.map(Gid::from_raw),
            AtFlags::EMPTY_PATH,
        )
        .map_err(failed("keep the owner of", shown))?;
    }
    to.set_attributes(attributes, shown)?;
    if super::file_type(from) != ctrlz_core::changeset::FileType::Symlink {
        to.set_permissions(from.mode).map_err(failed("keep the mode of", shown))?;
        // A group that we are not in silently loses set-group-id (chmod(2)).
        let kept = version_of(&to.fd, shown)?.permissions();
        if kept != from.permissions() {
            return Err(failed("keep the mode of", shown)(Errno::PERM));
        }
    }
    rustix::fs::utimensat(rustix::fs::CWD, &to.through, times, AtFlags::empty())
        .map_err(failed("keep the times of", shown))
}

/// Access and modification time of an inode, to give to another.
pub(super) fn times(fd: impl AsFd, shown: &Path) -> Result<Timestamps, WorkspaceError> {
    let flags = rustix::fs::StatxFlags::BASIC_STATS;
    let stat =
        rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, flags).map_err(failed("look at", shown))?;
    let time =
        |t: rustix::fs::StatxTimestamp| Timespec { tv_sec: t.tv_sec, tv_nsec: t.tv_nsec.into() };
    Ok(Timestamps { last_access: time(stat.stx_atime), last_modification: time(stat.stx_mtime) })
}

/// Makes owner, mode, extended attributes and times of `to` those of `from`. Both must be there
/// and of one type; overlayfs's own attributes stay as they are.
///
/// # Errors
/// Which of them could not be kept.
pub(crate) fn copy_metadata(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    let (from_directory, from_name) = open_parent(from)?;
    let (to_directory, to_name) = open_parent(to)?;
    copy_metadata_at(
        Place::new(&from_directory, &from_name, from),
        Place::new(&to_directory, &to_name, to),
    )
}

/// [`copy_metadata`] for names in open directories.
pub(crate) fn copy_metadata_at(from: Place<'_>, to: Place<'_>) -> Result<(), WorkspaceError> {
    let source = Handle::open(from)?;
    let target = Handle::open(to)?;
    let attributes =
        source.attributes().map_err(failed("read the extended attributes of", from.shown))?;
    let times = times(&source.fd, from.shown)?;
    carry(&target, &source.version, &attributes, &times, to.shown)
}

/// Whether two entries carry the same extended attributes, overlayfs's own left out.
///
/// # Errors
/// When one is missing or cannot be read.
pub(crate) fn same_xattrs(a: &Path, b: &Path) -> Result<bool, WorkspaceError> {
    let (a_directory, a_name) = open_parent(a)?;
    let (b_directory, b_name) = open_parent(b)?;
    same_xattrs_at(Place::new(&a_directory, &a_name, a), Place::new(&b_directory, &b_name, b))
}

/// [`same_xattrs`] for names in open directories.
pub(crate) fn same_xattrs_at(a: Place<'_>, b: Place<'_>) -> Result<bool, WorkspaceError> {
    let read = |place: Place<'_>| {
        Handle::open(place)?
            .attributes()
            .map_err(failed("read the extended attributes of", place.shown))
    };
    Ok(read(a)? == read(b)?)
}
