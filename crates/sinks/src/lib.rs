//! Sending events on: to a file, a command, a webhook, a Unix socket.
//!
//! An operation never waits for a sink: events are in the log before anybody sends them, and
//! [`deliver()`] reads them from there whenever it is called, once a process at a time for each sink.
//! Where a sink stands is written down after each event that it took, so a crash in between
//! delivers that event again: at least once, to a file exactly once. A sink that fails is tried
//! again with growing pauses; an event that fails too often is kept as a dead letter, and the next one has its turn. Nothing is dropped in silence: what the log
//! no longer has is counted as lost.
#![forbid(unsafe_code)]

mod command;
mod dead;
mod deliver;
mod discreet;
mod file;
mod pause;
mod position;
mod send;
mod socket;
mod webhook;

pub use dead::DeadLetter;
#[cfg(feature = "faults")]
pub use deliver::set_clock;
pub use deliver::{
    Delivered, Delivery, Office, Probed, Retried, dead_letters, deliver, probe, retry, status,
};
pub use discreet::Redact;
pub use position::{Position, SinkError};
