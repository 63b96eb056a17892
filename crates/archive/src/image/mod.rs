//! OCI images as documents: manifest, config, index, layout (OCI image specification 1.1).
//!
//! Whatever is read here may be hostile: sizes are limited before anything is allocated, counts and
//! forms are checked before anything is believed.

mod assemble;
mod chosen;
mod config;
mod document;
pub(crate) mod files;
mod foreign;
mod form;
mod found;
mod index;
mod manifest;
mod platform;
mod role;

pub use assemble::{Assembled, Part, assemble};
pub use chosen::Chosen;
pub use config::{Execution, History, ImageConfig, RootFs};
pub use document::Bounds;
pub use foreign::{Foreign, ForeignLayer};
pub use form::{Coding, LayerForm, media};
pub use found::Found;
pub use index::{Index, IndexEntry};
pub use manifest::{Manifest, describe};
pub use platform::Platform;
pub use role::{Role, Tag, annotation, roles_in_order};

pub(crate) use document::{parse, read_limited, to_bytes};
