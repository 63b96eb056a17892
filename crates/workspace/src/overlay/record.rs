//! What is written down about commits and reverts, beside their transactions.

use std::io::Write;
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::collect::remove;
use super::store::Store;
use super::tree::OverlayTree;
use crate::node::{Version, entries, failed, version};

/// What a commit or revert was asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The tree that is committed; its base alone for a revert.
    pub tree: OverlayTree,
    /// The paths that were chosen; all when empty.
    pub paths: Vec<RelPath>,
    /// What it was going to change, and what was there before; the latter is `None`, too, where
    /// someone else had changed it.
    pub changed: Vec<(RelPath, Option<Version>)>,
    /// The commit that it takes back.
    pub reverts: Option<OperationId>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub tree: Tree,
    pub counts: ChangeCounts,
}

/// What taking back an unfinished commit moved away and back: the same files with a new change
/// time, which is then our own doing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TakenBack {
    /// The live directory.
    #[serde(with = "ctrlz_core::path::host")]
    pub base: PathBuf,
    /// Where, what was there before the commit, and what is there since.
    pub moved: Vec<(RelPath, Version, Version)>,
}

impl TakenBack {
    /// What became of the paths of `request`, as far as only the change time differs.
    fn of(request: &Request) -> Result<Self, WorkspaceError> {
        let base = request.tree.base.clone();
        let mut moved = Vec::new();
        for (path, before) in &request.changed {
            let (Some(before), Some(now)) = (before, version(&path.below(&base))?) else {
                continue;
            };
            let kept = |v: &Version| (v.ino, v.size, v.mtime, v.mode, v.uid, v.gid, v.rdev);
            if kept(before) == kept(&now) && before.ctime != now.ctime {
                moved.push((path.clone(), *before, now));
            }
        }
        Ok(Self { base, moved })
    }
}

/// Forgets a commit that was taken back before it was finished, but for what that moved.
pub(super) fn forget_taken_back(
    store: &Store,
    operation: OperationId,
) -> Result<(), WorkspaceError> {
    let request: Option<Request> = read(store, operation, REQUEST)?;
    if let Some(taken_back) = request.map(|request| TakenBack::of(&request)).transpose()?
        && !taken_back.moved.is_empty()
    {
        write(store, operation, TAKEN_BACK, &taken_back)?;
    }
    forget(store, operation).map(drop)
}

/// The operations that have a record of that kind, oldest first.
pub(super) fn operations_with(
    store: &Store,
    what: &str,
) -> Result<Vec<OperationId>, WorkspaceError> {
    if version(&store.commits())?.is_none() {
        return Ok(Vec::new());
    }
    let mut found: Vec<OperationId> = entries(&store.commits())?
        .iter()
        .filter_map(|name| name.to_str()?.strip_suffix(what)?.strip_suffix('.')?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The commit that a revert took back.
pub(super) const REVERTS: &str = "reverts";
/// A [`TakenBack`].
pub(super) const TAKEN_BACK: &str = "taken-back";
/// A [`Request`].
pub(super) const REQUEST: &str = "request";
/// An [`Outcome`].
pub(super) const RESULT: &str = "result";

pub(super) fn request_of(store: &Store, operation: OperationId) -> Result<Request, WorkspaceError> {
    read(store, operation, REQUEST)?.ok_or_else(|| WorkspaceError::Damaged {
        what: "the record of a commit is missing",
        path: store.commits().join(format!("{operation}.{REQUEST}")),
    })
}

/// Writes a record whole or not at all, and to the disk.
pub(super) fn write(
    store: &Store,
    operation: OperationId,
    what: &'static str,
    record: &impl Serialize,
) -> Result<(), WorkspaceError> {
    let path = store.commits().join(format!("{operation}.{what}"));
    let partial = store.commits().join(format!("{operation}.{what}.partial"));
    let all = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        std::fs::File::open(store.commits())?.sync_all()
    };
    all().map_err(failed("write", &path))
}

pub(super) fn read<T: DeserializeOwned>(
    store: &Store,
    operation: OperationId,
    what: &'static str,
) -> Result<Option<T>, WorkspaceError> {
    read_record(&store.commits().join(format!("{operation}.{what}")))
}

fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, WorkspaceError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(failed("read", path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// The transactions that no tree in `live` needs and that are older than `oldest`.
///
/// A tree on the same base needs every commit since it was made, to return to it, and the one
/// that made it, to take that back.
pub(super) fn unneeded(
    store: &Store,
    live: &[OverlayTree],
    oldest: i64,
) -> Result<Vec<OperationId>, WorkspaceError> {
    let mut found = Vec::new();
    for operation in operations_with(store, RESULT)? {
        let Some(request) = read::<Request>(store, operation, REQUEST)? else { continue };
        let needed = live.iter().any(|tree| {
            tree.base == request.tree.base
                && (tree.commit <= Some(operation)
                    || tree.layers.iter().any(|id| id.kind().commit() == Some(operation)))
        });
        let path = store.commits().join(format!("{operation}.{RESULT}"));
        let young = version(&path)?.is_none_or(|file| file.mtime.0 >= oldest);
        if !needed && !young {
            found.push(operation);
        }
    }
    Ok(found)
}

/// Removes everything of a transaction; answers the bytes freed. The result goes last but one and
/// the request last, so that a crash in between leaves what the next collection finds.
pub(super) fn forget(store: &Store, operation: OperationId) -> Result<u64, WorkspaceError> {
    let mut freed = remove(&store.transaction(operation))?;
    for what in [
        "names",
        "names.manifest",
        "inverse.manifest.partial",
        "inverse.manifest",
        RESULT,
        REVERTS,
        REQUEST,
    ] {
        freed += remove(&store.commits().join(format!("{operation}.{what}")))?;
    }
    Ok(freed)
}
