//! The words of ctrlz as types: ids, paths, limits, operations, snapshots, and the traits that
//! drivers and stores implement.
//!
//! Nothing here touches a file, the clock, the environment or a runtime. A value that exists is
//! valid: names, paths and sizes are parsed once, at the border.
#![forbid(unsafe_code)]

pub mod actor;
pub mod archive;
pub mod changeset;
pub mod digest;
pub mod driver;
pub mod event;
pub mod health;
pub mod id;
pub mod isolation;
pub mod lifecycle;
pub mod limits;
pub mod live;
pub mod memory;
pub mod monitor;
pub mod name;
pub mod operation;
pub mod path;
pub mod sandbox;
pub mod sink;
pub mod size;
pub mod snapshot;
pub mod span;
pub mod state;
pub mod state_store;
pub mod store;
pub mod tenancy;
pub mod time;
pub mod verdict;
pub mod verdict_record;
pub mod wasm;
pub mod workspace;
pub mod workspace_choice;
