//! Versions in the base that are our own doing: a revert brought back what a commit had replaced.
//!
//! A tree from before the commit expects the version from before it. What the revert put there is
//! equal, but another version: it has a new change time, or a new inode. Without this table each
//! commit after an undone one would meet a conflict with ourselves.

use std::collections::HashMap;

use ctrlz_core::path::RelPath;

use crate::node::Version;

/// Pairs of versions with the same content, in the order in which they came to be.
#[derive(Debug, Default)]
pub(super) struct Restored {
    by_path: HashMap<RelPath, Vec<Pair>>,
    /// For the other names of a file that was written in place.
    by_inode: HashMap<u64, Vec<Pair>>,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    before: Version,
    after: Version,
}

impl Restored {
    /// Notes that a revert put `after` in place of what was `before` the commit. To be called in
    /// the order of the reverts.
    pub(super) fn add(&mut self, path: &RelPath, before: Version, after: Version) {
        let pair = Pair { before, after };
        self.by_path.entry(path.clone()).or_default().push(pair);
        if before.nlink > 1 && before.ino == after.ino && !before.is_directory() {
            self.by_inode.entry(before.ino).or_default().push(pair);
        }
    }

    fn pairs(&self, path: &RelPath, inode: u64) -> &[Pair] {
        let by_path = self.by_path.get(path);
        by_path.or_else(|| self.by_inode.get(&inode)).map_or(&[], Vec::as_slice)
    }

    /// The version that is in place of `version` now, as far as we are concerned.
    pub(super) fn forward(&self, path: &RelPath, version: Version) -> Version {
        let mut version = version;
        for pair in self.pairs(path, version.ino) {
            if same(&pair.before, &version) {
                version = pair.after;
            }
        }
        version
    }

    /// The version in whose place `version` is.
    pub(super) fn backward(&self, path: &RelPath, version: Version) -> Version {
        let mut version = version;
        for pair in self.pairs(path, version.ino).iter().rev() {
            if same(&pair.after, &version) {
                version = pair.before;
            }
        }
        version
    }
}

/// Whether two versions of one path are the same. The device number changes with a reboot, the
/// number of names with what others do; a directory's size and times change with its entries.
fn same(a: &Version, b: &Version) -> bool {
    let kept = |v: &Version| (v.ino, v.mode, v.uid, v.gid, v.rdev);
    let body = |v: &Version| (v.size, v.mtime, v.ctime);
    kept(a) == kept(b) && (a.is_directory() || body(a) == body(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctrlz_core::time::Timestamp;

    fn version(ctime: i64) -> Version {
        Version {
            dev: 1,
            ino: 7,
            size: 3,
            mtime: Timestamp(5),
            ctime: Timestamp(ctime),
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            rdev: 0,
            nlink: 1,
        }
    }

    #[test]
    fn follows_several_reverts_and_nothing_else() {
        let path = RelPath::parse("f").expect("valid");
        let mut restored = Restored::default();
        restored.add(&path, version(1), version(2));
        restored.add(&path, version(2), version(3));
        assert_eq!(restored.forward(&path, version(1)), version(3));
        assert_eq!(restored.backward(&path, version(3)), version(1));
        // What someone else made of it is not ours.
        assert_eq!(restored.forward(&path, version(9)), version(9));
        assert_eq!(restored.backward(&path, version(9)), version(9));
        let other = RelPath::parse("g").expect("valid");
        assert_eq!(restored.forward(&other, version(1)), version(1));
    }
}
