//! .
mod layer;
mod node;
mod access;
mod diff;
mod manifest;
mod view;
mod live;
mod overlay;
pub mod fault;
mod copy;
pub use copy::CopyDriver;
pub use overlay::OverlayDriver;
pub mod image;
