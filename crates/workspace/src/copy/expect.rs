//! What a tree expects its base to be, path by path, and where it differs from that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;

use super::revert::restored;
use super::store::{Loaded, Store};
use super::tree::Seen;
use crate::diff::difference;
use crate::live::Expect;
use crate::manifest::Record;
use crate::node::Version;
use crate::restored::Restored;
use crate::view::View;

/// An origin lists everything that was in a directory, so whatever is not listed is someone
/// else's, however old its stamp is.
pub(super) const FROM_THE_BEGINNING: Timestamp = Timestamp(i64::MIN);

/// What a tree expects of its base.
pub(super) struct Expectations {
    origin: HashMap<RelPath, Record>,
    seen: BTreeMap<RelPath, Expect>,
    /// What is there now by our own doing, in place of what was seen.
    restored: Restored,
}

impl Expectations {
    pub(super) fn of(store: &Store, copy: &Loaded) -> Result<Self, WorkspaceError> {
        let records = store.origin(copy)?.manifest.records.into_iter();
        let origin = records.map(|record| (record.path.clone(), record)).collect();
        let restored = restored(store, &copy.record.base)?;
        Ok(Self { origin, seen: copy.record.seen_by_path(), restored })
    }

    /// The paths that are expected to be names of the base's file with this inode number.
    pub(super) fn names(&self, inode: u64) -> Vec<RelPath> {
        let names = |path: &&RelPath| {
            matches!(self.at(path), Expect::Unchanged { version, .. }
                if version.ino == inode && version.is_file())
        };
        self.paths().filter(names).cloned().collect()
    }

    /// Every path of which something is known.
    fn paths(&self) -> impl Iterator<Item = &RelPath> {
        let seen = self.seen.keys().filter(|path| !self.origin.contains_key(path));
        self.origin.keys().chain(seen)
    }

    /// The versions that are expected now, and all expectations that are not the origin's own.
    pub(super) fn all(&self) -> (HashMap<RelPath, Version>, BTreeMap<RelPath, Expect>) {
        let mut known = HashMap::new();
        let mut seen = self.seen.clone();
        for path in self.paths() {
            let expect = self.at(path);
            if expect != self.then(path) {
                seen.insert(path.clone(), expect);
            }
            // What went away while it was copied has no version of the base.
            let gone = self.origin.get(path).is_some_and(|record| record.base.is_none());
            if !gone || self.seen.contains_key(path) {
                known.extend(found(&expect).map(|version| (path.clone(), version)));
            }
        }
        (known, seen)
    }

    /// What is expected now.
    pub(super) fn at(&self, path: &RelPath) -> Expect {
        self.restored.expect_now(path, self.then(path))
    }

    /// What the tree, or a commit since, left there.
    fn then(&self, path: &RelPath) -> Expect {
        if let Some(expect) = self.seen.get(path) {
            return *expect;
        }
        let Some(record) = self.origin.get(path) else { return Expect::Absent };
        match record.base.or(record.entry) {
            Some(version) if record.raced => Expect::ChangedDuringOperation { version },
            _ => expect(record.base),
        }
    }
}

/// What is expected to be there.
pub(super) fn found(expect: &Expect) -> Option<Version> {
    match expect {
        Expect::Absent => None,
        Expect::Unchanged { version, .. } | Expect::ChangedDuringOperation { version } => {
            Some(*version)
        }
    }
}

/// What is expected where `version` was seen.
pub(super) fn expect(version: Option<Version>) -> Expect {
    match version {
        Some(version) => Expect::Unchanged { version, since: FROM_THE_BEGINNING },
        None => Expect::Absent,
    }
}

/// As it is written down.
pub(super) fn written(seen: BTreeMap<RelPath, Expect>) -> Vec<Seen> {
    seen.into_iter().map(|(path, expect)| Seen { path, expect }).collect()
}

/// Those of `candidates` at which a tree differs from what its base was. Where commits changed
/// the base since, the origin does not know it, and the path stays.
pub(super) fn touched(
    candidates: BTreeSet<RelPath>,
    origin: &View,
    tree: &View,
    seen: &BTreeMap<RelPath, Expect>,
) -> Result<BTreeSet<RelPath>, WorkspaceError> {
    let mut touched = BTreeSet::new();
    for path in candidates {
        let differs = seen.contains_key(&path)
            || match (origin.lookup(&path)?, tree.lookup(&path)?) {
                (None, None) => false,
                (Some(before), Some(after)) => difference(&path, &before, &after)?.is_some(),
                _ => true,
            };
        if differs {
            touched.insert(path);
        }
    }
    Ok(touched)
}
