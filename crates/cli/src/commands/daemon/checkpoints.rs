//! Signs how far the event log has come.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ctrlz_core::store::Store;
use ctrlz_engine::background::{Task, TaskError};
use ctrlz_store::SqliteStore;
use ctrlz_store::audit::Notary;

use crate::clock;
use crate::commands::signing::{LONGEST, MOST};

/// How often it is looked whether there is something to sign.
const LOOK: Duration = Duration::from_secs(2);

pub(super) struct Checkpoints {
    directory: PathBuf,
    store: Option<SqliteStore>,
    /// When was signed last, by this task.
    signed: Option<Instant>,
}

impl Checkpoints {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), store: None, signed: None }
    }
}

impl Task for Checkpoints {
    fn name(&self) -> String {
        "checkpoints".to_owned()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => super::open(&self.directory, "checkpoints")?,
        };
        let notary = Notary::of(&self.directory);
        let unsigned = store.log_head()?.last - notary.signed_to()?;
        let due = self.signed.is_none_or(|signed| signed.elapsed() >= LONGEST);
        if unsigned > 0 && (due || unsigned >= MOST) {
            notary.sign(&store, clock::now())?;
            self.signed = Some(Instant::now());
        }
        self.store = Some(store);
        Ok(LOOK)
    }

    fn reset(&mut self) {
        self.store = None;
    }
}
