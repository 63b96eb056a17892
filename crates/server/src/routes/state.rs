//! The state of a sandbox: versioned values.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ctrlz_core::state::{Expected, StateKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query, parse};
use super::views::{Page, to_json};
use crate::auth::{Acting, Caller, Looking};
use crate::port::Session;
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// As of when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AsOf {
    /// As of this version of the state; as it is now when it is left out.
    version: Option<u64>,
}

/// The values' entries, by key.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/state", tag = "state",
    params(("sandbox" = String, Path, description = "its name"), AsOf),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(sandbox): Path<String>,
    Query(as_of): Query<AsOf>,
) -> Result<Json<Page<Value>>, Problem> {
    let found = service.with_core(&caller, move |core| {
        let id = core.store().sandbox_named(&sandbox)?.id;
        Ok(core.store().list(id, as_of.version)?)
    });
    let items = found.await?.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}

fn etag(version: u64) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(&format!("\"{version}\""))
        .map_err(|error| Problem::internal(error.to_string()))
}

/// A value, as it was written. `ETag` is its version.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/state/{key}", tag = "state",
    params(("sandbox" = String, Path, description = "its name"),
        ("key" = String, Path, description = "the key"), AsOf),
    security(("token" = ["viewer"])),
    responses((status = 200, body = String, content_type = "application/octet-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path((sandbox, key)): Path<(String, String)>,
    Query(as_of): Query<AsOf>,
) -> Result<Response, Problem> {
    let parsed: StateKey = parse(&key)?;
    let found = service.with(&caller, move |session| {
        let found = on_core(session, |core| Ok(core.store().sandbox_named(&sandbox)?))?;
        session.state(&found, &parsed, as_of.version)
    });
    let (entry, value) = found.await?.ok_or_else(|| Problem::not_found("value", &key))?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, etag(entry.version)?)], value)
        .into_response())
}

/// Which version a write expects: what `If-Match` or `If-None-Match: *` says.
fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) | (Some("*"), None) => Ok(Expected::Any),
        (None, Some("*")) => Ok(Expected::Absent),
        (Some(tag), None) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let version = version.and_then(|version| version.parse().ok());
            version.map(Expected::Version).ok_or_else(|| {
                Problem::bad_request("`If-Match` must be the ETag of a value, such as \"7\"")
            })
        }
        _ => Err(Problem::bad_request("`If-None-Match` can only be `*`, without `If-Match`")),
    }
}

/// What a write came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Written {
    /// The key.
    key: String,
    /// The version of the state that it made.
    version: u64,
}

async fn write(
    (service, caller): (&Arc<Service>, &Caller),
    (sandbox, key): (String, String),
    headers: &HeaderMap,
    value: Option<Bytes>,
) -> Result<Response, Problem> {
    let (parsed, expected): (StateKey, Expected) = (parse(&key)?, expected(headers)?);
    let adds = value.is_some();
    let act = move |session: &dyn Session| {
        let found = on_core(session, |core| Ok(core.store().sandbox_named(&sandbox)?))?;
        session.put_state(&found, &parsed, value.as_deref(), expected)
    };
    let written = match adds {
        true => service.adding(caller, act).await,
        false => service.with(caller, act).await,
    };
    let version = match written {
        // As RFC 9110 wants it of a condition that does not hold.
        Err(problem) if problem.kind() == "state-conflict" => {
            return Err(problem.with_status(StatusCode::PRECONDITION_FAILED));
        }
        written => written?,
    };
    Ok(([(header::ETAG, etag(version)?)], Json(Written { key, version })).into_response())
}

/// Writes a value: the body, as it is. With `If-Match` only over that version, with
/// `If-None-Match: *` only where there is none; else 412.
#[utoipa::path(put, path = "/v1/sandboxes/{sandbox}/state/{key}", tag = "state",
    params(("sandbox" = String, Path, description = "its name"),
        ("key" = String, Path, description = "the key")),
    request_body(content = String, content_type = "application/octet-stream"),
    security(("token" = ["operator"])),
    responses((status = 200, body = Written), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(names): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    write((&service, &caller), names, &headers, Some(body)).await
}

/// Deletes a value; its history stays. `If-Match` as for a write.
#[utoipa::path(delete, path = "/v1/sandboxes/{sandbox}/state/{key}", tag = "state",
    params(("sandbox" = String, Path, description = "its name"),
        ("key" = String, Path, description = "the key")),
    security(("token" = ["operator"])),
    responses((status = 200, body = Written), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(names): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    write((&service, &caller), names, &headers, None).await
}

/// All versions of a value, the newest first, without the values.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/state/{key}/history", tag = "state",
    params(("sandbox" = String, Path, description = "its name"),
        ("key" = String, Path, description = "the key")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn history(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path((sandbox, key)): Path<(String, String)>,
) -> Result<Json<Page<Value>>, Problem> {
    let key: StateKey = parse(&key)?;
    let found = service.with_core(&caller, move |core| {
        let id = core.store().sandbox_named(&sandbox)?.id;
        Ok(core.store().history(id, &key)?)
    });
    let items = found.await?.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}
