//! A layer of what an operation has written so far, while it is under way.
//!
//! The upper directory is duplicated as it is, with whiteouts and overlayfs's own attributes, while
//! nobody writes to it. All else is done later: the duplicate is sealed as the original would have been.

use std::os::fd::AsFd;

use ctrlz_core::id::SandboxId;
use ctrlz_core::live::Captured;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{Sealed, WorkspaceError};
use rustix::fs::{AtFlags, OFlags, StatxFlags};

use super::DRIVER;
use super::head::{Notes, attributes, imitated, ownership, upper};
use super::seal::seal_written;
use super::store::Store;
use super::tree::OverlayTree;
use crate::fault;
use crate::node::{Content, Unreadable, failed, fill_tree, open_directory, remove_tree};
use crate::view::quick_version;

/// Upper directories are worth a second thread more often than not.
const ABOUT: usize = 1000;

/// See [`ctrlz_core::workspace::WorkspaceDriver::capture`].
pub(super) fn capture(
    store: &Store,
    sandbox: SandboxId,
    tree: &Tree,
) -> Result<Captured, WorkspaceError> {
    let upper = upper(store, sandbox);
    if quick_version(&upper)?.is_none() {
        return Err(WorkspaceError::Damaged { what: "no operation is under way", path: upper });
    }
    let since = begun(store, sandbox)?;
    let directory = store.building()?;
    let how = (Unreadable::UnsealLayer, Content::Copied);
    let filled = fill_tree(&upper, &directory, how, ABOUT);
    let passed = fault::point("captured").map_err(failed("copy to", &directory));
    if let Err(error) = filled.and(passed) {
        // The first error is the one to tell; collection takes what is left.
        let _ = remove_tree(&directory);
        return Err(error);
    }
    let notes = serde_json::to_string(&since).map_err(failed("write the notes on", &directory))?;
    Ok(Captured { sandbox, tree: tree.clone(), directory, notes })
}

/// When the operation began, or a little earlier: its working directory is made anew for it. With an
/// earlier time, somebody else's change of the base in between counts as one during the operation.
fn begun(store: &Store, sandbox: SandboxId) -> Result<Timestamp, WorkspaceError> {
    let work = store.head(sandbox).join("work");
    let open = open_directory(&work, OFlags::PATH)?;
    let found = rustix::fs::statx(open.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::BTIME)
        .map_err(failed("look at", &work))?;
    if found.stx_mask & StatxFlags::BTIME.bits() == 0 {
        let what = "live snapshots where files have no time of birth: put the store (CTRLZ_HOME) on \
                    ext4, XFS, btrfs or tmpfs";
        return Err(WorkspaceError::Unsupported { driver: DRIVER, what });
    }
    Ok(Timestamp::from_parts(found.stx_btime.tv_sec, i64::from(found.stx_btime.tv_nsec)))
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::keep`].
pub(super) fn keep(store: &Store, captured: &Captured) -> Result<Sealed, WorkspaceError> {
    let since: Timestamp = serde_json::from_str(&captured.notes)
        .map_err(failed("read the notes on", &captured.directory))?;
    let notes = as_begun(store, captured, since)?;
    let sealed = seal_written(store, &captured.tree, &notes, &captured.directory)?;
    // It is there still when nothing was written.
    remove_tree(&captured.directory)?;
    Ok(sealed)
}

/// What the root directory was when the operation began: what lies below shows it, as
/// [`super::head::begin`] had it look.
fn as_begun(store: &Store, captured: &Captured, since: Timestamp) -> Result<Notes, WorkspaceError> {
    let tree = OverlayTree::parse(&captured.tree)?;
    let missing = |path| WorkspaceError::Damaged { what: "the root is missing", path };
    let below = store.view(&tree)?.lookup(&RelPath::root())?;
    let below = below.ok_or_else(|| missing(tree.base.clone()))?;
    let now = quick_version(&captured.directory)?;
    let now = now.ok_or_else(|| missing(captured.directory.clone()))?;
    let root = match imitated(&below.version, &now) {
        Some(imitated) => imitated,
        None => ownership(&below.version),
    };
    let attributes = match ownership(&below.version) == root {
        true => attributes(&below.disk_path)?,
        // Those of others are not taken over with the rest.
        false => attributes(&captured.directory)?,
    };
    Ok(Notes { since, root, attributes })
}
