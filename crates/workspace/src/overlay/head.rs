//! The one writable place of a sandbox.

use std::path::{Path, PathBuf};

use ctrlz_core::id::SandboxId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{Head, WorkspaceError, WorkspaceMount};
use rustix::fs::{AtFlags, CWD, Mode, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::store::{Store, make_directory, now};
use super::tree::OverlayTree;
use super::{chain, verify};
use crate::node::{Version, copy_metadata, entries, failed, remove_tree, same_xattrs};
use crate::view::quick_version;

/// What begin tells seal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notes {
    /// See [`crate::manifest::Manifest::since`].
    pub since: Timestamp,
    /// Mode, owner and group of the upper directory when the operation began.
    pub root: (u32, u32, u32),
    /// A digest of its extended attributes.
    pub attributes: String,
}

impl Notes {
    pub(super) fn parse(head: &Head) -> Result<Self, WorkspaceError> {
        serde_json::from_str(&head.notes).map_err(|error| WorkspaceError::Io {
            action: "read the notes on",
            path: head.written.clone(),
            source: error.into(),
        })
    }
}

/// Mode, owner and group.
pub(super) fn ownership(version: &Version) -> (u32, u32, u32) {
    (version.permissions(), version.uid, version.gid)
}

pub(super) fn upper(store: &Store, sandbox: SandboxId) -> PathBuf {
    store.head(sandbox).join("upper")
}

/// What a volatile mount leaves in its working directory, with a file `dirty` in it.
const VOLATILE: &str = "work/incompat/volatile";

/// The working directory of the operation before.
fn spent(store: &Store, sandbox: SandboxId) -> PathBuf {
    store.head(sandbox).join("spent")
}

/// Errs when a directory cannot be the base of a workspace.
pub(super) fn check_base(base: &Path) -> Result<Version, WorkspaceError> {
    let refuse = |reason: String| WorkspaceError::Base { path: base.to_owned(), reason };
    if !base.is_absolute() {
        return Err(refuse("its path is not absolute".to_owned()));
    }
    let found = match quick_version(base) {
        Ok(Some(found)) if found.is_directory() => found,
        Ok(Some(_)) => return Err(refuse("it is not a directory".to_owned())),
        Ok(None) => return Err(refuse("it does not exist".to_owned())),
        Err(WorkspaceError::Io { source, .. }) => return Err(refuse(source.to_string())),
        Err(error) => return Err(error),
    };
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::accessat(CWD, base, access, AtFlags::EACCESS)
        .map_err(|errno| refuse(std::io::Error::from(errno).to_string()))?;
    Ok(found)
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::begin`].
///
/// What is already there is used again when nothing was written to it, since making directories
/// is what costs most here.
pub(super) fn begin(
    store: &Store,
    sandbox: SandboxId,
    text: &Tree,
) -> Result<Head, WorkspaceError> {
    let tree = OverlayTree::parse(text)?;
    check_base(&tree.base)?;
    for id in &tree.layers {
        verify::whole_since_boot(store, id)?;
    }
    let (upper, work) = (upper(store, sandbox), store.head(sandbox).join("work"));
    prepare_upper(store, &tree, &upper)?;
    prepare_work(&work, &spent(store, sandbox))?;
    let mut lower_dirs = chain::lower_dirs(store, &tree)?;
    lower_dirs.extend(store.prepare_mask(&tree.base)?);
    lower_dirs.push(tree.base.clone());
    let root = quick_version(&upper)?.ok_or_else(|| failed("look at", &upper)(Errno::NOENT))?;
    let notes = Notes {
        // Last of all, so that as little as possible happens outside between this and the mount.
        since: Timestamp(now().0.saturating_add(1)),
        root: ownership(&root),
        attributes: attributes(&upper)?,
    };
    let notes = serde_json::to_string(&notes).map_err(failed("write the notes on", &upper))?;
    Ok(Head {
        sandbox,
        tree: text.clone(),
        mount: WorkspaceMount::Overlay { lower_dirs, upper_dir: upper.clone(), work_dir: work },
        written: upper,
        notes,
    })
}

/// Leaves an empty upper directory that looks like the root of what is below.
fn prepare_upper(store: &Store, tree: &OverlayTree, upper: &Path) -> Result<(), WorkspaceError> {
    let view = store.view(tree)?;
    let below = view.lookup(&RelPath::root())?.ok_or_else(|| WorkspaceError::Damaged {
        what: "the root is missing",
        path: tree.base.clone(),
    })?;
    if let Some(now) = quick_version(upper)? {
        let usable =
            now.is_directory() && now.permissions() & 0o700 == 0o700 && entries(upper)?.is_empty();
        if usable
            && ownership(&now) == ownership(&below.version)
            && now.mtime == below.version.mtime
            && same_xattrs(upper, &below.disk_path)?
        {
            return Ok(());
        }
        if !usable {
            remove_tree(upper)?;
            make_directory(upper)?;
        }
    } else {
        make_directory(upper)?;
    }
    match copy_metadata(&below.disk_path, upper) {
        // An ordinary user cannot give the directory to another owner. What is inside keeps its
        // owners; only the root itself looks as if it were the user's.
        Err(WorkspaceError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            imitate(&below.version, upper)
        }
        result => result,
    }
}

/// Gives a directory of ours the mode, without the special bits, and the time of `below`.
pub(super) fn imitate(below: &Version, upper: &Path) -> Result<(), WorkspaceError> {
    // Without the owner's bits we could not use it ourselves.
    let mode = Mode::from_raw_mode(below.permissions() & 0o777 | 0o700);
    rustix::fs::chmod(upper, mode).map_err(failed("set the mode of", upper))?;
    let time = rustix::fs::Timespec {
        tv_sec: below.mtime.seconds(),
        tv_nsec: below.mtime.nanoseconds() as _,
    };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, upper, &times, AtFlags::empty())
        .map_err(failed("set the times of", upper))
}

/// How [`imitate`] had a directory look that is `now`, when that was done since the one below belongs to
/// somebody else.
pub(super) fn imitated(below: &Version, now: &Version) -> Option<(u32, u32, u32)> {
    let is_ours = now.uid == rustix::process::geteuid().as_raw();
    let is_imitated = is_ours && (below.uid, below.gid) != (now.uid, now.gid) && !may_give_away();
    is_imitated.then_some((below.permissions() & 0o777 | 0o700, now.uid, now.gid))
}

/// Whether this process may give files to any owner.
fn may_give_away() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = u32::MAX.to_string();
    rustix::process::geteuid().is_root() && map.split_whitespace().last() == Some(&whole)
}

/// Leaves an empty working directory: overlayfs refuses one that a volatile mount used, and clears
/// others itself, while the command waits for it.
fn prepare_work(work: &Path, spent: &Path) -> Result<(), WorkspaceError> {
    let make = || rustix::fs::mkdir(work, Mode::from_raw_mode(0o700));
    let make_failed = |errno| failed("create the directory", work)(errno);
    match make() {
        Err(Errno::EXIST) => {}
        made => return made.map_err(make_failed),
    }
    let put_aside = || rustix::fs::rename(work, spent);
    match put_aside() {
        Err(Errno::EXIST | Errno::NOTEMPTY) => {
            remove_tree(spent)?;
            put_aside()
        }
        result => result,
    }
    .map_err(failed("put aside", work))?;
    make().map_err(make_failed)
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::tidy`].
pub(super) fn tidy(store: &Store, sandbox: SandboxId) {
    let spent = spent(store, sandbox);
    // All that is there as a rule. The rest, if there is any, is found by looking.
    let _ = unlinkat(CWD, spent.join(VOLATILE).join("dirty"), AtFlags::empty());
    for directory in Path::new(VOLATILE).ancestors() {
        let removed = unlinkat(CWD, spent.join(directory), AtFlags::REMOVEDIR);
        if !matches!(removed, Ok(()) | Err(Errno::NOENT)) {
            // Where that fails, the next operation tries again and tells.
            let _ = remove_tree(&spent);
            return;
        }
    }
}

/// A digest of a directory's extended attributes, overlayfs's own left out.
pub(super) fn attributes(directory: &Path) -> Result<String, WorkspaceError> {
    let fail = |errno: Errno| failed("read the extended attributes of", directory)(errno);
    let list = match grown(|buffer| rustix::fs::llistxattr(directory, buffer)) {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP) => return Ok(String::new()),
        Err(errno) => return Err(fail(errno)),
    };
    let mut names: Vec<&[u8]> = list
        .split(|byte| *byte == 0)
        .filter(|name| {
            !name.is_empty()
                && !name.starts_with(b"user.overlay.")
                && !name.starts_with(b"trusted.overlay.")
        })
        .collect();
    names.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for name in &names {
        let value = match grown(|buffer| rustix::fs::lgetxattr(directory, *name, buffer)) {
            Ok(value) => value,
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(fail(errno)),
        };
        for part in [*name, value.as_slice()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(if names.is_empty() { String::new() } else { hasher.finalize().to_hex().to_string() })
}

/// Calls `read` with a buffer that is large enough. It begins small: this runs before and after
/// every operation, and pages that are never needed cost most of the time.
fn grown(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match read(buffer.as_mut_slice()) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            // 64 KiB is the kernel's limit for both lists and values.
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 8, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::abandon`].
pub(super) fn abandon(store: &Store, sandbox: SandboxId) -> Result<(), WorkspaceError> {
    let upper = upper(store, sandbox);
    match quick_version(&upper)? {
        None => Ok(()),
        Some(now) if now.is_directory() && now.permissions() & 0o700 == 0o700 => {
            if entries(&upper)?.is_empty() { Ok(()) } else { remove_tree(&upper) }
        }
        Some(_) => remove_tree(&upper),
    }
}
