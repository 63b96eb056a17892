//! Looks at the health of host and store, tells what changed, and does what can be done about it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::health::{Finding, Thresholds};
use ctrlz_engine::background::{Task, TaskError};

use crate::commands::health::{fix, look, thresholds};
use crate::commands::known_good::configuration_without_project;
use crate::context::Context;
use crate::failure::Failure;

/// What of the configuration it goes by.
#[derive(Clone, Copy)]
struct Settings {
    every: Duration,
    /// The same remedy is not tried again within it.
    rest: Duration,
    remedies: bool,
    thresholds: Thresholds,
}

pub(super) struct Health {
    /// As it was when it could be read first; it is kept until the daemon is started again.
    settings: Option<Settings>,
    remedies: bool,
    /// How bad each check was when it was told last.
    told: HashMap<String, Severity>,
    /// When each check's remedies were applied last.
    applied: HashMap<String, Instant>,
}

impl Health {
    /// With `remedies`, what can be done is done, unless the configuration says no.
    pub(super) fn new(remedies: bool) -> Self {
        Self { settings: None, remedies, told: HashMap::new(), applied: HashMap::new() }
    }

    /// Errs while the configuration cannot be read.
    fn settings(&mut self) -> Result<Settings, Failure> {
        if let Some(settings) = self.settings {
            return Ok(settings);
        }
        let config = configuration_without_project()?;
        let settings = Settings {
            every: config.monitoring_config.health_check_interval.0.max(Duration::from_secs(1)),
            rest: config.monitoring.remedy_interval.0,
            remedies: self.remedies && config.monitoring.remedies,
            thresholds: thresholds(&config),
        };
        self.settings = Some(settings);
        Ok(settings)
    }

    fn tell(&mut self, context: &Context, finding: &Finding) -> Result<(), TaskError> {
        let before = self.told.get(&finding.check).copied().unwrap_or_default();
        if before != finding.severity {
            let changed = HealthChanged {
                check: finding.check.clone(),
                severity: finding.severity,
                evidence: finding.evidence.clone(),
                remedy: finding.advice.clone(),
            };
            context.store().emit(None, Happening::HealthChanged(changed))?;
            self.told.insert(finding.check.clone(), finding.severity);
        }
        Ok(())
    }
}

impl Task for Health {
    fn name(&self) -> String {
        "health".to_owned()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        let failed = |failure: Failure| TaskError::from(failure.into_message());
        let settings = self.settings().map_err(failed)?;
        let context = Context::open().map_err(failed)?;
        let findings = look(&context, settings.thresholds).map_err(failed)?;
        for finding in &findings {
            self.tell(&context, finding)?;
            let rested =
                self.applied.get(&finding.check).is_none_or(|last| last.elapsed() >= settings.rest);
            if settings.remedies && rested && !finding.remedies.is_empty() {
                self.applied.insert(finding.check.clone(), Instant::now());
                fix(&context, finding).map_err(failed)?;
            }
        }
        Ok(settings.every)
    }

    fn reset(&mut self) {
        // Nothing is open, and what was told and applied stays so.
    }
}
