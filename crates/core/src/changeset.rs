//! What lies between two trees.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::path::RelPath;
use crate::time::Timestamp;

/// The type of a directory entry (inode(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
}

/// What is known of one entry without reading its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The entry's type.
    pub file_type: FileType,
    /// Permission bits with set-user-id, set-group-id and sticky: the low 12 bits of `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; 0 for all but files and symbolic links.
    pub size: u64,
    /// Time of the last change of content.
    pub mtime: Timestamp,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// Its content or a link's target differs; its metadata may, too.
    Modified,
    /// It is gone.
    Deleted,
    /// It is of another type now, such as a folder where a file was.
    TypeChanged,
    /// Only mode, owner, extended attributes or modification time differ. A directory whose
    /// modification time alone differs is not a change.
    MetadataChanged,
}

/// One entry that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where, relative to the workspace's root.
    pub path: RelPath,
    /// How.
    pub kind: ChangeKind,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Metadata>,
    /// What is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Metadata>,
    /// Where the old content can be read now, on this host.
    #[serde(skip)]
    pub old_content: Option<PathBuf>,
    /// Where the new content can be read now, on this host.
    #[serde(skip)]
    pub new_content: Option<PathBuf>,
}

/// All entries that differ between two trees, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changeset {
    /// The entries.
    pub changes: Vec<Change>,
}

/// A changeset in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Entries added.
    pub added: u64,
    /// Entries whose content or type changed.
    pub modified: u64,
    /// Entries deleted.
    pub deleted: u64,
    /// Entries of which only metadata changed.
    pub metadata: u64,
}

impl ChangeCounts {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one more change.
    pub fn count(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Modified | ChangeKind::TypeChanged => self.modified += 1,
            ChangeKind::Deleted => self.deleted += 1,
            ChangeKind::MetadataChanged => self.metadata += 1,
        }
    }
}

impl Changeset {
    /// The numbers.
    #[must_use]
    pub fn counts(&self) -> ChangeCounts {
        let mut counts = ChangeCounts::default();
        for change in &self.changes {
            counts.count(change.kind);
        }
        counts
    }
}
