//! A tree of what an operation has written so far, while it is under way.
//!
//! The head is duplicated while nobody writes to it: by one snapshot of its subvolume, whatever its size,
//! or file by file with shared blocks. The duplicate is sealed later, as the head would have been.
//!
//! A snapshot of a subvolume is not enough by itself. The kernel flushes what was written to each file in
//! turn before it takes it, so that a process that writes meanwhile is seen at several moments.

use std::path::Path;

use ctrlz_core::id::SandboxId;
use ctrlz_core::live::{Captured, LiveMeans};
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{Sealed, WorkspaceError};

use super::duplicate::{Duplication, others_inside, snapshot};
use super::expect::FROM_THE_BEGINNING;
use super::head::{Notes, SEEN, START, Start, seal_made};
use super::store::{Store, make_directory, read_json};
use super::survey;
use crate::fault;
use crate::manifest::Manifest;
use crate::node::{Content, Unreadable, failed, fill_tree, version};

/// How heads are duplicated while they are written to.
pub(super) fn means(store: &Store) -> LiveMeans {
    match store.duplication() {
        Duplication::Copy => LiveMeans::Unsupported,
        // A snapshot of ZFS has what was written before it, and nothing of what was written after.
        Duplication::Zfs => LiveMeans::Atomic,
        Duplication::Reflink | Duplication::Btrfs => LiveMeans::Frozen,
    }
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::capture`].
pub(super) fn capture(
    store: &Store,
    sandbox: SandboxId,
    tree: &Tree,
) -> Result<Captured, WorkspaceError> {
    if means(store) == LiveMeans::Unsupported {
        return Err(unsupported(store, "snapshots while a command runs"));
    }
    let head = store.head(sandbox);
    let notes = begun(&head)?;
    let directory = store.make()?;
    let duplicated = duplicate(store, &head, &directory);
    let passed = fault::point("captured").map_err(failed("copy to", &directory));
    if let Err(error) = duplicated.and(passed) {
        // The first error is the one to tell; collection takes what is left.
        let _ = store.remove(&directory);
        return Err(error);
    }
    let notes = serde_json::to_string(&notes).map_err(failed("write the notes on", &directory))?;
    Ok(Captured { sandbox, tree: tree.clone(), directory, notes })
}

fn unsupported(store: &Store, what: &'static str) -> WorkspaceError {
    WorkspaceError::Unsupported { driver: store.driver(), what }
}

/// What the head was in the beginning, as far as its files tell. That was a little later than these
/// were written, so that at worst more paths are compared.
fn begun(head: &Path) -> Result<Notes, WorkspaceError> {
    let noted = head.join("head");
    let notes: Notes = read_json(&noted, "no operation is under way")?;
    let written = |path: &Path| version(path).map(|found| found.map(|found| found.mtime));
    let start = match (written(&head.join(START))?, written(&noted)?) {
        (Some(at), _) => Start::Surveyed { at },
        (None, Some(at)) => Start::Below { at },
        (None, None) => Start::Unknown,
    };
    Ok(Notes { start, ..notes })
}

fn duplicate(store: &Store, head: &Path, to: &Path) -> Result<(), WorkspaceError> {
    let (from, root) = (store.files(head)?, to.join("root"));
    let start = head.join(START);
    if version(&start)?.is_some() {
        let linked = to.join(START);
        std::fs::hard_link(&start, &linked).map_err(failed("link", &linked))?;
    }
    match store.duplication() {
        Duplication::Btrfs if snapshot(&from, &root)? => Ok(()),
        Duplication::Btrfs => Err(unsupported(store, "a snapshot of a subvolume of somebody else")),
        Duplication::Zfs => match store.clone_of(&from, &root)? {
            Some(_) => Ok(()),
            None => Err(unsupported(store, "a snapshot of a dataset that is not mounted")),
        },
        _ => {
            make_directory(&root)?;
            let records = survey::records(&from)?;
            let about = records.len();
            let seen = Manifest { since: FROM_THE_BEGINNING, root: true, records };
            seen.write(&to.join(SEEN))?;
            fill_tree(&from, &root, (Unreadable::Unseal, Content::Shared), about)
        }
    }
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::keep`].
pub(super) fn keep(store: &Store, captured: &Captured) -> Result<Sealed, WorkspaceError> {
    let made = &captured.directory;
    if store.duplication() == Duplication::Btrfs {
        let records = survey::records(&made.join("root"))?;
        if others_inside(records.iter().filter_map(|r| Some((&r.path, r.entry.as_ref()?)))) {
            return Err(unsupported(
                store,
                "snapshots while a command runs that has made a subvolume of its own",
            ));
        }
    }
    seal_made(store, &captured.tree, made, &Notes::parse(&captured.notes, made)?)
}
