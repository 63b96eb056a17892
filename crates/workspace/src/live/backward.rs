//! Taking back, from wherever an error or a crash stopped.
//!
//! Between the stop and now someone may have worked on a path that was already applied. That work
//! stays where it is; the old version is then put beside it, as `NAME.ctrlz-op-N`, so that both
//! are there. A staged node is removed only when it is exactly as it was staged.

use std::collections::HashMap;

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Moved;
use super::apply::{Slot, slot};
use super::check::matches_moved;
use super::decide::beside_name;
use super::record::{Action, Item, Staged};
use super::rewrite;
use super::shift::{close_again, exchange, open_to_us, shift};
use super::transaction::Transaction;
use super::tree::{Parent, Spot, walk};
use crate::fault;
use crate::node::{Handle, Version, copy_metadata_at, copy_node_at, failed, same_xattrs_at};

/// Returns the live directory to what it was. Can be repeated.
pub(super) fn backward(transaction: &Transaction, staged: &Staged) -> Result<(), WorkspaceError> {
    let items = || transaction.plan.items.iter().enumerate();
    for (index, item) in items().filter(|(_, item)| item.action == Action::Update) {
        reopen(transaction, staged, index, item)?;
    }
    for (index, item) in items().rev() {
        fault::point("take-back").map_err(failed("take back", item.path.as_path()))?;
        match item.action {
            Action::Rewrite => restore_content(transaction, index, item)?,
            Action::Add => unadd(transaction, staged, index, item)?,
            Action::Replace => unreplace(transaction, staged, index, item)?,
            Action::Remove => {
                if let Slot::Old(_) = slot(transaction, staged, index)? {
                    put(transaction, &transaction.slot(index)?, &item.path)?;
                }
            }
            Action::Update => {}
        }
        if let (Some(before), Parent::Open(spot)) =
            (item.before, transaction.tree.find(&item.path)?)
        {
            close_again(spot.place(), &before)?;
        }
    }
    for (index, item) in items().rev().filter(|(_, item)| item.action == Action::Update) {
        restore_metadata(transaction, staged, index, item)?;
    }
    nothing_old_left(transaction, staged)
}

/// The items whose old node was moved away or written to, so that taking them back gives it a new
/// change time. Nobody but us can reach what lies in a slot.
pub(super) fn moved(
    transaction: &Transaction,
    staged: &Staged,
) -> Result<Vec<usize>, WorkspaceError> {
    let mut moved = Vec::new();
    for (index, item) in transaction.plan.items.iter().enumerate() {
        let away = match item.action {
            Action::Rewrite => transaction.directory.join(rewrite::mark(index)).exists(),
            Action::Replace | Action::Remove => match slot(transaction, staged, index)? {
                // Someone may have had it open for writing.
                Slot::Old(old) => item.before.is_some_and(|before| matches_moved(&before, &old)),
                Slot::New | Slot::Empty => false,
            },
            // Nothing was there, or a directory stays one and is told by other signs.
            Action::Add | Action::Update => false,
        };
        if away {
            moved.push(index);
        }
    }
    Ok(moved)
}

/// Those of the items `moved` that are back.
pub(super) fn back(
    transaction: &Transaction,
    moved: &[usize],
) -> Result<Vec<Moved>, WorkspaceError> {
    let mut found = Vec::new();
    for index in moved {
        let Some(item) = transaction.plan.items.get(*index) else { continue };
        let (Some(before), Parent::Open(spot)) = (item.before, transaction.tree.find(&item.path)?)
        else {
            continue;
        };
        let Some(now) = spot.version()? else { continue };
        let ours = match item.action {
            Action::Rewrite => {
                rewrite::state(transaction, *index, item, &spot)? == rewrite::State::Before
            }
            _ => matches_moved(&before, &now),
        };
        if ours {
            found.push((item.path.clone(), before, now));
        }
    }
    Ok(found)
}

/// The staging directory is removed next; what is in it must be copies and nothing else.
fn nothing_old_left(transaction: &Transaction, staged: &Staged) -> Result<(), WorkspaceError> {
    for index in 0..transaction.plan.items.len() {
        if let Slot::Old(_) = slot(transaction, staged, index)? {
            return Err(WorkspaceError::Damaged {
                what: "an old version could not be put back and is kept",
                path: transaction.slot(index)?.shown().to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether an entry is a staged node that nobody changed; a directory may hold anything.
fn is_ours(staged: &Version, now: &Version) -> bool {
    matches_moved(staged, now) || (staged.ino == now.ino && now.is_directory())
}

fn unadd(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<(), WorkspaceError> {
    if slot(transaction, staged, index)? != Slot::Empty {
        return settle(transaction, staged, index, item);
    }
    let Parent::Open(spot) = transaction.tree.find(&item.path)? else { return Ok(()) };
    let (Some(now), Some(new)) = (spot.version()?, staged.top(index)) else { return Ok(()) };
    close_again(spot.place(), new)?;
    if !is_ours(new, &now) {
        // Someone made it theirs.
        return Ok(());
    }
    let slot = transaction.slot(index)?;
    match shift(spot.place(), slot.place())? {
        Ok(()) => settle(transaction, staged, index, item),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed("take back", spot.shown())(errno)),
    }
}

fn unreplace(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<(), WorkspaceError> {
    let Slot::Old(_) = slot(transaction, staged, index)? else {
        return settle(transaction, staged, index, item);
    };
    let slot = transaction.slot(index)?;
    let spot = match transaction.tree.find(&item.path)? {
        Parent::Open(spot) => spot,
        Parent::Missing | Parent::Blocked => return put(transaction, &slot, &item.path),
    };
    let now = spot.version()?;
    let ours = now.zip(staged.top(index)).is_some_and(|(now, new)| is_ours(new, &now));
    if !ours {
        return put(transaction, &slot, &item.path);
    }
    match exchange(slot.place(), spot.place())? {
        Ok(()) => settle(transaction, staged, index, item),
        // It was removed in this moment: the place is free.
        Err(_) => put(transaction, &slot, &item.path),
    }
}

/// Moves an old version to its place, or, where that is taken, beside it.
fn put(transaction: &Transaction, from: &Spot, path: &RelPath) -> Result<(), WorkspaceError> {
    // The directory may be gone: then the nearest one above it that is there.
    let mut at = path.clone();
    let spot = loop {
        if let Parent::Open(spot) = transaction.tree.find(&at)? {
            break spot;
        }
        let above = at.parent().and_then(|parent| parent.parent()).unwrap_or_default();
        at = above.child(path.file_name());
    };
    if at == *path && shift(from.place(), spot.place())?.is_ok() {
        return Ok(());
    }
    for attempt in 1..1000 {
        let beside = spot.beside(&beside_name(&at, transaction.plan.operation, attempt))?;
        match shift(from.place(), beside.place())? {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("put back beside", spot.shown())(errno)),
        }
    }
    Err(failed("put back beside", spot.shown())(Errno::EXIST))
}

/// A node that was live for a while is back in its slot: what others did to it in that time goes
/// back to them.
fn settle(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<(), WorkspaceError> {
    let slot = transaction.slot(index)?;
    let (Some(now), Some(new)) = (slot.version()?, staged.top(index)) else { return Ok(()) };
    close_again(slot.place(), new)?;
    if !now.is_directory() {
        if matches_moved(new, &now) {
            return Ok(());
        }
        return put(transaction, &slot, &item.path);
    }
    if !prune(transaction, staged, index, item)? {
        return put(transaction, &slot, &item.path);
    }
    Ok(())
}

/// Removes from a staged directory what is as it was staged. Whether nothing else was in it; it
/// is left whole then, for it is removed with the staging directory.
fn prune(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<bool, WorkspaceError> {
    let versions = staged.versions.get(index).map(Vec::as_slice).unwrap_or_default();
    let known: HashMap<&RelPath, &Version> =
        item.nodes.iter().map(|node| &node.path).zip(versions).collect();
    let slot = transaction.slot(index)?;
    let mut ours = Vec::new();
    let mut foreign = false;
    walk(slot.place(), |path, now| {
        let same = known.get(path).is_some_and(|new| is_ours(new, now));
        if same {
            ours.push((path.clone(), now.is_directory()));
        } else {
            foreign = true;
        }
        Ok(())
    })?;
    if !foreign {
        return Ok(true);
    }
    for (path, directory) in ours.into_iter().rev() {
        let spot = transaction.slot_node(index, &path)?;
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let place = spot.place();
        let remove = || rustix::fs::unlinkat(place.directory, place.name, flags);
        let removed = match remove() {
            // The folder was made as one that its owner may not write to.
            Err(Errno::ACCESS) => open_to_us(place.directory, remove),
            result => result,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(failed("remove", spot.shown())(errno)),
        }
    }
    Ok(false)
}

fn restore_content(
    transaction: &Transaction,
    index: usize,
    item: &Item,
) -> Result<(), WorkspaceError> {
    let foreign = rewrite::restore(transaction, index, item)?;
    let begun = transaction.directory.join(rewrite::mark(index)).exists();
    if !foreign || !begun {
        return Ok(());
    }
    // The file is someone else's now, and its old content is only here.
    let backup = transaction.backup(index)?;
    let copy = transaction.slot(index)?.beside(format!("beside-{index}").as_ref())?;
    if copy.version()?.is_none() {
        copy_node_at(backup.place(), copy.place(), crate::node::Unreadable::Refuse)?;
    }
    put(transaction, &copy, &item.path)
}

/// Opens a directory that its new mode closes to us, while what is in it is taken back.
fn reopen(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<(), WorkspaceError> {
    let us = rustix::process::geteuid();
    let Parent::Open(spot) = transaction.tree.find(&item.path)? else { return Ok(()) };
    let (Some(now), Some(new)) = (spot.version()?, staged.top(index)) else { return Ok(()) };
    if us.is_root() || now.uid != us.as_raw() || now.mode != new.mode || now.mode & 0o700 == 0o700 {
        return Ok(());
    }
    Handle::open(spot.place())?
        .set_permissions(now.mode | 0o700)
        .map_err(failed("change the mode of", spot.shown()))
}

/// Gives a directory its old metadata back, unless someone gave it other.
fn restore_metadata(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<(), WorkspaceError> {
    let Parent::Open(spot) = transaction.tree.find(&item.path)? else { return Ok(()) };
    let (Some(now), Some(before), Some(new)) = (spot.version()?, item.before, staged.top(index))
    else {
        return Ok(());
    };
    if now.ino != before.ino {
        return Ok(());
    }
    let backup = transaction.backup(index)?;
    let owned = |version: &Version| (version.uid, version.gid) == (now.uid, now.gid);
    let moded = |version: &Version| now.mode == version.mode || now.mode == version.mode | 0o700;
    // A stop in the middle of changing it leaves some of each.
    let ours = (owned(&before) || owned(new)) && (moded(&before) || moded(new));
    let attributes = same_xattrs_at(spot.place(), backup.place())?
        || same_xattrs_at(spot.place(), transaction.slot(index)?.place())?;
    if !ours || !attributes {
        return Ok(());
    }
    fault::point("restore-metadata").map_err(failed("take back", spot.shown()))?;
    copy_metadata_at(backup.place(), spot.place())
}
