//! Workspace drivers by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which workspace driver keeps the trees of a new sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum WorkspaceChoice {
    /// The cheapest one that can be had.
    #[default]
    Auto,
    /// Layers above the live folder.
    Overlay,
    /// Snapshots of btrfs subvolumes.
    Btrfs,
    /// Clones of ZFS datasets.
    Zfs,
    /// Complete trees that share the blocks of files.
    Reflink,
    /// Complete copies.
    Copy,
}

impl WorkspaceChoice {
    /// All of them, in the order in which `auto` tries the drivers.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::Overlay, Self::Btrfs, Self::Zfs, Self::Reflink, Self::Copy];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Overlay => "overlay",
            Self::Btrfs => "btrfs",
            Self::Zfs => "zfs",
            Self::Reflink => "reflink",
            Self::Copy => "copy",
        }
    }

    /// The name of the one driver that is wanted; nothing when any will do.
    #[must_use]
    pub fn driver(self) -> Option<&'static str> {
        (self != Self::Auto).then(|| self.word())
    }
}

impl fmt::Display for WorkspaceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for WorkspaceChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|one| one.word() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::word).join(", ");
            format!("`{text}` is no workspace driver; there are {known}")
        })
    }
}

impl Serialize for WorkspaceChoice {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for WorkspaceChoice {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_others_are_refused_with_those_that_there_are() {
        for one in WorkspaceChoice::ALL {
            assert_eq!(one.word().parse(), Ok(one));
        }
        let error = "zfs-on-tape".parse::<WorkspaceChoice>().unwrap_err();
        assert!(error.contains("auto, overlay, btrfs, zfs, reflink, copy"), "{error}");
        assert_eq!(WorkspaceChoice::Auto.driver(), None);
        assert_eq!(WorkspaceChoice::Btrfs.driver(), Some("btrfs"));
    }
}
