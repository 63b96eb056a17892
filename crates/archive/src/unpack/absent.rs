//! Further names of files that a restore of some paths left out.
//!
//! A layer tells a file's content with its first name. When that is not among the paths that were
//! asked for and another name is, the content has gone by when the other name comes.

use std::collections::BTreeMap;

use ctrlz_core::path::RelPath;

/// First names that were left out, and the names that need their content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Absent {
    names: BTreeMap<RelPath, Needed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Needed {
    /// The last layer that means it; a higher one may have another file there.
    layer: usize,
    names: Vec<RelPath>,
    found: bool,
}

impl Absent {
    pub(super) fn add(&mut self, first: RelPath, layer: usize, name: RelPath) {
        let needed = self.names.entry(first).or_default();
        needed.layer = layer.max(needed.layer);
        needed.names.push(name);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names that need what `layer` has at `path`.
    pub(super) fn take(&mut self, path: &RelPath, layer: usize) -> Vec<RelPath> {
        match self.names.get_mut(path).filter(|needed| layer <= needed.layer) {
            Some(needed) => {
                needed.found = true;
                needed.names.clone()
            }
            None => Vec::new(),
        }
    }

    /// A name whose content was never found.
    pub(super) fn unmet(&self) -> Option<&RelPath> {
        self.names.values().filter(|needed| !needed.found).find_map(|needed| needed.names.first())
    }
}
