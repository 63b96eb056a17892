//! Versions in the base that are our own doing: a revert brought back what a commit had replaced,
//! or a commit that was not finished was taken back.
//!
//! A tree from before the commit expects the version from before it. What the revert put there is
//! equal, but another version: it has a new change time, or a new inode. Without this table each
//! commit after an undone one would meet a conflict with ourselves.

#[cfg(test)]
mod crash;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use serde::{Deserialize, Serialize};

use crate::live::{Expect, Moved, Step, matches};
use crate::node::Version;

/// Pairs of versions with the same content, in the order in which they came to be.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    by_path: HashMap<RelPath, Vec<Pair>>,
    /// For the other names of a file that was written in place.
    by_inode: HashMap<u64, Vec<Pair>>,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    /// The place among all pairs.
    turn: usize,
    before: Version,
    after: Version,
}

/// What a driver writes down of a commit that was taken back before it was finished.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TakenBack {
    /// The live directory.
    #[serde(with = "ctrlz_core::path::host")]
    pub base: PathBuf,
    /// What was there before the commit, and what is there since.
    pub moved: Vec<Moved>,
}

impl Restored {
    /// Notes that we put `after` in place of what was `before`. To be called in the order in which
    /// that happened.
    pub(crate) fn add(&mut self, path: &RelPath, before: Version, after: Version) {
        let pair = Pair { turn: self.count, before, after };
        self.count += 1;
        self.by_path.entry(path.clone()).or_default().push(pair);
        if before.nlink > 1 && before.ino == after.ino && !before.is_directory() {
            self.by_inode.entry(before.ino).or_default().push(pair);
        }
    }

    /// Notes what taking back an unfinished commit to `base` did.
    pub(crate) fn add_taken_back(&mut self, taken_back: &TakenBack, base: &Path) {
        for (path, before, after) in &taken_back.moved {
            if taken_back.base == base {
                self.add(path, *before, *after);
            }
        }
    }

    /// Notes what the revert did whose own undo is `undo`; `replaced` is what the commit that it
    /// took back had found there.
    pub(crate) fn add_revert(&mut self, replaced: &HashMap<RelPath, Version>, undo: &[Step]) {
        for step in undo {
            if let (Expect::Unchanged { version, .. }, Some(before)) =
                (step.expect, replaced.get(&step.path))
            {
                self.add(&step.path, *before, version);
            }
        }
    }

    /// Where we put something.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.by_path.keys()
    }

    /// The pairs that may speak of a version at `path`, of each of the two kinds.
    fn pairs(&self, path: &RelPath, inode: u64) -> impl DoubleEndedIterator<Item = &Pair> {
        let both = [self.by_path.get(path), self.by_inode.get(&inode)];
        both.into_iter().flatten().flatten()
    }

    /// The version that is in place of `version` now, as far as we are concerned.
    pub(crate) fn forward(&self, path: &RelPath, version: Version) -> Version {
        let (mut version, mut from) = (version, 0);
        loop {
            let pairs = self.pairs(path, version.ino);
            let later = pairs.filter(|p| p.turn >= from && matches(&p.before, &version));
            let Some(pair) = later.min_by_key(|pair| pair.turn) else { return version };
            (version, from) = (pair.after, pair.turn + 1);
        }
    }

    /// `expect`, with the version that is there now in place of the one that was seen.
    pub(crate) fn expect_now(&self, path: &RelPath, expect: Expect) -> Expect {
        match expect {
            Expect::Unchanged { version, since } => {
                Expect::Unchanged { version: self.forward(path, version), since }
            }
            other => other,
        }
    }

    /// The version in whose place `version` is.
    pub(crate) fn backward(&self, path: &RelPath, version: Version) -> Version {
        let (mut version, mut to) = (version, self.count);
        loop {
            let pairs = self.pairs(path, version.ino);
            let earlier = pairs.filter(|p| p.turn < to && matches(&p.after, &version));
            let Some(pair) = earlier.max_by_key(|pair| pair.turn) else { return version };
            (version, to) = (pair.before, pair.turn);
        }
    }
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

    #[test]
    fn a_file_with_two_names_is_followed_through_either() {
        let linked = |ctime| Version { nlink: 2, ..version(ctime) };
        let (one, two) =
            (RelPath::parse("one").expect("valid"), RelPath::parse("two").expect("valid"));
        let mut restored = Restored::default();
        restored.add(&one, linked(1), linked(2));
        restored.add(&two, linked(2), linked(3));
        restored.add(&one, linked(3), linked(4));
        for path in [&one, &two] {
            assert_eq!(restored.forward(path, linked(1)), linked(4));
            assert_eq!(restored.backward(path, linked(4)), linked(1));
            assert_eq!(restored.forward(path, linked(9)), linked(9));
        }
        // The same inode with one name only is some other file.
        let mut alone = Restored::default();
        alone.add(&one, version(1), version(2));
        assert_eq!(alone.forward(&two, version(1)), version(1));
    }
}
