//! `ctrlz run`, `exec` and `shell`.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_config::{Capability, Config, Flags, Limit, Places, Profile};
use ctrlz_core::limits::LimitKind;
use ctrlz_core::operation::{Exit, Stopped};
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_engine::{CommitOptions, RunReport, RunRequest};
use ctrlz_isolation::native::NativeDriver;

use super::approval;
use crate::Answer;
use crate::arguments::{
    CommandArguments, ExecArguments, RunArguments, ShellArguments, SummaryWhen,
};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, TIMED_OUT};
use crate::show::{self, Style, counts_in_words};
use crate::{places, root, secrets};

/// What package managers need to be root inside a root of their own. They reach no further than
/// the user namespace.
const OWN_ROOT_CAPABILITIES: [&str; 11] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];

pub(crate) fn run(arguments: RunArguments, isolation: NativeDriver, json: bool) -> Answer {
    let folder = places::working_folder()?;
    let config = configuration(&arguments.how, &folder)?;
    // Before anything is unpacked or made: what is refused leaves nothing behind.
    let expected = root::expected(arguments.root.as_deref(), &folder);
    judge(&arguments.command, &expected.root, &expected.base, &config, &arguments.how)?;
    let choice = root::choose(arguments.root.as_deref(), &folder)?;
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    let when_busy = when_busy(&arguments.how);
    context.with_core(when_busy, |core| {
        let sandbox = core.open_folder(&folder, &choice)?;
        let request =
            request(&context, &sandbox, &config, &arguments.how, arguments.command.clone())?;
        let request = RunRequest { fresh: arguments.fresh, ..request };
        carry_out(core, &sandbox, request, &arguments.how, json)
    })
}

pub(crate) fn exec(arguments: ExecArguments, isolation: NativeDriver, json: bool) -> Answer {
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    let config = configuration(&arguments.how, &places::working_folder()?)?;
    judge(&arguments.command, &sandbox.root, &sandbox.base, &config, &arguments.how)?;
    in_sandbox(&context, &sandbox, &config, &arguments.how, arguments.command, json)
}

pub(crate) fn shell(arguments: ShellArguments, isolation: NativeDriver, json: bool) -> Answer {
    let context = ManuallyDrop::new(Context::open_with(isolation)?);
    let sandbox = context.sandbox(arguments.sandbox.as_ref())?;
    // Another root need not have the user's shell.
    let own =
        std::env::var_os("SHELL").filter(|_| matches!(sandbox.root, Root::Host | Root::Overlay));
    let shell = own.unwrap_or_else(|| OsString::from("/bin/sh"));
    let config = configuration(&arguments.how, &places::working_folder()?)?;
    in_sandbox(&context, &sandbox, &config, &arguments.how, vec![shell], json)
}

/// The first step: a command that may not run goes no further.
fn judge(
    command: &[OsString],
    root: &Root,
    base: &Path,
    config: &Config,
    how: &CommandArguments,
) -> Result<(), Failure> {
    let packs = super::policy::packs_in(&places::working_folder()?, Some(config))?;
    let directory = workdir(root, base, how)?;
    let verdict = approval::verdict(command, root, base, &directory, packs);
    approval::approve(&verdict, config, how)
}

fn in_sandbox(
    context: &Context,
    sandbox: &Sandbox,
    config: &Config,
    how: &CommandArguments,
    command: Vec<OsString>,
    json: bool,
) -> Answer {
    context.with_core(when_busy(how), |core| {
        let request = request(context, sandbox, config, how, command)?;
        carry_out(core, sandbox, request, how, json)
    })
}

fn when_busy(how: &CommandArguments) -> WhenBusy {
    if how.no_wait { WhenBusy::Fail } else { WhenBusy::Wait }
}

fn carry_out(
    core: &ctrlz_engine::SandboxCore<'_>,
    sandbox: &Sandbox,
    request: RunRequest,
    how: &CommandArguments,
    json: bool,
) -> Answer {
    let output = json.then(Redirected::begin).transpose()?;
    let result = core.run(sandbox, request);
    drop(output);
    let report = result?;
    if json {
        print_json(sandbox, &report)?;
    } else {
        summarize(sandbox, &report, how.summary);
    }
    Ok(end_as(&report))
}

/// Ends as the command did: with its code, or by its signal.
fn end_as(report: &RunReport) -> u8 {
    if report.command.stopped == Some(Stopped::Limit(LimitKind::Timeout)) {
        return TIMED_OUT;
    }
    match report.command.exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(OWN_FAILURE),
        Exit::Signal(signal) => {
            if report.command.stopped.is_none() {
                ctrlz_sys::signal::die_of(signal);
            }
            u8::try_from(128 + signal).unwrap_or(OWN_FAILURE)
        }
    }
}

/// With `--json`, standard output carries the object alone; the command's output goes to standard
/// error.
struct Redirected(std::os::fd::OwnedFd);

impl Redirected {
    fn begin() -> Result<Self, Failure> {
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

fn print_json(sandbox: &Sandbox, report: &RunReport) -> Result<(), Failure> {
    let commit = report.commit.as_ref().map(
        |commit| serde_json::json!({ "operation": commit.operation, "counts": commit.counts }),
    );
    show::print_json(&[
        ("sandbox", show::to_json(&sandbox.name)?),
        ("operation", show::to_json(&report.operation)?),
        ("command", show::to_json(&report.command)?),
        ("counts", show::to_json(&report.counts)?),
        ("taken_back", show::to_json(&report.taken_back)?),
        ("commit", show::to_json(&commit)?),
    ]);
    Ok(())
}

fn summarize(sandbox: &Sandbox, report: &RunReport, when: SummaryWhen) {
    let noteworthy = report.command.network_attempts > 0
        || report.command.stopped.is_some()
        || report.taken_back;
    let show = match when {
        SummaryWhen::Always => true,
        SummaryWhen::Never => false,
        SummaryWhen::Auto => std::io::stderr().is_terminal() || noteworthy,
    };
    if !show {
        return;
    }
    let style = Style::stderr();
    let name = if sandbox.folder.is_some() { String::new() } else { format!(" {}", sandbox.name) };
    let changes = counts_in_words(&report.counts);
    let end = if report.taken_back {
        "the command failed, its changes were taken back".to_owned()
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
        None => {}
    }
    if report.command.network_attempts > 0 {
        let text = "  the network was off, and the command tried it; allow it with --net host";
        eprintln!("{}", style.yellow(text));
    }
}

/// The configuration with the command line's flags.
fn configuration(how: &CommandArguments, folder: &Path) -> Result<Config, Failure> {
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
    let places = Places::of_process(
        folder.to_owned(),
        std::env::var_os("XDG_CONFIG_HOME"),
        std::env::var_os("HOME"),
    );
    ctrlz_config::load(&places, &flags)
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

fn request(
    context: &Context,
    sandbox: &Sandbox,
    config: &Config,
    how: &CommandArguments,
    argv: Vec<OsString>,
) -> Result<RunRequest, Failure> {
    let title =
        argv.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let mut keep: Vec<String> = config.cap_add.iter().map(ToString::to_string).collect();
    if sandbox.root.is_workspace() {
        keep.extend(OWN_ROOT_CAPABILITIES.map(str::to_owned));
    }
    let commit =
        config.commit.then(|| CommitOptions { paths: Vec::new(), strategy: how.conflict.into() });
    Ok(RunRequest {
        title,
        argv,
        env: environment(config, sandbox),
        workdir: workdir(&sandbox.root, &sandbox.base, how)?,
        limits: config.limits,
        network: config.network,
        hidden: secrets::existing(&config.hidden, &context.directory),
        keep_capabilities: keep,
        snapshot: config.snapshot,
        fresh: false,
        commit,
    })
}

fn environment(config: &Config, sandbox: &Sandbox) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(name, _)| config.env_passes(name) && !config.env.contains_key(name))
        .collect();
    env.extend(config.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    env.retain(|(name, _)| name != "CTRLZ_SANDBOX");
    env.push(("CTRLZ_SANDBOX".into(), sandbox.name.as_str().into()));
    env
}

/// The folder the user stands in when the workspace shows it, else the workspace's own place.
fn workdir(root: &Root, base: &Path, how: &CommandArguments) -> Result<PathBuf, Failure> {
    let here = places::working_folder()?;
    let start = match root {
        Root::Host if here.starts_with(base) => here,
        Root::Host => base.to_owned(),
        Root::Overlay => here,
        Root::Directory { .. } | Root::Image { .. } => PathBuf::from("/"),
    };
    Ok(how.workdir.as_ref().map_or(start.clone(), |folder| start.join(folder)))
}
