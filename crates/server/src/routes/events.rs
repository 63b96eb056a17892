//! The event log of the caller's tenant.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use ctrlz_core::store::LoggedEvent;
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::Query;
use super::views::Page;
use crate::auth::{Caller, Looking, is_still_let_in};
use crate::places::Place;
use crate::problem::Problem;
use crate::service::Service;
use crate::tidings::{Follower, follow, head};

/// How often it is looked whether who listens may still do so, when nothing happens.
const LOOK: Duration = Duration::from_secs(1);
/// How many are read at once.
const AT_ONCE: u32 = 256;

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// The number of the last event that is known; `Last-Event-ID` says the same. All of the log when
    /// it is left out, for a stream those to come.
    after: Option<i64>,
    /// How many on a page, 1 to 256.
    limit: Option<u32>,
}

/// Events, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    #[serde(flatten)]
    page: Page<Value>,
    /// The number of the newest event in the log.
    last: i64,
}

/// The events, as CloudEvents 1.0. With `Accept: text/event-stream` they come as they happen, the
/// event's id being its number.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(After),
    security(("token" = ["viewer"])),
    responses((status = 200, body = EventPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Query(after): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = match after.limit.unwrap_or(AT_ONCE) {
        limit @ 1..=AT_ONCE => limit,
        _ => return Err(Problem::bad_request("`limit` must be 1 to 256")),
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let from = last.or(after.after);
    let streams = headers.get(header::ACCEPT).is_some_and(|accept| {
        accept.to_str().is_ok_and(|accept| accept.contains("text/event-stream"))
    });
    if streams {
        let from = match from {
            Some(from) => from,
            None => head(&service, &caller).await?,
        };
        let follower = follow(&service, &caller).await?;
        let place = service.stream(&caller)?;
        return Ok(stream((service, caller, place), follower, from).into_response());
    }
    let last = head(&service, &caller).await?;
    let found = read(&service, &caller, from.unwrap_or(0), limit).await?;
    let next = (found.len() == limit as usize).then(|| found.last()).flatten();
    let next = next.map(|last| last.number.to_string());
    let items = found.iter().map(|event| {
        serde_json::from_str::<Value>(&event.text)
            .map_err(|error| Problem::internal(format!("event {}: {error}", event.number)))
    });
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(Json(EventPage { page: Page { items, next }, last }).into_response())
}

async fn read(
    service: &Arc<Service>,
    caller: &Caller,
    after: i64,
    limit: u32,
) -> Result<Vec<LoggedEvent>, Problem> {
    service.with_core(caller, move |core| Ok(core.store().events(after, limit)?)).await
}

fn stream(
    (service, caller, place): (Arc<Service>, Caller, Place),
    follower: Follower,
    after: i64,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // Tells no event, but where the stream begins: whoever loses it before the first event goes on there.
    let begin = Event::default().id(after.to_string());
    let begin = futures_util::stream::once(async { Ok(begin) });
    let state = ((service, place), caller, follower, after, VecDeque::<LoggedEvent>::new());
    let events = futures_util::stream::unfold(state, async |state| {
        let ((service, place), caller, mut follower, mut after, mut found) = state;
        loop {
            if let Some(event) = found.pop_front() {
                after = event.number;
                let told = Event::default().id(after.to_string()).data(event.text);
                return Some((Ok(told), ((service, place), caller, follower, after, found)));
            }
            if service.is_draining() || !is_still_let_in(&service, &caller).await {
                return None;
            }
            match read(&service, &caller, after, AT_ONCE).await {
                Ok(more) => found = more.into(),
                // Whoever listens comes again, with the last id.
                Err(_) => return None,
            }
            if found.is_empty() {
                follower.wait_past(after, LOOK).await;
            }
        }
    });
    Sse::new(begin.chain(events)).keep_alive(KeepAlive::default())
}
