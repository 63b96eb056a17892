//! Processes by their ids, those of services before this one among them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ctrlz_core::id::OperationId;
use ctrlz_core::operation::{Operation, Status};
use ctrlz_core::tenancy::TenantName;
use serde_json::json;
use tokio::sync::watch;

use super::shelf::{End, Output, Shelf, Stored, written};
use super::{Ended, Ends, Kind, Log, Process, exit_code};
use crate::auth::Caller;
use crate::halt::Halt;
use crate::problem::Problem;
use crate::service::{Service, blocking};

/// The kind of problem of a process that the end of its service cut short.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// One of the caller's tenant's.
///
/// # Errors
/// When there is none, or what is stored cannot be read.
pub(crate) async fn find(
    service: &Arc<Service>,
    caller: &Caller,
    id: &str,
) -> Result<Arc<Process>, Problem> {
    if let Some(process) = service.processes.get(&caller.tenant, id) {
        return Ok(process);
    }
    let none = || Problem::not_found("process", id);
    let shelf = service.shelf(&caller.tenant).ok_or_else(none)?;
    let (wanted, of) = (id.to_owned(), Arc::clone(&shelf));
    let found = blocking(move || of.find(&wanted).map_err(unread)).await?.ok_or_else(none)?;
    let found = concluded(service, caller, &shelf, vec![found]).await?.pop();
    found.ok_or_else(none)
}

/// The caller's tenant's, in one sandbox or in all, the oldest first.
///
/// # Errors
/// When what is stored cannot be read.
pub(crate) async fn list(
    service: &Arc<Service>,
    caller: &Caller,
    sandbox: Option<&str>,
) -> Result<Vec<Arc<Process>>, Problem> {
    // In this order: what ends meanwhile is among them, or stored.
    let mut all = service.processes.list(&caller.tenant, None);
    if let Some(shelf) = service.shelf(&caller.tenant) {
        let of = Arc::clone(&shelf);
        let mut stored = blocking(move || of.all().map_err(unread)).await?;
        stored.retain(|one| all.iter().all(|known| known.id != one.about.id));
        all.extend(concluded(service, caller, &shelf, stored).await?);
    }
    all.retain(|one| sandbox.is_none_or(|name| one.sandbox == name));
    all.sort_by_key(|one| one.started);
    Ok(all)
}

fn unread(error: std::io::Error) -> Problem {
    Problem::internal(format!("cannot read the logs of processes: {error}"))
}

/// What was stored, as processes that have ended. How those ended that the end of their service cut short is
/// what the journal says.
async fn concluded(
    service: &Arc<Service>,
    caller: &Caller,
    shelf: &Arc<Shelf>,
    stored: Vec<Stored>,
) -> Result<Vec<Arc<Process>>, Problem> {
    let unknown = stored.iter().filter(|one| one.end.is_none());
    let ids: Vec<OperationId> = unknown.filter_map(|one| one.operation).collect();
    let mut journaled = match ids.is_empty() {
        true => Vec::new(),
        false => {
            let find = service.with_core(caller, move |core| {
                // One that is not there went with its sandbox.
                Ok(ids.into_iter().filter_map(|id| core.store().operation(id).ok()).collect())
            });
            find.await?
        }
    };
    let shelf = Arc::clone(shelf);
    let tenant = caller.tenant.clone();
    blocking(move || {
        let conclude = |one: Stored| {
            let at = journaled.iter().position(|found: &Operation| Some(found.id) == one.operation);
            let operation = at.map(|at| journaled.swap_remove(at));
            Arc::new(conclude(&shelf, &tenant, one, operation))
        };
        Ok(stored.into_iter().map(conclude).collect())
    })
    .await
}

fn conclude(
    shelf: &Shelf,
    tenant: &TenantName,
    stored: Stored,
    operation: Option<Operation>,
) -> Process {
    let written = written(&stored);
    let ended = match stored.end {
        Some(ref end) => Ended::from(end.outcome.clone()),
        None => {
            let ended = from_journal(&stored, operation.as_ref());
            // Before somebody uses the sandbox it is not known what comes of it.
            if operation.is_none_or(|found| found.status != Status::Open) {
                // What cannot be written down is found out again next time.
                let _ = shelf.conclude(&stored.about.id, End { written, outcome: (&ended).into() });
            }
            ended
        }
    };
    let log = match stored.output {
        Output::Folder(folder) => Log::in_folder(folder, written),
        Output::Pieces(pieces) => Log::with(pieces, written),
    };
    log.close();
    Process {
        id: stored.about.id,
        kind: stored.about.kind,
        tenant: tenant.clone(),
        sandbox: stored.about.sandbox,
        title: stored.about.title,
        started: stored.about.started,
        operation: watch::Sender::new(stored.operation),
        log,
        kept: watch::Sender::new(true),
        ended: watch::Sender::new(Some(Arc::new(ended))),
        has_terminal: stored.about.terminal,
        ends: Ends::closed(),
        is_given_up: AtomicBool::new(false),
        halt: Halt::default(),
    }
}

/// What came of a process whose service ended before it could say so.
fn from_journal(stored: &Stored, operation: Option<&Operation>) -> Ended {
    let interrupted = |title: &str, hint: &str| {
        let problem = Problem::of_kind(INTERRUPTED, title).hint(hint);
        match stored.operation {
            Some(id) => problem.with("operation", id.to_string()),
            None => problem,
        }
    };
    if stored.about.kind == Kind::Errand {
        let title = "the service ended while this was carried out";
        let hint =
            "it may have gone on by itself: look what became of it before you ask for it again";
        return Err(interrupted(title, hint));
    }
    let Some(operation) = operation else {
        let title = "the service ended before this began";
        return Err(interrupted(title, "nothing of it is in the journal: ask for it again"));
    };
    match (operation.status, &operation.outcome.command) {
        (Status::Done | Status::Undone, Some(command)) => Ok(json!({
            "process": stored.about.id,
            "sandbox": stored.about.sandbox,
            "operation": operation.id,
            "command": command,
            "exit_code": exit_code(command),
            "risk": operation.request.verdict.as_ref().map(|verdict| verdict.risk.name()),
            "counts": operation.outcome.counts,
            "anomalies": operation.outcome.anomalies,
            "taken_back": operation.status == Status::Undone,
        })),
        _ => {
            let title = "the service ended while this ran";
            let hint = "the sandbox returns to the point before it, at the latest when it is used next; the \
                        process's log has what it wrote until then";
            let problem = interrupted(title, hint);
            Err(problem.details(operation.outcome.error.iter().cloned().collect()))
        }
    }
}
