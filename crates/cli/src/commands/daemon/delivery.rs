//! Sends events on to one sink.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::sink::SinkConfig;
use ctrlz_engine::background::{Task, TaskError};
use ctrlz_sinks::deliver;
use ctrlz_store::SqliteStore;

use crate::commands::sinks::{folder, office};

/// How often it is looked for new events, or whether a pause is over.
const EVERY: Duration = Duration::from_millis(500);
/// How long it delivers before it looks whether to stop.
const BUDGET: Duration = Duration::from_secs(2);

pub(super) struct Delivery {
    directory: PathBuf,
    sink: SinkConfig,
    store: Option<SqliteStore>,
}

impl Delivery {
    pub(super) fn new(directory: &Path, sink: SinkConfig) -> Self {
        Self { directory: directory.to_owned(), sink, store: None }
    }
}

impl Task for Delivery {
    fn name(&self) -> String {
        format!("sink {}", self.sink.name)
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        // Kept open: it looks twice a second.
        let store = match self.store.take() {
            Some(store) => store,
            None => super::open(&self.directory, &self.name())?,
        };
        let folder = folder(&self.directory);
        let done = deliver(office(&store, &folder), &self.sink, BUDGET)?;
        self.store = Some(store);
        let more = done.pending > 0 && done.taken > 0;
        Ok(if more { Duration::ZERO } else { EVERY })
    }

    fn reset(&mut self) {
        self.store = None;
    }
}
