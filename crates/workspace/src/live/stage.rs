//! Everything that can fail for want of space or rights, before anything live is touched: copies
//! of all that is to be put in place, on the same file system.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::check::source_version;
use super::contents;
use super::record::{Action, Item, PLAN, Staged};
use super::transaction::Transaction;
use super::tree::Spot;
use crate::fault;
use crate::node::{
    Place, Unreadable, Version, copy_node_at, failed, finish_directory_at, open_parent, version_of,
};

/// Fills the staging directory and syncs it.
pub(super) fn stage(transaction: &Transaction) -> Result<Staged, WorkspaceError> {
    probe_renames(transaction)?;
    let mut links = Links::count(&transaction.plan.items)?;
    for (index, item) in transaction.plan.items.iter().enumerate() {
        fault::point("stage").map_err(failed("stage", item.path.as_path()))?;
        if matches!(item.action, Action::Rewrite | Action::Update) {
            back_up(transaction, index, item)?;
        }
        stage_nodes(transaction, index, item, &mut links)?;
    }
    // Just copied, so it is in memory.
    let contents = contents::digest(transaction)?;
    let staging = transaction.staging()?;
    fault::point("stage-sync").map_err(failed("sync", transaction.tree.path()))?;
    rustix::fs::syncfs(staging).map_err(failed("sync", transaction.tree.path()))?;
    let versions = transaction.plan.items.iter().enumerate();
    let versions = versions.map(|(index, item)| versions_of(transaction, index, item));
    let staged = Staged { versions: versions.collect::<Result<_, _>>()?, contents: Some(contents) };
    let newest = staged.versions.iter().flatten().map(|version| version.ctime).max();
    if let Some(newest) = newest {
        pass(transaction, newest)?;
    }
    Ok(staged)
}

/// Lets the file system's clock, which may tick only every few milliseconds, pass `moment`: what
/// anyone does to the staged nodes once they are live has then a later change time than they.
fn pass(transaction: &Transaction, moment: Timestamp) -> Result<(), WorkspaceError> {
    let (staging, path) = (transaction.staging()?, transaction.tree.path());
    for _ in 0..1000 {
        rustix::fs::fchmod(staging, Mode::from_raw_mode(0o700))
            .map_err(failed("stage in", path))?;
        if version_of(staging, path)?.ctime > moment {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Ok(())
}

/// A file system without the two renames that everything here rests on is refused at once.
fn probe_renames(transaction: &Transaction) -> Result<(), WorkspaceError> {
    let staging = transaction.staging()?;
    let path = transaction.tree.path();
    let fail = |errno: Errno| failed("stage in", path)(errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    for name in ["probe-a", "probe-b"] {
        rustix::fs::openat(staging, name, flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
    }
    let rename = |from, to, flags| rustix::fs::renameat_with(staging, from, staging, to, flags);
    let probed = rename("probe-a", "probe-b", RenameFlags::EXCHANGE)
        .and_then(|()| rename("probe-a", "probe-c", RenameFlags::NOREPLACE));
    match probed {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return Err(WorkspaceError::Base {
                path: path.to_owned(),
                reason: "its file system cannot exchange two names in one step \
                         (renameat2 with RENAME_EXCHANGE and RENAME_NOREPLACE)"
                    .to_owned(),
            });
        }
        Err(errno) => return Err(fail(errno)),
    }
    for name in ["probe-b", "probe-c"] {
        rustix::fs::unlinkat(staging, name, AtFlags::empty()).map_err(fail)?;
    }
    Ok(())
}

/// Copies a live node that is going to be changed in place, and sees to it that the copy is of
/// the version that was planned with.
fn back_up(transaction: &Transaction, index: usize, item: &Item) -> Result<(), WorkspaceError> {
    let spot = transaction.tree.spot(&item.path)?;
    let backup = transaction.backup(index)?;
    copy_node_at(spot.place(), backup.place(), Unreadable::Refuse)?;
    let now = spot.version()?;
    let same = match (item.before, now) {
        (Some(before), Some(now)) => super::check::matches(&before, &now),
        _ => false,
    };
    if !same {
        let reason = ctrlz_core::workspace::ConflictReason::Changed;
        let conflict = ctrlz_core::workspace::Conflict { path: item.path.clone(), reason };
        return Err(WorkspaceError::Conflicts { conflicts: vec![conflict] });
    }
    Ok(())
}

/// Inodes with several names among the sources, which get several names again.
struct Links {
    /// How many of a source inode's names are staged.
    wanted: HashMap<(u64, u64), u32>,
    /// Where an inode was staged first.
    first: HashMap<(u64, u64), (usize, usize)>,
}

impl Links {
    fn count(items: &[Item]) -> Result<Self, WorkspaceError> {
        let mut wanted = HashMap::new();
        for node in items.iter().flat_map(|item| &item.nodes) {
            let source = source_version(&node.source)?;
            if source.nlink > 1 && !source.is_directory() {
                *wanted.entry((source.dev, source.ino)).or_default() += 1;
            }
        }
        Ok(Self { wanted, first: HashMap::new() })
    }
}

fn stage_nodes(
    transaction: &Transaction,
    index: usize,
    item: &Item,
    links: &mut Links,
) -> Result<(), WorkspaceError> {
    for (at, node) in item.nodes.iter().enumerate() {
        let (directory, name) = open_parent(&node.source)?;
        let from = Place::new(&directory, &name, &node.source);
        let source = source_version(&node.source)?;
        let spot = transaction.slot_node(index, &node.path)?;
        let to = spot.place();
        fault::point("stage-node").map_err(failed("stage", to.shown))?;
        if source.is_directory() {
            // Closed and dated only when all is in it.
            rustix::fs::mkdirat(to.directory, to.name, Mode::from_raw_mode(0o700))
                .map_err(failed("create", to.shown))?;
            continue;
        }
        let inode = (source.dev, source.ino);
        let shares = matches!(item.action, Action::Add | Action::Replace);
        if shares && let Some(&(first_item, first_node)) = links.first.get(&inode) {
            let first = transaction.plan.items.get(first_item);
            if let Some(first) = first.and_then(|item| item.nodes.get(first_node)) {
                link(transaction.slot_node(first_item, &first.path)?.place(), to)?;
                continue;
            }
        }
        if shares && let Some(&wanted) = links.wanted.get(&inode) {
            links.first.insert(inode, (index, at));
            // A backup's file with names elsewhere, which can only be live: the link is what was
            // there before.
            if source.nlink > wanted
                && item.before.is_none_or(|before| before.ino != source.ino)
                && is_backup(&node.source)
                && link(from, to).is_ok()
            {
                continue;
            }
        }
        copy_node_at(from, to, Unreadable::Unseal)?;
    }
    for node in item.nodes.iter().rev() {
        if !source_version(&node.source)?.is_directory() {
            continue;
        }
        let (directory, name) = open_parent(&node.source)?;
        finish_directory_at(
            Place::new(&directory, &name, &node.source),
            transaction.slot_node(index, &node.path)?.place(),
            Unreadable::Unseal,
        )?;
    }
    Ok(())
}

fn link(from: Place<'_>, to: Place<'_>) -> Result<(), WorkspaceError> {
    rustix::fs::linkat(from.directory, from.name, to.directory, to.name, AtFlags::empty())
        .map_err(failed("link", to.shown))
}

/// Whether `source` lies in the inverse layer of a transaction.
fn is_backup(source: &Path) -> bool {
    let mut above = source.ancestors().skip(1);
    above.any(|above| {
        above.file_name().is_some_and(|name| name.as_bytes() == b"inverse")
            && above.with_file_name(PLAN).is_file()
    })
}

fn versions_of(
    transaction: &Transaction,
    index: usize,
    item: &Item,
) -> Result<Vec<Version>, WorkspaceError> {
    let version = |spot: Spot| {
        spot.version()?.ok_or_else(|| WorkspaceError::Damaged {
            what: "a staged copy is gone",
            path: spot.shown().to_owned(),
        })
    };
    item.nodes.iter().map(|node| version(transaction.slot_node(index, &node.path)?)).collect()
}
