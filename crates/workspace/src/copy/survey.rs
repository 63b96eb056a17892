//! One look at every entry of a tree.

use std::path::Path;

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::access::{Opened, is_denied};
use crate::manifest::Record;
use crate::node::{
    Place, Version, entries_at, failed, file_type, is_gone, open_directory, version_at,
};

/// Every entry at and below `root`, a directory of our own store, the root first and parents
/// before children. What its mode closes is opened for the moment.
///
/// # Errors
/// When an entry cannot be looked at.
pub(super) fn records(root: &Path) -> Result<Vec<Record>, WorkspaceError> {
    let mut records = Vec::new();
    visit(root, true, |path, version, _| {
        records.push(record(path, Some(version), None));
        Ok(())
    })?;
    Ok(records)
}

/// Every entry at and below the live directory `base`. Nothing is opened that is closed.
///
/// # Errors
/// [`WorkspaceError::Base`] when there is something that cannot be copied: another mount, or what
/// we may not read.
pub(super) fn base(base: &Path) -> Result<Vec<(RelPath, Version)>, WorkspaceError> {
    let refuse = |reason: String| WorkspaceError::Base { path: base.to_owned(), reason };
    let mut found = Vec::new();
    let result = visit(base, false, |path, version, place| {
        if !path.is_root() && is_mount(place)? {
            return Err(refuse(format!(
                "{} is another mount, and complete copies are made of none",
                place.shown.display()
            )));
        }
        if !may_read(place, &version)? {
            return Err(refuse(format!(
                "{} may not be read, so it cannot be copied",
                place.shown.display()
            )));
        }
        found.push((path, version));
        Ok(())
    });
    match result {
        Ok(()) => Ok(found),
        Err(WorkspaceError::Io { action, path, source })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Err(refuse(format!("cannot {action} {}: {source}", path.display())))
        }
        Err(error) => Err(error),
    }
}

/// A record of an entry in the store and one in the base.
pub(super) fn record(path: RelPath, entry: Option<Version>, base: Option<Version>) -> Record {
    Record { path, entry, opaque: false, base, raced: false }
}

fn visit(
    root: &Path,
    unseal: bool,
    mut each: impl FnMut(RelPath, Version, Place<'_>) -> Result<(), WorkspaceError>,
) -> Result<(), WorkspaceError> {
    let start = Place::new(&CWD, root, root);
    let version = version_at(start)?.ok_or_else(|| failed("look at", root)(Errno::NOENT))?;
    each(RelPath::root(), version, start)?;
    let mut pending = vec![RelPath::root()];
    while let Some(path) = pending.pop() {
        let shown = path.below(root);
        let open = || open_directory(&shown, OFlags::RDONLY);
        let mut opened = None;
        let directory = match open() {
            Err(error) if unseal && is_denied(&error) => {
                opened = Some(Opened::open(root, &path)?);
                open()
            }
            // Someone removed or replaced it just now.
            Err(error) if !unseal && !path.is_root() && is_gone(&error) => continue,
            result => result,
        }?;
        // A mode without the search bit lets itself be opened, but nothing in it be looked at.
        if unseal && opened.is_none() && !searchable(&directory) {
            opened = Some(Opened::open(root, &path)?);
        }
        let names = entries_at(&directory, &shown)?;
        for name in names {
            let child = path.child(&name);
            let shown = child.below(root);
            let place = Place::new(&directory, &name, &shown);
            let Some(version) = version_at(place)? else { continue };
            if version.is_directory() {
                pending.push(child.clone());
            }
            each(child, version, place)?;
        }
        drop(opened);
    }
    Ok(())
}

fn searchable(directory: &impl std::os::fd::AsFd) -> bool {
    rustix::fs::statat(directory, "./.", AtFlags::empty()).is_ok()
}

/// Whether another file system, or another part of one, is mounted on the entry.
pub(super) fn is_mount(place: Place<'_>) -> Result<bool, WorkspaceError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(place.directory, place.name, flags, StatxFlags::TYPE) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed("look at", place.shown)(errno)),
    }
}

/// Asked by opening, since access(2) does not know what an access control list or a capability
/// of the opener says of extended attributes. Only what has content is opened.
fn may_read(place: Place<'_>, version: &Version) -> Result<bool, WorkspaceError> {
    use ctrlz_core::changeset::FileType;
    if file_type(version) != FileType::File || rustix::process::geteuid().is_root() {
        return Ok(true);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(place.directory, place.name, flags, Mode::empty()) {
        Ok(_) | Err(Errno::NOENT | Errno::LOOP) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM) => Ok(false),
        Err(errno) => Err(failed("open", place.shown)(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sees_everything_parents_first_and_leaves_modes_alone() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(dir.path().join("a/b")).expect("mkdir");
        fs::write(dir.path().join("a/b/c"), "x").expect("write");
        for mode in [0o000, 0o400, 0o100] {
            let closed = dir.path().join("a");
            fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).expect("chmod");
            let found = records(dir.path()).expect("records");
            let paths: Vec<_> = found.iter().map(|r| r.path.to_string()).collect();
            assert_eq!(paths, [".", "a", "a/b", "a/b/c"], "mode {mode:o}");
            let now = fs::metadata(&closed).expect("stat").permissions().mode();
            assert_eq!(now & 0o777, mode);
            fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("chmod");
        }
    }
}
