//! Images in places: written, read, damaged, killed, collected, copied, and read by other tools.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[cfg(feature = "remote")]
mod azure;
mod bundle;
mod by_hand;
mod collection;
mod corruption;
mod crypt;
mod fixture;
mod foreign;
mod kills;
mod memory;
#[cfg(feature = "remote")]
mod remote;
mod restores;
mod tools;
mod transfer;
mod trees;
mod watched;
