//! Layers: from a directory to a blob and back, and what hostile ones come to.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end by panicking"
)]

mod base;
mod changing;
mod deep;
mod hostile;
mod interchange;
mod listing;
mod members;
mod overlay;
mod round_trip;
mod selected;
mod support;
mod truncated;
mod user;
