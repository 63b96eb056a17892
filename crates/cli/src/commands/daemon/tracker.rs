//! Notes what all running sandboxes use, rolls that up and cleans it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ctrlz_core::id::OperationId;
use ctrlz_engine::background::{Task, TaskError};
use ctrlz_engine::tracker::RunningSandbox;

use crate::commands::gc::history_ages;
use crate::commands::known_good::configuration_of;
use crate::context::Context;
use crate::{aging, clock};

/// How often it is looked whether something runs. No interval of a profile is shorter.
const LOOK: Duration = Duration::from_secs(1);
/// How often the history is rolled up.
const ROLL_UP: Duration = Duration::from_secs(60);
/// Where the configuration of a sandbox cannot be read; whoever runs a command in it is told.
const UNKNOWN: Duration = Duration::from_secs(60);

/// When an operation is looked at.
struct Due {
    every: Duration,
    next: Instant,
}

pub(super) struct Tracker {
    context: Option<Context>,
    due: HashMap<OperationId, Due>,
    rolled_up: Option<Instant>,
}

impl Tracker {
    pub(super) fn new() -> Self {
        Self { context: None, due: HashMap::new(), rolled_up: None }
    }

    fn look(&mut self, context: &Context) -> Result<(), TaskError> {
        let tracker = context.tracker();
        let running = tracker.running()?;
        self.due.retain(|id, _| running.iter().any(|one| one.operation.id == *id));
        let now = Instant::now();
        // One whose history cannot be written is no reason not to look at the others.
        let mut failed = None;
        for one in &running {
            let due = self.due.entry(one.operation.id).or_insert_with(|| first(one, now));
            if now >= due.next {
                due.next = now + due.every;
                failed = tracker.sample(one, clock::now()).err().or(failed);
            }
        }
        if self.rolled_up.is_none_or(|last| last.elapsed() >= ROLL_UP) {
            let time = aging::time(&context.directory, context.store(), false).now;
            tracker.roll_up(time, history_ages())?;
            self.rolled_up = Some(now);
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// When an operation is looked at first: after one interval of its sandbox's profile.
fn first(running: &RunningSandbox, now: Instant) -> Due {
    let config = configuration_of(&running.sandbox);
    let every = config.map_or(UNKNOWN, |config| config.monitoring_config.collection_interval.0);
    // An interval of centuries is none that comes to an end.
    let every = every.clamp(LOOK, Duration::from_secs(86400));
    Due { every, next: now + every }
}

impl Task for Tracker {
    fn name(&self) -> String {
        "tracker".to_owned()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        let context = match self.context.take() {
            Some(context) => context,
            None => Context::open().map_err(|failure| TaskError::from(failure.into_message()))?,
        };
        let looked = self.look(&context);
        self.context = Some(context);
        looked.map(|()| LOOK)
    }

    fn reset(&mut self) {
        self.context = None;
    }
}
