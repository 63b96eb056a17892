//! What is written down about commits and reverts, beside their transactions.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::Path;

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
use crate::live::{self, Moved};
use crate::node::{Version, entries, failed, version};
use crate::restored::TakenBack;

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
    /// The directories of those that are not among them, as they were before: an entry that comes
    /// or goes moves their times.
    #[serde(default)]
    pub above: Vec<(RelPath, Version)>,
    /// The commit that it takes back.
    pub reverts: Option<OperationId>,
}

impl Request {
    pub(super) fn new(
        tree: OverlayTree,
        paths: Vec<RelPath>,
        changed: Vec<(RelPath, Option<Version>)>,
        reverts: Option<OperationId>,
    ) -> Result<Self, WorkspaceError> {
        let known: HashSet<&RelPath> = changed.iter().map(|(path, _)| path).collect();
        let parents = changed.iter().filter_map(|(path, _)| path.parent());
        let parents: BTreeSet<RelPath> =
            parents.filter(|path| !path.is_root() && !known.contains(path)).collect();
        let above = directories(&tree.base, parents.into_iter())?;
        Ok(Self { tree, paths, changed, above, reverts })
    }

    /// What the directories above are now.
    pub(super) fn above_now(&self) -> Result<Vec<(RelPath, Version)>, WorkspaceError> {
        directories(&self.tree.base, self.above.iter().map(|(path, _)| path.clone()))
    }
}

/// Those of `paths` that are directories, with their versions.
fn directories(
    base: &Path,
    paths: impl Iterator<Item = RelPath>,
) -> Result<Vec<(RelPath, Version)>, WorkspaceError> {
    let mut found = Vec::new();
    for path in paths {
        if let Some(now) = version(&path.below(base))?.filter(Version::is_directory) {
            found.push((path, now));
        }
    }
    Ok(found)
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub tree: Tree,
    pub counts: ChangeCounts,
    /// Of a revert: what it left of the [`Request::above`].
    #[serde(default)]
    pub above: Vec<(RelPath, Version)>,
    /// The digest of what was put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
}

/// What taking back the unfinished commit `request` did: `moved`, and what became of the
/// directories above its paths, of which an entry went and came back.
fn taken_back(request: &Request, mut moved: Vec<Moved>) -> Result<TakenBack, WorkspaceError> {
    for ((path, before), (_, now)) in matched(&request.above, &request.above_now()?) {
        if before.ctime != now.ctime {
            moved.push((path.clone(), *before, *now));
        }
    }
    Ok(TakenBack { base: request.tree.base.clone(), moved })
}

/// The directories of which only the times may differ, before and after.
pub(super) fn matched<'a>(
    before: &'a [(RelPath, Version)],
    after: &'a [(RelPath, Version)],
) -> impl Iterator<Item = (&'a (RelPath, Version), &'a (RelPath, Version))> {
    let kept = |v: &Version| (v.ino, v.mode, v.uid, v.gid);
    before.iter().filter_map(move |one| {
        let at = after.binary_search_by(|(path, _)| path.cmp(&one.0)).ok()?;
        after.get(at).filter(|other| kept(&one.1) == kept(&other.1)).map(|other| (one, other))
    })
}

/// Forgets a commit that was taken back before it was finished, but for what that moved.
pub(super) fn forget_taken_back(
    store: &Store,
    operation: OperationId,
) -> Result<(), WorkspaceError> {
    let moved = live::moved_back(&store.transaction(operation))?;
    let request = read::<Request>(store, operation, REQUEST)?;
    if let (Some(request), Some(moved)) = (request, moved) {
        let taken_back = taken_back(&request, moved)?;
        if !taken_back.moved.is_empty() {
            write(store, operation, TAKEN_BACK, &taken_back)?;
        }
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
        "inverse.told",
        "names.told",
        RESULT,
        REVERTS,
        REQUEST,
    ] {
        freed += remove(&store.commits().join(format!("{operation}.{what}")))?;
    }
    Ok(freed)
}
