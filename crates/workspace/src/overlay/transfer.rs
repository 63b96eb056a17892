//! What layers were made on, told of another directory.
//!
//! A manifest names versions of the base: inodes and change times, which a copy of the base does not
//! share. A tree on a copy gets one more layer, lowest of all and without files, which says what
//! stands for those versions there. The layers themselves stay as they are, so that trees on
//! several copies can share them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;

use super::store::{covers, now as the_time};
use crate::likeness::{is_alike, is_original};
use crate::manifest::{Manifest, Record};
use crate::view::View;

/// A layer's manifest, and where what it says of the base comes from.
pub(super) struct Told {
    pub manifest: Manifest,
    /// A record: it may speak of another directory. Else it was looked up here and now.
    pub by_record: bool,
}

/// The manifest of the lowest layer that a tree of `layers`, lowest first, needs on `base`; nothing
/// when `base` is the directory that they were made on.
pub(super) fn transferred(
    base: &Path,
    layers: &[Told],
) -> Result<Option<Manifest>, WorkspaceError> {
    let view = View::new(base.to_owned(), Vec::new());
    let by_record: Vec<&Told> = layers.iter().filter(|layer| layer.by_record).collect();
    let recorded = by_record.iter().flat_map(|layer| &layer.manifest.records);
    if by_record.is_empty() || is_original(&view, recorded)? {
        return Ok(None);
    }
    let since = Timestamp(the_time().0.saturating_add(1));
    let mut differs = false;
    let mut records = Vec::new();
    for mut record in lowest(layers) {
        if let (Some(then), Some(now)) = (record.base, view.lookup(&record.path)?)
            && is_alike(&then, &now.version)
        {
            record.base = Some(now.version);
            differs |= then != now.version;
        }
        // What lies below was there before the tree came here, as far as one can know.
        differs |= record.entry.is_some();
        records.push(record);
    }
    Ok(differs.then_some(Manifest { since, root: false, records }))
}

/// What the lowest layer that touches a path says of it, for all paths, as a commit asks. Those
/// that hide what is below their path have an entry, and no others.
fn lowest(layers: &[Told]) -> Vec<Record> {
    let mut known: BTreeMap<&RelPath, Record> = BTreeMap::new();
    let mut hiding: HashMap<&RelPath, &Record> = HashMap::new();
    for layer in layers {
        let mut hidden_here = Vec::new();
        for record in &layer.manifest.records {
            if record.path.ancestors().any(|above| hiding.contains_key(&above)) {
                continue;
            }
            let told = Record { entry: None, opaque: false, ..record.clone() };
            known.entry(&record.path).or_insert(told);
            if covers(record) {
                hidden_here.push(record);
            }
        }
        for record in hidden_here {
            hiding.entry(&record.path).or_insert(record);
        }
    }
    for (path, record) in hiding {
        if let Some(told) = known.get_mut(path) {
            (told.entry, told.opaque) = (record.entry, record.opaque);
        }
    }
    known.into_values().collect()
}
