//! Which version of the base a tree was made on, path by path.

use std::collections::HashMap;

use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;

use super::revert::restored;
use super::store::{Store, covers};
use super::tree::OverlayTree;
use crate::manifest::Record;
use crate::node::Version;
use crate::restored::Restored;
use crate::view::View;

/// What the first operation that touched a path found in the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The entry; `None` when there was nothing.
    pub base: Option<Version>,
    /// Whether someone changed it while that operation ran.
    pub raced: bool,
    /// When that operation began, plus one nanosecond.
    pub since: Timestamp,
}

/// The records of a tree's layers by path.
pub(super) struct Expectations {
    /// Lowest layer first.
    layers: Vec<(Timestamp, HashMap<RelPath, Record>)>,
    base: View,
    restored: Restored,
}

impl Expectations {
    pub(super) fn of(store: &Store, tree: &OverlayTree) -> Result<Self, WorkspaceError> {
        let mut layers = Vec::with_capacity(tree.layers.len());
        for id in &tree.layers {
            let manifest = store.manifest(id)?;
            let records = manifest.records.into_iter();
            let records = records.map(|record| (record.path.clone(), record)).collect();
            layers.push((manifest.since, records));
        }
        let restored = restored(store, &tree.base)?;
        Ok(Self { layers, base: View::new(tree.base.clone(), Vec::new()), restored })
    }

    /// What the lowest layer that touches `path` saw; `None` when none does.
    ///
    /// A layer that hides `path` by something above it touches it, too. It did not note what was
    /// there; what is there now and is older than the operation is what was hidden then.
    pub(super) fn seen(&self, path: &RelPath) -> Result<Option<Seen>, WorkspaceError> {
        for (since, records) in &self.layers {
            let since = *since;
            if let Some(record) = records.get(path) {
                let base = record.base.map(|version| self.restored.forward(path, version));
                return Ok(Some(Seen { base, raced: record.raced, since }));
            }
            if path.ancestors().any(|above| records.get(&above).is_some_and(covers)) {
                let base = self.base.lookup(path)?.map(|found| found.version);
                let raced = base.is_some_and(|now| {
                    let then = self.restored.backward(path, now);
                    !then.is_directory() && then.ctime >= since
                });
                return Ok(Some(Seen { base, raced, since }));
            }
        }
        Ok(None)
    }

    /// Whether more is known of what the base has at `path` than when it changed last: a layer
    /// says something about it, or one of our own reverts put it there.
    pub(super) fn is_known(&self, path: &RelPath) -> Result<bool, WorkspaceError> {
        if self.layers.iter().any(|(_, records)| records.contains_key(path)) {
            return Ok(true);
        }
        let now = self.base.lookup(path)?.map(|found| found.version);
        Ok(now.is_some_and(|now| self.restored.backward(path, now) != now))
    }

    /// When the first operation began, plus one nanosecond, since which the sandbox does not see
    /// what the base has below `path`.
    pub(super) fn hidden_since(&self, path: &RelPath) -> Option<Timestamp> {
        let hides = |records: &HashMap<RelPath, Record>| {
            let at = |path: &RelPath| records.get(path).is_some_and(covers);
            at(path) || path.ancestors().any(|above| at(&above))
        };
        self.layers.iter().find(|(_, records)| hides(records)).map(|(since, _)| *since)
    }
}
