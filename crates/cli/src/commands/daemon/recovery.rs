//! Does what somebody required and nobody did: the return of a sandbox to where it was well, where
//! its configuration leaves that to ctrlz.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use ctrlz_config::EmergencyStart;
use ctrlz_core::event::{Event, Happening};
use ctrlz_core::operation::{OperationKind, Status};
use ctrlz_core::store::StoreError;
use ctrlz_engine::background::{Task, TaskError};

use super::carried::CarriedOut;
use crate::commands::emergency::NO_EMERGENCY;
use crate::commands::known_good::configuration_of;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);
/// Whoever requires a rollback does it within this time, or was killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events that are read at once.
const PAGE: u32 = 1000;

/// A rollback that was required.
struct Required {
    reason: String,
    seen: Instant,
    /// The number of the event that says so.
    number: i64,
    /// Whether a command has begun since: somebody goes on with it, so it counts only what the health
    /// checks say now.
    gone_on: bool,
    /// The process that carries it out, once that has begun.
    carried_out: Option<CarriedOut>,
}

pub(super) struct Recovery {
    directory: PathBuf,
    context: Option<Context>,
    /// The last event that was looked at.
    after: Option<i64>,
    /// What is written down of that.
    remembered: Option<i64>,
    /// By the sandbox's name.
    required: HashMap<String, Required>,
    /// Where it was tried in vain.
    given_up: HashSet<String>,
}

impl Recovery {
    pub(super) fn new(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self {
            directory,
            context: None,
            after: None,
            remembered: None,
            required: HashMap::new(),
            given_up: HashSet::new(),
        }
    }

    /// Where it is kept up to which event nothing is left to do.
    fn memory(&self) -> PathBuf {
        self.directory.join("recovery")
    }

    /// Where an earlier daemon came to; the end of the log for the first one.
    fn begin(&self, context: &Context) -> Result<i64, TaskError> {
        match std::fs::read_to_string(self.memory()) {
            // What cannot be read, a failure of power has left: what is long over must not be done.
            Ok(text) => match text.trim().parse() {
                Ok(number) => Ok(number),
                Err(_) => Ok(context.store().log_head()?.last),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(context.store().log_head()?.last)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is still to be done is looked at again by the next daemon.
    fn remember(&mut self) -> Result<(), TaskError> {
        let first = self.required.values().map(|required| required.number - 1).min();
        let done = first.or(self.after);
        if let Some(number) = done.filter(|_| done != self.remembered) {
            let partial = self.directory.join("recovery.partial");
            std::fs::write(&partial, number.to_string())?;
            std::fs::rename(partial, self.memory())?;
            self.remembered = done;
        }
        Ok(())
    }

    fn read(&mut self, context: &Context) -> Result<(), TaskError> {
        let begun = match self.after {
            Some(after) => after,
            None => self.begin(context)?,
        };
        let mut after = begun;
        loop {
            let page = context.store().events(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for logged in &page {
                self.take(logged.number, &serde_json::from_str(&logged.text)?);
            }
        }
        self.after = Some(after);
        Ok(())
    }

    fn take(&mut self, number: i64, event: &Event) {
        let Some(name) = &event.subject else { return };
        match &event.happening {
            // Without a point to return to, a person has to decide, and so after a try that failed:
            // each try requires it anew.
            Happening::RollbackRequired(required)
                if required.to.is_some() && !self.given_up.contains(name) =>
            {
                // Whoever carries one out tells it anew.
                if self.required.get(name).is_some_and(|earlier| earlier.carried_out.is_some()) {
                    return;
                }
                let reason = required.reason.clone();
                let (seen, gone_on) = (Instant::now(), false);
                let required = Required { reason, seen, number, gone_on, carried_out: None };
                self.required.insert(name.clone(), required);
            }
            Happening::OperationStarted(started) if started.kind == OperationKind::Run => {
                if let Some(required) = self.required.get_mut(name) {
                    required.gone_on = true;
                }
            }
            Happening::OperationFinished(finished)
                if finished.status == Status::Done && finished.kind.is_step_back() =>
            {
                self.over(name);
                self.given_up.remove(name);
            }
            Happening::SandboxRemoved {} => self.over(name),
            _ => {}
        }
    }

    /// Forgets what was required, unless a process is still at it: that one is waited for first.
    fn over(&mut self, name: &str) {
        if self.required.get(name).is_some_and(|required| required.carried_out.is_none()) {
            self.required.remove(name);
        }
    }

    fn act(&mut self, context: &Context) -> Result<(), TaskError> {
        let names: Vec<String> = self.required.keys().cloned().collect();
        let mut failed = None;
        for name in names {
            let Some(required) = self.required.get_mut(&name) else { continue };
            match step(context, &name, required) {
                Ok(Done::NotYet) => {}
                Ok(Done::Over) => {
                    self.required.remove(&name);
                }
                // It is contained, and told; another try would end as this one did.
                Err(failure) => {
                    self.required.remove(&name);
                    self.given_up.insert(name);
                    failed = Some(failure);
                }
            }
        }
        match failed {
            Some(failure) => Err(TaskError::from(failure.into_message())),
            None => Ok(()),
        }
    }
}

enum Done {
    /// Its time has not come, somebody works in it and may be about to do the same, or it is being done.
    NotYet,
    /// There is nothing left to do.
    Over,
}

fn step(context: &Context, name: &str, required: &mut Required) -> Result<Done, Failure> {
    if let Some(process) = &mut required.carried_out {
        return match process.ended().map_err(failed(name))? {
            None => Ok(Done::NotYet),
            Some(status) => end(name, status, process),
        };
    }
    if required.seen.elapsed() < patience() {
        return Ok(Done::NotYet);
    }
    let sandbox = match context.store().sandbox_named(name) {
        Err(StoreError::NoSandbox(_)) => return Ok(Done::Over),
        found => found?,
    };
    let config = configuration_of(&sandbox)?;
    let is_asked = config.recovery.emergency == EmergencyStart::Auto;
    // Files of many owners are brought back by commands that may handle them.
    if !is_asked || sandbox.root.has_many_owners() || (required.gone_on && config.health.is_empty())
    {
        return Ok(Done::Over);
    }
    match context.store().lock(sandbox.id, &mut |_| false) {
        Err(StoreError::Busy { .. }) => return Ok(Done::NotYet),
        lock => drop(lock?),
    }
    let reason = Some(required.reason.as_str()).filter(|_| !required.gone_on);
    required.carried_out = Some(start(name, reason)?);
    Ok(Done::NotYet)
}

fn failed(name: &str) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| {
        let message = format!("cannot carry out the recovery of `{name}`");
        Failure::new(OWN_FAILURE, "daemon", message).detail(error.to_string())
    }
}

/// Has another process do it: the health checks run in sandboxes, and nothing with threads makes one.
/// Without a reason it first looks whether a check fails. It is not waited for: a daemon that is stopped
/// leaves it at work.
fn start(name: &str, reason: Option<&str>) -> Result<CarriedOut, Failure> {
    let mut arguments = vec!["recover".to_owned(), format!("--emergency={name}")];
    arguments.extend(reason.map(|reason| format!("--reason={reason}")));
    CarriedOut::start(&arguments).map_err(failed(name))
}

/// What came of it.
fn end(name: &str, status: ExitStatus, process: &CarriedOut) -> Result<Done, Failure> {
    // 1 says that a check fails after all, which is told by itself.
    if matches!(status.code(), Some(0 | 1)) {
        return Ok(Done::Over);
    }
    let told = process.said();
    // Somebody went on with it, and it is well.
    if told.contains(NO_EMERGENCY) {
        return Ok(Done::Over);
    }
    let message = format!("the recovery of `{name}` failed: {told}");
    Err(Failure::new(OWN_FAILURE, "daemon", message))
}

#[cfg(not(feature = "faults"))]
fn patience() -> Duration {
    PATIENCE
}

/// Tests need not wait.
#[cfg(feature = "faults")]
fn patience() -> Duration {
    let asked = std::env::var("CTRLZ_RECOVERY_MILLIS").ok().and_then(|text| text.parse().ok());
    asked.map_or(PATIENCE, Duration::from_millis)
}

impl Task for Recovery {
    fn name(&self) -> String {
        "recovery".to_owned()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        let context = match self.context.take() {
            Some(context) => context,
            None => Context::open().map_err(|failure| TaskError::from(failure.into_message()))?,
        };
        let done = self.read(&context).and_then(|()| self.remember()).and_then(|()| {
            let done = self.act(&context);
            self.remember().and(done)
        });
        self.context = Some(context);
        done.map(|()| EVERY)
    }

    fn reset(&mut self) {
        // Read again from where nothing was left to do.
        self.context = None;
        self.after = None;
        self.remembered = None;
        self.required.retain(|_, required| required.carried_out.is_some());
    }
}
