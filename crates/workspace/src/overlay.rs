//! The overlay driver: a tree is a live directory and the layers that operations wrote on it.

mod chain;
mod collect;
mod commit;
mod driver;
mod expectation;
mod head;
mod mask;
mod names;
mod record;
mod restore;
mod restored;
mod revert;
mod seal;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod walk;
mod without;

pub use driver::OverlayDriver;

/// The driver's name.
const DRIVER: &str = "overlay";
