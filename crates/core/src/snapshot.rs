//! Points that a sandbox can return to.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{OperationId, SandboxId, SnapshotId};
use crate::live::Live;
use crate::time::Timestamp;

/// An immutable file tree, in the words of the workspace driver that keeps it. Only that driver
/// reads the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree(pub String);

impl Tree {
    /// What stands where no files are kept: in a snapshot of the state alone, and in the journal
    /// once retention let an operation's files go.
    #[must_use]
    pub fn none() -> Self {
        Self(String::new())
    }

    /// Whether it is [`Self::none`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where a sandbox stands: its files and its state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// The files.
    pub tree: Tree,
    /// The version of the state, see [`crate::state`].
    pub state_version: u64,
}

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// The user asked for it.
    Manual,
    /// A schedule or a threshold asked for it.
    Automatic,
    /// Before an operation.
    PreOperation,
    /// Before a rollback: what the rollback left behind.
    PreRollback,
}

impl SnapshotKind {
    /// The word for it in tables and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
            Self::PreOperation => "pre-operation",
            Self::PreRollback => "pre-rollback",
        }
    }
}

/// What a return to a snapshot brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotScope {
    /// Files and state; meant to stand alone.
    #[default]
    Full,
    /// Files and state; meant as what came on top of the snapshot before it.
    Incremental,
    /// The state alone: no file is kept, and a return touches none.
    StateOnly,
}

impl SnapshotScope {
    /// The word for it in tables and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::StateOnly => "state-only",
        }
    }
}

/// A word that a user put on a snapshot: 1 to [`Tag::MAX`] ASCII letters, digits, `.`, `_` and `-`,
/// the first one a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// Why a text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a tag: write up to 32 letters, digits, `.`, `_` and `-`, the first one a letter \
     or digit"
)]
pub struct TagError(String);

impl Tag {
    /// The most characters.
    pub const MAX: usize = 32;

    /// The tags that retention keeps whatever the configuration says.
    pub const KEPT: [&'static str; 2] = ["keep", "manual"];

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;
    fn from_str(text: &str) -> Result<Self, TagError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first && text.len() <= Self::MAX && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TagError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;
    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A snapshot to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSnapshot {
    /// Why it is taken.
    pub kind: SnapshotKind,
    /// What a return brings back.
    pub scope: SnapshotScope,
    /// What the user wrote about it, or why it was taken; empty when nothing.
    pub message: String,
    /// Words on it.
    pub tags: BTreeSet<Tag>,
    /// How it is taken while a command runs; nothing when none does.
    pub live: Option<Live>,
}

impl NewSnapshot {
    /// A whole one without tags.
    #[must_use]
    pub fn of(kind: SnapshotKind, message: &str) -> Self {
        Self {
            kind,
            scope: SnapshotScope::Full,
            message: message.to_owned(),
            tags: BTreeSet::new(),
            live: None,
        }
    }
}

/// A snapshot as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Why it was taken.
    pub kind: SnapshotKind,
    /// What a return brings back.
    #[serde(default)]
    pub scope: SnapshotScope,
    /// What the user wrote about it, or why it was taken; empty when nothing.
    pub message: String,
    /// Words on it.
    #[serde(default)]
    pub tags: BTreeSet<Tag>,
    /// The operation that took it; of one that was taken while a command ran, the command's.
    pub operation: OperationId,
    /// What it returns to. Of a snapshot of the state alone, the tree is [`Tree::none`].
    pub point: Point,
    /// When it was taken.
    pub created: Timestamp,
    /// When the health checks found that this point is good; `None` when they did not.
    #[serde(default)]
    pub good: Option<Timestamp>,
    /// How it was taken while a command ran; `None` when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_short_word() {
        for good in ["keep", "v1.2-rc_3", "0"] {
            assert_eq!(good.parse::<Tag>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "-x", "+x", "a b", "a,b", "\u{e9}", &"x".repeat(33)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
