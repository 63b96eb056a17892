//! `ctrlz run`, `exec` and `shell`.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_config::{Capability, Config, Flags, Limit, Profile};
use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::limits::LimitKind;
use ctrlz_core::monitor::Anomaly;
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{CommandReport, Exit, Stopped};
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::store::Store;
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_engine::{RunReport, RunRequest, SandboxCore};
use ctrlz_isolation::Isolator;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::task::Task;
use super::{
    archive, automatic, environment, gc, known_good, past, probe, setup, signing, unusual,
};
use crate::Answer;
use crate::arguments::{
    CommandArguments, ExecArguments, RunArguments, ShellArguments, SummaryWhen,
};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED, TIMED_OUT};
use crate::show::{self, Style, counts_in_words};
use crate::{places, root};

pub(crate) fn run(arguments: RunArguments, isolation: Isolator, json: bool) -> Answer {
    let folder = places::working_folder()?;
    let mut config = configuration(&arguments.how, &folder)?;
    config.workspace = arguments.workspace.unwrap_or(config.workspace);
    let config = config;
    let RunArguments { fresh, how, command, .. } = &arguments;
    let task =
        Task { argv: command, config: &config, how, fresh: *fresh, store: None, again: None };
    // Before anything is unpacked or made: what is refused leaves nothing behind but a line in the
    // history of a sandbox that is there.
    let expected = root::expected(arguments.root.as_deref(), &folder);
    let (root, base) = (&expected.root, &expected.base);
    let judged = task.verdict(root, base)?;
    let past = match judged.verdict.wants_history() {
        true => past::of_folder(&folder, &expected)?,
        false => None,
    };
    let past = past.as_ref().map(|(store, sandbox)| (store as &dyn Store, sandbox));
    let verdict = task.approved(root, base, judged, past)?;
    task.is_still_approved(root, base, past.map(|(_, sandbox)| sandbox), &verdict)?;
    let choice = root::choose(arguments.root.as_deref(), &folder, arguments.pull)?;
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    probe::require(&context, &config)?;
    context.with_core(when_busy(how), |core| {
        let core = &core.choosing(config.workspace.driver());
        let place = (&context as &Context, core);
        let sandbox = match core.sandbox_of_folder(&folder, Some(&choice))? {
            Some(found) if config.setup.is_empty() && config.environment.is_empty() => found,
            Some(found) => {
                let found = setup::renew(place, &config, how, &choice, (found, *fresh))?;
                environment::require(place, &found, &config)?;
                found
            }
            None => {
                context.check_ownership()?;
                let made = setup::made(place, &config, how, &choice)?;
                let new = core.open_folder(&folder, &choice, made.as_ref())?;
                environment::require_of_new(place, &new, &config)?;
                new
            }
        };
        let request = task.request(&context, &sandbox, Some(verdict))?;
        carry_out((&context, core), &sandbox, request, &task, json)
    })
}

pub(crate) fn exec(arguments: ExecArguments, isolation: Isolator, json: bool) -> Answer {
    if arguments.confirmation.is_some() {
        let message = "--confirmation is for what somebody approved at a service";
        return Err(Failure::new(OWN_FAILURE, "usage", message).hint("here --yes approves it"));
    }
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    let here = places::working_folder()?;
    let config = configuration(&arguments.how, &here)?;
    let task = Task {
        argv: &arguments.command,
        config: &config,
        how: &arguments.how,
        fresh: false,
        store: None,
        again: None,
    };
    let (root, base) = (&sandbox.root, &sandbox.base);
    let past = Some((context.store(), &sandbox));
    let verdict = task.approved(root, base, task.verdict(root, base)?, past)?;
    in_sandbox((&context, &here), &sandbox, task, verdict, json)
}

pub(crate) fn shell(arguments: ShellArguments, isolation: Isolator, json: bool) -> Answer {
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    let sandbox = context.sandbox(arguments.sandbox.as_ref())?;
    // Another root need not have the user's shell.
    let own =
        std::env::var_os("SHELL").filter(|_| matches!(sandbox.root, Root::Host | Root::Overlay));
    let shell = own.unwrap_or_else(|| OsString::from("/bin/sh"));
    let here = places::working_folder()?;
    let config = configuration(&arguments.how, &here)?;
    let task = Task {
        argv: &[shell],
        config: &config,
        how: &arguments.how,
        fresh: false,
        store: None,
        again: None,
    };
    // What is typed there is not known yet: the sandbox holds it, whatever it is.
    let (root, base) = (&sandbox.root, &sandbox.base);
    let past = Some((context.store(), &sandbox));
    let verdict = task.approved(root, base, task.verdict(root, base)?, past)?;
    in_sandbox((&context, &here), &sandbox, task, verdict, json)
}

fn in_sandbox(
    (context, here): (&Context, &Path),
    sandbox: &Sandbox,
    task: Task<'_>,
    verdict: VerdictRecord,
    json: bool,
) -> Answer {
    probe::require(context, task.config)?;
    context.with_core(when_busy(task.how), |core| {
        environment::require_of_named((context, core), sandbox, (here, task.config))?;
        let request = task.request(context, sandbox, Some(verdict))?;
        carry_out((context, core), sandbox, request, &task, json)
    })
}

fn when_busy(how: &CommandArguments) -> WhenBusy {
    if how.no_wait { WhenBusy::Fail } else { WhenBusy::Wait }
}

pub(super) fn carry_out(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    request: RunRequest,
    task: &Task<'_>,
    json: bool,
) -> Answer {
    let is_to_commit = request.commit.is_some();
    let output = json.then(Redirected::begin).transpose()?;
    let archived = archive::before((context, core), sandbox, &request);
    let result = archived.and_then(|()| Ok(core.run(sandbox, request)?));
    drop(output);
    let report = result?;
    let mut ran = Ran::of(&report);
    if !json {
        ran.summarize(sandbox, task.how.summary);
    }
    unusual::tell_trouble(report.unwatched.as_deref());
    let aftermath = known_good::after((context, core), sandbox, task.config, &report);
    ran.contained |= aftermath.contained;
    ran.emergency = show::to_json(&aftermath.recovered)?;
    if json {
        ran.print_json(&sandbox.name)?;
    }
    automatic::after(core, sandbox, task.config);
    gc::now_and_then(context, core, report.operation);
    signing::after(context, task.config);
    // What came after it is told, and changes nothing about how it ended.
    ran.contained = report.contained;
    Ok(ran.end_as(is_to_commit))
}

/// With `--json`, standard output carries the object alone; the command's output goes to standard
/// error.
pub(crate) struct Redirected(std::os::fd::OwnedFd);

impl Redirected {
    pub(crate) fn begin() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| Failure::caused(OWN_FAILURE, "output", &error);
        let saved = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).map_err(failed)?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr()).map_err(failed)?;
        Ok(Self(saved))
    }
}

impl Drop for Redirected {
    fn drop(&mut self) {
        let _ = rustix::stdio::dup2_stdout(&self.0);
    }
}

/// A commit that followed a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommittedBy {
    operation: OperationId,
    counts: ChangeCounts,
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ran {
    operation: OperationId,
    command: CommandReport,
    counts: ChangeCounts,
    taken_back: bool,
    commit: Option<CommittedBy>,
    anomalies: Vec<Anomaly>,
    rolled_back: Option<OperationId>,
    contained: bool,
    /// What an emergency after it did.
    #[serde(default)]
    emergency: Value,
}

impl Ran {
    fn of(report: &RunReport) -> Self {
        let commit = report.commit.as_ref();
        Self {
            operation: report.operation,
            command: report.command.clone(),
            counts: report.counts,
            taken_back: report.taken_back,
            commit: commit
                .map(|done| CommittedBy { operation: done.operation, counts: done.counts }),
            anomalies: report.anomalies.clone(),
            rolled_back: report.rolled_back,
            contained: report.contained,
            emergency: Value::Null,
        }
    }

    /// Ends as the command did: with its code, or by its signal.
    pub(crate) fn end_as(&self, is_to_commit: bool) -> u8 {
        // Who goes on after a commit must not go on when what is unusual was kept from it.
        let is_contained = self.contained && self.commit.is_none();
        let is_held_back = is_contained || self.rolled_back.is_some();
        if is_to_commit && is_held_back && self.command.exit.is_success() {
            return REFUSED;
        }
        if self.command.stopped == Some(Stopped::Limit(LimitKind::Timeout)) {
            return TIMED_OUT;
        }
        match self.command.exit {
            Exit::Code(code) => u8::try_from(code).unwrap_or(OWN_FAILURE),
            Exit::Signal(signal) => {
                if self.command.stopped.is_none() {
                    ctrlz_sys::signal::die_of(signal);
                }
                u8::try_from(128 + signal).unwrap_or(OWN_FAILURE)
            }
        }
    }

    pub(crate) fn print_json(&self, sandbox: &SandboxName) -> Result<(), Failure> {
        show::print_json(&[
            ("sandbox", show::to_json(sandbox)?),
            ("operation", show::to_json(&self.operation)?),
            ("command", show::to_json(&self.command)?),
            ("counts", show::to_json(&self.counts)?),
            ("taken_back", show::to_json(&self.taken_back)?),
            ("commit", show::to_json(&self.commit)?),
            ("anomalies", unusual::to_json(&self.anomalies)?),
            ("rolled_back", show::to_json(&self.rolled_back)?),
            ("contained", self.contained.into()),
            ("emergency", self.emergency.clone()),
        ]);
        Ok(())
    }

    /// Tells it on standard error, when somebody sees it or something stood in its way.
    pub(crate) fn summarize(&self, sandbox: &Sandbox, when: SummaryWhen) {
        let noteworthy = self.command.network_attempts > 0
            || self.command.stopped.is_some()
            || self.taken_back
            || !self.anomalies.is_empty();
        let show = match when {
            SummaryWhen::Always => true,
            SummaryWhen::Never => false,
            SummaryWhen::Auto => std::io::stderr().is_terminal() || noteworthy,
        };
        if show {
            summary(self, sandbox);
        }
    }
}

fn summary(report: &Ran, sandbox: &Sandbox) {
    let style = Style::stderr();
    let name = if sandbox.folder.is_some() { String::new() } else { format!(" {}", sandbox.name) };
    let changes = counts_in_words(&report.counts);
    let end = if report.taken_back {
        "the command failed, its changes were taken back".to_owned()
    } else if let Some(rollback) = report.rolled_back {
        format!("{changes} · rolled back by {rollback} · ctrlz undo{name}")
    } else if let Some(commit) = &report.commit {
        let counts = counts_in_words(&commit.counts);
        format!("{counts} in {} · ctrlz undo{name}", sandbox.base.display())
    } else if report.counts.is_empty() {
        changes
    } else {
        format!("{changes} · ctrlz diff{name} · ctrlz commit{name} · ctrlz undo{name}")
    };
    eprintln!("{} {end}", style.dim(&format!("ctrlz {}:", report.operation)));
    match report.command.stopped {
        Some(Stopped::Limit(kind)) => {
            eprintln!("{}", style.yellow(&format!("  stopped: the {kind} limit was reached")));
        }
        Some(Stopped::StoreFull) => {
            let text = "  stopped: the disk that holds the store is nearly full";
            eprintln!("{}", style.yellow(text));
        }
        Some(Stopped::Unusual) => {
            eprintln!("{}", style.yellow("  stopped: it was unusual, which is not let pass"));
        }
        None => {}
    }
    unusual::summarize(sandbox, (&report.anomalies, report.contained), style);
    if report.command.network_attempts > 0 {
        let text = "  the network was off, and the command tried it; allow it with --net host";
        eprintln!("{}", style.yellow(text));
    }
}

/// The configuration with the command line's flags.
pub(super) fn configuration(how: &CommandArguments, folder: &Path) -> Result<Config, Failure> {
    let flag = |on: bool, off: bool| match (on, off) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let profile: Option<Profile> = how.profile.as_deref().map(parse_profile).transpose()?;
    let cap_add =
        how.cap_add.iter().map(|name| parse_capability(name)).collect::<Result<_, _>>()?;
    let absolute = |paths: &[PathBuf]| paths.iter().map(|path| folder.join(path)).collect();
    let flags = Flags {
        profile,
        network: how.net.map(Into::into),
        isolation: how.isolation.clone(),
        timeout: how.timeout.map(Limit::At),
        memory: how.memory.map(Limit::At),
        cpus: how.cpus.map(Limit::At),
        pids: how.pids.map(Limit::At),
        disk: how.disk.map(Limit::At),
        open_files: how.open_files.map(Limit::At),
        max_output: how.max_output.map(Limit::At),
        snapshot: flag(how.snapshot, how.no_snapshot),
        commit: flag(how.commit, how.no_commit),
        hidden: absolute(&how.hide),
        shown: absolute(&how.show),
        env: how.env.iter().filter_map(|text| variable(text)).collect(),
        cap_add,
        ..Flags::default()
    };
    ctrlz_config::load(&places::configuration(folder), &flags)
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))
}

pub(super) fn parse_profile(word: &str) -> Result<Profile, Failure> {
    word.parse().map_err(|error| Failure::caused(OWN_FAILURE, "profile", &error))
}

fn parse_capability(name: &str) -> Result<Capability, Failure> {
    name.parse().map_err(|error| Failure::caused(OWN_FAILURE, "capability", &error))
}

/// `NAME=VALUE`, or `NAME` for the caller's own value; nothing when that is not set.
fn variable(text: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let (name, value) = bytes.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
        }
        None => std::env::var_os(text).map(|value| (text.to_owned(), value)),
    }
}
