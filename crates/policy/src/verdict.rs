//! What the validator says.

use std::borrow::Cow;

use ctrlz_core::verdict::{Decision, Risk};
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::effect::{Effect, EffectKind};
use crate::source_range::SourceRange;

/// What the validator says of an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// How much is risked: as much as the gravest finding says.
    pub risk: Risk,
    /// What follows by the decision matrix.
    pub decision: Decision,
    /// From 0 to 100: low to 24, medium to 49, high to 79, critical from 80 on.
    pub score: u8,
    /// What must be kept before it runs.
    pub snapshot: SnapshotDemand,
    /// Why, the gravest first.
    pub findings: Vec<Finding>,
    /// What it would do, as far as its text tells.
    pub effects: Vec<Effect>,
    /// The programs that it calls, as far as its text tells, each once; not all of very many.
    pub programs: Vec<String>,
    /// What the sandbox around it holds back, and what no undo brings back.
    pub coverage: Coverage,
}

/// What must be kept before an operation runs (the decision matrix).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotDemand {
    /// A snapshot is free to be taken.
    Optional,
    /// A snapshot.
    Snapshot,
    /// A snapshot, and an archived copy of it.
    SnapshotAndBackup,
    /// It does not run.
    NotApplicable,
}

/// One reason for a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: Cow<'static, str>,
    /// The stage that found it.
    pub stage: Stage,
    /// How much it says that is risked.
    pub risk: Risk,
    /// Its part of the score, in percent of all findings.
    pub share: u8,
    /// Where it stands in the text.
    pub range: SourceRange,
    /// What it is about: a path, a program, an excerpt without secrets.
    pub subject: String,
    /// The effect that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<EffectKind>,
    /// The program that it is about, if that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// How many programs had been called when its effect was met.
    #[serde(skip)]
    pub(crate) calls: usize,
    /// Why it is dangerous.
    pub reason: Cow<'static, str>,
    /// What to do instead.
    pub hint: Cow<'static, str>,
}

/// The stages of validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The bytes themselves.
    Content,
    /// What it uses up.
    Resources,
    /// The files that it touches.
    Files,
    /// The commands that it runs.
    Command,
    /// What came before it, and what the sandbox can take back.
    Risk,
}

impl Finding {
    /// A finding of a stage that says nothing yet.
    pub(crate) fn of(stage: Stage) -> Self {
        Self {
            rule: Cow::Borrowed(""),
            stage,
            risk: Risk::Low,
            share: 0,
            range: SourceRange::default(),
            subject: String::new(),
            effect: None,
            program: String::new(),
            calls: 0,
            reason: Cow::Borrowed(""),
            hint: Cow::Borrowed(""),
        }
    }
}

/// Sorts findings as a verdict tells them; of one risk, as they stand in the text.
pub(crate) fn gravest_first(findings: &mut [Finding]) {
    findings.sort_by(|one, other| {
        other.risk.cmp(&one.risk).then(one.range.cmp(&other.range)).then(one.rule.cmp(&other.rule))
    });
}

/// How much one finding weighs. Two of a kind weigh more than one, and never less.
fn weight(risk: Risk) -> f64 {
    match risk {
        Risk::Low => 0.1,
        Risk::Medium => 0.3,
        Risk::High => 0.5,
        Risk::Critical => 0.6,
    }
}

impl Verdict {
    /// The verdict that follows from findings and effects.
    #[must_use]
    pub fn from_findings(mut findings: Vec<Finding>, effects: Vec<Effect>) -> Self {
        gravest_first(&mut findings);
        Self::from_ordered(findings, effects)
    }

    /// The same of findings in the order of [`gravest_first`].
    pub(crate) fn from_ordered(mut findings: Vec<Finding>, effects: Vec<Effect>) -> Self {
        // What two programs do to one thing is told of both: either may have been refused before.
        findings.dedup_by(|one, other| {
            one.rule == other.rule && one.subject == other.subject && one.program == other.program
        });
        let risk = findings.first().map_or(Risk::Low, |finding| finding.risk);
        let left = findings.iter().fold(1.0, |left, finding| left * (1.0 - weight(finding.risk)));
        let (lowest, highest) = match risk {
            Risk::Low => (0.0, 24.0),
            Risk::Medium => (25.0, 49.0),
            Risk::High => (50.0, 79.0),
            Risk::Critical => (80.0, 100.0),
        };
        let score: f64 = lowest + (highest - lowest) * (1.0 - left);
        let total: f64 = findings.iter().map(|finding| weight(finding.risk)).sum();
        for finding in &mut findings {
            finding.share = percent(weight(finding.risk) / total.max(0.1) * 100.0);
        }
        Self {
            risk,
            decision: decision(risk),
            score: percent(score),
            snapshot: match risk {
                Risk::Low => SnapshotDemand::Optional,
                Risk::Medium => SnapshotDemand::Snapshot,
                Risk::High => SnapshotDemand::SnapshotAndBackup,
                Risk::Critical => SnapshotDemand::NotApplicable,
            },
            findings,
            effects,
            programs: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    pub(crate) fn with_programs(self, programs: Vec<String>) -> Self {
        Self { programs, ..self }
    }
}

/// The decision matrix.
fn decision(risk: Risk) -> Decision {
    match risk {
        Risk::Low | Risk::Medium => Decision::Allow,
        Risk::High => Decision::Confirm,
        Risk::Critical => Decision::Block,
    }
}

fn percent(number: f64) -> u8 {
    (0..=100_u8)
        .min_by(|one, other| {
            (f64::from(*one) - number).abs().total_cmp(&(f64::from(*other) - number).abs())
        })
        .unwrap_or(0)
}
