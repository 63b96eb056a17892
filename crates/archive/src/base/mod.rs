//! The live base: what of it lies in archived layers already, so that the next archive holds only
//! what differs since.
//!
//! The index remembers the version of each path as of the last archive. A path counts as unchanged
//! when inode, size, times, mode, owner and number of names are what they were, and its last
//! change was so long before the last archive that the clock of the file system tells the two
//! apart. A program that writes through a shared mapping is seen when the kernel writes its pages
//! back, as with every other program that compares times.

mod delta;
mod index;
mod survey;

use std::path::{Path, PathBuf};

pub use survey::{Survey, Whole};

use crate::error::ArchiveError;
use index::Index;

/// Of which folder the index at `path` is, and the names of the layers that hold it; `None` when
/// there is none that is whole.
pub(crate) fn remembered(path: &Path) -> Result<Option<(PathBuf, Vec<String>)>, ArchiveError> {
    let index = Index::open(path)?;
    Ok(index.map(|Index { tail, .. }| (tail.directory, tail.layers)))
}
