//! What another process of ctrlz does for a client. It is the command line itself, so that its answers
//! are the objects of docs/json.md, and what it reads from archives is not in the service's memory.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ctrlz_core::actor::ActorKind;
use ctrlz_server::{Errand, Halt, Problem, Pushed};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::problem;
use super::session::Desk;
use crate::actor;
use crate::failure::{Failure, OWN_FAILURE, told_problem};

/// The most that it may say: the log of some hundred thousand events.
const MOST: u64 = 256 << 20;
/// How much of what it says on standard error is told when it fails without a word of why.
const SAID: u64 = 4096;

impl Desk<'_> {
    /// See [`ctrlz_server::Session::carry_out`].
    pub(super) fn carry_out_(&self, errand: &Errand, halt: &Halt) -> Result<Vec<u8>, Problem> {
        let base = self.base_for(errand).map_err(problem)?;
        let done = self.run_errand(&arguments(errand, base.as_ref()), halt);
        if let Some(base) = base {
            // When nothing came to use it.
            self.remove_workspace(&base).map_err(problem)?;
        }
        done
    }

    /// The folder that a snapshot is brought back to whose sandbox is not there.
    fn base_for(&self, errand: &Errand) -> Result<Option<PathBuf>, Failure> {
        match errand {
            Errand::Pull { sandbox, .. }
                if self.context.store().sandbox_named(sandbox.as_str()).is_err() =>
            {
                self.new_workspace(sandbox).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Runs ctrlz in this store, until it is asked to end.
    pub(super) fn run_errand(
        &self,
        arguments: &[OsString],
        halt: &Halt,
    ) -> Result<Vec<u8>, Problem> {
        let failed =
            |error: std::io::Error| problem(Failure::caused(OWN_FAILURE, "errand", &error));
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ctrlz").args(arguments).current_dir("/");
        command.env("CTRLZ_HOME", &self.context.directory);
        if self.actor.kind == ActorKind::ApiKey {
            command.env(actor::API_KEY, &self.actor.id);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let watched = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
            .map_err(std::io::Error::from)
            .and_then(|process| halt.watch(process));
        if watched.is_err() {
            // Nobody could end it.
            let _ = child.kill();
            let _ = child.wait();
        }
        let watched = watched.map_err(failed)?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            let mut errors = errors?;
            // Whatever it cannot say is not told.
            let _ = errors.by_ref().take(SAID).read_to_end(&mut said);
            let _ = std::io::copy(&mut errors, &mut std::io::sink());
            Some(String::from_utf8_lossy(&said).trim().to_owned())
        });
        let mut text = Vec::new();
        if let Some(mut output) = output {
            let read = output.by_ref().take(MOST + 1).read_to_end(&mut text);
            if read.is_err() || text.len() as u64 > MOST {
                // Nobody reads the rest; the process was just seen to be alive, and is not waited for yet.
                let _ = child.kill();
                let _ = child.wait();
                read.map_err(failed)?;
                let title = "that is more than 256 MiB: ask for a part of it";
                return Err(Problem::of_kind("too-large", title));
            }
        }
        let status = child.wait().map_err(failed)?;
        drop(watched);
        if status.signal().is_some()
            && let Some(problem) = halt.problem()
        {
            return Err(problem);
        }
        let said = said.join().ok().flatten().unwrap_or_default();
        let told: Option<Value> = serde_json::from_slice(&text).ok();
        if let Some(problem) = told.as_ref().and_then(told_problem) {
            return Err(problem);
        }
        match status.code() {
            // 1: all was looked at, and something is not well, which the answer tells.
            Some(0 | 1) if !text.is_empty() => Ok(text),
            _ => Err(Problem::internal(format!("ctrlz ended with {status}: {said}"))),
        }
    }
}

fn arguments(errand: &Errand, base: Option<&PathBuf>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--json".into()];
    let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
    let part = |from: &Option<i64>, to: &Option<i64>| {
        let named = [("--from", from), ("--to", to)];
        let given = named
            .iter()
            .filter_map(|(name, number)| number.map(|number| format!("{name}={number}")));
        given.collect::<Vec<_>>()
    };
    match errand {
        Errand::VerifyLog { from, to } => {
            add(&["audit", "verify"]);
            part(from, to).iter().for_each(|word| add(&[word]));
        }
        Errand::SignLog => add(&["audit", "sign"]),
        Errand::LogKey => add(&["audit", "key"]),
        Errand::ExportLog { from, to } => {
            add(&["audit", "export"]);
            part(from, to).iter().for_each(|word| add(&[word]));
        }
        Errand::List => add(&["archive", "ls"]),
        Errand::Push { what, scope, skip_unreadable } => {
            add(&["push"]);
            if *skip_unreadable {
                add(&["--skip-unreadable"]);
            }
            if let Some(scope) = scope {
                add(&["--scope", scope.word()]);
            }
            match what {
                Pushed::Sandbox(name) => add(&["--sandbox", name.as_str()]),
                Pushed::Snapshots(ids) => ids.iter().for_each(|id| add(&[&id.to_string()])),
            }
        }
        Errand::Pull { name, sandbox } => {
            add(&["pull", "--sandbox", sandbox.as_str()]);
            if let Some(base) = base {
                words.extend(["--anew".into(), "--base".into(), base.clone().into_os_string()]);
            }
            words.extend(["--".into(), name.into()]);
        }
        Errand::Remove { names } => named(&mut words, &["archive", "rm"], names),
        Errand::Collect { dry_run, now } => {
            add(&["archive", "gc"]);
            if *dry_run {
                add(&["--dry-run"]);
            }
            if *now {
                add(&["--now"]);
            }
        }
        Errand::Verify { names, sample, discard } => {
            let sample = sample.map(|share| format!("--sample={}%", share * 100.0));
            let mut command = vec!["verify"];
            command.extend(sample.as_deref());
            command.extend(discard.then_some("--discard"));
            named(&mut words, &command, names);
        }
        Errand::Drill { names } => named(&mut words, &["drill"], names),
    }
    words
}

/// Names come from clients: none of them is an option.
fn named(words: &mut Vec<OsString>, command: &[&str], names: &[String]) {
    words.extend(command.iter().map(OsString::from));
    words.push("--".into());
    words.extend(names.iter().map(OsString::from));
}
