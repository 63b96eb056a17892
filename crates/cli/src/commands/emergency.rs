//! Emergency recovery, `ctrlz recover --emergency` and `ctrlz release`.

use ctrlz_config::Config;
use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::isolation::Network;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{GuardChange, Sandbox};
use ctrlz_core::store::StoreError;
use ctrlz_engine::{EngineError, HealthResult, SandboxCore};
use ctrlz_policy::redact;
use serde::Serialize;

use super::{end, known_good};
use crate::Answer;
use crate::arguments::{RecoverArguments, ReleaseArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, REFUSED};
use crate::show::{self, counts_in_words, plain};

/// What is said when nothing is wrong.
pub(super) const NO_EMERGENCY: &str = "no health check fails";

/// What is wrong, and what is known of where to return to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Emergency<'e> {
    /// What is wrong, without secrets.
    pub(super) reason: &'e str,
    /// Return to this, whether it is known to be good or not.
    pub(super) to: Option<SnapshotId>,
    /// What is wrong came of this operation: when another one came since, somebody has acted.
    pub(super) after: Option<OperationId>,
}

/// What came of an emergency.
#[derive(Debug, Serialize)]
pub(crate) struct Recovered {
    reason: String,
    /// What ran: its process 1 and how it was frozen.
    frozen: Option<Frozen>,
    /// The network of what ran.
    network: Option<Network>,
    /// The process that ran something in it, and was ended.
    stopped: Option<u32>,
    to: SnapshotId,
    operation: OperationId,
    left_behind: SnapshotId,
    counts: Option<ChangeCounts>,
    checks: Vec<HealthResult>,
    watched: u32,
}

#[derive(Debug, Serialize)]
struct Frozen {
    process: u32,
    by: String,
}

impl Recovered {
    fn is_well(&self) -> bool {
        self.checks.iter().all(|result| result.passed)
    }

    /// What it did, a line each.
    fn lines(&self, name: &SandboxName) -> Vec<String> {
        let mut lines = vec![format!("{name}: {}", plain(&self.reason))];
        if let Some(Frozen { process, by }) = &self.frozen {
            lines.push(format!("  frozen      process {process} and what it started ({by})"));
            lines.push(match self.network {
                Some(Network::None) => "  network     it had none but its own".to_owned(),
                Some(Network::Host) => {
                    "  network     it had the host's, and did nothing in it since".to_owned()
                }
                None => {
                    "  network     nobody tells which it had; it did nothing in it since".to_owned()
                }
            });
        }
        lines.push(format!(
            "  contained   nothing runs in it with a network until `ctrlz release {name}`"
        ));
        if let Some(pid) = self.stopped {
            lines.push(format!("  stopped     process {pid}, which ran in it"));
        }
        let counts = match &self.counts {
            Some(counts) => counts_in_words(counts),
            None => "what it changed cannot be told".to_owned(),
        };
        lines.push(format!("  returned    to {} as {}: {counts}", self.to, self.operation));
        lines.push(format!("  kept        what was there before is {}", self.left_behind));
        lines.extend(check_lines(&self.checks));
        let watched = self.watched;
        lines.push(format!(
            "  watched     the next {watched} operations are followed by the health checks"
        ));
        lines
    }
}

pub(crate) fn emergency(name: &SandboxName, arguments: &RecoverArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(name))?;
    let config = configuration(&sandbox, arguments.reason.is_some())?;
    let reason = match &arguments.reason {
        Some(reason) => redact(reason).into_owned(),
        None => detected(&context, &sandbox, &config)?,
    };
    let emergency = Emergency { reason: &reason, to: arguments.to, after: None };
    let recovered = context.with_core(WhenBusy::Wait, |core| {
        carry_out((&context, core), &sandbox, &config, emergency)
    })?;
    let Some(recovered) = recovered else { return show::done() };
    if json {
        let mut fields = vec![("sandbox", show::to_json(&sandbox.name)?)];
        if let serde_json::Value::Object(object) = show::to_json(&recovered)? {
            for key in KEYS {
                fields.extend(object.get(key).map(|value| (key, value.clone())));
            }
        }
        show::print_json(&fields);
    } else {
        for line in recovered.lines(&sandbox.name) {
            println!("{line}");
        }
    }
    Ok(u8::from(!recovered.is_well()))
}

/// The configuration of a sandbox. Who knows what is wrong is not kept from it by one that cannot be read:
/// then it is done without the project's, and so without health checks of its own.
fn configuration(sandbox: &Sandbox, is_known: bool) -> Result<Config, Failure> {
    let failure = match known_good::configuration_of(sandbox) {
        Err(failure) if is_known => failure,
        read => return read,
    };
    let Ok(config) = known_good::configuration_without_project() else { return Err(failure) };
    eprintln!("ctrlz: without the configuration of its folder: {}", plain(failure.message()));
    Ok(config)
}

/// The fields of [`Recovered`], in the order in which they are printed.
const KEYS: [&str; 10] = [
    "reason",
    "frozen",
    "network",
    "stopped",
    "to",
    "operation",
    "left_behind",
    "counts",
    "checks",
    "watched",
];

/// What the health checks find wrong. What is running holds the sandbox; then only the one who calls
/// can know.
fn detected(context: &Context, sandbox: &Sandbox, config: &Config) -> Result<String, Failure> {
    let checks = known_good::checks(context, sandbox, config)?;
    let found = match end::holder(context.store(), sandbox)?.is_none() && !checks.is_empty() {
        true => {
            context.with_core(WhenBusy::Fail, |core| known_good::run(core, sandbox, &checks))?
        }
        false => Vec::new(),
    };
    let failed: Vec<String> = found
        .iter()
        .filter(|result| !result.passed)
        .map(|one| format!("`{}` fails ({})", one.check, one.evidence))
        .collect();
    if failed.is_empty() {
        return Err(Failure::new(REFUSED, "no-emergency", NO_EMERGENCY)
            .hint("give --reason TEXT when you know better, or use `ctrlz rollback`"));
    }
    Ok(failed.join(", "))
}

/// Contains a sandbox, returns to where it was well, and looks at that. Nothing when somebody has
/// acted already.
pub(super) fn carry_out(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
    emergency: Emergency<'_>,
) -> Result<Option<Recovered>, Failure> {
    let Emergency { reason, to, after } = emergency;
    let checks = known_good::checks(context, sandbox, config)?;
    if let Some(after) = after
        && core.has_stepped_back(sandbox, after)?
    {
        return Ok(None);
    }
    if let Some(id) = to {
        core.check_snapshot(sandbox, id, false)?;
    }
    let watched = config.recovery.watched;
    let contained = core.contain(sandbox, reason, watched)?;
    // Before anything ends: without a way back, what is frozen stays so for somebody to look at.
    let good = match to {
        Some(id) => Some(id),
        None => core.known_good(sandbox, !checks.is_empty())?.map(|snapshot| snapshot.id),
    };
    if let Some(id) = good.filter(|_| contained.by.is_some())
        && let Err(error) = core.check_snapshot(sandbox, id, true)
    {
        return Err(Failure::from(error)
            .detail(format!("`{}` is contained, and what runs in it is frozen", sandbox.name))
            .hint("choose another: `ctrlz snapshots --all`, then the same with --to SNAP"));
    }
    // Told before it is done: should this process be killed, the daemon goes on.
    core.require_rollback(sandbox, reason.to_owned(), good)?;
    let Some(to) = good else {
        // What cannot be frozen must not go on, either.
        if contained.process.is_some() && contained.by.is_none() {
            end::all(context.store(), core, sandbox)?;
        }
        return Err(unknown(sandbox, contained.by.is_some()));
    };
    let mut stopped = None;
    let returned = loop {
        stopped = stopped.or(end::all(context.store(), core, sandbox)?);
        match core.return_to_good(sandbox, to, after) {
            // Something has begun meanwhile.
            Err(EngineError::Store(StoreError::Busy { .. }) | EngineError::Suspended { .. }) => {}
            returned => break returned?,
        }
    };
    let Some(report) = returned else { return Ok(None) };
    let checks = match checks.is_empty() {
        true => Vec::new(),
        false => known_good::run(core, sandbox, &checks)?,
    };
    let frozen = contained.process.zip(contained.by).map(|(process, by)| Frozen { process, by });
    Ok(Some(Recovered {
        reason: reason.to_owned(),
        frozen,
        network: contained.network,
        stopped,
        to,
        operation: report.operation,
        left_behind: report.left_behind,
        counts: report.counts,
        checks,
        watched,
    }))
}

/// What came of an emergency that nobody asked for.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    /// Whether the sandbox is contained for it, which it also is when nothing else could be done.
    pub(super) contained: bool,
    /// What was done, when all of it was.
    pub(super) recovered: Option<Recovered>,
}

/// The same when nobody asked for it, which goes to standard error. Whatever fails is told there.
pub(super) fn by_itself(
    place: (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
    emergency: Emergency<'_>,
) -> Aftermath {
    match carry_out(place, sandbox, config, emergency) {
        Ok(Some(recovered)) => {
            for line in recovered.lines(&sandbox.name) {
                eprintln!("ctrlz: {}", line.trim_start());
            }
            Aftermath { contained: true, recovered: Some(recovered) }
        }
        Ok(None) => Aftermath::default(),
        Err(failure) => {
            failure.print(false);
            let now = place.0.store().sandbox(sandbox.id);
            let contained = now.is_ok_and(|now| now.guard.contained.is_some());
            Aftermath { contained, recovered: None }
        }
    }
}

/// What the checks said, a line each.
pub(super) fn print_checks(results: &[HealthResult]) {
    for line in check_lines(results) {
        println!("{line}");
    }
}

fn check_lines(results: &[HealthResult]) -> impl Iterator<Item = String> {
    results.iter().map(|HealthResult { check, passed, evidence }| {
        let word = if *passed { "passes" } else { "FAILS" };
        format!("  health      `{}` {word} ({evidence})", plain(check))
    })
}

fn unknown(sandbox: &Sandbox, frozen: bool) -> Failure {
    let frozen = if frozen { ", and what runs in it is frozen" } else { "" };
    let message = format!(
        "sandbox `{}` is contained{frozen}, but no point is known to be good",
        sandbox.name
    );
    Failure::new(REFUSED, "no-good-point", message)
        .hint("choose one: `ctrlz snapshots --all`, then the same with --to SNAP")
}

pub(crate) fn release(arguments: &ReleaseArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    if sandbox.guard.contained.is_none() {
        let message = format!("sandbox `{}` is not contained", sandbox.name);
        return Err(Failure::new(REFUSED, "not-contained", message));
    }
    let guard = context.store().change_guard(sandbox.id, &GuardChange::Release)?;
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("watched", guard.watched.into()),
        ]);
    } else {
        println!("{} is released; {} more operations are checked", sandbox.name, guard.watched);
    }
    show::done()
}
