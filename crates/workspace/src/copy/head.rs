//! The one writable place of a sandbox: begin, seal, abandon.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use ctrlz_core::changeset::Changeset;
use ctrlz_core::id::SandboxId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{Head, Sealed, WorkspaceError, WorkspaceMount};
use serde::{Deserialize, Serialize};

use super::duplicate::Made;
use super::expect::{FROM_THE_BEGINNING, touched, written};
use super::origin::materialize;
use super::store::{Store, boot, make_directory, now, read_json, write_json};
use super::survey;
use super::tree::{CopyId, TreeRecord};
use super::verify::whole_since_boot;
use crate::diff::{Candidates, changes};
use crate::evidence::digest_of_changes;
use crate::manifest::{Manifest, Record};
use crate::node::{Version, failed, version};
use crate::peek::Written;

/// What begin tells seal, and collection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The copy of which the head is a copy.
    pub copy: CopyId,
    /// What the head was before anything was written to it.
    #[serde(default)]
    pub start: Start,
}

/// The name of a manifest of a head as it was in the beginning.
pub(super) const START: &str = "start";
/// The name of a manifest of a head as it was when it was copied, in the copy.
pub(super) const SEEN: &str = "seen";
/// How far apart, in nanoseconds, two changes of a file may be and have the same change time: the
/// kernel's coarse clock ticks every 10 ms at most.
const TICK: i64 = 100_000_000;
/// The same where the file system keeps whole seconds, as zfs-fuse does.
const SECOND: i64 = 1_000_000_000;

impl Notes {
    pub(super) fn parse(text: &str, made: &Path) -> Result<Self, WorkspaceError> {
        serde_json::from_str(text).map_err(failed("read the notes on", made))
    }
}

/// What is known of a head as it was in the beginning.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) enum Start {
    /// Nothing; everything has to be compared.
    #[default]
    Unknown,
    /// Its entries were those of the tree below, change times included.
    Below { at: Timestamp },
    /// Its entries are in the manifest [`START`].
    Surveyed { at: Timestamp },
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::begin`].
pub(super) fn begin(
    store: &Store,
    sandbox: SandboxId,
    text: &Tree,
) -> Result<Head, WorkspaceError> {
    let tree = store.parse(text)?;
    let made = store.head(sandbox);
    store.remove(&made)?;
    let copy = materialize(store, &tree)?;
    whole_since_boot(&copy)?;
    make_directory(&made)?;
    let mut notes = Notes { copy: copy.id.clone(), start: Start::Unknown };
    write_json(&made.join("head"), &notes)?;
    let (how, root) = store.duplicate(&copy, &made)?;
    notes.start = match how {
        _ if !store.duplication().change_times_tell() => Start::Unknown,
        Made::AtOnce => Start::Below { at: now() },
        Made::EntryByEntry => {
            let records = survey::records(&root)?;
            let manifest = Manifest { since: FROM_THE_BEGINNING, root: true, records };
            manifest.write(&made.join(START))?;
            Start::Surveyed { at: now() }
        }
    };
    let notes = serde_json::to_string(&notes).map_err(failed("write the notes on", &root))?;
    Ok(Head {
        sandbox,
        tree: text.clone(),
        mount: WorkspaceMount::Bind { source: root.clone() },
        written: root,
        notes,
    })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::peek`].
pub(super) fn peek(
    store: &Store,
    sandbox: SandboxId,
    most: usize,
) -> Result<Option<Changeset>, WorkspaceError> {
    let made = store.head(sandbox);
    let notes = read_json::<Notes>(&made.join("head"), "no operation is under way")?;
    let below = store.load(&notes.copy)?;
    let before = &store.view(&below.root, &below.manifest)?;
    Written { root: &store.files(&made)?, is_layer: false, before }.peek(most)
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::seal`].
pub(super) fn seal(store: &Store, head: &Head) -> Result<Sealed, WorkspaceError> {
    let made = store.head(head.sandbox);
    seal_made(store, &head.tree, &made, &Notes::parse(&head.notes, &made)?)
}

/// Makes a tree of the directory `made`, of which `root` began as `text`. Nothing stays there when that
/// differs in nothing.
pub(super) fn seal_made(
    store: &Store,
    text: &Tree,
    made: &Path,
    notes: &Notes,
) -> Result<Sealed, WorkspaceError> {
    let tree = store.parse(text)?;
    let root = store.files(made)?;
    if version(&root)?.is_none() {
        let what = "what the operation wrote is gone";
        return Err(WorkspaceError::Damaged { what, path: root });
    }
    let below = store.load(&notes.copy)?;
    let records = survey::records(&root)?;
    let manifest = Manifest { since: FROM_THE_BEGINNING, root: true, records };
    let view = store.view(&root, &manifest)?;
    // A copy of the head has other inodes than the head, of which this is the survey.
    let seen = version(&made.join(SEEN))?.map(|_| Manifest::read(&made.join(SEEN))).transpose()?;
    let seen = seen.as_ref().unwrap_or(&manifest);
    let candidates = match notes.start {
        Start::Unknown => everything(),
        Start::Below { at } => written_since(&below.manifest, seen, at),
        Start::Surveyed { at } => written_since(&Manifest::read(&made.join(START))?, seen, at),
    };
    let step = changes(&store.view(&below.root, &below.manifest)?, &view, &candidates)?;
    let counts = step.counts();
    if counts.is_empty() && links(&below.manifest.records) == links(&manifest.records) {
        store.remove(made)?;
        return Ok(Sealed { tree: text.clone(), counts, digest: None });
    }
    let digest = digest_of_changes(&step.changes).map_err(failed("describe", &root))?;
    let origin = store.origin(&below)?;
    let candidates = step.changes.into_iter().map(|change| change.path);
    let candidates = candidates.chain(below.record.touched.iter().cloned()).collect();
    let origin_view = store.view(&origin.root, &origin.manifest)?;
    let touched = touched(candidates, &origin_view, &view, &below.record.seen_by_path())?;
    let record = TreeRecord {
        base: tree.base.clone(),
        origin: Some(origin.id),
        files: None,
        boot: boot(),
        touched,
        seen: written(below.record.seen_by_path()),
    };
    let id = store.keep(made, &record, &manifest)?;
    // Only collection reads the one, only sealing the other, and only in a head.
    for name in ["head", START, SEEN] {
        let _ = std::fs::remove_file(store.tree(&id).join(name));
    }
    Ok(Sealed { tree: tree.with(Some(id)).text()?, counts, digest: Some(digest) })
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::abandon`].
pub(super) fn abandon(store: &Store, sandbox: SandboxId) -> Result<(), WorkspaceError> {
    store.remove(&store.head(sandbox))
}

/// The paths at which someone may have written since a head, which was ready at `at`, had the entries
/// `start`. Whatever writes to an inode moves its change time, which nobody can set; where that is so
/// near to the beginning that a change may not have moved it, the path counts, too.
fn written_since(start: &Manifest, now: &Manifest, at: Timestamp) -> Candidates {
    let mut then: HashMap<&RelPath, &Version> =
        start.records.iter().filter_map(|r| Some((&r.path, r.entry.as_ref()?))).collect();
    let whole_seconds = then.values().all(|version| version.ctime.0 % SECOND == 0);
    let settled = at.0.saturating_sub(if whole_seconds { SECOND + TICK } else { TICK });
    let mut found = Candidates::default();
    for record in &now.records {
        let Some(version) = &record.entry else { continue };
        let untouched = then.remove(&record.path).is_some_and(|then| {
            // A snapshot has a device number of its own.
            *version == Version { dev: version.dev, ..*then } && version.ctime.0 < settled
        });
        if !untouched {
            found.paths.insert(record.path.clone());
        }
    }
    found.paths.extend(then.into_keys().cloned());
    found
}

/// All paths.
pub(super) fn everything() -> Candidates {
    let mut all = Candidates::default();
    all.paths.insert(RelPath::root());
    all.covers.insert(RelPath::root());
    all
}

/// The sets of names that share an inode. A changeset does not tell of them.
fn links(records: &[Record]) -> BTreeSet<Vec<&RelPath>> {
    let mut names: BTreeMap<u64, Vec<&RelPath>> = BTreeMap::new();
    for record in records {
        if let Some(entry) = record.entry.filter(|entry| !entry.is_directory() && entry.nlink > 1) {
            names.entry(entry.ino).or_default().push(&record.path);
        }
    }
    for names in names.values_mut() {
        names.sort_unstable();
    }
    names.into_values().filter(|names| names.len() > 1).collect()
}
