//! A verdict, for people in a few lines and for programs in whole.

use ctrlz_core::verdict::{Decision, Risk};
use ctrlz_policy::{Finding, Verdict, redact};
use serde::Deserialize;
use serde_json::Value;

use super::{Style, to_json, visible};
use crate::failure::{Failure, OWN_FAILURE};

/// The rules that matched, the gravest first, each once.
pub(crate) fn rules(verdict: &Verdict) -> Vec<&str> {
    let mut rules: Vec<&str> = Vec::new();
    for finding in &verdict.findings {
        if !rules.contains(&finding.rule.as_ref()) {
            rules.push(&finding.rule);
        }
    }
    rules
}

/// The whole verdict as the fields of an object, without secrets.
pub(crate) fn verdict_fields(verdict: &Verdict) -> Result<Vec<(&'static str, Value)>, Failure> {
    Ok(vec![
        ("risk", to_json(&verdict.risk)?),
        ("decision", to_json(&verdict.decision)?),
        ("score", to_json(&verdict.score)?),
        ("rules", to_json(&rules(verdict))?),
        ("snapshot", to_json(&verdict.snapshot)?),
        ("findings", without_secrets(to_json(&verdict.findings)?)),
        ("effects", without_secrets(to_json(&verdict.effects)?)),
        ("coverage", to_json(&verdict.coverage)?),
    ])
}

/// Every text in `value` redacted, and what is unknown in it shown as people see it.
fn without_secrets(value: Value) -> Value {
    match value {
        Value::String(text) => redact(&text.replace('\0', "…")).into_owned().into(),
        Value::Array(list) => list.into_iter().map(without_secrets).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, without_secrets(value))).collect()
        }
        other => other,
    }
}

/// What people are told of a verdict.
#[derive(Debug, Deserialize)]
pub(crate) struct ToldVerdict {
    risk: Risk,
    pub(crate) decision: Decision,
    score: u8,
    findings: Vec<ToldFinding>,
    coverage: ToldCoverage,
}

#[derive(Debug, Deserialize)]
struct ToldFinding {
    rule: String,
    risk: Risk,
    subject: String,
    reason: String,
    hint: String,
}

#[derive(Debug, Deserialize)]
struct ToldCoverage {
    held: Vec<ToldCovered>,
    beyond_undo: Vec<ToldCovered>,
}

#[derive(Debug, Deserialize)]
struct ToldCovered {
    effect: String,
    target: String,
    reason: String,
}

impl ToldVerdict {
    /// The same without the findings: `risk critical, decision block, score 92 of 100`.
    pub(crate) fn print_conclusion(self, style: Style) {
        Self { findings: Vec::new(), ..self }.print(style);
    }

    /// A paragraph for each finding, and a line that says what follows.
    pub(crate) fn print(&self, style: Style) {
        for finding in &self.findings {
            let subject = visible(&redact(&finding.subject));
            let about = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
            let risk = in_colour(finding.risk, finding.risk.name(), style);
            println!("{risk}: {}{about}", finding.reason);
            println!("  {}", style.dim(&format!("[{}] instead: {}", finding.rule, finding.hint)));
        }
        let ToldCoverage { held, beyond_undo } = &self.coverage;
        for (word, list) in [("cannot be undone", beyond_undo), ("the sandbox holds it back", held)]
        {
            for ToldCovered { effect, target, reason } in list {
                let about = if target.is_empty() { String::new() } else { format!(" ({target})") };
                println!("{word}: {}", visible(&format!("{effect}{about}: {reason}")));
            }
        }
        let Self { risk, decision, score, .. } = self;
        let text = format!("risk {risk}, decision {decision}, score {score} of 100");
        println!("{}", in_colour(*risk, &text, style));
    }
}

/// A paragraph for each finding, and a line that says what follows.
pub(crate) fn print_verdict(verdict: &Verdict, style: Style) -> Result<(), Failure> {
    told_verdict(verdict).map(|told| told.print(style))
}

/// What a program is told of a verdict, people are told, too.
pub(crate) fn told_verdict(verdict: &Verdict) -> Result<ToldVerdict, Failure> {
    let fields = verdict_fields(verdict)?;
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::caused(OWN_FAILURE, "json", &error))
}

/// What a finding is about, fit for a terminal.
pub(super) fn shown_subject(finding: &Finding) -> String {
    visible(&redact(&finding.subject))
}

pub(super) fn in_colour(risk: Risk, text: &str, style: Style) -> String {
    match risk {
        Risk::Low => style.green(text),
        Risk::Medium => text.to_owned(),
        Risk::High => style.yellow(text),
        Risk::Critical => style.red(text),
    }
}

/// The word that JSON has for it, too.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
