//! From layers to a directory.
//!
//! All of it is made in `DIRECTORY.partial`, which nobody else may enter, and renamed at the end,
//! so that a restore that fails or dies leaves nothing at `DIRECTORY`. One thread decompresses,
//! one computes the digest, one reads the archive and makes what is small to make, two write files.

mod absent;
mod apply;
mod digest;
mod files;
mod keep;
mod partial;
mod remove;
mod restore;
mod seen;
mod special;
mod target;

pub use remove::remove_tree;
pub use restore::{Applied, Restore, Restored};
pub use target::{Devices, IdMap, IdRange, Ownership, Target, Whiteouts};
