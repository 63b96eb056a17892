//! The transaction that changes a live directory: a directory that belongs to a person, who may
//! be working in it at this very moment.
//!
//! What it keeps:
//! - A path is changed only when it is what the step expects. What was there is moved, never
//!   overwritten, and looked at once more after the move, when nobody can reach it by its path.
//! - All steps take effect, or none does. A crash at any moment is resolved by [`recover()`].
//! - What was there before is kept, as an overlay layer, in the transaction's directory.
//! - No link in a path is followed and no mount is crossed.
//!
//! How: everything new is copied to a staging directory in the live root and synced. Each entry
//! of it is a *slot*: `slot/N` holds the new node of item N before the item is applied and the
//! old one afterwards, because applying is one rename (`RENAME_EXCHANGE`, or `RENAME_NOREPLACE`
//! where only one side exists). So the slot itself tells, by its inode, how far a crash let the
//! item come; there is no list that could disagree with the disk.
//!
//! The states, each a file in the transaction's directory, written whole and synced:
//! `plan` (nothing live is touched) → `applying` → `applied` → `finished`, or `taken-back`.

mod apply;
mod backward;
mod check;
mod contents;
mod decide;
mod finish;
mod inverse;
mod record;
mod recover;
mod rewrite;
mod shift;
mod stage;
#[cfg(test)]
mod tests;
mod transaction;
mod tree;

use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{Conflict, WorkspaceError};
use serde::{Deserialize, Serialize};

use crate::node::Version;

pub(crate) use check::matches;
pub(crate) use inverse::{inverse_layer, inverse_steps, replaced};
pub(crate) use recover::{moved_back, recover};
pub(crate) use transaction::execute;

/// One change to the live directory. A list of steps is sorted by path, so parents come before
/// children, and has each path once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Where.
    pub path: RelPath,
    /// What is there when nobody else changed it.
    pub expect: Expect,
    /// What is to be there.
    pub replace: Replacement,
}

/// What a step expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Expect {
    /// Nothing.
    Absent,
    /// This version. Of a regular file everything counts but the device number, which changes
    /// with a reboot; and a new change time is no change when only the number of names differs
    /// besides (someone made or removed a hard link). Of a directory inode, mode and owner count.
    Unchanged {
        /// What was seen.
        version: Version,
        /// When the sandbox first looked: when a directory is removed or replaced, whatever in
        /// it has a change time from then on, and is not a step of its own, is a stranger's.
        since: Timestamp,
    },
    /// Someone changed it while the operation ran, so that what the sandbox started from is not
    /// known: a conflict, unless it already is what the step wants.
    ChangedDuringOperation {
        /// What was seen.
        version: Version,
    },
}

/// What a step puts in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Replacement {
    /// Nothing: the entry goes, a directory with all that is in it.
    Nothing,
    /// A copy of this node. Of a directory only itself; what is in it are steps of their own.
    Entry {
        /// The node.
        #[serde(with = "ctrlz_core::path::host")]
        source: PathBuf,
    },
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// What changed, in numbers; of a removed directory each entry counts.
    pub counts: ChangeCounts,
    /// Paths left as someone else made them, with nothing of the sandbox's written.
    pub skipped: Vec<RelPath>,
    /// The digest of what was put in place, contents included, for evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
}

/// What was there before, and equal content that is there since, by our own doing.
pub(crate) type Moved = (RelPath, Version, Version);

/// What [`recover()`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovered {
    /// The transaction had not come so far as to leave anything.
    NotBegun,
    /// The live directory is as before.
    TakenBack,
    /// The live directory is as after.
    Finished(Applied),
}

/// The conflicts that stand in the way of `steps`, without writing anything.
///
/// # Errors
/// When the live directory cannot be looked at, a step lies across a mount point, or the steps
/// contradict each other.
pub(crate) fn plan(live: &Path, steps: &[Step]) -> Result<Vec<Conflict>, WorkspaceError> {
    let tree = tree::LiveTree::open(live)?;
    let findings = check::check(&tree, steps)?;
    Ok(check::conflicts(steps, &findings))
}
