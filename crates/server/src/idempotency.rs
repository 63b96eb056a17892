//! The same request sent twice is carried out once: `Idempotency-Key`, as the IETF's draft has it.

mod unstored;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ctrlz_core::tenancy::{Registry, Replay, TenantName};
use ctrlz_core::time::Timestamp;
use futures_util::FutureExt as _;

pub(crate) use self::unstored::Unstored;
use self::unstored::{needs_no_room, oldest, write};
use crate::auth::{self, Caller};
use crate::problem::Problem;
use crate::routes::LARGEST;
use crate::service::Service;
use crate::telemetry::{current, with};

/// For how long an answer is given again, in nanoseconds: a day.
const KEPT: i64 = 86_400_000_000_000;
/// The longest key.
const LONGEST: usize = 255;

static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Answers a POST whose key and content came before as it was answered then.
pub(crate) async fn once(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get("idempotency-key").cloned();
    match key.filter(|_| request.method() == Method::POST) {
        None => next.run(request).await,
        Some(key) => match answered(&service, &caller, &key, request, next).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        },
    }
}

async fn answered(
    service: &Arc<Service>,
    caller: &Caller,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = key.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len()));
    let key = key.ok_or_else(|| {
        Problem::bad_request("`Idempotency-Key` must be 1 to 255 visible characters")
    })?;
    let streams = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().windows(12).any(|part| part == b"event-stream"));
    if streams {
        let title = "what is streamed is not answered again: leave `Idempotency-Key` out, or ask \
                     with `Prefer: respond-async` and read the process's output";
        return Err(Problem::bad_request(title));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.map_err(|error| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("the body: {error}"))
    })?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let digest = digest(target, &body);
    let key = Known {
        tenant: caller.tenant.clone(),
        key: (caller.token.clone(), key.to_owned()),
        request: digest,
        asked: service.now(),
    };
    let service = Arc::clone(service);
    let request = Request::from_parts(parts, Body::from(body));
    // It goes on when the client does not wait for it, so that the answer is there when it comes again.
    let carried_out = carry_out(service, key, request, next);
    let answer = tokio::spawn(with(current(), carried_out));
    answer.await.map_err(|error| Problem::internal(error.to_string()))?
}

/// A key, and the request that it came with.
#[derive(Clone)]
struct Known {
    tenant: TenantName,
    key: unstored::Key,
    /// A digest of the request.
    request: [u8; 32],
    asked: Timestamp,
}

/// Carries out a request that did not come before. From the moment at which its key is known it is answered,
/// or the key is let go.
async fn carry_out(
    service: Arc<Service>,
    known: Known,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let needs_no_room = route.is_some_and(|route| needs_no_room(route.as_str()));
    let is_stored = match begin(&service, &known, needs_no_room).await? {
        Begun::Before(replay) => return again(&known.request, replay),
        Begun::Stored => true,
        Begun::Held => false,
    };
    // One that breaks off in the middle is answered as well.
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let broken = |_| Problem::internal("the call ended in the middle").into_response();
    let (parts, body) = response.unwrap_or_else(broken).into_parts();
    let streams = streams(&parts.headers);
    let is_let_go = (streams || !is_final(parts.status)) && let_go(&service, &known).await;
    // What cannot be let go is answered in the same way again.
    if is_let_go || streams {
        return Ok(Response::from_parts(parts, body));
    }
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|error| Problem::internal(error.to_string()))?;
    let kept = match parts.extensions.get::<ToldOnce>() {
        None => Kept {
            status: parts.status.as_u16(),
            headers: told(&parts.headers),
            body: body.clone(),
        },
        Some(ToldOnce) => told_once()?,
    };
    keep(&service, known, is_stored, kept).await;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// What is known of a request before it is carried out.
enum Begun {
    /// It came before.
    Before(Replay),
    /// Its key is stored.
    Stored,
    /// Its key is in memory, since the disk is full.
    Held,
}

/// Notes that a request is carried out, unless it came before.
async fn begin(
    service: &Arc<Service>,
    known: &Known,
    needs_no_room: bool,
) -> Result<Begun, Problem> {
    let held = &service.unstored;
    let before = match needs_no_room {
        // In memory first, so that of two at once the second finds it, whether or not there is room for it then.
        true => held.begin(&known.tenant, &known.key, (known.request, known.asked)),
        false => held.find(&known.tenant, &known.key, known.asked),
    };
    if let Some(replay) = before {
        return Ok(Begun::Before(replay));
    }
    let (whole, of) = (Arc::clone(service), known.clone());
    let stored = service.registry(move |registry| {
        let times = (of.asked, oldest(of.asked));
        let found = registry.begin_answer((&of.key.0, &of.key.1), &of.request, times)?;
        whole.unstored.store(registry, of.asked);
        Ok(found)
    });
    let stored = stored.await;
    if needs_no_room {
        match &stored {
            Err(problem) if problem.kind() == "store-full" => {
                held.hold(&known.tenant, &known.key)?;
                return Ok(Begun::Held);
            }
            _ => held.forget(&known.tenant, &known.key),
        }
    }
    Ok(stored?.map_or(Begun::Stored, Begun::Before))
}

/// Answers what the service before this one did not come to answer.
///
/// # Errors
/// When the registry cannot be written.
pub(crate) fn end_unfinished(registry: &dyn Registry) -> Result<(), Problem> {
    let title = "the service was killed while it carried this out";
    let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "interrupted", title)
        .hint("the sandbox's operations tell how far it came; ask again with another key");
    let body = serde_json::to_vec(&problem).map_err(|e| Problem::internal(e.to_string()))?;
    registry
        .end_answers(problem.status().as_u16(), &body)
        .map_err(|error| Problem::internal(ctrlz_engine::in_full(&error)))
}

/// Marks an answer with a secret, which is kept nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToldOnce;

/// An answer that is kept.
#[derive(Debug, Clone)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// Those headers that say where something is and which version it has.
fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = [header::LOCATION, header::ETAG].into_iter();
    let found = named.filter_map(|name| {
        Some((name.as_str().to_owned(), headers.get(&name)?.to_str().ok()?.to_owned()))
    });
    found.collect()
}

/// What is answered instead when it is asked for again.
fn told_once() -> Result<Kept, Problem> {
    let title = "it was made, and its secret was told once";
    let problem = Problem::new(StatusCode::CONFLICT, "told-once", title)
        .hint("revoke it, and make another with another `Idempotency-Key`");
    let body = serde_json::to_vec(&problem).map_err(|e| Problem::internal(e.to_string()))?;
    Ok(Kept { status: problem.status().as_u16(), headers: Vec::new(), body: body.into() })
}

/// Keeps an answer; in memory when the disk has no room for it. What was done is told as such either way.
async fn keep(service: &Arc<Service>, known: Known, is_stored: bool, kept: Kept) {
    let (of, answer) = (known.clone(), kept.clone());
    let stored = service.registry(move |registry| match is_stored {
        true => registry.end_answer((&of.key.0, &of.key.1), Some(answer.answered())),
        false => write(registry, &of.key, (&of.request, of.asked), &answer),
    });
    match stored.await {
        Ok(()) => service.unstored.forget(&known.tenant, &known.key),
        Err(problem) => {
            tracing::error!(error = problem.in_words(), "answer not stored");
            service.unstored.answer(&known.tenant, &known.key, (known.request, known.asked), &kept);
        }
    }
}

/// Stores what is in memory alone, for a service that ends.
pub(crate) async fn store(service: &Arc<Service>) {
    let (whole, now) = (Arc::clone(service), service.now());
    let stored = service.registry(move |registry| {
        whole.unstored.store(registry, now);
        Ok(())
    });
    // What cannot be stored is forgotten.
    let _ = stored.await;
}

/// Lets a key go; false when it is still stored.
async fn let_go(service: &Arc<Service>, known: &Known) -> bool {
    let key = known.key.clone();
    let let_go = service.registry(move |registry| registry.end_answer((&key.0, &key.1), None));
    let is_gone = let_go.await.is_ok();
    if is_gone {
        service.unstored.forget(&known.tenant, &known.key);
    }
    is_gone
}

/// Whether an answer has no end that could be waited for.
fn streams(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether asking again would be answered in the same way: not what only says that it is not the time.
fn is_final(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::CONFLICT
            | StatusCode::LOCKED
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
    )
}

/// The answer that was given before.
fn again(digest: &[u8; 32], replay: Replay) -> Result<Response, Problem> {
    if replay.request != *digest {
        let title = "the `Idempotency-Key` was used for another request";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key", title));
    }
    let status = replay.status.ok_or_else(|| {
        let title = "the same request is still being carried out";
        Problem::new(StatusCode::CONFLICT, "idempotency-key", title).retry_after(1)
    })?;
    let status = StatusCode::from_u16(status)
        .map_err(|error| Problem::internal(format!("an answer that was kept: {error}")))?;
    let kind = match status.is_success() {
        true => "application/json",
        false => "application/problem+json",
    };
    let mut response = (status, replay.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in replay.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
    Ok(response)
}

fn digest(target: &str, body: &[u8]) -> [u8; 32] {
    let mut digest = auth::Digest::default();
    digest.add(&(target.len() as u64).to_le_bytes());
    digest.add(target.as_bytes());
    digest.add(body);
    digest.end()
}
