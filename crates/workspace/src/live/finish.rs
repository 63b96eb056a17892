//! After all is applied: keep the old nodes, note what a revert will expect, clean up.

use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;

use super::check::matches_moved;
use super::record::{self, Action, Finished, Item, Staged};
use super::transaction::Transaction;
use super::tree::Parent;
use super::{Applied, inverse};
use crate::fault;
use crate::node::{Version, failed, same_content_at};

/// Finishes an applied transaction. Can be repeated after a crash.
pub(super) fn finish(
    transaction: &Transaction,
    staged: &Staged,
) -> Result<Applied, WorkspaceError> {
    let applied = Applied { contents: staged.contents.clone(), ..transaction.plan.applied() };
    let after = versions_after(transaction, staged)?;
    let copied = record::read::<record::Done>(&transaction.directory, record::APPLIED)?;
    if copied.is_some_and(|done| !done.copied) && transaction.is_staged() {
        inverse::collect(transaction)?;
        transaction.sync()?;
    }
    let finished = Finished { applied, after };
    record::write(&transaction.directory, record::FINISHED, &finished)?;
    fault::point("finished").map_err(failed("finish in", transaction.tree.path()))?;
    transaction.remove_staging()?;
    Ok(finished.applied)
}

/// What is there now, where it is what was put there. Where someone was quicker than this look,
/// it is what was put there all the same, so that a revert sees the difference.
fn versions_after(
    transaction: &Transaction,
    staged: &Staged,
) -> Result<Vec<Vec<Version>>, WorkspaceError> {
    let items = transaction.plan.items.iter().zip(&staged.versions).enumerate();
    items
        .map(|(index, (item, versions))| {
            let nodes = item.nodes.iter().zip(versions);
            nodes.map(|(node, new)| after(transaction, index, item, &node.path, new)).collect()
        })
        .collect()
}

fn after(
    transaction: &Transaction,
    index: usize,
    item: &Item,
    node: &ctrlz_core::path::RelPath,
    new: &Version,
) -> Result<Version, WorkspaceError> {
    let path = node.as_path().iter().fold(item.path.clone(), |path, name| path.child(name));
    let spot = match transaction.tree.find(&path)? {
        Parent::Open(spot) => spot,
        Parent::Missing | Parent::Blocked => return Ok(*new),
    };
    let Some(now) = spot.version()? else { return Ok(*new) };
    Ok(match item.action {
        Action::Update | Action::Rewrite => {
            // The inode is the live one's own; the rest is what was given to it.
            let expected = Version {
                ino: item.before.map_or(now.ino, |before| before.ino),
                ctime: now.ctime,
                nlink: now.nlink,
                ..*new
            };
            let same = item.action == Action::Update
                || (matches_moved(&expected, &now)
                    && same_content_at(spot.place(), transaction.slot(index)?.place())?);
            if same { expected } else { Version { ctime: Timestamp(0), ..expected } }
        }
        _ if matches_moved(new, &now) => now,
        _ => *new,
    })
}
