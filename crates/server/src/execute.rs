//! From a command that a client asks for to a process: judged, approved where that is needed, in
//! turn, and then on its own.

mod decline;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::http::StatusCode;
use ctrlz_core::isolation::Streams;
use ctrlz_core::monitor::Anomaly;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{Confirmation, Quotas};
use ctrlz_core::time::Timestamp;
use ctrlz_core::verdict::{Decision, Risk};
use ctrlz_core::verdict_record::{Approval, Approver, VerdictRecord};
use ctrlz_engine::{Progress, RunReport};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use self::decline::decline;
use crate::auth::{self, Caller};
use crate::halt::Halt;
use crate::held::Held;
use crate::metrics::Timing;
use crate::port::{Command, Judged, Order, Ran, Session};
use crate::problem::Problem;
use crate::processes::{
    Ended, Entry, Kind, Log, Process, Shelf, add_short, exit_code, keep, pipes,
};
use crate::quota::Admitted;
use crate::service::{Service, blocking, on_core, unregistered};
use crate::telemetry::{self, Current, Phase, Trace};

/// How long an approval may be waited for, and used, in nanoseconds: ten minutes.
const CONFIRMATION: i64 = 600_000_000_000;
/// How many operations of a tenant may wait for an approval.
const WAITING: usize = 256;
/// How many characters of a command somebody who approves it is told.
const TITLE: usize = 4096;

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) sandbox: String,
    pub(crate) command: Command,
    /// The confirmation that lets it run.
    pub(crate) confirmation: Option<String>,
    /// Whether it waits for those who follow its output.
    pub(crate) hold_output: bool,
    /// Whether nobody waits for it, so that it is stored before anybody is told that it began.
    pub(crate) is_background: bool,
}

/// Lets a command begin as soon as it is its turn. It goes on whoever waits for it.
///
/// # Errors
/// When it may not run: it is blocked, to be confirmed, or beyond the tenant's quotas.
pub(crate) async fn start(
    service: &Arc<Service>,
    caller: &Caller,
    ask: Ask,
) -> Result<Arc<Process>, Problem> {
    let current = telemetry::current();
    let traces = service.parts.traces.as_ref();
    let mut trace = Trace::begin(traces, &current, caller.tenant.as_str());
    match admit(service, caller, ask, &mut trace).await {
        Ok((begun, admitted)) => {
            let is_background = begun.is_background;
            let process = launch(service, caller, begun, admitted, (trace, current))?;
            if is_background {
                // The sender lives as long as the process.
                let _ = process.kept.subscribe().wait_for(|kept| *kept).await;
            }
            Ok(process)
        }
        Err(problem) => {
            let (tenant, token) = (caller.tenant.as_str(), caller.token.as_str());
            let (id, kind) = (&*current.id, problem.kind());
            tracing::info!(request_id = id, tenant, token, kind, "operation refused");
            trace.end(Some(problem.kind()));
            Err(problem)
        }
    }
}

/// Lets a command in: it is judged, approved where that is needed, and within the tenant's quotas.
async fn admit(
    service: &Arc<Service>,
    caller: &Caller,
    ask: Ask,
    trace: &mut Trace,
) -> Result<(Begun, Admitted), Problem> {
    let Ask { sandbox, mut command, confirmation, hold_output, is_background } = ask;
    let who = caller.clone();
    let (inner, asked) = (Arc::clone(service), confirmation.is_some());
    trace.enter(Phase::Validate);
    let (sandbox, command, judged, admitted) = service
        .with(caller, move |session| {
            let quotas = inner.quotas(&who)?;
            bound_memory(&mut command, &quotas)?;
            inner.disk.room(session, &who.tenant, &quotas)?;
            command.most_disk = quotas.disk.map(ByteSize);
            let sandbox = on_core(session, |core| Ok(core.store().sandbox_named(&sandbox)?))?;
            // Before it is judged, which is work: what is refused then counts as well.
            let admitted = inner.quota.admit(&who.tenant, &quotas, Instant::now())?;
            let judged = session.judge(&sandbox, &command)?;
            may_begin(&inner, &who, session, (&sandbox, &command, &judged), asked)?;
            Ok((sandbox, command, judged, admitted))
        })
        .await?;
    let input = command.input.as_ref().map_or(0, Vec::len);
    // It is there twice: one goes to the command.
    let held = service.memory.take(&caller.tenant, input.saturating_mul(2))?;
    trace.enter(Phase::Wait);
    trace.learn("ctrlz.risk", judged.record.risk.name());
    trace.learn("ctrlz.decision", judged.decision.name());
    let begun = Begun { sandbox, command, judged, confirmation, hold_output, is_background, held };
    Ok((begun, admitted))
}

/// Errs when a command asks for more memory than it may have.
fn bound_memory(command: &mut Command, quotas: &Quotas) -> Result<(), Problem> {
    if let (Some(most), Some(memory)) = (quotas.memory, command.memory)
        && memory.0 > most
    {
        let title = format!("this tenant's operations may have {most} bytes of memory");
        return Err(Problem::new(StatusCode::FORBIDDEN, "quota", title));
    }
    command.most_memory = quotas.memory.map(ByteSize);
    Ok(())
}

/// What was let begin.
struct Begun {
    sandbox: Sandbox,
    command: Command,
    judged: Judged,
    confirmation: Option<String>,
    hold_output: bool,
    is_background: bool,
    /// What its input takes.
    held: Held,
}

/// Errs when a command may not run, or not before somebody approved it.
fn may_begin(
    service: &Arc<Service>,
    caller: &Caller,
    session: &dyn Session,
    (sandbox, command, judged): (&Sandbox, &Command, &Judged),
    asked: bool,
) -> Result<(), Problem> {
    if judged.decision != Decision::Allow {
        service.metrics.violation(judged.record.risk.name(), judged.decision.name());
    }
    match judged.decision {
        Decision::Confirm if command.input.is_none() => {
            let title = "what has to be confirmed has all of its input with it, not `open_stdin`";
            Err(refused("unconfirmed", title, judged))
        }
        Decision::Confirm if !asked => {
            Err(ask_for_approval(service, caller, (sandbox, command), judged)?)
        }
        Decision::Allow | Decision::Confirm => Ok(()),
        Decision::Block => {
            let operation = session.refuse(sandbox, command, judged, "blocked")?;
            Err(refused("blocked", "blocked: its risk is critical", judged)
                .hint("nothing ran; what is of critical risk never runs at a service")
                .with("operation", operation.to_string()))
        }
    }
}

/// The verdict with the approval that it needs, which is used up by that.
fn approved(
    service: &Service,
    caller: &Caller,
    (command, judged): (&Command, Judged),
    confirmation: Option<String>,
) -> Result<VerdictRecord, Problem> {
    let (Decision::Confirm, Some(id)) = (judged.decision, confirmation) else {
        return Ok(judged.record);
    };
    let used =
        service.parts.registry.use_up(&caller.tenant, &id, &bound(&judged, command), service.now());
    let by = used.map_err(|error| unregistered(&error))?;
    if by.is_none() {
        let title = "the confirmation is not one that was approved for this operation as it is now, \
                     or it was used, or has expired";
        return Err(refused("not-approved", title, &judged));
    }
    let approval = Approval { by: Approver::Client, hash: judged.hash };
    Ok(VerdictRecord { approval: Some(approval), ..judged.record })
}

fn refused(kind: &str, title: &str, judged: &Judged) -> Problem {
    Problem::of_kind(kind, title)
        .details(judged.reasons.clone())
        .with("risk", judged.record.risk.name())
        .with("score", judged.record.score)
        .with("rules", judged.record.rules.clone())
}

/// What a confirmation is bound to: all that an approval is, and what the command reads.
fn bound(judged: &Judged, command: &Command) -> String {
    let input = auth::digest(command.input.as_deref().unwrap_or_default());
    let input: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{input}", judged.hash)
}

fn ask_for_approval(
    service: &Arc<Service>,
    caller: &Caller,
    (sandbox, command): (&Sandbox, &Command),
    judged: &Judged,
) -> Result<Problem, Problem> {
    let now = service.now();
    let internal = |error: StoreError| unregistered(&error);
    let waiting = service.parts.registry.confirmations(&caller.tenant, now).map_err(internal)?;
    if waiting.len() >= WAITING {
        let title = format!("{WAITING} operations of this tenant wait for an approval already");
        return Ok(
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title).retry_after(60)
        );
    }
    let confirmation = Confirmation {
        id: auth::word(16)?,
        tenant: caller.tenant.clone(),
        sandbox: sandbox.name.to_string(),
        title: shortened(&judged.title),
        reasons: judged.reasons.clone(),
        stdin: judged.stdin.clone(),
        hash: bound(judged, command),
        asked_by: caller.token.clone(),
        created: now,
        expires: Timestamp(now.0.saturating_add(CONFIRMATION)),
        approved_by: None,
        used: false,
    };
    service.parts.registry.ask(&confirmation).map_err(internal)?;
    let id = confirmation.id;
    let approve = match caller.local {
        Some(_) => format!("you approve it with `ctrlz approve {id}` at a terminal"),
        None => {
            format!("somebody with the right to approve sends POST /v1/confirmations/{id}/approve")
        }
    };
    Ok(refused("unconfirmed", "not confirmed: its risk is high", judged)
        .with("confirmation", id.clone())
        .with("expires", confirmation.expires.rfc3339())
        .hint(format!(
            "nothing ran; {approve}, then send this again with \"confirmation\": \"{id}\""
        )))
}

/// A title for whoever approves, or looks at processes. What is left out is told: it would run as well.
fn shortened(title: &str) -> String {
    match title.char_indices().nth(TITLE) {
        None => title.to_owned(),
        Some((at, _)) => {
            let (told, rest) = title.split_at(at);
            format!("{told} … (and {} characters more, which are not shown)", rest.chars().count())
        }
    }
}

/// Runs what was judged, on a thread of its own.
fn launch(
    service: &Arc<Service>,
    caller: &Caller,
    begun: Begun,
    admitted: Admitted,
    (mut trace, current): (Trace, Current),
) -> Result<Arc<Process>, Problem> {
    let Begun { sandbox, command, judged, confirmation, hold_output, is_background, held } = begun;
    let risk = judged.record.risk;
    let failed =
        |error: std::io::Error| Problem::internal(format!("cannot make its streams: {error}"));
    let shelf = service.shelf(&caller.tenant);
    let shelf = shelf.ok_or_else(|| Problem::internal("the tenant's store is gone"))?;
    let (ends, outputs, streams) = pipes(command.terminal).map_err(failed)?;
    let process = Arc::new(Process {
        id: auth::word(16)?,
        kind: Kind::Operation,
        tenant: caller.tenant.clone(),
        sandbox: sandbox.name.to_string(),
        // It stays in memory and is stored once more: the journal has all of it.
        title: shortened(&judged.title),
        started: service.now(),
        operation: watch::Sender::new(None),
        log: Log::stored(hold_output),
        kept: watch::Sender::new(false),
        ended: watch::Sender::new(None),
        has_terminal: command.terminal.is_some(),
        ends,
        is_given_up: AtomicBool::new(false),
        halt: Halt::default(),
    });
    service.processes.add(&process);
    if let Some(input) = command.input.clone() {
        let process = Arc::clone(&process);
        tokio::spawn(async move {
            // A command that does not read all of its input has its reasons.
            let _ = process.ends.write(&input).await;
            process.ends.end_input().await;
        });
    }
    let reading = tokio::spawn({
        let process = Arc::clone(&process);
        async move { outputs.read(&process.log).await }
    });
    let keeping = tokio::spawn(keep(Arc::clone(&process), Arc::clone(&shelf), is_background));
    let (service, caller) = (Arc::clone(service), caller.clone());
    let whole = Arc::clone(&service);
    let running = Arc::clone(&process);
    tokio::spawn(async move {
        let (timing, begun) = (Timing::begin(&service, "run"), Instant::now());
        let process = Arc::clone(&running);
        // One after the other: who waits for the sandbox takes nobody's turn.
        let alone = service.sandboxes.alone(&caller.tenant, sandbox.name.as_str()).await;
        let turn = admitted.turn().await;
        let of = caller.clone();
        let ran = blocking(move || {
            let run = || {
                // Given up when the command has ended.
                let _held = (alone, turn?, admitted, held);
                if process.is_given_up.load(Ordering::Relaxed) {
                    return Err(Problem::of_kind("conflict", "it was ended before it began"));
                }
                let backend = &service.parts.backend;
                let session = backend.open(&caller.tenant, caller.actor())?;
                let room = room(&service, &caller, &*session)?;
                let verdict = approved(&service, &caller, (&command, judged), confirmation)?;
                let command = Command { room, ..command };
                run(&*session, &sandbox, (&command, verdict, streams), (&process, &mut trace))
            };
            let ran = run();
            Ok((ran, trace))
        });
        let (ran, trace) = match ran.await {
            Ok((ran, trace)) => (ran, trace),
            Err(problem) => (Err(problem), Trace::default()),
        };
        // What it wrote is told before its end.
        let _ = reading.await;
        running.ends.close().await;
        if let Ok(Ran { report, .. }) = &ran {
            timing.command(report);
        }
        tell(&current, &of, (&ran, begun), trace);
        let (success, ended) = answer(&running, risk, ran);
        timing.end(success);
        running.log.close();
        end(&whole, running, (shelf, keeping.await.ok().flatten()), ended).await;
    });
    Ok(process)
}

/// Tells what came of a process, once that is stored. A short one is stored after it is told, which holds
/// up nobody.
pub(crate) async fn end(
    service: &Arc<Service>,
    process: Arc<Process>,
    (shelf, entry): (Arc<Shelf>, Option<Entry>),
    ended: Ended,
) {
    let ended = Arc::new(ended);
    let is_background = entry.is_some();
    let store = {
        let (process, ended) = (Arc::clone(&process), Arc::clone(&ended));
        move || {
            let stored = match entry {
                Some(entry) => entry.end(*process.log.follow().borrow(), &ended),
                None => add_short(&process, &shelf, &ended),
            };
            stored.map_err(|error| Problem::internal(error.to_string()))
        }
    };
    if is_background {
        // What is not stored stays in memory.
        let is_stored = blocking(store).await.is_ok();
        process.ended.send_replace(Some(ended));
        if is_stored {
            service.processes.forget(&process.id);
        }
        return;
    }
    let storing = service.processes.storing();
    process.ended.send_replace(Some(ended));
    if let Err(problem) = blocking(store).await {
        tracing::error!(process = process.id, error = problem.in_words(), "process not kept");
    }
    drop(storing);
}

/// How much a command may add to the disk now that it is its turn: what is left, shared by what runs.
fn room(
    service: &Service,
    caller: &Caller,
    session: &dyn Session,
) -> Result<Option<ByteSize>, Problem> {
    let quotas = service.quotas(caller)?;
    let left = service.disk.room(session, &caller.tenant, &quotas)?;
    let running = service.quota.running(&caller.tenant).max(1) as u64;
    Ok(left.map(|left| ByteSize((left / running).max(1))))
}

fn run(
    session: &dyn Session,
    sandbox: &Sandbox,
    (command, verdict, streams): (&Command, VerdictRecord, Streams),
    (process, trace): (&Process, &mut Trace),
) -> Result<Ran, Problem> {
    trace.enter(Phase::Snapshot);
    let mut progress = |progress| match progress {
        Progress::Journaled(operation) => {
            trace.learn("ctrlz.operation", operation.to_string());
            process.operation.send_replace(Some(operation));
        }
        Progress::Running => trace.enter(Phase::Run),
        Progress::Ended => trace.enter(Phase::Grade),
        Progress::Graded => trace.enter(Phase::Record),
    };
    let order = Order { command, verdict, streams, progress: &mut progress };
    session.run(sandbox, order)
}

/// Tells of an operation that has ended, in the log and in its trace.
fn tell(
    current: &Current,
    caller: &Caller,
    (ran, begun): (&Result<Ran, Problem>, Instant),
    trace: Trace,
) {
    let milliseconds = telemetry::milliseconds(begun.elapsed());
    let (id, tenant, token) = (&*current.id, caller.tenant.as_str(), caller.token.as_str());
    match ran {
        Ok(Ran { report, .. }) => {
            let (operation, code) = (report.operation.to_string(), exit_code(&report.command));
            tracing::info!(
                request_id = id,
                operation,
                exit_code = code,
                milliseconds,
                tenant,
                token,
                "operation ended"
            );
            trace.learn("process.exit.code", code);
            trace.end(if succeeded(report) { None } else { Some("operation-failed") });
        }
        Err(problem) => {
            let kind = problem.kind();
            tracing::info!(
                request_id = id,
                kind,
                milliseconds,
                tenant,
                token,
                "operation did not run"
            );
            trace.end(Some(kind));
        }
    }
}

fn succeeded(report: &RunReport) -> bool {
    report.command.exit.is_success() && report.command.stopped.is_none()
}

/// Whether it succeeded, and what a waiting client is answered, but for the output.
fn answer(process: &Process, risk: Risk, ran: Result<Ran, Problem>) -> (bool, Ended) {
    let Ran { report, contained, emergency } = match ran {
        Ok(ran) => ran,
        Err(problem) => return (false, Err(problem)),
    };
    let commit = report.commit.as_ref();
    let commit = commit.map(|done| json!({ "operation": done.operation, "counts": done.counts }));
    let success = succeeded(&report);
    let answer = json!({
        "process": process.id,
        "sandbox": process.sandbox,
        "operation": report.operation,
        "command": report.command,
        "exit_code": exit_code(&report.command),
        "risk": risk.name(),
        "counts": report.counts,
        "taken_back": report.taken_back,
        "commit": commit,
        "anomalies": report.anomalies.iter().map(anomaly).collect::<Vec<_>>(),
        "rolled_back": report.rolled_back,
        "contained": report.contained || contained,
        "emergency": emergency,
        "unwatched": report.unwatched,
    });
    (success, Ok(answer))
}

/// An anomaly with its reason.
fn anomaly(anomaly: &Anomaly) -> Value {
    let mut value = json!(anomaly);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("reason".to_owned(), anomaly.to_string().into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_approves_a_long_command_is_told_that_there_is_more() {
        assert_eq!(shortened("true"), "true");
        let whole = "é".repeat(TITLE);
        assert_eq!(shortened(&whole), whole);
        let told = shortened(&format!("{whole}; rm"));
        assert!(told.starts_with(&whole) && told.contains("4 characters more"), "{told}");
    }
}
