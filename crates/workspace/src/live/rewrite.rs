//! Changing a file in place, because it has names that the transaction does not reach.
//!
//! This is the one change that is not a single rename. A mark on the disk says that it may have
//! begun; what the file is to be and what it was are both in the staging directory.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use ctrlz_core::workspace::{Conflict, ConflictReason, WorkspaceError};
use rustix::fs::{Mode, OFlags};

use super::check::{matches, matches_moved};
use super::record::{self, Item, Rewriting};
use super::transaction::{Stopped, Transaction};
use super::tree::{Parent, Spot};
use crate::access::is_denied;
use crate::fault;
use crate::node::{
    Handle, Place, Version, copy_metadata_at, failed, overwrite, same_content_at, same_xattrs_at,
    version_of,
};

/// What a file that is changed in place looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As before.
    Before,
    /// As after.
    After,
    /// A crash stopped the writing.
    Partly,
    /// Someone wrote to it, replaced it or removed it.
    Foreign,
}

pub(super) fn mark(index: usize) -> String {
    format!("rewriting-{index}.json")
}

/// How far the item is.
pub(super) fn state(
    transaction: &Transaction,
    index: usize,
    item: &Item,
    spot: &Spot,
) -> Result<State, WorkspaceError> {
    let (Some(now), Some(before)) = (spot.version()?, item.before) else {
        return Ok(State::Foreign);
    };
    if now.ino != before.ino {
        return Ok(State::Foreign);
    }
    if same_as(spot, &now, &transaction.slot(index)?)? {
        return Ok(State::After);
    }
    if matches_moved(&before, &now) && same_as(spot, &now, &transaction.backup(index)?)? {
        return Ok(State::Before);
    }
    let begun = transaction.directory.join(mark(index)).exists();
    if begun && is_partial(spot, transaction, index)? {
        return Ok(State::Partly);
    }
    Ok(State::Foreign)
}

fn same_as(spot: &Spot, now: &Version, copy: &Spot) -> Result<bool, WorkspaceError> {
    let Some(wanted) = copy.version()? else { return Ok(false) };
    Ok(now.permissions() == wanted.permissions()
        && (now.uid, now.gid, now.mtime) == (wanted.uid, wanted.gid, wanted.mtime)
        && same_content_at(spot.place(), copy.place())?
        && same_xattrs_at(spot.place(), copy.place())?)
}

/// Whether each byte of the file is one of the new content, or zero where a crash lost it, or one
/// of the old content: then it holds nothing of anybody else's.
fn is_partial(
    spot: &Spot,
    transaction: &Transaction,
    index: usize,
) -> Result<bool, WorkspaceError> {
    let open = |spot: &Spot| open(spot.place(), OFlags::RDONLY).map(File::from);
    let mut files =
        [open(spot)?, open(&transaction.slot(index)?)?, open(&transaction.backup(index)?)?];
    let mut buffers = [vec![0; 1 << 16], vec![0; 1 << 16], vec![0; 1 << 16]];
    loop {
        let mut lengths = [0; 3];
        for ((file, buffer), length) in files.iter_mut().zip(&mut buffers).zip(&mut lengths) {
            buffer.fill(0);
            let mut limited = file.take(1 << 16);
            let mut filled = 0;
            while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
                match limited.read(room).map_err(failed("read", spot.shown()))? {
                    0 => break,
                    more => filled += more,
                }
            }
            *length = filled;
        }
        let [now, new, old] = &buffers;
        let [length, new_length, old_length] = lengths;
        if length == 0 {
            return Ok(true);
        }
        let ours = now.iter().zip(new.iter().zip(old)).take(length);
        let ours = ours.into_iter().all(|(now, (new, old))| *now == 0 || now == new || now == old);
        if !ours || length > new_length.max(old_length) {
            return Ok(false);
        }
    }
}

fn open(place: Place<'_>, access: OFlags) -> Result<OwnedFd, WorkspaceError> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(place.directory, place.name, flags, Mode::empty())
        .map_err(failed("open", place.shown))
}

/// Opens the live file for writing. Its owner may, whatever its mode says; a crash in between
/// leaves the owner's permissions set, and the mark says that the file is ours to finish.
fn open_to_write(place: Place<'_>) -> Result<OwnedFd, WorkspaceError> {
    let open = || open(place, OFlags::RDWR);
    match open() {
        Err(error) if is_denied(&error) => {}
        result => return result,
    }
    let handle = Handle::open(place)?;
    let (version, us) = (handle.version, rustix::process::geteuid().as_raw());
    if !version.is_file() || version.uid != us || version.permissions() & 0o600 == 0o600 {
        return open();
    }
    let set =
        |mode| handle.set_permissions(mode).map_err(failed("change the mode of", place.shown));
    set(version.permissions() | 0o600)?;
    let file = open();
    set(version.permissions())?;
    file
}

/// Writes the slot's content and metadata to the live file.
pub(super) fn rewrite(transaction: &Transaction, index: usize, item: &Item) -> Result<(), Stopped> {
    let changed = || {
        let reason = ConflictReason::Changed;
        Stopped::Conflict(Conflict { path: item.path.clone(), reason })
    };
    let Parent::Open(spot) = transaction.tree.find(&item.path)? else { return Err(changed()) };
    match state(transaction, index, item, &spot)? {
        State::After => return Ok(()),
        State::Before | State::Partly => {}
        // Also when the user chose to replace whatever is there: it would be kept nowhere.
        State::Foreign => return Err(changed()),
    }
    record::write(&transaction.directory, &mark(index), &Rewriting {})?;
    let file = open_to_write(spot.place())?;
    let now = version_of(&file, spot.shown())?;
    let same = item.before.is_some_and(|before| {
        before.ino == now.ino && (matches(&before, &now) || matches_moved(&before, &now))
    });
    if !same && state(transaction, index, item, &spot)? != State::Partly {
        return Err(changed());
    }
    Ok(write(&transaction.slot(index)?, &spot, &file)?)
}

fn write(from: &Spot, to: &Spot, file: &OwnedFd) -> Result<(), WorkspaceError> {
    fault::point("rewrite").map_err(failed("write", to.shown()))?;
    let source = open(from.place(), OFlags::RDONLY)?;
    rustix::fs::ftruncate(file, 0).map_err(failed("empty", to.shown()))?;
    fault::point("rewrite-emptied").map_err(failed("write", to.shown()))?;
    overwrite(&source, file).map_err(failed("write", to.shown()))?;
    fault::point("rewrite-written").map_err(failed("write", to.shown()))?;
    copy_metadata_at(from.place(), to.place())?;
    fault::point("rewritten").map_err(failed("write", to.shown()))
}

/// Gives the live file its old content and metadata back. Whether there is someone else's work in
/// it, which is then left as it is.
pub(super) fn restore(
    transaction: &Transaction,
    index: usize,
    item: &Item,
) -> Result<bool, WorkspaceError> {
    let Parent::Open(spot) = transaction.tree.find(&item.path)? else { return Ok(true) };
    match state(transaction, index, item, &spot)? {
        State::Before => Ok(false),
        State::Foreign => Ok(true),
        State::After | State::Partly => {
            let file = open_to_write(spot.place())?;
            write(&transaction.backup(index)?, &spot, &file)?;
            Ok(false)
        }
    }
}
