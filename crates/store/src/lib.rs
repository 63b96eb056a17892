//! The store of ctrlz in one SQLite file: sandboxes, the journal of operations, snapshots and the
//! versioned state.
//!
//! [`SqliteStore`] is the only door. Every write is one transaction on a write-ahead log, so a
//! process may die at any moment; see [`ctrlz_core::store::Durability`] for what survives the
//! death of the machine.
#![forbid(unsafe_code)]

pub mod audit;
mod beside;
mod blobs;
mod connection;
mod creation;
mod events;
mod fault;
mod freezing;
mod journal;
mod lock;
mod monitor;
mod occupant;
mod registry;
pub mod reserve;
mod rows;
mod sandboxes;
mod schema;
mod snapshots;
mod sqlite_state;
mod sqlite_store;
mod state;
pub mod state_file;
pub mod vault;

pub use monitor::{MONITOR, SqliteMonitor};
pub use registry::{REGISTRY, SqliteRegistry};
#[cfg(feature = "faults")]
pub use rows::set_clock;
pub use sqlite_store::SqliteStore;
