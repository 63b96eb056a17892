//! Snapshots at rest: OCI images that anyone can restore.
//!
//! ```text
//! directory ──source──► entries ──tar──► bytes ──codec──► compressed ──crypt──► blob ──place──► where it lies
//!     ▲                                                                                          │
//!     └──unpack◄── entries ◄──tar── bytes ◄──codec── compressed ◄──crypt── blob ◄────────────────┘
//! ```
//!
//! An archive is untrusted input wherever it comes from. See docs/decisions/0011-snapshots-at-rest.md.
#![forbid(unsafe_code)]

mod ahead;
pub mod archiver;
pub mod background;
pub mod base;
mod checked;
pub mod codec;
pub mod collect;
pub mod crypt;
mod descent;
mod descriptor;
pub mod entry;
mod error;
pub mod export;
pub mod image;
pub mod layer;
pub mod listing;
mod loss;
pub mod place;
mod random;
pub mod reseal;
mod sha256;
pub mod snapshot;
mod source;
pub mod tar;
pub mod transfer;
pub mod unpack;
pub mod verify;
mod write_behind;

pub use checked::Checked;
pub use descriptor::{Descriptor, MediaType};
pub use error::ArchiveError;
pub use layer::{LayerOptions, LayerWritten, write_layer};
pub use loss::{Loss, Losses, Lost};
pub use tar::Limits;
pub use unpack::{Restore, Target};
