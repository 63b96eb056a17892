//! Looks at the health of host and store, tells what changed, and does what can be done about it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ctrlz_config::Flags;
use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::health::Finding;
use ctrlz_engine::background::{Task, TaskError};

use crate::commands::health::{fix, look};
use crate::context::Context;
use crate::places;

/// The same remedy is not tried again within it.
const REST: Duration = Duration::from_secs(600);

pub(super) struct Health {
    every: Duration,
    remedies: bool,
    /// How bad each check was when it was told last.
    told: HashMap<String, Severity>,
    /// When each check's remedies were applied last.
    applied: HashMap<String, Instant>,
}

impl Health {
    /// With `remedies`, what can be done is done.
    pub(super) fn new(remedies: bool) -> Self {
        let config = ctrlz_config::load(
            &places::configuration(std::path::Path::new("/")),
            &Flags::default(),
        );
        // Whoever runs a command is told what is wrong with the configuration.
        let every = config.map_or(Duration::from_secs(30), |config| {
            config.monitoring_config.health_check_interval.0
        });
        Self {
            every: every.max(Duration::from_secs(1)),
            remedies,
            told: HashMap::new(),
            applied: HashMap::new(),
        }
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
        let failed = |failure: crate::failure::Failure| TaskError::from(failure.into_message());
        let context = Context::open().map_err(failed)?;
        let findings = look(&context).map_err(failed)?;
        for finding in &findings {
            self.tell(&context, finding)?;
            let rested =
                self.applied.get(&finding.check).is_none_or(|applied| applied.elapsed() >= REST);
            if self.remedies && rested && !finding.remedies.is_empty() {
                self.applied.insert(finding.check.clone(), Instant::now());
                let evidence = fix(&context, std::slice::from_ref(finding)).join("; ");
                let changed = HealthChanged {
                    check: finding.check.clone(),
                    severity: finding.severity,
                    evidence,
                    remedy: "done by itself; --no-remedies leaves it to you".to_owned(),
                };
                context.store().emit(None, Happening::HealthChanged(changed))?;
            }
        }
        Ok(self.every)
    }
}
