//! Workspace drivers: they keep the file trees of sandboxes.
//!
//! [`OverlayDriver`] keeps what each operation wrote as an immutable layer above a live directory;
//! [`CopyDriver`] keeps whole trees, as bytes, shared blocks or subvolumes, where overlayfs cannot be
//! had or is not wanted. Both bring changes to the live
//! directory by the same transaction (`live`), the only code that ever writes there.
#![forbid(unsafe_code)]

mod access;
mod copy;
mod diff;
mod edit;
mod evidence;
pub mod fault;
mod kept;
mod layer;
mod likeness;
mod live;
mod looking;
mod manifest;
mod node;
mod overlay;
mod peek;
mod restored;
mod view;

pub use copy::{CopyDriver, Duplication};
pub use overlay::OverlayDriver;
