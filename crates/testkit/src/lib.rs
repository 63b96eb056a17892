//! Fakes, fault injection and the driver contract suites of ctrlz. For tests only.
#![forbid(unsafe_code)]

pub mod fake_isolation;
pub mod fault_store;
pub mod workspace_contract;
