//! What may take long, answered when it is done or, with `Prefer: respond-async`, at once by a process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::watch;

use super::operations::{accepted, says};
use crate::auth::{Caller, word};
use crate::errand::Errand;
use crate::execute::end;
use crate::halt::Halt;
use crate::problem::Problem;
use crate::processes::{Ended, Ends, Kind, Log, Process, keep};
use crate::service::Service;

/// How many errands of a tenant may be under way or wait for their turn, besides those that somebody waits for.
const PENDING: usize = 64;

/// Carries out an errand: its answer, or where its process is. It goes on when the client does not wait.
pub(super) async fn answered(
    who: (&Arc<Service>, &Caller),
    headers: &HeaderMap,
    errand: Errand,
) -> Result<Response, Problem> {
    let (service, caller) = (Arc::clone(who.0), who.1.clone());
    let (title, sandbox) = (errand.title(), errand.sandbox().map(ToString::to_string));
    let halt = Halt::default();
    let asked = halt.clone();
    let work = async move { service.errand(&caller, errand, asked).await };
    answered_with(who, headers, (title, sandbox.unwrap_or_default()), (work, halt)).await
}

/// The same for an errand that needs something before.
pub(super) async fn answered_with(
    (service, caller): (&Arc<Service>, &Caller),
    headers: &HeaderMap,
    about: (String, String),
    (work, halt): (impl Future<Output = Result<Value, Problem>> + Send + 'static, Halt),
) -> Result<Response, Problem> {
    if says(headers, "prefer", "respond-async") {
        return accepted(&*begin(service, caller, about, (work, halt)).await?);
    }
    Ok(Json(done(work).await?).into_response())
}

/// What came of work that goes on whoever waits for it.
async fn done(work: impl Future<Output = Ended> + Send + 'static) -> Ended {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Problem::internal(format!("it ended in the middle: {error}")))?
}

async fn begin(
    service: &Arc<Service>,
    caller: &Caller,
    (title, sandbox): (String, String),
    (work, halt): (impl Future<Output = Ended> + Send + 'static, Halt),
) -> Result<Arc<Process>, Problem> {
    let is_pending = |one: &&Arc<Process>| one.kind == Kind::Errand && !one.has_ended();
    if service.processes.list(&caller.tenant, None).iter().filter(is_pending).count() >= PENDING {
        let title = format!("{PENDING} errands of this tenant are under way already");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title);
        return Err(problem.retry_after(10));
    }
    let shelf = service.shelf(&caller.tenant);
    let shelf = shelf.ok_or_else(|| Problem::internal("the tenant's store is gone"))?;
    let process = Arc::new(Process {
        id: word(16)?,
        kind: Kind::Errand,
        tenant: caller.tenant.clone(),
        sandbox,
        title,
        started: service.now(),
        operation: watch::Sender::new(None),
        log: Log::stored(false),
        kept: watch::Sender::new(false),
        ended: watch::Sender::new(None),
        has_terminal: false,
        ends: Ends::closed(),
        is_given_up: AtomicBool::new(false),
        halt,
    });
    service.processes.add(&process);
    let keeping = tokio::spawn(keep(Arc::clone(&process), Arc::clone(&shelf), true));
    let (service, running) = (Arc::clone(service), Arc::clone(&process));
    tokio::spawn(async move {
        let ended = done(work).await;
        running.log.close();
        end(&service, running, (shelf, keeping.await.ok().flatten()), ended).await;
    });
    // The sender lives as long as the process.
    let _ = process.kept.subscribe().wait_for(|kept| *kept).await;
    Ok(process)
}
