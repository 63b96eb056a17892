//! From a directory to entries.

mod attributes;
mod content;
mod node;
mod walk;

pub(crate) use attributes::OVERLAY;
pub(crate) use content::{SMALL, TICK, is_settled, read_at, segments, version};
pub(crate) use node::{Node, Opener, Version};
pub(crate) use walk::{Step, Walk};
