//! Which paths a layer has told already, so that none is told twice and none is part of another
//! that is no directory.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use ctrlz_core::path::RelPath;

/// What a layer has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Had {
    Directory,
    Other,
    Gone,
}

/// See the module. A path is remembered as 62 bits of a keyed hash and two that say what was there,
/// which is little memory for many paths. An archive that was made without knowing the key cannot
/// make two paths fall together; by chance that happens to one archive of a million entries in a
/// million, which is then refused.
#[derive(Debug, Default)]
pub(super) struct Seen {
    paths: HashSet<u64>,
    key: RandomState,
}

impl Seen {
    fn hash(&self, path: &RelPath) -> u64 {
        self.key.hash_one(path.as_bytes()) & !3
    }

    fn word(had: Had) -> u64 {
        match had {
            Had::Directory => 1,
            Had::Other => 2,
            Had::Gone => 3,
        }
    }

    /// What is at `path`; what came after a whiteout counts more than that.
    pub(super) fn get(&self, path: &RelPath) -> Option<Had> {
        let hash = self.hash(path);
        let had = |had: &Had| self.paths.contains(&(hash | Self::word(*had)));
        [Had::Directory, Had::Other, Had::Gone].into_iter().find(had)
    }

    /// Remembers what is at `path` now.
    pub(super) fn set(&mut self, path: &RelPath, had: Had) {
        let hash = self.hash(path);
        self.paths.insert(hash | Self::word(had));
    }

    /// Whether `path` lies in something that is no directory.
    pub(super) fn leads_through_file(&self, path: &RelPath) -> bool {
        path.ancestors().any(|above| self.get(&above) == Some(Had::Other))
    }
}
