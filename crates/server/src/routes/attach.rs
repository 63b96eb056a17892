//! A process over a WebSocket (RFC 6455): what it writes and reads, at once.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::listen::Listening;
use self::tell::Telling;
use super::extract::{Body, Path, Query};
use super::processes::From;
use crate::auth::{Acting, Caller, Looking};
use crate::places::Place;
use crate::port::TerminalSize;
use crate::problem::Problem;
use crate::processes::{Process, find};
use crate::service::Service;

mod listen;
mod tell;

/// How many clients may be attached to processes at once, and how many of them to those of one tenant.
pub(crate) const ATTACHED: u32 = 1024;
pub(crate) const ATTACHED_OF_ONE: usize = 256;
/// The largest message that is taken, in bytes. Larger ones end the connection.
const LARGEST: usize = 64 << 10;
/// What a message may have before it is not even read.
const UNREAD: usize = 1 << 20;
/// What may wait to be sent: a message at a time, of which the result is the largest.
const UNSENT: usize = 8 << 20;
/// How many messages with input may wait for a process that does not read.
const WAITING: usize = 16;

/// Who is attached to what.
#[derive(Debug, Clone)]
struct Attached {
    service: Arc<Service>,
    caller: Caller,
    process: Arc<Process>,
}

/// Attaches to a process over a WebSocket. Binary messages to the process are its input. Binary messages
/// from it are output: the first byte is 1 for standard output, or the terminal, and 2 for standard error.
/// Text messages are JSON. To the service: `{"type": "resize", "rows", "columns"}`, `{"type": "signal",
/// "signal": "INT"}`, `{"type": "end-of-input"}`. From it: `attached` with the `offset` of the first
/// output, `lost` with `from` and `to` for output that is no longer kept, `problem` for what was refused,
/// `draining`, and at the end `ended` with the `result`, or `problem`. Who may only look is attached
/// without input. When the connection ends, the process goes on.
#[utoipa::path(get, path = "/v1/processes/{process}/attach", tag = "processes",
    params(("process" = String, Path, description = "its id"), From),
    security(("token" = ["viewer"])),
    responses((status = 101, description = "a WebSocket"),
        (status = 426, body = Problem, content_type = "application/problem+json", description = "the request was none for a WebSocket"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn attach(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let process = find(&service, &caller, &id).await?;
    is_no_foreign_page(&headers)?;
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, "no-websocket", rejection.body_text())
            .hint("`GET /v1/processes/{process}/output` needs no WebSocket")
    })?;
    let busy = |most: usize| {
        let title = format!("{most} clients are attached to processes already");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title).retry_after(5)
    };
    let of_one = service.attached_of_one.try_take(&caller.tenant);
    let of_one = of_one.ok_or_else(|| busy(ATTACHED_OF_ONE))?;
    let place = Arc::clone(&service.attached).try_acquire_owned();
    let place = (of_one, place.map_err(|_| busy(ATTACHED as usize))?);
    let offset = from.offset.unwrap_or(0);
    let attached = Attached { service, caller, process };
    let upgrade = upgrade.max_message_size(UNREAD).max_frame_size(UNREAD);
    let upgrade = upgrade.max_write_buffer_size(UNSENT);
    Ok(upgrade.on_upgrade(async move |socket| {
        let place = Arc::new(place);
        converse(attached, socket, offset, &place).await;
    }))
}

/// Errs for a page that another server sent to a browser: it has no business here.
fn is_no_foreign_page(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    if origin.is_some_and(|(_, from)| host.is_some_and(|host| host.eq_ignore_ascii_case(from))) {
        return Ok(());
    }
    let title = "a page of another server may not attach to a process";
    Err(Problem::new(StatusCode::FORBIDDEN, "origin", title))
}

/// Passes on what both sides say until one of them has no more to say.
async fn converse(
    attached: Attached,
    socket: WebSocket,
    offset: u64,
    place: &Arc<(Place, OwnedSemaphorePermit)>,
) {
    let (mut sink, mut stream) = socket.split();
    let (tell, told) = mpsc::channel(WAITING);
    let (give, given) = mpsc::channel(WAITING);
    let mut telling = Telling::new(&attached, &mut sink, offset, told);
    let mut listening = Listening::new(&attached, &mut stream, give, tell.clone());
    let heard = listening.heard();
    // What was sent arrives, whether or not who sent it stays. The place is not given to somebody else
    // before that, so that what waits is bounded.
    tokio::spawn({
        let (process, place) = (Arc::clone(&attached.process), Arc::clone(place));
        async move {
            listen::feed(&process, given, &tell).await;
            drop(place);
        }
    });
    let over = tokio::select! {
        over = telling.tell(&heard) => over,
        over = listening.listen() => over,
    };
    if let Some(over) = over {
        tell::close(&mut sink, &mut stream, over).await;
    }
}

/// Room for those who are attached.
pub(crate) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ATTACHED as usize))
}

/// Gives a process's terminal another size.
#[utoipa::path(post, path = "/v1/processes/{process}/resize", tag = "processes",
    params(("process" = String, Path, description = "its id")), request_body = TerminalSize,
    security(("token" = ["operator"])),
    responses((status = 204, description = "it has that size"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resize(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(id): Path<String>,
    Body(size): Body<TerminalSize>,
) -> Result<StatusCode, Problem> {
    find(&service, &caller, &id).await?.ends.resize(size)?;
    Ok(StatusCode::NO_CONTENT)
}
