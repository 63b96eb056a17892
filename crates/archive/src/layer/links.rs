//! Files with several names.

use std::collections::HashMap;

use ctrlz_core::path::RelPath;

use crate::source::Node;

/// The first name of each file that may have more, until all of them were seen.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// By device and inode.
    first: HashMap<(u64, u64), First>,
}

/// What is known of such a file.
#[derive(Debug, Clone)]
pub(crate) struct First {
    pub(crate) path: RelPath,
    pub(crate) blake3: Option<blake3::Hash>,
    left: u64,
}

impl Links {
    /// The first name of the inode, when this is a further one.
    pub(crate) fn further(&mut self, node: &Node) -> Option<First> {
        if node.version.nlink < 2 {
            return None;
        }
        let key = (node.dev, node.version.ino);
        let first = self.first.get_mut(&key)?;
        first.left = first.left.saturating_sub(1);
        if first.left > 0 {
            return Some(first.clone());
        }
        self.first.remove(&key)
    }

    /// Remembers the first name of an inode.
    pub(crate) fn add(&mut self, node: &Node, path: &RelPath, blake3: Option<blake3::Hash>) {
        let left = node.version.nlink.saturating_sub(1);
        if left > 0 {
            let first = First { path: path.clone(), blake3, left };
            self.first.insert((node.dev, node.version.ino), first);
        }
    }
}
