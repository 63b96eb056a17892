//! Places on other machines. The asynchronous libraries that speak to them stay in here: outside,
//! every call waits.
//!
//! A call must not come from a task of a tokio runtime; from a thread of its own
//! (`tokio::task::spawn_blocking`) it may.

mod object;
mod registry;
mod runtime;

pub use object::Object;
pub use registry::{Login, Registry};
