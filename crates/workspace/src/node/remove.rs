//! Removing a tree.

use std::ffi::OsString;
use std::path::Path;

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::cursor::{Closed, Cursor};
use super::{Place, entries_at, failed, is_absent, open_parent, version_at};

/// Removes `path` and everything below it; nothing to do when it is not there. Directories of
/// ours that their mode closes are opened first. Links are removed, never followed; another
/// mount inside is an error.
///
/// # Errors
/// What could not be removed; calling it again continues.
pub(crate) fn remove_tree(path: &Path) -> Result<(), WorkspaceError> {
    match open_parent(path) {
        Ok((directory, name)) => remove_tree_at(Place::new(&directory, &name, path)),
        Err(WorkspaceError::Io { source, .. }) if is_absent(&source) => Ok(()),
        Err(error) => Err(error),
    }
}

/// [`remove_tree`] of a name in an open directory.
pub(crate) fn remove_tree_at(place: Place<'_>) -> Result<(), WorkspaceError> {
    match version_at(place)? {
        None => return Ok(()),
        Some(version) if !version.is_directory() => return unlink(place, AtFlags::empty()),
        Some(_) => {}
    }
    let mut cursor = Cursor::open(place, Closed::Open)?;
    // The names still to be removed, one list a level, and the name of the level itself.
    let mut levels: Vec<(OsString, Vec<OsString>)> =
        vec![(place.name.to_owned(), entries_at(cursor.fd(), cursor.shown())?)];
    while let Some((_, pending)) = levels.last_mut() {
        let Some(name) = pending.pop() else {
            let Some((name, _)) = levels.pop() else { break };
            if cursor.ascend()? {
                let shown = cursor.shown().join(&name);
                unlink(
                    Place { directory: cursor.fd(), name: &name, shown: &shown },
                    AtFlags::REMOVEDIR,
                )?;
            }
            continue;
        };
        let shown = cursor.shown().join(&name);
        let entry = Place { directory: cursor.fd(), name: &name, shown: &shown };
        match version_at(entry)? {
            None => {}
            Some(version) if version.is_directory() => {
                cursor.descend(&name)?;
                let below = entries_at(cursor.fd(), cursor.shown())?;
                levels.push((name, below));
            }
            Some(_) => unlink(entry, AtFlags::empty())?,
        }
    }
    unlink(place, AtFlags::REMOVEDIR)
}

fn unlink(place: Place<'_>, flags: AtFlags) -> Result<(), WorkspaceError> {
    match rustix::fs::unlinkat(place.directory, place.name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed("remove", place.shown)(errno)),
    }
}
