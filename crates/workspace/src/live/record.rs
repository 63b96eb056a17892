//! What a transaction writes down, so that whoever comes after a crash knows what to do.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::{ChangeCounts, ChangeKind};
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Applied, Expect, Moved};
use crate::fault;
use crate::node::{Version, failed};

/// The format of the records; a reader refuses another one.
pub(super) const FORMAT: u32 = 1;

/// What is going to happen: the first record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) format: u32,
    #[serde(with = "ctrlz_core::path::host")]
    pub(super) live: PathBuf,
    /// The inode of the live root, so that a different directory at its path is not written to.
    pub(super) inode: u64,
    pub(super) operation: OperationId,
    /// The staging directory's name in the live root.
    pub(super) staging: String,
    pub(super) items: Vec<Item>,
    pub(super) skipped: Vec<RelPath>,
}

/// One rename, rewrite or update.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) path: RelPath,
    pub(super) action: Action,
    /// What was there when it was planned.
    pub(super) before: Option<Version>,
    /// What is to be there: the node itself first; if it is a directory, what goes into it.
    pub(super) nodes: Vec<Node>,
    /// How to tell strangers' work in a directory that is taken away; `None` when it is taken
    /// whatever is in it.
    pub(super) inside: Option<Inside>,
    /// The user chose to replace whatever is there.
    pub(super) forced: bool,
    /// What it counts as.
    pub(super) kind: ChangeKind,
    /// Entries that go with a directory.
    pub(super) removed_inside: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// Nothing is there; the slot's node is moved there.
    Add,
    /// The slot's node and the live one change places.
    Replace,
    /// The live node is moved to the slot.
    Remove,
    /// The live file keeps its inode, since it has names that the transaction does not reach.
    Rewrite,
    /// The live directory gets the slot's metadata.
    Update,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Node {
    /// The path from the item's.
    pub(super) path: RelPath,
    #[serde(with = "ctrlz_core::path::host")]
    pub(super) source: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inside {
    pub(super) since: Timestamp,
    pub(super) expected: Vec<(RelPath, Expect)>,
}

impl Plan {
    pub(super) fn applied(&self) -> Applied {
        let mut counts = ChangeCounts::default();
        for item in &self.items {
            counts.count(item.kind);
            counts.deleted += item.removed_inside;
            counts.added += (item.nodes.len() as u64).saturating_sub(1);
        }
        Applied { counts, skipped: self.skipped.clone(), contents: None }
    }
}

/// Versions of the staged nodes, by item and node. With it the live directory begins to change.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Staged {
    pub(super) versions: Vec<Vec<Version>>,
    /// See [`super::contents`]; nothing in records of older versions, and where nothing is staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) contents: Option<String>,
}

impl Staged {
    /// Of a transaction that puts nothing in place.
    pub(super) fn nothing() -> Self {
        Self { versions: Vec::new(), contents: None }
    }

    /// The version of an item's own node.
    pub(super) fn top(&self, item: usize) -> Option<&Version> {
        self.versions.get(item)?.first()
    }
}

/// All steps have taken effect.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    /// The old nodes were copied to the transaction's directory, since it is on another file
    /// system, and need not be moved there.
    pub(super) copied: bool,
}

/// The transaction is over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finished {
    pub(super) applied: Applied,
    /// What a revert expects to find, by item and node.
    pub(super) after: Vec<Vec<Version>>,
}

/// The live file is being changed in place.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rewriting {}

/// The live directory is being returned to what it was.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TakingBack {
    /// The items whose old node is not where it was, or not as it was.
    #[serde(default)]
    pub(super) moved: Vec<usize>,
}

/// The live directory is as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TakenBack {
    /// What was moved away and back, or written and written back; `None` when nothing live was
    /// touched.
    #[serde(default)]
    pub(super) moved: Option<Vec<Moved>>,
}

pub(super) const PLAN: &str = "plan.json";
pub(super) const APPLYING: &str = "applying.json";
pub(super) const APPLIED: &str = "applied.json";
pub(super) const FINISHED: &str = "finished.json";
pub(super) const TAKING_BACK: &str = "taking-back.json";
pub(super) const TAKEN_BACK: &str = "taken-back.json";

/// Writes a record: whole or not at all, and on the disk when this returns.
pub(super) fn write(
    directory: &Path,
    name: &str,
    record: &impl Serialize,
) -> Result<(), WorkspaceError> {
    let path = directory.join(name);
    let partial = directory.join(format!("{name}.partial"));
    let all = || -> io::Result<()> {
        let bytes = serde_json::to_vec(record)?;
        fault::point("record-write")?;
        let mut file = File::create(&partial)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fault::point("record-rename")?;
        std::fs::rename(&partial, &path)?;
        fault::point("record-sync")?;
        File::open(directory)?.sync_all()
    };
    all().map_err(failed("write", &path))
}

/// Takes a record back, on the disk when this returns; nothing to do when it is not there.
pub(super) fn remove(directory: &Path, name: &str) -> Result<(), WorkspaceError> {
    let path = directory.join(name);
    let all = || match std::fs::remove_file(&path) {
        Ok(()) => File::open(directory)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    all().map_err(failed("remove", &path))
}

/// Reads a record; `None` when it was not written.
pub(super) fn read<T: DeserializeOwned>(
    directory: &Path,
    name: &'static str,
) -> Result<Option<T>, WorkspaceError> {
    let path = directory.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(failed("read", &path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}
