//! What is to be restored, where and how.

use std::path::PathBuf;

use ctrlz_core::path::RelPath;

/// Whose the restored entries become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// As the archive says; only root can do that.
    AsArchived,
    /// The restoring user's; what the archive says otherwise is told as a loss.
    Mine,
    /// Mapped, as into a user namespace; what lies in no range is told as a loss.
    Mapped(IdMap),
}

impl Ownership {
    /// As archived for root, else the user's own.
    #[must_use]
    pub fn natural() -> Self {
        if rustix::process::geteuid().is_root() { Self::AsArchived } else { Self::Mine }
    }
}

/// Which archived numbers become which here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMap {
    /// For owners.
    pub users: Vec<IdRange>,
    /// For groups.
    pub groups: Vec<IdRange>,
}

/// Consecutive numbers, as a line of `/proc/PID/uid_map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first number in the archive.
    pub archived: u32,
    /// What it becomes.
    pub restored: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    pub(super) fn map(ranges: &[Self], id: u32) -> Option<u32> {
        ranges.iter().find_map(|range| {
            let offset = id.checked_sub(range.archived).filter(|at| *at < range.count)?;
            range.restored.checked_add(offset)
        })
    }
}

/// What becomes of whiteouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// What they name is removed.
    Apply,
    /// They are kept as overlayfs writes them, to make the layer of an overlay: devices 0/0, and
    /// the attribute `user.overlay.opaque`.
    KeepUser,
    /// The same with `trusted.overlay.opaque`, which only root can set.
    KeepTrusted,
}

/// What becomes of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// An archive that has some is refused.
    Refuse,
    /// They are made; for want of the right to do so, left out and told.
    Make,
    /// They are left out and told.
    Skip,
}

/// What is to be restored, where and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The directory to be made. Nothing may be there.
    pub directory: PathBuf,
    /// See there.
    pub ownership: Ownership,
    /// See there.
    pub whiteouts: Whiteouts,
    /// See there.
    pub devices: Devices,
    /// Only these paths, what is in them, and the directories above them. All when there is none.
    pub paths: Vec<RelPath>,
    /// Whether everything is on disk before it gets its name.
    pub durable: bool,
}

impl Target {
    /// All of a tree, restored into `directory` as well as the user can, devices refused.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            ownership: Ownership::natural(),
            whiteouts: Whiteouts::Apply,
            devices: Devices::Refuse,
            paths: Vec::new(),
            durable: true,
        }
    }

    /// What `path` has to do with the paths that were asked for.
    pub(super) fn selects(&self, path: &RelPath) -> Selected {
        if self.paths.is_empty() || self.paths.iter().any(|asked| path.is_within(asked)) {
            Selected::Asked
        } else if self.paths.iter().any(|asked| asked.is_within(path)) {
            Selected::Above
        } else {
            Selected::Not
        }
    }
}

/// What a path has to do with the paths that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selected {
    /// It is one of them or lies in one.
    Asked,
    /// One of them lies in it.
    Above,
    /// Nothing.
    Not,
}
