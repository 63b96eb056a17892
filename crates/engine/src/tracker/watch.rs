//! Watching a command while it runs.

use std::time::Duration;

use ctrlz_core::event::{Happening, ResourceExceeded};
use ctrlz_core::monitor::{
    Anomaly, AnomalyPolicy, Observer, Reading, SampleStore, Sampled, Signal, Verdict,
};
use ctrlz_core::operation::Outcome;
use ctrlz_core::span::Span;
use ctrlz_core::store::Store;
use ctrlz_core::time::Timestamp;

use super::anomaly::{Baselines, MOST_OPERATIONS, Values, is_worth_a_look};
use crate::error::{EngineError, in_full};

/// How a command is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitoring {
    /// The time before the first look, and between two.
    pub every: Span,
    /// What follows when something is unusual.
    pub anomaly: AnomalyPolicy,
    /// Whether it is an emergency, which the caller sees to: what runs is ended.
    pub emergency: bool,
    /// How many operations are followed by the health checks after that.
    pub watched: u32,
}

/// Where what is seen goes.
#[derive(Clone, Copy)]
pub struct Recorder<'a> {
    /// The history of usage.
    pub samples: &'a dyn SampleStore,
    /// Whether a daemon looks at all that runs, so that a command's own ctrlz need not note what it
    /// sees.
    pub is_recorded_elsewhere: &'a dyn Fn() -> bool,
    /// The clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Told of what a command was frozen for, which then waits for somebody.
    pub frozen: &'a dyn Fn(&Anomaly),
}

impl std::fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

/// Looks at one operation: notes what it uses, and compares it with what is usual.
pub(crate) struct Watch<'w> {
    of: Sampled,
    how: Monitoring,
    store: &'w dyn Store,
    recorder: Option<Recorder<'w>>,
    /// Suspends the sandbox, for this reason.
    suspend: &'w dyn Fn(&str) -> Result<(), EngineError>,
    /// Read when something is worth a look.
    baselines: Option<Baselines>,
    /// What was unusual so far.
    pub(crate) anomalies: Vec<Anomaly>,
    /// Of those, what was told already.
    told: usize,
    /// What went wrong with watching, which is no matter of the command's.
    pub(crate) trouble: Option<String>,
}

impl<'w> Watch<'w> {
    pub(crate) fn new(
        of: Sampled,
        how: Monitoring,
        store: &'w dyn Store,
        recorder: Option<Recorder<'w>>,
        suspend: &'w dyn Fn(&str) -> Result<(), EngineError>,
    ) -> Self {
        let (baselines, anomalies, told, trouble) = (None, Vec::new(), 0, None);
        Self { of, how, store, recorder, suspend, baselines, anomalies, told, trouble }
    }

    /// Whether something unusual must not pass.
    pub(crate) fn acts(&self) -> bool {
        let acts = self.how.anomaly >= AnomalyPolicy::Freeze || self.how.emergency;
        acts && !self.anomalies.is_empty()
    }

    /// What was unusual, in a line.
    pub(crate) fn reason(&self) -> String {
        let reasons: Vec<String> = self.anomalies.iter().map(ToString::to_string).collect();
        format!("unusual: {}", reasons.join(", "))
    }

    /// Judges what came of the command.
    pub(crate) fn judge_outcome(&mut self, outcome: &Outcome) {
        if let Some(values) = Values::of_outcome(outcome) {
            self.judge(&values);
        }
    }

    /// Adds what is unusual and was not so before; answers whether there is something.
    fn judge(&mut self, values: &Values) -> bool {
        if self.how.anomaly == AnomalyPolicy::Off || !is_worth_a_look(values) {
            return false;
        }
        if self.baselines.is_none() {
            // Half as many again: not all are commands.
            let read = MOST_OPERATIONS + MOST_OPERATIONS / 2;
            match self.store.operations(self.of.sandbox, read) {
                Ok(before) => self.baselines = Some(Baselines::of(before.iter())),
                Err(error) => self.note(&error),
            }
        }
        let Some(baselines) = &self.baselines else { return false };
        let mut found = baselines.judge(values);
        found.retain(|one| self.anomalies.iter().all(|known| known.signal != one.signal));
        self.anomalies.extend_from_slice(&found);
        !found.is_empty()
    }

    /// Tells in the event log what was not told yet.
    pub(crate) fn tell(&mut self) {
        let untold = self.anomalies.get(self.told..).unwrap_or_default().to_vec();
        self.told = self.anomalies.len();
        for anomaly in untold {
            let exceeded = ResourceExceeded {
                resource: anomaly.signal.word().to_owned(),
                used: anomaly.value,
                expected: anomaly.baseline,
                unit: anomaly.signal.unit().to_owned(),
                reason: anomaly.to_string(),
                factor: Some(anomaly.factor),
                operation: Some(self.of.operation),
                action: Some(self.how.anomaly),
            };
            let happening = Happening::ResourceExceeded(exceeded);
            if let Err(error) = self.store.emit(Some(self.of.sandbox), happening) {
                self.note(&error);
            }
        }
    }

    fn note(&mut self, error: &dyn std::error::Error) {
        self.trouble.get_or_insert_with(|| in_full(error));
    }
}

impl Observer for Watch<'_> {
    fn every(&self) -> Duration {
        self.how.every.0
    }

    fn observe(&mut self, reading: &Reading) -> Verdict {
        if let Some(recorder) = self.recorder
            && !(recorder.is_recorded_elsewhere)()
            && let Err(error) = recorder.samples.record(self.of, (recorder.now)(), reading)
        {
            self.note(&error);
        }
        // Each is at most what it will be when the command has ended.
        let mut values = Values::default()
            .with(Signal::Processes, reading.processes as f64)
            .with(Signal::Cpu, reading.cpu.0.as_secs_f64());
        if let Some(attempts) = reading.network_attempts {
            values = values.with(Signal::Egress, attempts as f64);
        }
        if !self.judge(&values) {
            return Verdict::GoOn;
        }
        self.tell();
        match self.how.anomaly {
            // Nobody has to decide first.
            _ if self.how.emergency => Verdict::End,
            AnomalyPolicy::Off | AnomalyPolicy::Report => Verdict::GoOn,
            AnomalyPolicy::Freeze => {
                match (self.suspend)(&self.reason()) {
                    Ok(()) => {
                        if let (Some(recorder), Some(last)) = (self.recorder, self.anomalies.last())
                        {
                            (recorder.frozen)(last);
                        }
                    }
                    Err(error) => self.note(&error),
                }
                Verdict::GoOn
            }
            AnomalyPolicy::Rollback => Verdict::End,
        }
    }
}
