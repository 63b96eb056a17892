//! Processes: what runs, or ran, on behalf of clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::logs::Streams;
use super::views::{Page, to_json};
use crate::auth::{Acting, Caller, Looking, is_still_let_in};
use crate::places::Place;
use crate::problem::Problem;
use crate::processes::{self, Ended, INTERRUPTED, Kind, Piece, Process, find};
use crate::service::Service;

/// A process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProcessView {
    /// Its id.
    id: String,
    /// `operation`: a command in a sandbox; `errand`: what archives, restores, or looks at archives.
    kind: Kind,
    /// The sandbox's name; null where it is about none.
    sandbox: Option<String>,
    /// The command, without secrets.
    title: String,
    /// When it was asked for, in nanoseconds since 1970.
    started: i64,
    /// Under which operation it is journaled, once it has begun.
    operation: Option<String>,
    /// `running`, `ended`, or `interrupted` when the service ended before it did.
    status: &'static str,
    /// Whether it has a terminal.
    terminal: bool,
    /// How many bytes it wrote, to both streams.
    written: u64,
    /// What came of it, as the call that ran it answers, or would have; a problem when it could not be
    /// run.
    #[schema(value_type = Object, nullable)]
    result: Value,
}

/// A process; what came of it only when that is asked for.
fn view(process: &Process, result: Value) -> ProcessView {
    let ended = process.ended.borrow().clone();
    ProcessView {
        id: process.id.clone(),
        kind: process.kind,
        sandbox: Some(process.sandbox.clone()).filter(|name| !name.is_empty()),
        title: process.title.clone(),
        started: process.started.0,
        operation: process.operation.borrow().map(|id| id.to_string()),
        status: match ended.as_deref() {
            None => "running",
            Some(Err(problem)) if problem.kind() == INTERRUPTED => INTERRUPTED,
            Some(_) => "ended",
        },
        terminal: process.has_terminal,
        written: *process.log.follow().borrow(),
        result,
    }
}

/// A process with what came of it.
async fn whole(process: &Process) -> Result<ProcessView, Problem> {
    let ended = process.ended.borrow().clone();
    let result = match ended {
        None => Value::Null,
        Some(ended) => match process.with_output(&ended).await {
            Ok(answer) => answer,
            Err(problem) => to_json(&problem)?,
        },
    };
    Ok(view(process, result))
}

/// Which processes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those of this sandbox alone.
    sandbox: Option<String>,
}

/// The processes that run, and the last ones that ended, the oldest first; what came of them tells
/// `GET /v1/processes/{process}`.
#[utoipa::path(get, path = "/v1/processes", tag = "processes", params(Which),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<ProcessView>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Query(which): Query<Which>,
) -> Result<Json<Page<ProcessView>>, Problem> {
    let found = processes::list(&service, &caller, which.sandbox.as_deref()).await?;
    let items = found.iter().map(|process| view(process, Value::Null)).collect();
    Ok(Json(Page { items, next: None }))
}

/// One process.
#[utoipa::path(get, path = "/v1/processes/{process}", tag = "processes",
    params(("process" = String, Path, description = "its id")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = ProcessView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
) -> Result<Json<ProcessView>, Problem> {
    Ok(Json(whole(&*find(&service, &caller, &id).await?).await?))
}

/// Waits until a process has ended.
#[utoipa::path(post, path = "/v1/processes/{process}/wait", tag = "processes",
    params(("process" = String, Path, description = "its id")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = ProcessView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn wait(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
) -> Result<Json<ProcessView>, Problem> {
    let process = find(&service, &caller, &id).await?;
    process.wait().await;
    Ok(Json(whole(&process).await?))
}

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// How many bytes to pass over; `Last-Event-ID` says the same.
    pub(super) offset: Option<u64>,
}

/// What a process wrote and writes, as server-sent events: `output` with `{"stream", "data"}`, `data` in
/// base64, the event's id being the offset behind it; `lost` with `{"from", "to"}` where output is kept no
/// more, or could not be written; at the end `result` or `problem`.
#[utoipa::path(get, path = "/v1/processes/{process}/output", tag = "processes",
    params(("process" = String, Path, description = "its id"), From),
    security(("token" = ["viewer"])),
    responses((status = 200, description = "a stream of events", content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn output(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let process = find(&service, &caller, &id).await?;
    let offset = last_event(&headers).or(from.offset).unwrap_or(0);
    let place = service.stream(&caller)?;
    Ok(stream((service, caller, place), process, offset, Streams::Both).into_response())
}

/// The offset up to which a client has heard.
pub(super) fn last_event(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok())
}

/// How often it is looked whether who listens may still do so.
const LOOK: Duration = Duration::from_secs(2);

/// What a process wrote to `streams` from `offset` on and writes until its end.
pub(super) fn stream(
    (service, caller, place): (Arc<Service>, Caller, Place),
    process: Arc<Process>,
    offset: u64,
    streams: Streams,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let who = (service, caller, place, streams);
    let watching = (process.log.follow(), process.ended.subscribe());
    let state = (process, watching, offset, Vec::<Piece>::new().into_iter(), false);
    let looked = Instant::now();
    let events =
        futures_util::stream::unfold((who, looked, state), async |(who, looked, state)| {
            let (process, (mut written, mut ended), mut offset, mut pieces, is_over) = state;
            let mut looked = looked;
            if is_over {
                return None;
            }
            loop {
                // However much there is to be told.
                if looked.elapsed() >= LOOK {
                    if !is_still_let_in(&who.0, &who.1).await {
                        return None;
                    }
                    looked = Instant::now();
                }
                if let Some(piece) = pieces.as_slice().first().cloned() {
                    let event = if piece.offset > offset {
                        let event = lost_event(offset, piece.offset);
                        offset = piece.offset;
                        event
                    } else {
                        pieces.next();
                        offset = piece.end();
                        process.log.note_told(offset);
                        if !who.3.have(piece.stream) {
                            continue;
                        }
                        piece_event(&piece, offset)
                    };
                    let state = (process, (written, ended), offset, pieces, false);
                    return Some((Ok(event), (who, looked, state)));
                }
                // In this order: all that was written before the end is in the log by the end.
                let end = ended.borrow_and_update().clone();
                written.borrow_and_update();
                pieces = process.log.read(offset).await.into_iter();
                if pieces.len() > 0 {
                    continue;
                }
                if let Some(end) = end {
                    let event = end_event(&process.with_output(&end).await);
                    let state = (process, (written, ended), offset, pieces, true);
                    return Some((Ok(event), (who, looked, state)));
                }
                tokio::select! {
                    _ = written.changed() => {}
                    _ = ended.changed() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn piece_event(piece: &Piece, end: u64) -> Event {
    let data = json!({ "stream": piece.stream.word(), "data": STANDARD.encode(&piece.bytes) });
    Event::default().event("output").id(end.to_string()).data(data.to_string())
}

/// Without an id: what comes behind it has one.
fn lost_event(from: u64, to: u64) -> Event {
    let data = json!({ "from": from, "to": to });
    Event::default().event("lost").data(data.to_string())
}

fn end_event(ended: &Ended) -> Event {
    match ended {
        Ok(answer) => Event::default().event("result").data(answer.to_string()),
        Err(problem) => {
            let data = to_json(problem).unwrap_or(Value::Null);
            Event::default().event("problem").data(data.to_string())
        }
    }
}

/// How to go on with the input.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Ending {
    /// End the input behind these bytes; at a terminal, type what ends it.
    #[serde(default)]
    end: bool,
}

/// Gives a process something to read: the body, as it is.
#[utoipa::path(post, path = "/v1/processes/{process}/input", tag = "processes",
    params(("process" = String, Path, description = "its id"), Ending),
    request_body(content = String, content_type = "application/octet-stream"),
    security(("token" = ["operator"])),
    responses((status = 204, description = "it was taken"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn input(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(id): Path<String>,
    Query(ending): Query<Ending>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let process = find(&service, &caller, &id).await?;
    process.ends.write(&body).await?;
    if ending.end {
        process.ends.end_input().await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signal {
    /// Its number, 1 to 31 (signal(7)): 15 asks a process to end, 9 ends it.
    signal: u8,
}

/// Sends a process a signal.
#[utoipa::path(post, path = "/v1/processes/{process}/signal", tag = "processes",
    params(("process" = String, Path, description = "its id")), request_body = Signal,
    security(("token" = ["operator"])),
    responses((status = 204, description = "it was sent"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn signal(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(id): Path<String>,
    Body(signal): Body<Signal>,
) -> Result<StatusCode, Problem> {
    if !ctrlz_core::isolation::GivenStreams::SIGNALS.contains(&signal.signal) {
        return Err(Problem::bad_request("`signal` must be 1 to 31"));
    }
    find(&service, &caller, &id).await?.signal(signal.signal)?;
    Ok(StatusCode::NO_CONTENT)
}
