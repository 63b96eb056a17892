//! What could not be kept. Nothing is left out without being told.

use std::fmt;

use ctrlz_core::path::RelPath;
use serde::{Deserialize, Serialize};

/// A property or an entry that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Of which path.
    pub path: RelPath,
    /// What was lost.
    pub what: Lost,
}

/// What can be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "lost")]
pub enum Lost {
    /// A socket: it means something only to the process that made it, and tar has no word for it.
    Socket,
    /// A file whose own name begins with `.wh.`, which in a layer says that something is gone.
    Name,
    /// A file that cannot be read; left out because the caller chose so.
    Unreadable,
    /// A file that was being changed while it was read; kept as it was read, because the caller
    /// chose so.
    Changed,
    /// An extended attribute.
    Attribute {
        /// Its name.
        name: String,
    },
    /// The owner or group: the entry belongs to whoever restored it.
    Owner {
        /// Whose it was.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Set-user-id or set-group-id, which must not be given to another owner.
    SetId,
    /// A device node; left out because the caller chose so, or for want of the right to make it.
    Device,
    /// Something that the archive says of the entry and that is not restored.
    Word {
        /// The PAX keyword, or the name of the marker.
        name: String,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.what {
            Lost::Socket => f.write_str("a socket is not kept"),
            Lost::Name => f.write_str("a name that begins with `.wh.` cannot be kept"),
            Lost::Unreadable => f.write_str("cannot be read and is not kept"),
            Lost::Changed => f.write_str("was being changed and is kept as it was read"),
            Lost::Attribute { name } => write!(f, "the attribute {name} is not kept"),
            Lost::Owner { uid, gid } => write!(f, "the owner {uid}:{gid} is not kept"),
            Lost::SetId => f.write_str("set-user-id and set-group-id are not kept"),
            Lost::Device => f.write_str("a device node is not kept"),
            Lost::Word { name } => write!(f, "{name} is not kept"),
        }
    }
}

/// A list of losses that stays small: all are counted, the first [`Losses::SHOWN`] are named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Losses {
    /// The first ones.
    pub first: Vec<Loss>,
    /// How many there are in all.
    pub total: u64,
}

impl Losses {
    /// How many are named.
    pub const SHOWN: usize = 10_000;

    /// Adds one.
    pub fn add(&mut self, path: &RelPath, what: Lost) {
        self.total = self.total.saturating_add(1);
        if self.first.len() < Self::SHOWN {
            self.first.push(Loss { path: path.clone(), what });
        }
    }

    /// Adds those of another list.
    pub fn append(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        let room = Self::SHOWN.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Drops what is true no longer, as far as it is named.
    pub(crate) fn retain(&mut self, keep: impl Fn(&RelPath) -> bool) {
        let before = self.first.len();
        self.first.retain(|loss| keep(&loss.path));
        self.total = self.total.saturating_sub((before - self.first.len()) as u64);
    }

    /// The same with at most `most` of them named.
    #[must_use]
    pub fn shortened(&self, most: usize) -> Self {
        let first = self.first.iter().take(most).cloned().collect();
        Self { first, total: self.total }
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}
