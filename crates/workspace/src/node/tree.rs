//! A copy of a whole tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::AtFlags;

use super::copy::{Source, Unreadable, create, fill};
use super::cursor::{Closed, Cursor};
use super::{Place, copy_node_at, entries_at, failed, open_parent, version_at};

/// Copies everything at and below `from` to the new `to`. Hard links inside stay hard links.
/// The source is only read; another mount inside is an error.
///
/// # Errors
/// As [`super::copy_node`]; what was copied before the error stays for [`super::remove_tree`].
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    copy(from, to, Unreadable::Refuse, copy_node_at)
}

/// [`copy_tree`] for a source in our own store, as [`super::copy_sealed_node`].
///
/// # Errors
/// As [`copy_tree`].
pub(crate) fn copy_sealed_tree(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    copy(from, to, Unreadable::Unseal, copy_node_at)
}

/// How one entry that is no directory is put in place.
pub(super) type PutNode = fn(Place<'_>, Place<'_>, Unreadable) -> Result<(), WorkspaceError>;

struct Level {
    name: OsString,
    pending: std::vec::IntoIter<OsString>,
}

/// Where an inode with several names was copied first: the directory, opened by the path from the
/// copy's root, and the name.
type Linked = HashMap<(u64, u64), (PathBuf, OsString)>;

/// The target may be there as an empty directory that we made.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    unreadable: Unreadable,
    put: PutNode,
) -> Result<(), WorkspaceError> {
    let (from_parent, from_name) = open_parent(from)?;
    let (to_parent, to_name) = open_parent(to)?;
    let source = Place::new(&from_parent, &from_name, from);
    let target = Place::new(&to_parent, &to_name, to);
    let directory = version_at(source)?.is_some_and(|version| version.is_directory());
    if !directory {
        return put(source, target, unreadable);
    }
    let closed = match unreadable {
        Unreadable::Refuse => Closed::Refuse,
        Unreadable::Unseal | Unreadable::UnsealLayer => Closed::Unseal,
    };
    if version_at(target)?.is_none() {
        create(&Source::open(source, unreadable)?, source, target)?;
    }
    let mut left = Cursor::open(source, closed)?;
    let mut right = Cursor::open(target, Closed::Refuse)?;
    let mut linked = Linked::new();
    let names = |cursor: &Cursor| entries_at(cursor.fd(), cursor.shown()).map(Vec::into_iter);
    let mut levels = vec![Level { name: OsString::new(), pending: names(&left)? }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.pending.next() else {
            let Some(done) = levels.pop() else { break };
            let (above, _) = (left.ascend()?, right.ascend()?);
            // Mode and times last, when nothing more is written inside.
            if above {
                between(&left, &right, &done.name, |from, to| {
                    fill(&Source::open(from, unreadable)?, from, to)
                })?;
            } else {
                fill(&Source::open(source, unreadable)?, source, target)?;
            }
            continue;
        };
        let descend = between(&left, &right, &name, |from, to| {
            one(from, to, (unreadable, put), &mut linked)
        })?;
        if descend {
            left.descend(&name)?;
            right.descend(&name)?;
            levels.push(Level { name, pending: names(&left)? });
        }
    }
    Ok(())
}

fn between<T>(
    left: &Cursor,
    right: &Cursor,
    name: &OsStr,
    act: impl FnOnce(Place<'_>, Place<'_>) -> Result<T, WorkspaceError>,
) -> Result<T, WorkspaceError> {
    let (from, to) = (left.shown().join(name), right.shown().join(name));
    act(
        Place { directory: left.fd(), name, shown: &from },
        Place { directory: right.fd(), name, shown: &to },
    )
}

/// Copies one entry; whether it is a directory to go into, of which only the node was made.
fn one(
    from: Place<'_>,
    to: Place<'_>,
    (unreadable, put): (Unreadable, PutNode),
    linked: &mut Linked,
) -> Result<bool, WorkspaceError> {
    let Some(version) = version_at(from)? else { return Ok(false) };
    if version.is_directory() {
        create(&Source::open(from, unreadable)?, from, to)?;
        return Ok(true);
    }
    if version.nlink > 1 {
        let inode = (version.dev, version.ino);
        if let Some((parent, name)) = linked.get(&inode) {
            let parent = super::open_directory(parent, rustix::fs::OFlags::PATH)?;
            rustix::fs::linkat(&parent, name, to.directory, to.name, AtFlags::empty())
                .map_err(failed("link", to.shown))?;
            return Ok(false);
        }
        let parent = to.shown.parent().unwrap_or(Path::new(".")).to_owned();
        linked.insert(inode, (parent, to.name.to_owned()));
    }
    put(from, to, unreadable)?;
    Ok(false)
}
