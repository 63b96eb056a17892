//! Commands: run, judged, ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ctrlz_core::isolation::Network;
use ctrlz_core::tenancy::Right;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::call::Call;
use super::super::confirm;
use super::super::tool::{Came, Hint, Tool, Words};
use super::history::in_words;
use crate::problem::Problem;
use crate::processes::{Kind, Process, end};
use crate::routes::operations::NewOperation;
use crate::routes::policy::{Question, verdict_on};
use crate::routes::views::Counts;

/// How much of each stream is told when nobody says how much, and at most, in bytes.
const TOLD: u32 = 16 << 10;
const MOST_TOLD: u32 = 256 << 10;

/// `sandbox_exec`
pub(in crate::mcp) struct Exec;

/// Which network a command has.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::mcp) enum Net {
    /// None.
    None,
    /// The host's.
    Host,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct NewCommand {
    /// The sandbox.
    sandbox: String,
    /// The program and its arguments. Either this or `script` is needed.
    argv: Option<Vec<String>>,
    /// A script for `/bin/sh -c`.
    script: Option<String>,
    /// Variables besides those that the configuration lets through.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The working directory inside; the workspace when it is left out.
    workdir: Option<String>,
    /// What the command reads; nothing when it is left out.
    stdin: Option<String>,
    /// How many seconds it may take.
    timeout: Option<f64>,
    /// `none` or `host`; the configuration's when it is left out.
    network: Option<Net>,
    /// How many bytes of memory it may have.
    memory: Option<u64>,
    /// Take its changes back when it fails.
    #[serde(default)]
    take_back: bool,
    /// The id of a confirmation that somebody approved, when an earlier call told one.
    confirmation: Option<String>,
    /// How many bytes of each stream to tell, from its end, up to 262144; 16384 when it is left out.
    max_output: Option<u32>,
}

impl NewCommand {
    fn operation(self) -> NewOperation {
        let network = self.network.map(|network| match network {
            Net::None => Network::None,
            Net::Host => Network::Host,
        });
        NewOperation {
            argv: self.argv,
            script: self.script,
            env: self.env,
            workdir: self.workdir.map(PathBuf::from),
            stdin: self.stdin,
            network,
            timeout: self.timeout,
            memory: self.memory,
            take_back: self.take_back,
            confirmation: self.confirmation,
            ..NewOperation::default()
        }
    }
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(in crate::mcp) struct Ran {
    /// The sandbox's name.
    sandbox: String,
    /// The operation under which it is journaled; sandbox_undo and sandbox_rollback take it.
    operation: String,
    /// The process; sandbox_kill takes it while it runs.
    process: String,
    /// As a shell tells it: 124 when its time was up, 128 and the signal's number when one ended it.
    exit_code: i32,
    /// What it wrote to standard output, from its end. Bytes that are no UTF-8 stand as U+FFFD.
    stdout: String,
    /// The same of standard error.
    stderr: String,
    /// Whether more was written than is told.
    truncated: bool,
    /// What it changed in the workspace.
    counts: Counts,
    /// Whether its changes were taken back since it failed.
    taken_back: bool,
    /// The rollback that followed from something unusual that it did.
    rolled_back: Option<String>,
    /// Whether the sandbox was contained for that.
    contained: bool,
}

impl Words for Ran {
    fn words(&self) -> String {
        let changed = in_words(&self.counts);
        let mut words = format!("exit code {}; {changed} ({})", self.exit_code, self.operation);
        if self.taken_back || self.rolled_back.is_some() {
            words.push_str("; its changes were taken back");
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                words.push_str(&format!("\n--- {name}\n{text}"));
            }
        }
        words
    }
}

/// The end of a text, and whether that is not all of it.
fn tail(text: &mut String, most: usize) -> bool {
    let mut cut = text.len().saturating_sub(most);
    while !text.is_char_boundary(cut) {
        cut += 1;
    }
    text.drain(..cut);
    cut > 0
}

impl Tool for Exec {
    const NAME: &str = "sandbox_exec";
    const TITLE: &str = "Run a command";
    const ABOUT: &str = "Run a command in a sandbox and tell its exit code, what it wrote and how many files it changed. \
        It is judged first: high risk needs a person's confirmation, critical risk never runs. \
        sandbox_undo takes its changes back.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Runs;
    type Input = NewCommand;
    type Output = Ran;

    async fn call(call: &Call, input: NewCommand) -> Came<Ran> {
        let most = input.max_output.unwrap_or(TOLD);
        if most > MOST_TOLD {
            let title = format!("`max_output` must be at most {MOST_TOLD}");
            return Err(Problem::bad_request(title).into());
        }
        let sandbox = input.sandbox.clone();
        let process = confirm::begin(call, input.operation().ask(sandbox)?).await?;
        let answer = watched(call, &process).await?;
        let mut ran: Ran = serde_json::from_value(answer)
            .map_err(|error| Problem::internal(format!("what came of it: {error}")))?;
        let cut = tail(&mut ran.stdout, most as usize) | tail(&mut ran.stderr, most as usize);
        ran.truncated |= cut;
        Ok(ran)
    }
}

/// Waits for a process's end, tells how far it has come, and ends it when the client wants that.
async fn watched(call: &Call, process: &Arc<Process>) -> Result<Value, Problem> {
    tokio::select! {
        ended = process.answer() => return ended,
        () = call.tell_progress(process) => {}
        () = call.cancelled() => {}
    }
    end(std::slice::from_ref(process)).await;
    process.answer().await
}

/// `sandbox_check`
pub(in crate::mcp) struct Check;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct Asked {
    /// A text for a shell.
    command: String,
    /// The sandbox in which it would run.
    sandbox: Option<String>,
}

/// What the validator says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(in crate::mcp) struct Verdict {
    /// `low`, `medium`, `high` or `critical`.
    risk: String,
    /// What follows: `allow`, `confirm` or `block`.
    decision: String,
    /// 0 to 100.
    score: u8,
    /// The rules that matched, the gravest first.
    rules: Vec<String>,
    /// Each finding, the gravest first, with its `reason` and a `hint`.
    findings: Vec<Value>,
    /// What it would do.
    effects: Vec<Value>,
    /// What the sandbox holds back, and what no undo brings back.
    coverage: Value,
}

impl Words for Verdict {
    fn words(&self) -> String {
        let mut words = format!("{} risk, {}", self.risk, self.decision);
        for finding in &self.findings {
            let reason = finding.get("reason").and_then(Value::as_str).unwrap_or_default();
            words.push_str("\n- ");
            words.push_str(reason);
        }
        words
    }
}

impl Tool for Check {
    const NAME: &str = "sandbox_check";
    const TITLE: &str = "Judge a command";
    const ABOUT: &str =
        "Judge a command without running it: its risk, why, and what could not be undone.";
    const RIGHT: Right = Right::Look;
    const HINT: Hint = Hint::Reads;
    type Input = Asked;
    type Output = Verdict;

    async fn call(call: &Call, input: Asked) -> Came<Verdict> {
        let question = Question {
            command: Some(input.command),
            language: None,
            argv: None,
            sandbox: input.sandbox,
        };
        let verdict = verdict_on(call.who(), question).await?;
        Ok(serde_json::from_value(verdict)
            .map_err(|error| Problem::internal(format!("the verdict: {error}")))?)
    }
}

/// `sandbox_kill`
pub(in crate::mcp) struct Kill;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToKill {
    /// The sandbox.
    sandbox: String,
    /// This process alone; all that this server runs in the sandbox when it is left out.
    process: Option<String>,
}

/// A process that was told to end.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Ended {
    /// Its id.
    process: String,
    /// The operation under which it is journaled; null when it was ended before it began.
    operation: Option<String>,
    /// The command.
    title: String,
    /// Whether it is over, and what came of it is journaled.
    ended: bool,
}

/// What was ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Killed {
    /// The sandbox's name.
    sandbox: String,
    /// What ran, or waited for its turn.
    processes: Vec<Ended>,
}

impl Words for Killed {
    fn words(&self) -> String {
        if self.processes.is_empty() {
            return format!("nothing ran in `{}`", self.sandbox);
        }
        let line = |one: &Ended| {
            let how = if one.ended { "ended" } else { "told to end, and still there" };
            format!("{how}: {} ({})", one.title, one.process)
        };
        self.processes.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Tool for Kill {
    const NAME: &str = "sandbox_kill";
    const TITLE: &str = "End what runs";
    const ABOUT: &str = "End a process, or all that this server runs in a sandbox: SIGTERM, and SIGKILL five seconds \
        later. What was written until then stays; sandbox_undo takes it back.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::ChangesOnce;
    type Input = ToKill;
    type Output = Killed;

    async fn call(call: &Call, input: ToKill) -> Came<Killed> {
        let ToKill { sandbox, process } = input;
        let (name, tenant) = (sandbox.clone(), &call.caller.tenant);
        // One that is not there is told as such.
        call.service
            .with_core(&call.caller, move |core| Ok(core.store().sandbox_named(&name)?.id))
            .await?;
        let mut meant = call.service.processes.list(tenant, Some(&sandbox));
        if let Some(id) = &process {
            meant.retain(|one| one.id == *id);
            if meant.is_empty() {
                return Err(Problem::not_found("process", id).into());
            }
        }
        meant.retain(|one| one.kind == Kind::Operation && !one.has_ended());
        end(&meant).await;
        let processes = meant.iter().map(|one| Ended {
            process: one.id.clone(),
            operation: one.operation.borrow().map(|id| id.to_string()),
            title: one.title.clone(),
            ended: one.has_ended(),
        });
        Ok(Killed { sandbox, processes: processes.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_output_the_end_is_told_and_no_letter_is_cut() {
        let mut text = "abcä€".to_owned();
        assert!(tail(&mut text, 4));
        assert_eq!(text, "€");
        assert!(!tail(&mut text, 3));
        assert!(tail(&mut text, 0));
        assert_eq!(text, "");
    }
}
