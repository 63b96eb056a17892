//! Bringing the staged nodes to their places.

use ctrlz_core::workspace::{Conflict, ConflictReason, WorkspaceError};
use rustix::io::Errno;

use super::check::{changed_inside, matches, matches_moved};
use super::record::{Action, Item, Staged};
use super::rewrite::rewrite;
use super::shift::{exchange, shift};
use super::transaction::{Stopped, Transaction};
use super::tree::{Parent, Spot};
use crate::fault;
use crate::node::{Handle, Version, copy_metadata_at, failed};

/// What a slot holds: it tells whether its item is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The staged node: not applied.
    New,
    /// What was in the live directory.
    Old(Version),
    /// Nothing: an addition is applied; for a removal, not applied.
    Empty,
}

/// Looks into a slot.
pub(super) fn slot(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
) -> Result<Slot, WorkspaceError> {
    Ok(match (transaction.slot(index)?.version()?, staged.top(index)) {
        (None, _) => Slot::Empty,
        (Some(now), Some(new)) if now.ino == new.ino => Slot::New,
        (Some(now), _) => Slot::Old(now),
    })
}

/// Applies every item that is not applied yet.
pub(super) fn forward(transaction: &Transaction, staged: &Staged) -> Result<(), Stopped> {
    open_directories(transaction, staged)?;
    let items = || transaction.plan.items.iter().enumerate();
    for (index, item) in items() {
        let now = slot(transaction, staged, index)?;
        match (item.action, now) {
            (Action::Add, Slot::New) => add(transaction, index, item)?,
            (Action::Replace, Slot::New) => replace(transaction, index, item)?,
            (Action::Remove, Slot::Empty) => remove(transaction, index, item)?,
            _ => {}
        }
    }
    for (index, item) in items().filter(|(_, item)| item.action == Action::Rewrite) {
        rewrite(transaction, index, item)?;
    }
    // Children before parents: a directory may be closed to us by its new mode.
    for (index, item) in items().rev().filter(|(_, item)| item.action == Action::Update) {
        update(transaction, staged, index, item)?;
    }
    Ok(())
}

fn conflict(item: &Item, reason: ConflictReason) -> Stopped {
    Stopped::Conflict(Conflict { path: item.path.clone(), reason })
}

fn find(transaction: &Transaction, item: &Item) -> Result<Spot, Stopped> {
    match transaction.tree.find(&item.path)? {
        Parent::Open(spot) => Ok(spot),
        Parent::Missing => Err(conflict(item, ConflictReason::Deleted)),
        Parent::Blocked => Err(conflict(item, ConflictReason::Changed)),
    }
}

fn add(transaction: &Transaction, index: usize, item: &Item) -> Result<(), Stopped> {
    let spot = find(transaction, item)?;
    match shift(transaction.slot(index)?.place(), spot.place())? {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(conflict(item, ConflictReason::Created)),
        Err(_) => Err(conflict(item, ConflictReason::Deleted)),
    }
}

fn replace(transaction: &Transaction, index: usize, item: &Item) -> Result<(), Stopped> {
    let spot = find(transaction, item)?;
    expect(item, &spot)?;
    let slot = transaction.slot(index)?;
    match exchange(slot.place(), spot.place())? {
        Ok(()) => expect_moved(transaction, item, &slot),
        Err(_) => Err(conflict(item, ConflictReason::Deleted)),
    }
}

fn remove(transaction: &Transaction, index: usize, item: &Item) -> Result<(), Stopped> {
    let spot = match transaction.tree.find(&item.path)? {
        Parent::Open(spot) if spot.version()?.is_some() => spot,
        // Someone else removed it just now.
        _ => return Ok(()),
    };
    expect(item, &spot)?;
    let slot = transaction.slot(index)?;
    match shift(spot.place(), slot.place())? {
        Ok(()) => expect_moved(transaction, item, &slot),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed("move", spot.shown())(errno).into()),
    }
}

/// The last look before the move.
fn expect(item: &Item, spot: &Spot) -> Result<(), Stopped> {
    let Some(now) = spot.version()? else { return Err(conflict(item, ConflictReason::Deleted)) };
    // A name of the same inode may have been moved a moment ago, by an item before this one.
    let same = item.before.is_some_and(|before| {
        matches(&before, &now) || (now.nlink > 1 && matches_moved(&before, &now))
    });
    if item.forced || same { Ok(()) } else { Err(conflict(item, ConflictReason::Changed)) }
}

/// The look after the move, when what was moved cannot be reached by its path any more: it must
/// be what was expected up to the very moment.
fn expect_moved(transaction: &Transaction, item: &Item, slot: &Spot) -> Result<(), Stopped> {
    if item.forced {
        return Ok(());
    }
    let now = slot.version()?;
    let same = item.before.zip(now).is_some_and(|(before, now)| matches_moved(&before, &now));
    if !same {
        return Err(conflict(item, ConflictReason::Changed));
    }
    if let (Some(inside), Some(now)) = (&item.inside, now)
        && now.is_directory()
        && changed_inside(slot.place(), &inside.expected, inside.since, |version| {
            let items = transaction.plan.items.iter();
            items
                .filter_map(|item| item.before)
                .any(|before| before.is_file() && matches_moved(&before, version))
        })?
    {
        return Err(conflict(item, ConflictReason::InsideChanged));
    }
    Ok(())
}

/// A directory that gets new metadata may be closed to us until then, while other items are in
/// it. Root needs no permission.
fn open_directories(transaction: &Transaction, staged: &Staged) -> Result<(), Stopped> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for (index, item) in transaction.plan.items.iter().enumerate() {
        let Some(new) = staged.top(index).filter(|_| item.action == Action::Update) else {
            continue;
        };
        let spot = find(transaction, item)?;
        let handle = Handle::open(spot.place())?;
        let mode = handle.version.permissions();
        let ours = handle.version.uid == rustix::process::geteuid().as_raw();
        if ours && mode & 0o700 != 0o700 && new.mode & 0o300 == 0o300 {
            fault::point("open-directory").map_err(failed("open", spot.shown()))?;
            handle
                .set_permissions(mode | 0o700)
                .map_err(failed("change the mode of", spot.shown()))?;
        }
    }
    Ok(())
}

fn update(
    transaction: &Transaction,
    staged: &Staged,
    index: usize,
    item: &Item,
) -> Result<(), Stopped> {
    let spot = find(transaction, item)?;
    let (Some(now), Some(before)) = (spot.version()?, item.before) else {
        return Err(conflict(item, ConflictReason::Deleted));
    };
    let known = [before.mode, before.mode | 0o700].contains(&now.mode)
        && (now.uid, now.gid) == (before.uid, before.gid);
    let done = staged.top(index).is_some_and(|new| {
        new.permissions() == now.permissions() && (now.uid, now.gid) == (new.uid, new.gid)
    });
    if !item.forced && (now.ino != before.ino || !(known || done)) {
        return Err(conflict(item, ConflictReason::Changed));
    }
    fault::point("update").map_err(failed("change", spot.shown()))?;
    copy_metadata_at(transaction.slot(index)?.place(), spot.place())?;
    Ok(fault::point("updated").map_err(failed("change", spot.shown()))?)
}
