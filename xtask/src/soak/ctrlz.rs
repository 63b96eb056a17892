//! The real binary, for many sandboxes of one store.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::stage::parse;
use crate::failure::{Answer, Failure};
use crate::project;

/// Checks of `ctrlz health` that are about the store, and not about what else the machine does.
const CHECKS: [&str; 6] = ["leftovers", "store", "journal", "snapshots", "evidence", "sinks"];

/// Binary, store and home folder.
#[derive(Debug, Clone)]
pub(super) struct Ctrlz {
    pub(super) binary: PathBuf,
    pub(super) store: PathBuf,
    pub(super) home: PathBuf,
}

/// How a command ended, and what it said.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ended {
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// One operation in the journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Journaled {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) status: String,
}

pub(super) fn not_started(source: std::io::Error) -> Failure {
    Failure::Start { program: "ctrlz".to_owned(), source }
}

impl Ctrlz {
    pub(super) fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("CTRLZ_HOME", &self.store)
            .env("HOME", &self.home)
            .env_remove("XDG_CONFIG_HOME")
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    fn start(&self, folder: &Path, arguments: &[&str]) -> Answer<Child> {
        let mut command = self.command(folder, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(not_started)
    }

    /// Runs ctrlz to its end, or kills it after `delay`.
    pub(super) fn run(
        &self,
        folder: &Path,
        arguments: &[&str],
        delay: Option<Duration>,
    ) -> Answer<Ended> {
        let mut child = self.start(folder, arguments)?;
        if let Some(delay) = delay {
            thread::sleep(delay);
            child.kill().map_err(not_started)?;
        }
        let output = child.wait_with_output().map_err(not_started)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) })
    }

    /// Runs ctrlz and expects success; answers its standard output.
    pub(super) fn ok(&self, folder: &Path, arguments: &[&str]) -> Answer<String> {
        self.expect(folder, arguments, 0).map(|ended| ended.out)
    }

    /// Runs ctrlz and expects that exit code.
    pub(super) fn expect(&self, folder: &Path, arguments: &[&str], code: i32) -> Answer<Ended> {
        let ended = self.run(folder, arguments, None)?;
        if ended.code() == Some(code) {
            return Ok(ended);
        }
        let Ended { status, out, err } = ended;
        let words = arguments.join(" ");
        Err(Failure::told(format!("`ctrlz {words}` ended with {status}, not {code}:\n{out}{err}")))
    }

    /// Runs ctrlz with `--json` and expects success.
    pub(super) fn json(&self, folder: &Path, arguments: &[&str]) -> Answer<Value> {
        let arguments: Vec<&str> =
            ["--json"].into_iter().chain(arguments.iter().copied()).collect();
        parse(&self.ok(folder, &arguments)?)
    }

    /// The newest operation of a sandbox.
    pub(super) fn newest(&self, folder: &Path, sandbox: &str) -> Answer<Journaled> {
        let answer = self.json(folder, &["log", sandbox, "-n", "1"])?;
        let field = |pointer: &str| project::text(&answer, pointer).unwrap_or_default().to_owned();
        Ok(Journaled {
            id: field("/operations/0/id"),
            kind: field("/operations/0/request/kind"),
            status: field("/operations/0/status"),
        })
    }

    /// Nothing is wrong with the store, by its own word.
    pub(super) fn healthy(&self) -> Answer {
        let ended = self.run(&self.home, &["--json", "health"], None)?;
        let told = parse(&ended.out)?;
        let findings = told.get("findings").and_then(Value::as_array);
        let mut seen = 0;
        for finding in findings.into_iter().flatten() {
            let check = project::text(finding, "/check").unwrap_or_default();
            if !CHECKS.contains(&check) {
                continue;
            }
            seen += 1;
            if project::text(finding, "/severity") != Some("ok") {
                return Err(Failure::told(format!("ctrlz health: {finding}")));
            }
        }
        if seen == CHECKS.len() {
            return Ok(());
        }
        Err(Failure::told(format!("ctrlz health lacks some of the checks: {}", ended.out)))
    }
}
