//! A tree's text: the base and the layers on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ctrlz_core::id::OperationId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;
use serde::{Deserialize, Serialize};

use super::DRIVER;

/// The most layers one tree may name. A text with more was not written by us.
const MAX_LAYERS: usize = 1 << 16;

/// What a [`Tree`] of this driver says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverlayTree {
    /// The live directory below everything.
    #[serde(with = "ctrlz_core::path::host")]
    pub base: PathBuf,
    /// What was changed on it, lowest layer first.
    pub layers: Vec<LayerId>,
    /// The last commit to the base that this tree already has below it. Backups of this and
    /// earlier commits are not needed to return to this tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<OperationId>,
}

impl OverlayTree {
    /// Reads a tree's text.
    pub(super) fn parse(tree: &Tree) -> Result<Self, WorkspaceError> {
        let foreign = || WorkspaceError::ForeignTree { driver: DRIVER, tree: tree.0.clone() };
        let parsed: Self = serde_json::from_str(&tree.0).map_err(|_| foreign())?;
        if parsed.base.is_absolute() && parsed.layers.len() <= MAX_LAYERS {
            Ok(parsed)
        } else {
            Err(foreign())
        }
    }

    /// Writes a tree's text.
    pub(super) fn text(&self) -> Result<Tree, WorkspaceError> {
        serde_json::to_string(self).map(Tree).map_err(|error| WorkspaceError::Io {
            action: "write down the tree on",
            path: self.base.clone(),
            source: error.into(),
        })
    }

    /// The same base with other layers.
    pub(super) fn with_layers(&self, layers: Vec<LayerId>) -> Self {
        Self { base: self.base.clone(), layers, commit: self.commit }
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

/// The driver's tree for a base as it is.
pub(super) fn bare(base: &Path) -> OverlayTree {
    OverlayTree { base: base.to_owned(), layers: Vec::new(), commit: None }
}

/// What a layer is, told by its id so that no file has to be read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerKind {
    /// What an operation wrote.
    Sealed,
    /// The same, and it changed the root directory's own mode, owner or attributes.
    SealedWithRoot,
    /// No files, only what the base has now at paths that a partial commit wrote there.
    Mark,
    /// What a commit replaced, kept with its transaction.
    Inverse(OperationId),
    /// What a commit replaced by names that it did not know, see [`super::names`].
    Names(OperationId),
}

impl LayerKind {
    /// The commit that it belongs to.
    pub(super) fn commit(self) -> Option<OperationId> {
        match self {
            Self::Inverse(operation) | Self::Names(operation) => Some(operation),
            Self::Sealed | Self::SealedWithRoot | Self::Mark => None,
        }
    }
}

/// A layer's name, unique in the store. Its letters and digits are a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(super) struct LayerId(String);

impl LayerId {
    /// The id of a layer that is sealed at `nanoseconds` since 1970 in the boot whose id begins
    /// with `boot`. `turn` tells ids of one moment apart.
    pub(super) fn new(kind: LayerKind, boot: &str, nanoseconds: i64, turn: u32) -> Self {
        let letter = match kind {
            LayerKind::Sealed => 'l',
            LayerKind::SealedWithRoot => 'r',
            LayerKind::Mark => 'm',
            LayerKind::Inverse(operation) => return Self(operation.to_string()),
            LayerKind::Names(operation) => return Self(format!("names-{operation}")),
        };
        Self(format!("{letter}-{boot}-{nanoseconds:x}-{turn:x}"))
    }

    /// What it is.
    pub(super) fn kind(&self) -> LayerKind {
        match self.0.as_bytes().first() {
            Some(b'r') => LayerKind::SealedWithRoot,
            Some(b'm') => LayerKind::Mark,
            Some(b'o' | b'n') => {
                let (kind, operation): (fn(_) -> _, _) = match self.0.strip_prefix("names-") {
                    Some(operation) => (LayerKind::Names, operation),
                    None => (LayerKind::Inverse, self.0.as_str()),
                };
                operation.parse().map_or(LayerKind::Sealed, kind)
            }
            _ => LayerKind::Sealed,
        }
    }

    /// The boot in which it was sealed; `None` for what belongs to a commit.
    pub(super) fn boot(&self) -> Option<&str> {
        match self.kind().commit() {
            Some(_) => None,
            None => self.0.split('-').nth(1),
        }
    }

    /// The id as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LayerId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || Err(format!("`{text}` is no layer"));
        let hex = |part: &&str| {
            !part.is_empty() && part.len() <= 32 && part.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let of_commit = text.strip_prefix("names-").unwrap_or(text);
        if let Some(operation) = of_commit.strip_prefix("op-") {
            let canonical =
                operation.parse::<i64>().is_ok_and(|n| n > 0 && n.to_string() == operation);
            return if canonical { Ok(Self(text.to_owned())) } else { refuse() };
        }
        let mut parts = of_commit.split('-');
        let letter = matches!(parts.next(), Some("l" | "r" | "m"));
        let rest: Vec<&str> = parts.collect();
        if letter && of_commit == text && rest.len() == 3 && rest.iter().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            refuse()
        }
    }
}

impl<'de> Deserialize<'de> for LayerId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_foreign_text_is_refused() {
        let mut tree = bare(Path::new("/some where"));
        tree.layers.push(LayerId::new(LayerKind::SealedWithRoot, "0a1b2c3d", 77, 1));
        tree.layers.push(LayerId::new(LayerKind::Inverse(OperationId(12)), "", 0, 0));
        tree.layers.push(LayerId::new(LayerKind::Names(OperationId(12)), "", 0, 0));
        let text = tree.text().expect("text");
        assert_eq!(OverlayTree::parse(&text).expect("parse"), tree);
        assert_eq!(tree.layers[0].kind(), LayerKind::SealedWithRoot);
        assert_eq!(tree.layers[0].boot(), Some("0a1b2c3d"));
        assert_eq!(tree.layers[1].kind(), LayerKind::Inverse(OperationId(12)));
        assert_eq!(tree.layers[2].kind(), LayerKind::Names(OperationId(12)));
        assert_eq!(tree.layers[2].boot(), None);

        for foreign in [
            "",
            "{}",
            r#"{"base":"relative","layers":[]}"#,
            r#"{"base":"/x","layers":["../../etc"]}"#,
            r#"{"base":"/x","layers":["op-01"]}"#,
            r#"{"base":"/x","layers":["names-l-00-11-22"]}"#,
            r#"{"base":"/x","layers":["l-00-11"]}"#,
            r#"{"base":"/x","layers":[],"more":1}"#,
        ] {
            let error = OverlayTree::parse(&Tree(foreign.to_owned()));
            assert!(matches!(error, Err(WorkspaceError::ForeignTree { .. })), "{foreign}");
        }
    }

    #[test]
    fn a_base_that_is_no_text_survives() {
        use std::os::unix::ffi::OsStrExt;
        let tree = bare(Path::new(std::ffi::OsStr::from_bytes(b"/a\xff")));
        assert_eq!(OverlayTree::parse(&tree.text().expect("text")).expect("parse"), tree);
    }
}
