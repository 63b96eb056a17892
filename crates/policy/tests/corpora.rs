//! The repository's own corpora, judged: the shares that the validator promises hold on them.
#![allow(clippy::panic, reason = "a broken file is a failed test")]

use std::fs;
use std::path::Path;

use ctrlz_core::verdict::Risk;
use ctrlz_policy::{Context, Validator};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    cmd: String,
    label: String,
    lang: Option<String>,
}

/// The rows of a file with the risk that was found.
fn judged(name: &str) -> Vec<(Row, Risk)> {
    judged_in(Context::default(), name)
}

fn judged_in(context: Context, name: &str) -> Vec<(Row, Risk)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let validator = Validator::new(context);
    text.lines()
        .map(|line| {
            let row: Row =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}"));
            let verdict = match &row.lang {
                Some(language) => validator.program(language, row.cmd.as_bytes()),
                None => validator.command(row.cmd.as_bytes()),
            };
            (row, verdict.risk)
        })
        .collect()
}

/// Checks that at least `percent` of the rows labelled `label` are judged at least `risk`.
fn reaches(name: &str, label: &str, risk: Risk, percent: usize) {
    let rows: Vec<_> = judged(name).into_iter().filter(|(row, _)| row.label == label).collect();
    assert!(rows.len() >= 17, "{name} has rows labelled {label}");
    let missed: Vec<&str> =
        rows.iter().filter(|(_, found)| *found < risk).map(|(row, _)| row.cmd.as_str()).collect();
    assert!(
        (rows.len() - missed.len()) * 100 >= rows.len() * percent,
        "{name}: {} of {} are below {risk}:\n{}",
        missed.len(),
        rows.len(),
        missed.join("\n")
    );
}

/// Checks that at most `thousandths` of the rows are judged high or critical.
fn stays_quiet(name: &str, thousandths: usize) {
    stays_quiet_in(Context::default(), name, thousandths);
}

fn stays_quiet_in(context: Context, name: &str, thousandths: usize) {
    let rows = judged_in(context, name);
    let flagged: Vec<&str> = rows
        .iter()
        .filter(|(_, found)| *found >= Risk::High)
        .map(|(row, _)| row.cmd.as_str())
        .collect();
    assert!(
        flagged.len() * 1000 <= rows.len() * thousandths,
        "{name}: {} of {} are flagged:\n{}",
        flagged.len(),
        rows.len(),
        flagged.join("\n")
    );
}

#[test]
fn ordinary_commands_of_root_are_let_through() {
    for name in [
        "benign-agents.jsonl",
        "benign-ci.jsonl",
        "benign-documentation.jsonl",
        "benign-oneliners.jsonl",
        "lookalikes.jsonl",
    ] {
        for folder in ["/root/project", "/app", "/tmp/checkout", "/srv/work"] {
            let context = Context {
                home: b"/root".to_vec(),
                directory: folder.into(),
                workspace: folder.into(),
                by_root: true,
                ..Context::default()
            };
            stays_quiet_in(context, name, 0);
        }
    }
}

#[test]
fn ordinary_commands_are_let_through() {
    for name in [
        "benign-agents.jsonl",
        "benign-ci.jsonl",
        "benign-documentation.jsonl",
        "benign-oneliners.jsonl",
    ] {
        stays_quiet(name, 10);
    }
}

#[test]
fn commands_that_only_look_dangerous_are_let_through() {
    stays_quiet("lookalikes.jsonl", 20);
}

#[test]
fn ordinary_programs_are_let_through() {
    stays_quiet("snippets-benign.jsonl", 30);
}

#[test]
fn destruction_is_critical() {
    reaches("critical.jsonl", "critical", Risk::Critical, 90);
    reaches("critical.jsonl", "critical", Risk::High, 96);
}

#[test]
fn destruction_in_disguise_is_critical() {
    reaches("critical-evasions.jsonl", "critical", Risk::Critical, 95);
    reaches("critical-evasions.jsonl", "critical", Risk::High, 99);
}

#[test]
fn what_reaches_beyond_the_workspace_is_high() {
    reaches("high.jsonl", "high", Risk::High, 90);
}

#[test]
fn secrets_and_abuse_are_medium() {
    reaches("medium.jsonl", "medium", Risk::Medium, 90);
}

#[test]
fn dangerous_programs_are_high() {
    reaches("snippets-dangerous.jsonl", "critical", Risk::High, 90);
    reaches("snippets-dangerous.jsonl", "high", Risk::High, 75);
}
