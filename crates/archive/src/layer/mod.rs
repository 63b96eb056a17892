//! One part of a tree as one layer blob.

mod chunks;
mod links;
mod members;
mod options;
mod pack;
mod pipeline;

pub use members::{Member, read_members, write_members};
pub use options::{Changing, Counts, LayerOptions, LayerWritten, Unreadable};
pub use pipeline::write_layer;

pub(crate) use links::Links;
pub(crate) use pipeline::{open_stratum, run, stratum_closed};
