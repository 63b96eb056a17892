//! Isolation drivers: they run one command so that it can reach nothing but what it was given.
#![forbid(unsafe_code)]

mod bytes;
pub mod launcher;
pub mod native;
mod passing;
