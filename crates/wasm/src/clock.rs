//! Clocks that tell the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// What the wall clock says at first: 2000-01-01 00:00:00 UTC.
const BEGIN: Duration = Duration::from_secs(946_684_800);

/// How far each look at a clock moves all of them, in nanoseconds.
const STEP: u64 = 1_000;

/// A clock that goes on by a microsecond whenever it is looked at, so that who waits for time to
/// pass by looking does not wait for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepClock(Arc<AtomicU64>);

impl StepClock {
    fn look(&self) -> u64 {
        self.0.fetch_add(STEP, Ordering::Relaxed)
    }
}

impl HostWallClock for StepClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self) -> Duration {
        BEGIN + Duration::from_nanos(self.look())
    }
}

impl HostMonotonicClock for StepClock {
    fn resolution(&self) -> u64 {
        STEP
    }

    fn now(&self) -> u64 {
        self.look()
    }
}
