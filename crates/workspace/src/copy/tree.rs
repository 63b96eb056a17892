//! A tree's text, and what is written down beside its copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use serde::{Deserialize, Serialize};

use crate::live::Expect;

/// What a [`Tree`] of these drivers says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyTree {
    /// The live directory that it came from.
    #[serde(with = "ctrlz_core::path::host")]
    pub base: PathBuf,
    /// The copy; `None` for the base as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyId>,
    /// The last commit to the base that this tree has in it, or knows of. Backups of earlier ones
    /// are not needed to return to this tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<OperationId>,
}

impl CopyTree {
    /// The base as it is.
    pub(super) fn bare(base: &Path) -> Self {
        Self { base: base.to_owned(), copy: None, commit: None }
    }

    /// The same base with a copy, or as it is.
    pub(super) fn with(&self, copy: Option<CopyId>) -> Self {
        Self { base: self.base.clone(), copy, commit: self.commit }
    }

    /// Reads the text of a tree of `driver`.
    pub(super) fn parse(driver: &'static str, tree: &Tree) -> Result<Self, WorkspaceError> {
        let foreign = || WorkspaceError::ForeignTree { driver, tree: tree.0.clone() };
        let parsed: Self = serde_json::from_str(&tree.0).map_err(|_| foreign())?;
        if parsed.base.is_absolute() { Ok(parsed) } else { Err(foreign()) }
    }

    /// Writes a tree's text.
    pub(super) fn text(&self) -> Result<Tree, WorkspaceError> {
        serde_json::to_string(self).map(Tree).map_err(|error| WorkspaceError::Io {
            action: "write down the tree on",
            path: self.base.clone(),
            source: error.into(),
        })
    }

    /// Errs when `other` has another base.
    pub(super) fn same_base(&self, other: &Self) -> Result<(), WorkspaceError> {
        if self.base == other.base {
            return Ok(());
        }
        Err(WorkspaceError::Base {
            path: other.base.clone(),
            reason: format!("the other tree is based on {}", self.base.display()),
        })
    }
}

/// A copy's name, unique in the store: a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(super) struct CopyId(String);

impl CopyId {
    /// The id of a copy made at `nanoseconds` since 1970; `turn` tells those of one moment apart.
    pub(super) fn new(nanoseconds: i64, turn: u32) -> Self {
        Self(format!("c-{nanoseconds:x}-{turn:x}"))
    }

    /// When it was made, in nanoseconds since 1970.
    pub(super) fn nanoseconds(&self) -> i64 {
        let hex = self.0.split('-').nth(1).unwrap_or_default();
        i64::from_str_radix(hex, 16).unwrap_or(i64::MAX)
    }

    /// The id as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CopyId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('-').collect();
        let hex = |part: &str| {
            !part.is_empty() && part.len() <= 16 && part.bytes().all(|b| b.is_ascii_hexdigit())
        };
        match parts.as_slice() {
            ["c", time, turn] if hex(time) && hex(turn) => Ok(Self(text.to_owned())),
            _ => Err(format!("`{text}` is no copy")),
        }
    }
}

impl<'de> Deserialize<'de> for CopyId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is written down beside a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TreeRecord {
    /// The live directory.
    #[serde(with = "ctrlz_core::path::host")]
    pub base: PathBuf,
    /// The copy of the base that it stands on; `None` when it is one itself.
    pub origin: Option<CopyId>,
    /// The copy in which the files lie, when they are those of another tree.
    pub files: Option<CopyId>,
    /// The first digits of the id of the boot in which it was made.
    pub boot: String,
    /// Where it differs from what the base was.
    pub touched: BTreeSet<RelPath>,
    /// What the base is expected to have where that is not what the origin saw, because commits
    /// changed it.
    pub seen: Vec<Seen>,
}

/// One of [`TreeRecord::seen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Where.
    pub path: RelPath,
    /// What.
    pub expect: Expect,
}

impl TreeRecord {
    /// [`Self::seen`] by path.
    pub(super) fn seen_by_path(&self) -> BTreeMap<RelPath, Expect> {
        self.seen.iter().map(|seen| (seen.path.clone(), seen.expect)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_foreign_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let base = Path::new(std::ffi::OsStr::from_bytes(b"/some where\xff"));
        let bare = CopyTree::bare(base);
        let copied = bare.with(Some(CopyId::new(77, 1)));
        for tree in [bare, CopyTree { commit: Some(OperationId(12)), ..copied }] {
            assert_eq!(CopyTree::parse("copy", &tree.text().expect("text")).expect("parse"), tree);
        }
        for foreign in [
            "",
            "{}",
            r#"{"base":"relative"}"#,
            r#"{"base":"/x","copy":"../../etc"}"#,
            r#"{"base":"/x","copy":"c-00-"}"#,
            r#"{"base":"/x","layers":[]}"#,
        ] {
            let error = CopyTree::parse("copy", &Tree(foreign.to_owned()));
            assert!(matches!(error, Err(WorkspaceError::ForeignTree { .. })), "{foreign}");
        }
    }
}
