//! Isolation drivers: they run one command so that it can reach nothing but what it was given.
#![forbid(unsafe_code)]

mod bytes;
pub mod catalogue;
pub mod containerd;
pub mod engine;
mod folder;
mod isolator;
pub mod launcher;
pub mod level;
pub mod native;
pub mod oci;
pub mod systemd;
pub mod wasm;

pub use isolator::Isolator;
