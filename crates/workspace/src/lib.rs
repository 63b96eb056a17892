//! .
mod access;
mod copy;
mod diff;
pub mod fault;
mod layer;
mod live;
mod manifest;
mod node;
mod overlay;
mod view;
pub use copy::CopyDriver;
pub use overlay::OverlayDriver;
pub mod image;
