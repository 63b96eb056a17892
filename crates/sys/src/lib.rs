//! The system calls that rustix does not wrap, with safe signatures, owned descriptors and errors
//! that carry errno. This is the only crate of ctrlz with unsafe code.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod btrfs;
mod call;
pub mod clone;
#[cfg(feature = "wasm")]
pub mod compiled;
pub mod descriptors;
pub mod exec;
pub mod heap;
pub mod keyring;
pub mod landlock;
pub mod loopback;
pub mod mount_attr;
pub mod passed;
pub mod passing;
pub mod process_memory;
pub mod program_pages;
pub mod rename;
pub mod seccomp;
pub mod signal;
pub mod usage;
