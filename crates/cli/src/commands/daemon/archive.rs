//! Has another process do what archive.yaml asks for, when there is something to do: one whose
//! priority is low, and that can be ended at any moment.

use std::process::ExitStatus;
use std::time::Duration;

use ctrlz_engine::background::{Task, TaskError};

use super::carried::CarriedOut;
use crate::clock;
use crate::commands::archive::{YIELDED, is_archive_due};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is looked whether it is done.
const POLL: Duration = Duration::from_millis(500);
/// How long who gave way leaves the others the archive.
const GIVEN_WAY: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Archive {
    context: Option<Context>,
    process: Option<CarriedOut>,
    /// Why the last process could not even begin. The task fails until one can.
    failing: Option<String>,
}

impl Archive {
    /// Starts a process when there is something to do.
    fn look(&mut self) -> Result<Duration, Failure> {
        let context = match self.context.take() {
            Some(context) => context,
            None => Context::open()?,
        };
        let is_due = is_archive_due(&context, clock::now());
        self.context = Some(context);
        if !is_due? {
            self.failing = None;
            return Ok(LOOK);
        }
        let arguments = ["archive", "apply", "--of-daemon"].map(str::to_owned);
        let started = CarriedOut::start(&arguments);
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "daemon", &error);
        self.process = Some(started.map_err(failed)?);
        Ok(POLL)
    }

    /// What comes after a process that ended. What it tried in vain it has written down.
    fn ended(&mut self, status: ExitStatus, said: String) -> Duration {
        match status.code().map(u8::try_from) {
            Some(Ok(0 | 1)) => self.failing = None,
            Some(Ok(YIELDED)) => {
                self.failing = None;
                return GIVEN_WAY;
            }
            _ if said.is_empty() => self.failing = Some(status.to_string()),
            _ => self.failing = Some(said),
        }
        LOOK
    }
}

impl Task for Archive {
    fn name(&self) -> String {
        "archive".to_owned()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        let pause = match &mut self.process {
            None => self.look().map_err(|failure| TaskError::from(failure.in_words()))?,
            Some(process) => match process.ended()? {
                None => POLL,
                Some(status) => {
                    let said = process.said();
                    self.process = None;
                    self.ended(status, said)
                }
            },
        };
        // So it is told once that it fails, and once that it works again, however often it is tried.
        self.failing.clone().map_or(Ok(pause), |why| Err(why.into()))
    }

    fn reset(&mut self) {
        // Whoever is at work goes on.
        self.context = None;
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.end();
        }
    }
}
