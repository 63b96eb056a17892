//! Asking the checker: JSON lines in, JSON lines out, in order.

use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rows::{Risk, Row};
use crate::failure::{Answer, Failure};
use crate::program;

/// What was answered to one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checked {
    pub(super) risk: Risk,
    pub(super) score: f64,
    /// The rules that matched, by name.
    pub(super) rules: Vec<String>,
}

/// A program that judges commands.
pub(super) struct Checker {
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Checker {
    /// `ctrlz` at `binary`.
    pub(super) fn ctrlz(binary: &Path) -> Self {
        Self { program: binary.to_owned(), arguments: &["check", "--jsonl"] }
    }

    /// A program that speaks the same lines without arguments.
    pub(super) fn other(program: &Path) -> Self {
        Self { program: program.to_owned(), arguments: &[] }
    }

    /// The answers to all `rows` of `file` by one process, and how long it took from its start to
    /// its last answer.
    pub(super) fn ask(&self, file: &Path, rows: &[Row]) -> Answer<(Vec<Checked>, Duration)> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let questions = questions(rows);
        let started = Instant::now();
        let mut child = command.spawn().map_err(|source| Failure::Start {
            program: self.program.display().to_string(),
            source,
        })?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut lines = Vec::with_capacity(rows.len());
        // Both directions at once: neither side may wait for the other with a full pipe.
        let read = std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Some(mut input) = input {
                    // A checker that ends early is told by the answers that are missing.
                    let _ = input.write_all(questions.as_bytes());
                }
            });
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
                lines.push(line?);
            }
            Ok(())
        });
        let took = started.elapsed();
        let status = child.wait().map_err(Failure::io("wait for", &self.program))?;
        read.map_err(Failure::io("read from", &self.program))?;
        let answered = lines.len();
        // The exit code may tell of decisions, a signal tells of a crash.
        if answered != rows.len() || status.code().is_none() {
            let next = rows.get(answered).map_or(0, |row| row.line);
            return Err(Failure::Ended {
                command: program::words(&command),
                status: status.to_string(),
                output: format!(
                    " after {answered} answers to {} rows of {}; the row at line {next} is next",
                    rows.len(),
                    file.display()
                ),
            });
        }
        let mut answers = Vec::with_capacity(rows.len());
        for (line, row) in lines.iter().zip(rows) {
            answers.push(checked(line).map_err(|reason| {
                let (file, number) = (file.display(), row.line);
                Failure::told(format!("the answer to {file}:{number}: {reason}: {line}"))
            })?);
        }
        Ok((answers, took))
    }
}

fn questions(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let question = match &row.language {
            Some(language) => json!({ "cmd": row.command, "lang": language }),
            None => json!({ "cmd": row.command }),
        };
        text.push_str(&question.to_string());
        text.push('\n');
    }
    text
}

fn checked(line: &str) -> Result<Checked, String> {
    let value: Value = serde_json::from_str(line).map_err(|source| source.to_string())?;
    let risk = value.get("risk").and_then(Value::as_str).and_then(Risk::named);
    let rules = value.get("rules").and_then(Value::as_array);
    Ok(Checked {
        risk: risk.ok_or("no `risk` that is low, medium, high or critical")?,
        score: value.get("score").and_then(Value::as_f64).unwrap_or(0.0),
        rules: rules.into_iter().flatten().filter_map(rule).collect(),
    })
}

/// The name of a rule, which may stand alone or in an object.
fn rule(value: &Value) -> Option<String> {
    let name = ["id", "rule", "name"].into_iter().find_map(|field| value.get(field));
    name.unwrap_or(value).as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::rows::Label;
    use super::*;

    fn row(line: usize, command: &str) -> Row {
        let command = command.to_owned();
        Row { line, command, label: Label::Benign, language: None, family: None }
    }

    /// Asks a shell script.
    fn ask(script: &str, rows: &[Row]) -> Answer<Vec<Checked>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checker");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // A child of another test may hold the script open for a moment, and what is open for
        // writing does not start.
        loop {
            match Checker::other(&path).ask(Path::new("x.jsonl"), rows) {
                Err(Failure::Start { source, .. })
                    if source.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                result => return result.map(|(answers, _)| answers),
            }
        }
    }

    /// Critical is what holds `rm`, all else is low.
    const FAKE: &str = "while IFS= read -r line; do case $line in
        *rm*) echo '{\"risk\":\"critical\",\"decision\":\"block\",\"score\":97,\"rules\":[\"delete\"]}' ;;
        *) echo '{\"risk\":\"low\",\"decision\":\"allow\",\"score\":0,\"rules\":[]}' ;;
        esac; done";

    #[test]
    fn every_row_gets_its_answer_in_order() {
        let answers = ask(FAKE, &[row(1, "ls"), row(2, "rm -rf /"), row(3, "a\nb")]).unwrap();
        let risks: Vec<Risk> = answers.iter().map(|answer| answer.risk).collect();
        assert_eq!(risks, [Risk::Low, Risk::Critical, Risk::Low]);
        assert_eq!((answers[1].score, answers[1].rules.join(",")), (97.0, "delete".to_owned()));
    }

    #[test]
    fn more_than_a_pipe_holds_goes_both_ways() {
        let rows: Vec<Row> = (0..3000).map(|line| row(line, &"x".repeat(100))).collect();
        assert_eq!(ask(FAKE, &rows).unwrap().len(), 3000);
    }

    #[test]
    fn a_checker_that_ends_early_is_told_with_the_row_that_was_next() {
        let script = "read -r line; echo '{\"risk\":\"low\"}'; exit 3";
        let told = ask(script, &[row(4, "ls"), row(9, "pwd")]).unwrap_err().to_string();
        assert!(told.contains("exit status: 3"), "{told}");
        assert!(told.contains("line 9"), "{told}");
    }

    #[test]
    fn a_checker_that_dies_is_a_failure_though_all_is_answered() {
        let script = "read -r line; echo '{\"risk\":\"low\"}'; kill -9 $$";
        assert!(ask(script, &[row(1, "ls")]).is_err());
    }

    #[test]
    fn an_answer_without_a_risk_is_told_with_its_row() {
        for answer in ["{}", "{\"risk\":\"odd\"}", "nonsense"] {
            let script = format!("cat >/dev/null; echo '{answer}'");
            let told = ask(&script, &[row(5, "ls")]).unwrap_err().to_string();
            assert!(told.contains("x.jsonl:5"), "{told}");
        }
    }

    #[test]
    fn rules_are_names_or_objects_with_names() {
        let line = "{\"risk\":\"high\",\"rules\":[\"a\",{\"id\":\"b\"},{\"rule\":\"c\"},7]}";
        assert_eq!(checked(line).unwrap().rules, ["a", "b", "c"]);
    }

    #[test]
    fn the_language_goes_along_when_there_is_one() {
        let mut code = row(1, "print(1)");
        code.language = Some("python".to_owned());
        let text = questions(&[code, row(2, "ls")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("\"lang\":\"python\""));
        assert!(!lines[1].contains("lang"));
    }
}
