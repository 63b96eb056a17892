//! The overlay driver: a tree is a live directory and the layers that operations wrote on it.

mod adopt;
mod capture;
mod chain;
mod collect;
mod commit;
mod driver;
mod expectation;
mod head;
mod landing;
mod mask;
mod mend;
mod names;
mod record;
mod restore;
mod revert;
mod seal;
mod store;
mod strata;
#[cfg(test)]
mod tests;
mod transfer;
mod tree;
mod verify;
mod walk;
mod without;

pub use driver::OverlayDriver;

/// The driver's name.
const DRIVER: &str = "overlay";
