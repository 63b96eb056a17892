//! Whole trees that come from elsewhere, and what of a tree is kept elsewhere.
//!
//! A copy on its own does not tell what its operations changed: that is what its origin is for,
//! which stays here. So the record of a tree that goes elsewhere is its [`TreeRecord`] in one line,
//! and then a manifest of all of it, in which the entries that were touched have the version of
//! the base that a commit expects.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ctrlz_core::archive::Arrival;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;

use super::expect::{Expectations, FROM_THE_BEGINNING, expect, written};
use super::head::everything;
use super::origin::{check_base, origin};
use super::store::{Loaded, Store, boot};
use super::survey;
use super::tree::{CopyId, CopyTree, TreeRecord};
use super::verify::whole_since_boot;
use crate::diff::changes;
use crate::likeness::{is_alike, is_original};
use crate::live::{Expect, matches};
use crate::manifest::{Manifest, Record};
use crate::node::{failed, file_type, remove_tree, version};
use crate::view::View;

/// What was written down of a tree, for elsewhere.
pub(super) struct Told {
    pub(super) record: TreeRecord,
    pub(super) manifest: Manifest,
}

impl Told {
    /// What is known of a copy here.
    pub(super) fn of(store: &Store, copy: &Loaded) -> Result<Self, WorkspaceError> {
        let (record, mut manifest) = (copy.record.clone(), copy.manifest.clone());
        if record.origin.is_some() {
            let expected = Expectations::of(store, copy)?;
            let mut touched = record.touched.clone();
            for entry in &mut manifest.records {
                (entry.base, entry.raced) = match touched.remove(&entry.path) {
                    true => seen(expected.at(&entry.path)),
                    false => (None, false),
                };
            }
            manifest.records.extend(touched.into_iter().map(|path| {
                let (base, raced) = seen(expected.at(&path));
                Record { path, entry: None, opaque: false, base, raced }
            }));
        }
        Ok(Self { record, manifest })
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let (record, manifest) = text.split_at_checked(end)?;
        let record = serde_json::from_slice(record).ok()?;
        Some(Self { record, manifest: Manifest::parse(manifest.get(1..)?)? })
    }

    fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(&self.record)?;
        text.push(b'\n');
        text.extend(self.manifest.text()?.0);
        Ok(text)
    }

    /// Itself, when it tells of what was `found`. What was lost on the way, such as a device that
    /// only root can make, is as if it had not been touched.
    fn fitting(mut self, found: &[Record]) -> Option<Self> {
        let mut here: HashMap<&RelPath, &Record> =
            found.iter().map(|record| (&record.path, record)).collect();
        let mut told = BTreeMap::new();
        for record in self.manifest.records {
            let now = here.remove(&record.path);
            match (record.entry.and_then(|then| Some((then, now?.entry?))), now) {
                (Some((then, now)), _) if file_type(&then) == file_type(&now) => {}
                (None, None) if record.entry.is_none() => {}
                (None, None) => {
                    self.record.touched.remove(&record.path);
                    continue;
                }
                _ => return None,
            }
            if told.insert(record.path.clone(), record).is_some() {
                return None;
            }
        }
        if !here.is_empty() || !self.record.touched.iter().all(|path| told.contains_key(path)) {
            return None;
        }
        self.manifest.records = told.into_values().collect();
        Some(self)
    }
}

/// An expectation as a manifest has it.
fn seen(expect: Expect) -> (Option<crate::node::Version>, bool) {
    match expect {
        Expect::Absent => (None, false),
        Expect::Unchanged { version, .. } => (Some(version), false),
        Expect::ChangedDuringOperation { version } => (Some(version), true),
    }
}

/// Writes down what is known of a copy now; answers where.
pub(super) fn tell(store: &Store, copy: &Loaded) -> Result<PathBuf, WorkspaceError> {
    let path = store.tree(&copy.id).join("told");
    let text = Told::of(store, copy)?.text().map_err(failed("write", &path))?;
    let made = store.make()?;
    let new = made.join("told");
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&new)?.write_all(&text)?;
        std::fs::rename(&new, &path)
    };
    let written = write().map_err(failed("write", &path));
    remove_tree(&made)?;
    written.map(|()| path)
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::holds`].
pub(super) fn holds(store: &Store, part: &str) -> Result<bool, WorkspaceError> {
    match part.parse() {
        Ok(id) => Ok(held(store, &id)?.is_some()),
        Err(_) => Ok(false),
    }
}

/// A copy that is there and whole. Whoever asks may use it: for some time it is not old.
fn held(store: &Store, id: &CopyId) -> Result<Option<Loaded>, WorkspaceError> {
    let look = || {
        let copy = store.load(id)?;
        whole_since_boot(&copy)?;
        Ok(copy)
    };
    match look() {
        Ok(copy) => store.use_again(id).map(|()| Some(copy)),
        Err(WorkspaceError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// See [`ctrlz_core::workspace::WorkspaceDriver::adopt`].
pub(super) fn adopt(store: &Store, base: &Path, parts: &[Arrival]) -> Result<Tree, WorkspaceError> {
    check_base(store, base)?;
    let bare = CopyTree::bare(base);
    let part = match parts {
        [] => return bare.text(),
        [part] => part,
        _ => {
            let what = "a tree of several parts: it keeps whole trees only";
            return Err(WorkspaceError::Unsupported { driver: store.driver(), what });
        }
    };
    check_whole(store, part)?;
    let name: Option<CopyId> = part.id.as_deref().and_then(|id| id.parse().ok());
    if let Some(id) = &name
        && let Some(copy) = held(store, id)?
    {
        let id = match on_its_base(store, &copy, base)? {
            true => copy.id,
            false => on_another_base(store, &copy, base)?,
        };
        return bare.with(Some(id)).text();
    }
    store.check_landed(&part.directory)?;
    let made = store.make()?;
    let result = landed(store, base, part, &made)
        .and_then(|(record, manifest)| store.keep_on_disk(&made, &record, &manifest, name));
    if result.is_err() {
        // The first error is the one to tell; collection removes what is left.
        let _ = store.remove(&made);
    }
    bare.with(Some(result?)).text()
}

/// Errs when a part is a layer of which others are needed.
pub(super) fn check_whole(store: &Store, part: &Arrival) -> Result<(), WorkspaceError> {
    if part.root {
        return Ok(());
    }
    let what = "a part that is no whole tree";
    Err(WorkspaceError::Unsupported { driver: store.driver(), what })
}

/// Whether a copy can be used for `base` as it is.
fn on_its_base(store: &Store, copy: &Loaded, base: &Path) -> Result<bool, WorkspaceError> {
    if copy.record.base != base {
        return Ok(false);
    }
    match store.origin(copy) {
        Ok(_) => Ok(true),
        Err(WorkspaceError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A tree with the files of a copy that stands on another base.
fn on_another_base(store: &Store, copy: &Loaded, base: &Path) -> Result<CopyId, WorkspaceError> {
    let told = match Told::of(store, copy) {
        Ok(told) => Some(told),
        Err(WorkspaceError::Damaged { .. }) => None,
        Err(error) => return Err(error),
    };
    let manifest = entries_of(copy.manifest.records.clone());
    let mut record = stand(store, base, told.as_ref(), &copy.root, &manifest)?;
    record.files = Some(copy.record.files.clone().unwrap_or_else(|| copy.id.clone()));
    let made = store.make()?;
    let id = store.keep_on_disk(&made, &record, &manifest, None);
    if id.is_err() {
        let _ = store.remove(&made);
    }
    id
}

/// Moves a part to `made`, and describes it.
fn landed(
    store: &Store,
    base: &Path,
    part: &Arrival,
    made: &Path,
) -> Result<(TreeRecord, Manifest), WorkspaceError> {
    let root = made.join("root");
    let records = survey::records(&part.directory)?;
    let told = part.record.as_deref().and_then(Told::parse);
    let told = told.and_then(|told| told.fitting(&records));
    let manifest = entries_of(records);
    let record = stand(store, base, told.as_ref(), &part.directory, &manifest)?;
    store.take_in(&part.directory, &root)?;
    // A rename moves the change time of what is renamed.
    let manifest = Manifest { records: with_root(manifest.records, &root)?, ..manifest };
    Ok((record, manifest))
}

/// Records with the version that the root has now.
pub(super) fn with_root(
    mut records: Vec<Record>,
    root: &Path,
) -> Result<Vec<Record>, WorkspaceError> {
    if let Some(record) = records.iter_mut().find(|record| record.path.is_root()) {
        record.entry = version(root)?;
    }
    Ok(records)
}

/// A manifest that says nothing of the base.
pub(super) fn entries_of(records: Vec<Record>) -> Manifest {
    let records = records.into_iter().filter(|record| record.entry.is_some());
    let records = records.map(|record| Record { base: None, raced: false, ..record }).collect();
    Manifest { since: FROM_THE_BEGINNING, root: true, records }
}

/// How a tree whose files lie in `root` stands on `base`. Without a record it differs from the base
/// as it is now wherever it differs.
fn stand(
    store: &Store,
    base: &Path,
    told: Option<&Told>,
    root: &Path,
    entries: &Manifest,
) -> Result<TreeRecord, WorkspaceError> {
    let origin = origin(store, base)?;
    let mut record = TreeRecord {
        base: base.to_owned(),
        origin: Some(origin.id.clone()),
        files: None,
        boot: boot(),
        touched: std::collections::BTreeSet::new(),
        seen: Vec::new(),
    };
    let Some(told) = told else {
        let (from, to) = (store.view(&origin.root, &origin.manifest)?, store.view(root, entries)?);
        let found = changes(&from, &to, &everything())?.changes;
        record.touched = found.into_iter().map(|change| change.path).collect();
        return Ok(record);
    };
    let view = View::new(base.to_owned(), Vec::new());
    let touched = || {
        let records = told.manifest.records.iter();
        records.filter(|record| told.record.touched.contains(&record.path))
    };
    let original = is_original(&view, touched())?;
    let mut expected = BTreeMap::new();
    for entry in touched() {
        let now = view.lookup(&entry.path)?.map(|found| found.version);
        let stands = match (&entry.base, &now) {
            (Some(then), Some(now)) if original => matches(then, now),
            (Some(then), Some(now)) => is_alike(then, now),
            (None, None) => true,
            _ => false,
        };
        match entry.base {
            Some(version) if entry.raced => {
                expected.insert(entry.path.clone(), Expect::ChangedDuringOperation { version });
            }
            then if !stands => _ = expected.insert(entry.path.clone(), expect(then)),
            _ => {}
        }
    }
    record.touched.clone_from(&told.record.touched);
    record.seen = written(expected);
    Ok(record)
}
