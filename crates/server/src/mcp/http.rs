//! MCP over HTTP (streamable HTTP), for clients with tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower::ServiceExt as _;

use super::guard;
use super::server::Server;
use super::sessions::Using;
use crate::auth::{Caller, Looking};
use crate::observed::{Observed, Observer};
use crate::problem::Problem;
use crate::routes::LARGEST;
use crate::service::Service;

/// The header with a session's id.
const SESSION: &str = "mcp-session-id";

/// The messages of a session that belong to no call, as server-sent events; what was missed of an answer, from
/// `Last-Event-ID` on. Only for revisions of MCP with sessions (before 2026-07-28).
#[utoipa::path(get, path = "/mcp", tag = "mcp", security(("token" = ["viewer"])),
    responses((status = 200, description = "a stream of JSON-RPC messages", content_type = "text/event-stream"),
        (status = "4XX", description = "not MCP as it should be, or no such session")))]
pub(crate) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    request: Request,
) -> Response {
    answer(&service, &caller, request).await
}

/// A message of the Model Context Protocol. Each tool needs what the call of `/v1` that does the same needs.
#[utoipa::path(post, path = "/mcp", tag = "mcp", security(("token" = ["viewer"])),
    request_body(content = Object, description = "a JSON-RPC message"),
    responses((status = 200, description = "the answer, as JSON or as a stream", content_type = "text/event-stream"),
        (status = 202, description = "taken, there is no answer"),
        (status = "4XX", description = "not MCP as it should be, or no such session")))]
pub(crate) async fn post(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    request: Request,
) -> Response {
    answer(&service, &caller, request).await
}

/// Ends a session. What runs on behalf of it goes on.
#[utoipa::path(delete, path = "/mcp", tag = "mcp", security(("token" = ["viewer"])),
    responses((status = 204, description = "it is over"),
        (status = "4XX", description = "no such session")))]
pub(crate) async fn delete(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    request: Request,
) -> Response {
    answer(&service, &caller, request).await
}

async fn answer(service: &Arc<Service>, caller: &Caller, request: Request) -> Response {
    if let Err(problem) = guard::check(request.uri(), request.headers(), &service.parts.hosts) {
        return problem.into_response();
    }
    let id = request.headers().get(SESSION).map(|id| id.to_str().unwrap_or_default().to_owned());
    let using = match &id {
        None => None,
        Some(id) => match service.mcp.enter(caller, id) {
            Some(using) => Some(using),
            // Whoever else may have one: the client is to begin anew.
            None => return Problem::not_found("session", id).into_response(),
        },
    };
    let ends = request.method() == Method::DELETE;
    let mut config = StreamableHttpServerConfig::default().disable_allowed_hosts();
    config.max_request_body_bytes = LARGEST;
    let server = Server::for_tokens(Arc::clone(service));
    let mcp = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::clone(&service.mcp.manager),
        config,
    );
    let response = match mcp.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if ends && let Some(id) = &id {
        service.mcp.forget(id);
        if response.status().is_success() {
            // There is nothing more to come; some clients take only this for it.
            return StatusCode::NO_CONTENT.into_response();
        }
    }
    if id.is_none()
        && response.status() == StatusCode::OK
        && let Some(made) = response.headers().get(SESSION).and_then(|id| id.to_str().ok())
    {
        service.mcp.add(service, caller, made.to_owned()).await;
    }
    response.map(|body| Observed::body(Body::new(body), using))
}

/// An answer uses its session until it is gone.
impl Observer for Option<Using> {}
