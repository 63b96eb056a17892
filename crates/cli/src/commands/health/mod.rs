//! `ctrlz health`.

mod host;

use std::path::Path;

use ctrlz_config::{Config, Flags};
use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::health::{Finding, Remedy, StoreFacts, Thresholds};
use ctrlz_core::id::OperationId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_engine::health::{gravest, judge};
use ctrlz_sinks::{Position, status};
use ctrlz_store::audit::Notary;
use rustix::mount::{UnmountFlags, unmount};

use super::archive::archive_facts;
use super::end::{self, Ended};
use super::gc;
use crate::Answer;
use crate::arguments::HealthArguments;
use crate::clock;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::places;
use crate::show::{self, Style, plain};

pub(crate) fn health(arguments: &HealthArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let thresholds = thresholds(&configuration()?);
    let mut findings = look(&context, thresholds)?;
    let mut done = Vec::new();
    if arguments.fix {
        for finding in &findings {
            done.extend(fix(&context, finding)?);
        }
        findings = look(&context, thresholds)?;
    }
    tell(&findings, &done, json)
}

pub(crate) fn tell(findings: &[Finding], done: &[String], json: bool) -> Answer {
    let severity = gravest(findings);
    let code = match severity {
        Severity::Ok => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    };
    if json {
        show::print_json(&[
            ("severity", show::to_json(&severity)?),
            ("findings", show::to_json(&findings)?),
            ("fixed", show::to_json(&done)?),
        ]);
        return Ok(code);
    }
    for line in done {
        println!("{}", plain(line));
    }
    let style = Style::stdout();
    for finding in findings {
        let mark = match finding.severity {
            Severity::Ok => style.green("✓"),
            Severity::Warning => style.yellow("!"),
            Severity::Critical => style.red("✗"),
        };
        println!("{mark} {:<15} {}", finding.check, plain(&finding.evidence));
        if !finding.advice.is_empty() {
            println!("  {:<15} {}", "", style.dim(&finding.advice));
        }
    }
    Ok(code)
}

/// Looks at everything.
pub(super) fn look(context: &Context, thresholds: Thresholds) -> Result<Vec<Finding>, Failure> {
    let now = clock::now();
    let mut facts = context.with_core(WhenBusy::Fail, |core| Ok(core.store_facts(now)))?;
    add_evidence(context, &mut facts)?;
    add_sinks(context, &mut facts);
    facts.archive = archive_facts(context, now);
    facts.usage = context.check_samples();
    Ok(judge(&host::facts(&context.directory), &facts, thresholds))
}

/// The configuration of where somebody stands.
pub(super) fn configuration() -> Result<Config, Failure> {
    let folder = places::working_folder().unwrap_or_else(|_| "/".into());
    ctrlz_config::load(&places::configuration(&folder), &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))
}

/// What a configuration says is critical.
pub(super) fn thresholds(config: &Config) -> Thresholds {
    let critical = config.monitoring_config.critical_thresholds;
    Thresholds {
        cpu_percent: critical.cpu_percent,
        memory_percent: critical.memory_percent,
        disk_percent: critical.disk_percent,
        inodes_percent: critical.inodes_percent,
        open_files_percent: critical.open_files_percent,
        tasks_percent: critical.tasks_percent,
        read_only_below: config.monitoring.read_only_below,
        stuck_after: config.monitoring.stuck_after,
    }
}

fn add_evidence(context: &Context, facts: &mut StoreFacts) -> Result<(), Failure> {
    let signed = Notary::of(&context.directory)
        .signed_to()
        .map_err(|error| Failure::caused(OWN_FAILURE, "audit", &error))?;
    // A log that cannot be read, the check of the database tells.
    if signed > 0
        && let Ok(head) = context.store().log_head()
    {
        facts.unsigned = Some(u64::try_from(head.last - signed).unwrap_or(0));
    }
    Ok(())
}

fn add_sinks(context: &Context, facts: &mut StoreFacts) {
    let sinks = match super::sinks::configured() {
        Ok(sinks) => sinks,
        Err(failure) => {
            facts.sinks.push(("sinks.yaml".to_owned(), failure.into_message()));
            return;
        }
    };
    for sink in sinks {
        let folder = super::sinks::folder(&context.directory);
        let wrong = match status(context.store(), &folder, &sink) {
            Err(error) => error.to_string(),
            Ok(found) => trouble(&found.position, found.pending),
        };
        if !wrong.is_empty() {
            facts.sinks.push((sink.name, wrong));
        }
    }
}

/// So many events that wait for a sink are more than a busy moment leaves.
const LAGGING: i64 = 1000;

/// What is wrong with a sink, in words. What it says itself is not told: findings become events,
/// and that may be anything. `ctrlz sinks` shows it.
fn trouble(position: &Position, pending: i64) -> String {
    let mut parts = Vec::new();
    if position.dead > 0 {
        parts.push(format!("{} dead letters", position.dead));
    }
    if position.lost > 0 {
        parts.push(format!("{} lost events", position.lost));
    }
    if position.failures > 0 {
        parts.push("fails".to_owned());
    }
    if pending >= LAGGING {
        parts.push(format!("{pending} events wait for it"));
    }
    parts.join(", ")
}

/// Does what ctrlz can do about a finding, and tells it in the event log; answers what was done, in
/// words.
pub(super) fn fix(context: &Context, finding: &Finding) -> Result<Vec<String>, Failure> {
    let done: Vec<String> = finding.remedies.iter().map(|remedy| apply(context, remedy)).collect();
    if !done.is_empty() {
        let changed = HealthChanged {
            check: finding.check.clone(),
            severity: finding.severity,
            evidence: done.join("; "),
            remedy: "done by ctrlz".to_owned(),
        };
        context.store().emit(None, Happening::HealthChanged(changed))?;
    }
    Ok(done)
}

fn apply(context: &Context, remedy: &Remedy) -> String {
    let told = |what: String, result: Result<(), String>| match result {
        Ok(()) => what,
        Err(error) => format!("{what}: failed: {error}"),
    };
    match remedy {
        Remedy::Recover => {
            let result = context.with_core(WhenBusy::Fail, |core| Ok(core.recover()?));
            match result {
                Ok(recovered) => format!("recovered {} operations", recovered.len()),
                Err(failure) => format!("recovery failed: {}", failure.into_message()),
            }
        }
        Remedy::Retain => match gc::retain(context) {
            Ok((snapshots, freed)) => {
                format!("let {snapshots} snapshots go, {} freed", ByteSize(freed))
            }
            Err(failure) => format!("retention failed: {}", failure.into_message()),
        },
        Remedy::MergeLayers => {
            let is_ours = |sandbox: &Sandbox| !sandbox.root.has_many_owners();
            let result = context
                .with_core(WhenBusy::Fail, |core| Ok(core.merge_chains(&is_ours, &|| true)?));
            match result {
                Ok(merged) => {
                    let names: Vec<String> = merged.iter().map(ToString::to_string).collect();
                    format!("merged the layers of {} sandboxes: {}", names.len(), names.join(", "))
                }
                Err(failure) => format!("merging layers failed: {}", failure.into_message()),
            }
        }
        Remedy::EndOperation { sandbox, operation } => end(context, sandbox, *operation)
            .unwrap_or_else(|failure| {
                format!("ending {operation} in `{sandbox}` failed: {}", failure.into_message())
            }),
        Remedy::Detach { path } => {
            let result = unmount(path.as_path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
            told(format!("detached {}", shown(path)), result.map_err(|errno| errno.to_string()))
        }
        Remedy::RemoveControlGroup { path } => {
            let result = std::fs::remove_dir(path).map_err(|error| error.to_string());
            told(format!("removed the control group {}", shown(path)), result)
        }
    }
}

/// Ends what an operation runs that does not end by itself. Its ctrlz keeps what that wrote; where there
/// is none, it is taken back.
fn end(context: &Context, name: &SandboxName, operation: OperationId) -> Result<String, Failure> {
    let sandbox = context.sandbox(Some(name))?;
    context.with_core(WhenBusy::Fail, |core| {
        Ok(match end::operation(context.store(), core, &sandbox, operation)? {
            Ended::Over => format!("{operation} in `{name}` has ended by itself"),
            Ended::Kept => format!("ended {operation} in `{name}`, and what it wrote is kept"),
            Ended::Keeping(pid) => {
                format!("ended {operation} in `{name}`; process {pid} keeps what it wrote")
            }
            Ended::Left => {
                core.recover()?;
                format!("ended {operation} in `{name}`, and took it back: its ctrlz is gone")
            }
            Ended::RunsNothing(pid) => format!(
                "{operation} in `{name}` runs nothing any more, and process {pid} has not journaled that: \
                 should it hang, end it"
            ),
        })
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sink_says_is_not_told() {
        let error = "password=hunter2".to_owned();
        let position = Position { dead: 2, lost: 1, failures: 3, error, ..Position::default() };
        assert_eq!(trouble(&position, 999), "2 dead letters, 1 lost events, fails");
        let well = Position::default();
        assert_eq!(trouble(&well, LAGGING), "1000 events wait for it");
        assert_eq!(trouble(&well, LAGGING - 1), "");
    }
}
