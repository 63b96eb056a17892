//! Where the service listens, with whom it speaks, and how it stops.

mod activity;
mod answering;
mod bind;
mod body;
mod drain;
mod expiry;
mod limits;
mod serve;
mod tls;
mod unread;

pub use bind::{Bound, Listener};
pub(crate) use expiry::Expiry;
pub(crate) use limits::Connections;
pub use serve::serve;
pub use tls::{Tls, TlsError, TlsFiles};

#[cfg(test)]
mod tests;
