//! The calls.

mod archive;
pub(crate) mod attach;
mod audit;
pub(crate) mod confirmations;
pub(crate) mod diff;
mod errands;
mod events;
mod extract;
pub(crate) mod files;
pub(crate) mod history;
mod logs;
mod meta;
pub(crate) mod operations;
pub(crate) mod policy;
mod processes;
pub(crate) mod sandboxes;
mod seed;
pub(crate) mod snapshots;
mod state;
mod stats;
mod tenants;
mod tokens;
pub(crate) mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::authenticate;
use crate::held;
use crate::idempotency::once;
use crate::mcp;
use crate::problem::Problem;
use crate::service::Service;
use crate::telemetry::{Current, note, with};

/// The largest body of a request.
pub(crate) const LARGEST: usize = 4 << 20;
/// The largest value, and the largest piece of input.
const LARGEST_VALUE: usize = 17 << 20;

/// The header by which a client knows that it is answered by a service of ctrlz, and by which one.
const VERSION: HeaderName = HeaderName::from_static("ctrlz-version");

/// The calls with what documents them.
pub(crate) fn documented() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(sandboxes::list, sandboxes::create))
        .routes(routes!(sandboxes::get, sandboxes::remove))
        .routes(routes!(sandboxes::fork))
        .routes(routes!(sandboxes::suspend))
        .routes(routes!(sandboxes::resume))
        .routes(routes!(operations::list, operations::run))
        .routes(routes!(operations::get))
        .routes(routes!(diff::of_operation))
        .routes(routes!(seed::execute))
        .routes(routes!(processes::list))
        .routes(routes!(processes::get))
        .routes(routes!(processes::output))
        .routes(routes!(logs::logs))
        .routes(routes!(processes::wait))
        .routes(routes!(processes::signal))
        .routes(routes!(attach::attach))
        .routes(routes!(attach::resize))
        .routes(routes!(diff::diff))
        .routes(routes!(history::commit))
        .routes(routes!(history::discard))
        .routes(routes!(history::undo))
        .routes(routes!(history::redo))
        .routes(routes!(history::rollback))
        .routes(routes!(snapshots::list, snapshots::create))
        .routes(routes!(snapshots::get, snapshots::remove))
        .routes(routes!(snapshots::tag))
        .routes(routes!(state::list))
        .routes(routes!(stats::stats))
        .routes(routes!(stats::health))
        .routes(routes!(state::history))
        .routes(routes!(state::list_global))
        .routes(routes!(state::history_global))
        .routes(routes!(events::list))
        .routes(routes!(policy::check))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::key))
        .routes(routes!(audit::sign))
        .routes(routes!(audit::export))
        .routes(routes!(archive::list, archive::push))
        .routes(routes!(archive::pull))
        .routes(routes!(archive::remove))
        .routes(routes!(archive::collect))
        .routes(routes!(archive::verify))
        .routes(routes!(archive::drill))
        .routes(routes!(confirmations::list))
        .routes(routes!(confirmations::approve))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::put, tenants::remove))
        .routes(routes!(mcp::get, mcp::post, mcp::delete))
        .merge(with_values())
}

/// The calls whose bodies are no JSON.
fn with_values() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(processes::input))
        .routes(routes!(files::get, files::put, files::remove))
        .routes(routes!(files::make_folder))
        .routes(routes!(files::rename))
        .routes(routes!(files::watch::watch))
        .routes(routes!(state::get, state::put, state::remove))
        .routes(routes!(state::get_global, state::put_global, state::remove_global))
        .layer(DefaultBodyLimit::max(LARGEST_VALUE))
}

/// All that the service answers.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let (documented, _) = documented().split_for_parts();
    let guarded = documented
        .route_layer(middleware::from_fn_with_state(Arc::clone(service), once))
        .route_layer(middleware::from_fn_with_state(Arc::clone(service), held::count))
        .route_layer(middleware::from_fn_with_state(Arc::clone(service), authenticate));
    guarded
        .merge(meta::router(service))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn_with_state(Arc::clone(service), around))
        .with_state(Arc::clone(service))
}

async fn nowhere(request: Request) -> Problem {
    let title = format!("there is nothing at {}", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "no-route", title)
        .hint("GET /openapi.json tells what there is")
}

async fn not_so(request: Request) -> Problem {
    let title = format!("{} is not for {}", request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", title)
        .hint("GET /openapi.json tells what there is")
}

/// What every answer carries, and is counted by.
async fn around(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let asked = request.headers().get("x-request-id").filter(|id| id.len() <= 128).cloned();
    let id = asked.or_else(|| {
        let word = crate::auth::word(8).ok()?;
        HeaderValue::from_str(&word).ok()
    });
    let word: Arc<str> = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-").into();
    let current = Current::new(&word, request.headers(), service.parts.traces.is_some());
    let noted = note(&request, &word);
    let mut response = match service.is_draining() && method != axum::http::Method::GET {
        true => Problem::stopping().into_response(),
        false => with(current, next.run(request)).await,
    };
    service.metrics.request(&method, response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static(service.parts.version));
    if let Some(id) = id {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    noted(response)
}
