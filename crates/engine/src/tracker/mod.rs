//! StateTracker: what operations use, how long they take, and what of it is unusual.
//!
//! `statistics`, `histogram` and `anomaly` are arithmetic; the rest reads the journal and the
//! history of usage through the traits of `ctrlz-core`.

mod anomaly;
mod histogram;
mod state_tracker;
mod statistics;
mod summary;
mod watch;

pub use anomaly::{Baseline, Baselines, LEAST_OPERATIONS, Values, is_worth_a_look};
pub use histogram::{BOUNDS, Bucket, Histogram};
pub use state_tracker::{RunningSandbox, StateTracker};
pub use statistics::{Robust, median};
pub use summary::{Flagged, Latency, OperationTotals, SandboxStats};
pub(crate) use watch::Watch;
pub use watch::{Monitoring, Recorder};
