//! The real binary, from outside: every command as a user gives it, the traps of copy-on-write
//! folders, and what a crash leaves.
//!
//! All of it passes as root and as an ordinary user. To run it as an ordinary user from a root
//! shell, give that user a temporary folder of its own and a way to the built files:
//!
//! ```text
//! setpriv --reuid=65534 --regid=65534 --clear-groups env TMPDIR=FOLDER HOME=FOLDER \
//!     TARGET/debug/deps/end_to_end-HASH
//! ```
//!
//! Where something cannot be had (root, node, a mount), a test prints `SKIPPED(reason)`.
//! `CTRLZ_SOAK_SECONDS` says how long processes are killed at random times, and `CTRLZ_WORKSPACE`
//! which workspace driver all of it uses. The points at which a fault can be put are compiled in
//! only under the feature `faults`.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end by panicking"
)]

mod commands;
mod crash;
mod daemon;
mod support;
mod traps;
