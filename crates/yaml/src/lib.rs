//! The YAML of configurations and packs of rules: words, lists and mappings, each with its place.
//!
//! Less than YAML has: no anchors, aliases, tags or directives, one document, and bounds on depth
//! and number. Nothing here touches a file.
#![forbid(unsafe_code)]

mod tree;

pub use tree::{Content, Limits, Mark, Name, Node, SyntaxError, parse};
