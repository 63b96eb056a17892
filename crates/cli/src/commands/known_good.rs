//! The health checks of ctrlz.yaml, and what follows from them after a command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_config::{Config, EmergencyStart, Flags, Places};
use ctrlz_core::isolation::Network;
use ctrlz_core::sandbox::{GuardChange, Root, Sandbox};
use ctrlz_core::span::Span;
use ctrlz_engine::{HealthResult, RunReport, RunRequest, SandboxCore};
use ctrlz_policy::redact;

use super::emergency::{self, Aftermath, Emergency};
use super::run::Redirected;
use super::task::Task;
use crate::arguments::CommandArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::plain;

/// The time of a check that no limit is configured for.
const TIMEOUT: Span = Span(Duration::from_secs(60));

/// The folder whose configuration is a sandbox's.
pub(super) fn folder_of(sandbox: &Sandbox) -> PathBuf {
    match sandbox.root {
        Root::Host => sandbox.base.clone(),
        _ => sandbox.folder.clone().unwrap_or_else(|| PathBuf::from("/")),
    }
}

/// The configuration of a sandbox's own folder.
pub(super) fn configuration_of(sandbox: &Sandbox) -> Result<Config, Failure> {
    let folder = folder_of(sandbox);
    let (config_home, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
    let places = Places::of_process(folder, config_home, home);
    ctrlz_config::load(&places, &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))
}

/// What the user and the host say, for what is about no project.
pub(super) fn configuration_without_project() -> Result<Config, Failure> {
    ctrlz_config::load(&crate::places::configuration(Path::new("/")), &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))
}

/// The checks that a configuration asks for: without a network, with a limit of time.
pub(super) fn checks(
    context: &Context,
    sandbox: &Sandbox,
    config: &Config,
) -> Result<Vec<RunRequest>, Failure> {
    if config.health.is_empty() {
        return Ok(Vec::new());
    }
    let how = CommandArguments::plain()?;
    let mut checks = Vec::with_capacity(config.health.len());
    for command in &config.health {
        let argv = ["/bin/sh", "-c", command].map(OsString::from);
        let task = Task { argv: &argv, config, how: &how, fresh: false, store: None, again: None };
        let mut request = task.request(context, sandbox, None)?;
        request.title = redact(command).into_owned();
        request.workdir = sandbox.mount_point().to_owned();
        request.network = Network::None;
        // What it writes is dropped.
        request.least_free = None;
        request.limits.timeout = request.limits.timeout.or(Some(TIMEOUT));
        checks.push(request);
    }
    Ok(checks)
}

/// Runs checks; what they print goes to standard error.
pub(super) fn run(
    core: &SandboxCore<'_>,
    sandbox: &Sandbox,
    checks: &[RunRequest],
) -> Result<Vec<HealthResult>, Failure> {
    let output = Redirected::begin()?;
    let results = core.check_health(sandbox, checks);
    drop(output);
    Ok(results?)
}

/// After a command: one that changed something, or that is watched, is followed by the checks.
/// Passing them makes the point known to be good; failing them is told, and, where the configuration
/// says so, an emergency. So is what was unusual and not rolled back already.
pub(super) fn after(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
    report: &RunReport,
) -> Aftermath {
    let starts = config.recovery.emergency == EmergencyStart::Auto;
    let after = Some(report.operation);
    if starts && !report.anomalies.is_empty() && report.rolled_back.is_none() {
        let told: Vec<String> = report.anomalies.iter().map(ToString::to_string).collect();
        let reason = format!("unusual: {}", told.join(", "));
        let emergency = Emergency { reason: &reason, to: None, after };
        return emergency::by_itself((context, core), sandbox, config, emergency);
    }
    let watched = sandbox.guard.watched;
    if watched == 0 && (config.health.is_empty() || report.counts.is_empty()) {
        return Aftermath::default();
    }
    match follow((context, core), sandbox, config, report) {
        Ok(Some(reason)) if starts => {
            let emergency = Emergency { reason: &reason, to: None, after };
            emergency::by_itself((context, core), sandbox, config, emergency)
        }
        Ok(Some(_)) => {
            let name = &sandbox.name;
            eprintln!("  hint: `ctrlz recover --emergency {name}` returns to a good point");
            Aftermath::default()
        }
        Ok(None) => Aftermath::default(),
        Err(failure) => {
            let message = plain(failure.message());
            eprintln!("ctrlz: the health checks could not be run: {message}");
            Aftermath::default()
        }
    }
}

fn follow(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
    report: &RunReport,
) -> Result<Option<String>, Failure> {
    let checks = checks(context, sandbox, config)?;
    let failed: Vec<String> = if checks.is_empty() {
        let succeeded = report.command.exit.is_success() && report.command.stopped.is_none();
        if succeeded { Vec::new() } else { vec!["a watched command failed".to_owned()] }
    } else {
        let output = Redirected::begin()?;
        let results = core.earn_good(sandbox, &checks);
        drop(output);
        let failed = results?.into_iter().filter(|result| !result.passed);
        failed.map(|one| format!("`{}` fails ({})", one.check, one.evidence)).collect()
    };
    if sandbox.guard.watched > 0 {
        core.store().change_guard(sandbox.id, &GuardChange::CountDown)?;
    }
    if failed.is_empty() {
        return Ok(None);
    }
    let reason = failed.join(", ");
    eprintln!("ctrlz: {}", plain(&reason));
    // An emergency tells it itself, when nothing stands in its way any more.
    if config.recovery.emergency == EmergencyStart::Manual {
        let good = core.known_good(sandbox, !checks.is_empty())?.map(|snapshot| snapshot.id);
        core.require_rollback(sandbox, reason.clone(), good)?;
    }
    Ok(Some(reason))
}
