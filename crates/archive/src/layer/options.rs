//! What is asked of a layer that is to be written, and what is told of one that was.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;
use serde::{Deserialize, Serialize};

use crate::codec::Compression;
use crate::entry::Kind;
use crate::loss::Losses;

/// What to do with a file that is being changed while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changing {
    /// Small ones are read again, a few times. Then, and for large ones, of which a part is
    /// written already, it is [`crate::ArchiveError::Changing`]; see [`LayerOptions::held`].
    #[default]
    Refuse,
    /// It is taken as it was read and told.
    Take,
}

/// What to do with a file of the live base that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreadable {
    /// It is an error.
    #[default]
    Refuse,
    /// It is left out and told.
    Skip,
}

/// How a layer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerOptions {
    /// How it is compressed.
    pub compression: Compression,
    /// How many threads may compress at once.
    pub cores: usize,
    /// See there.
    pub changing: Changing,
    /// See there.
    pub unreadable: Unreadable,
    /// Whether the compressed bytes get a digest: not needed when they are encrypted first.
    pub digest: bool,
    /// Files that are copied to `scratch` before they are archived, since they change often: a
    /// caller that gets [`crate::ArchiveError::Changing`] adds the path and begins anew.
    pub held: BTreeSet<RelPath>,
    /// Where they are copied to, without a name; [`std::env::temp_dir`] when there is none.
    pub scratch: Option<PathBuf>,
}

impl Default for LayerOptions {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            changing: Changing::default(),
            unreadable: Unreadable::default(),
            digest: true,
            held: BTreeSet::new(),
            scratch: None,
        }
    }
}

/// A layer in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Regular files, each name of one counted once.
    pub files: u64,
    /// Further names.
    pub hard_links: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// FIFOs and device nodes.
    pub specials: u64,
    /// What is gone: whiteouts.
    pub whiteouts: u64,
    /// Directories that hide lower ones.
    pub opaque: u64,
    /// Bytes of content, holes left out.
    pub bytes: u64,
}

impl Counts {
    /// Counts one entry, without its bytes.
    pub(crate) fn count(&mut self, kind: &Kind) {
        match kind {
            Kind::File { .. } => self.files += 1,
            Kind::HardLink { .. } => self.hard_links += 1,
            Kind::Directory => self.directories += 1,
            Kind::Symlink { .. } => self.symlinks += 1,
            Kind::Fifo | Kind::CharDevice { .. } | Kind::BlockDevice { .. } => self.specials += 1,
            Kind::Whiteout => self.whiteouts += 1,
            Kind::Opaque => self.opaque += 1,
        }
    }

    /// How many entries the layer has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.files
            + self.hard_links
            + self.directories
            + self.symlinks
            + self.specials
            + self.whiteouts
            + self.opaque
    }
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerWritten {
    /// The SHA-256 of the tar archive (OCI: `diff_id`).
    pub diff_id: Digest,
    /// Bytes of the tar archive.
    pub size: u64,
    /// The SHA-256 of the compressed bytes, when it was asked for.
    pub compressed_digest: Option<Digest>,
    /// How many compressed bytes there are.
    pub compressed_size: u64,
    /// What is in it.
    pub counts: Counts,
    /// What could not be kept.
    pub losses: Losses,
}
