//! What a sandbox is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::id::{OperationId, SandboxId};
use crate::lifecycle::Life;
use crate::name::SandboxName;
use crate::snapshot::Point;
use crate::time::Timestamp;

/// Which root file system a sandbox's processes see.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Root {
    /// The host's root, read-only; the workspace is the base folder, at its own path.
    Host,
    /// The host's root, copy-on-write: the workspace is all of it.
    Overlay,
    /// Another directory as root, copy-on-write.
    Directory {
        /// The directory on the host.
        #[serde(with = "crate::path::host")]
        path: PathBuf,
    },
    /// An image that was unpacked into the store; there is no live folder to commit to.
    Image {
        /// The tar file or OCI layout that it came from.
        #[serde(with = "crate::path::host")]
        source: PathBuf,
        /// Where it was unpacked.
        #[serde(with = "crate::path::host")]
        unpacked: PathBuf,
    },
}

impl Root {
    /// Whether the workspace is the whole root.
    #[must_use]
    pub fn is_workspace(&self) -> bool {
        !matches!(self, Self::Host)
    }

    /// Whether the workspace may hold files of many owners, which only root, or a process with the
    /// user's subordinate ids, can handle.
    #[must_use]
    pub fn has_many_owners(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Image { .. })
    }

    /// Whether a commit has somewhere to go.
    #[must_use]
    pub fn has_live_base(&self) -> bool {
        !matches!(self, Self::Image { .. })
    }

    /// The word for it on the command line and in tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Overlay => "overlay",
            Self::Directory { .. } => "directory",
            Self::Image { .. } => "image",
        }
    }
}

/// What an emergency leaves on a sandbox until somebody takes it off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Guard {
    /// Why it is contained: nothing runs in it with a network, until it is released.
    pub contained: Option<String>,
    /// How many of the next operations are followed by the health checks.
    pub watched: u32,
}

/// What becomes of a [`Guard`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardChange {
    /// It is contained, and the next operations are watched.
    Contain {
        /// See [`Guard::contained`].
        reason: String,
        /// See [`Guard::watched`].
        watched: u32,
    },
    /// It is contained no more.
    Release,
    /// One watched operation was followed by the health checks.
    CountDown,
}

impl GuardChange {
    /// What `guard` is after it.
    #[must_use]
    pub fn of(&self, guard: &Guard) -> Guard {
        let contained = guard.contained.clone();
        match self {
            Self::Contain { reason, watched } => {
                Guard { contained: Some(reason.clone()), watched: *watched }
            }
            Self::Release => Guard { contained: None, watched: guard.watched },
            Self::CountDown => Guard { contained, watched: guard.watched.saturating_sub(1) },
        }
    }
}

/// A sandbox as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// Its name, unique among living sandboxes.
    pub name: SandboxName,
    /// The folder for which it is the unnamed sandbox; `None` when it was made by name.
    #[serde(with = "optional_path")]
    pub folder: Option<PathBuf>,
    /// Its root.
    pub root: Root,
    /// The directory that its workspace starts from.
    #[serde(with = "crate::path::host")]
    pub base: PathBuf,
    /// The workspace driver that keeps its trees.
    pub driver: String,
    /// Where it stands.
    pub point: Point,
    /// When it was made.
    pub created: Timestamp,
    /// When an operation last began or ended in it.
    pub used: Timestamp,
    /// The operation that is under way, or that a crash left unfinished.
    pub open_operation: Option<OperationId>,
    /// What an emergency left on it.
    #[serde(default)]
    pub guard: Guard,
    /// What is kept of its life.
    #[serde(default)]
    pub life: Life,
}

impl Sandbox {
    /// The path at which processes inside see the workspace.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        if self.root.is_workspace() { Path::new("/") } else { &self.base }
    }
}

mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "crate::path::host")] PathBuf);

    pub(super) fn serialize<S: Serializer>(p: &Option<PathBuf>, s: S) -> Result<S::Ok, S::Error> {
        p.clone().map(Wrapped).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(d)?.map(|w| w.0))
    }
}
