//! The real binary, as the soak uses it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::model::{Operation, Visible};
use super::write::Write;
use crate::failure::{Answer, Failure};
use crate::{program, project};

/// The sandbox.
pub(super) const NAME: &str = "soak";
/// A copy of it that is looked at and thrown away.
const PROBE: &str = "probe";

/// Every entry with its type, mode, target and content. Times are left out, since two runs of one
/// script write at different times; so are link counts, which an overlay tells otherwise.
const LISTING: &str = "find . -mindepth 1 -printf '%y %m %l %p\\n' | LC_ALL=C sort
find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum";

/// Binary, store and folder.
pub(super) struct Stage {
    pub(super) binary: PathBuf,
    pub(super) store: PathBuf,
    pub(super) base: PathBuf,
    /// An administrator's at its service.
    pub(super) token: String,
}

/// One operation in the journal.
pub(super) struct Journaled {
    pub(super) id: u64,
    pub(super) kind: String,
    pub(super) status: String,
}

impl Stage {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("CTRLZ_HOME", &self.store).current_dir(&self.base);
        command.stdin(Stdio::null());
        command
    }

    /// Runs ctrlz to its end and expects success; answers its standard output.
    pub(super) fn ctrlz(&self, arguments: &[&str]) -> Answer<String> {
        program::answer(&mut self.command(arguments))
    }

    /// Starts an operation; kills ctrlz after `delay` when there is one. Answers how it ended and
    /// what it said.
    pub(super) fn perform(
        &self,
        operation: &Operation,
        snapshots: &[(String, Visible)],
        delay: Option<Duration>,
    ) -> Answer<(ExitStatus, String)> {
        let mut command = self.command(&[]);
        match operation {
            Operation::Run(script) => command.args(["exec", NAME, "--", "sh", "-c", script]),
            Operation::Commit => command.args(["commit", NAME]),
            Operation::Discard => command.args(["discard", NAME]),
            Operation::Undo => command.args(["undo", NAME]),
            Operation::Redo => command.args(["redo", NAME]),
            Operation::Snapshot => command.args(["--json", "snapshot", NAME]),
            Operation::Rollback(index) => {
                let id = snapshots.get(*index).map_or("", |(id, _)| id.as_str());
                command.args(["rollback", NAME, id])
            }
            Operation::Put(key, value) => {
                command.args(["state", "--sandbox", NAME, "put", key, value])
            }
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = |source| Failure::Start { program: "ctrlz".to_owned(), source };
        let mut child = command.spawn().map_err(start)?;
        if let Some(delay) = delay {
            thread::sleep(delay);
            child.kill().map_err(start)?;
        }
        let output = child.wait_with_output().map_err(start)?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Changes files without a command; the service that does it is killed after `delay` when there is one.
    pub(super) fn write(
        &self,
        write: &Write,
        delay: Option<Duration>,
    ) -> Answer<(ExitStatus, String)> {
        write.perform(self.command(&[]), &self.store, &self.token, delay)
    }

    /// `ctrlz recover`, perhaps killed.
    pub(super) fn recover(&self, delay: Option<Duration>) -> Answer {
        if let Some(delay) = delay {
            let start = |source| Failure::Start { program: "ctrlz".to_owned(), source };
            let mut command = self.command(&["recover"]);
            let mut child =
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(start)?;
            thread::sleep(delay);
            child.kill().map_err(start)?;
            child.wait().map_err(start)?;
        }
        self.ctrlz(&["recover"]).map(drop)
    }

    /// The newest operation of the sandbox.
    pub(super) fn newest(&self) -> Answer<Journaled> {
        let text = self.ctrlz(&["--json", "log", NAME, "-n", "1"])?;
        let answer: Value = parse(&text)?;
        let field = |pointer: &str| project::text(&answer, pointer).unwrap_or_default().to_owned();
        let id = field("/operations/0/id");
        let id = id.strip_prefix("op-").and_then(|digits| digits.parse().ok());
        Ok(Journaled {
            id: id.ok_or_else(|| Failure::told(format!("no operation in {text}")))?,
            kind: field("/operations/0/request/kind"),
            status: field("/operations/0/status"),
        })
    }

    /// What is visible now. `script` is run in the copy first, when there is one; answers what the
    /// workspace would be after it, too.
    pub(super) fn look(&self) -> Answer<Visible> {
        let real = list(&self.base)?;
        let view = self.in_copy(LISTING)?;
        let entries: Value =
            parse(&self.ctrlz(&["--json", "state", "--sandbox", NAME, "list"])?)?;
        let mut state = Vec::new();
        for entry in entries.get("entries").and_then(Value::as_array).into_iter().flatten() {
            let key = project::text(entry, "/key").unwrap_or_default();
            let value = self.ctrlz(&["state", "--sandbox", NAME, "get", key])?;
            state.push(format!("{key}={value}"));
        }
        state.sort();
        Ok(Visible { real, view, state: state.join("\n") })
    }

    /// What the workspace would be after `script`.
    pub(super) fn foresee(&self, script: &str) -> Answer<String> {
        self.in_copy(&format!("({script}) >/dev/null 2>&1\n{LISTING}"))
    }

    fn in_copy(&self, script: &str) -> Answer<String> {
        self.ctrlz(&["fork", NAME, PROBE])?;
        let listed = self.ctrlz(&["exec", PROBE, "--", "sh", "-c", script]);
        self.ctrlz(&["rm", "--force", PROBE])?;
        listed
    }
}

fn list(folder: &Path) -> Answer<String> {
    program::answer(Command::new("sh").args(["-c", LISTING]).current_dir(folder))
}

pub(super) fn parse(text: &str) -> Answer<Value> {
    serde_json::from_str(text)
        .map_err(|source| Failure::Output { program: "ctrlz".to_owned(), source })
}
