//! State: versioned values, of a sandbox or of none.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::{Expected, StateKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query, parse};
use super::views::{Page, to_json};
use crate::auth::{Acting, Caller, Looking};
use crate::port::{NewValue, Session};
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// As of when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AsOf {
    /// As of this version of the state; as it is now when it is left out.
    version: Option<u64>,
    /// As of a snapshot (`snap-3`), before an operation (`op-7`), or at a time
    /// (`2026-01-31T12:00:00Z`), instead.
    at: Option<String>,
}

impl AsOf {
    fn version(&self, session: &dyn Session, sandbox: &Sandbox) -> Result<Option<u64>, Problem> {
        match (&self.version, &self.at) {
            (Some(_), Some(_)) => Err(Problem::bad_request("there can be `version` or `at`")),
            (version, None) => Ok(*version),
            (None, Some(at)) => session.state_version(sandbox, at).map(Some),
        }
    }
}

/// How a value is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Writing {
    /// Encrypt the value, and those that replace it until the key is deleted.
    #[serde(default)]
    sensitive: bool,
}

/// Whose values are meant: those of the sandbox of that name, or those of none.
#[derive(Debug)]
pub(super) struct Namespace(Option<String>);

impl Namespace {
    fn find(&self, session: &dyn Session) -> Result<Sandbox, Problem> {
        on_core(session, |core| match &self.0 {
            Some(name) => Ok(core.store().sandbox_named(name)?),
            None => Ok(core.store().global()?),
        })
    }
}

async fn entries(
    (service, caller): (&Arc<Service>, &Caller),
    namespace: Namespace,
    as_of: AsOf,
) -> Result<Json<Page<Value>>, Problem> {
    let found = service.with(caller, move |session| {
        let sandbox = namespace.find(session)?;
        let version = as_of.version(session, &sandbox)?;
        on_core(session, |core| Ok(core.store().list(sandbox.id, version)?))
    });
    let items = found.await?.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
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
    entries((&service, &caller), Namespace(Some(sandbox)), as_of).await
}

/// The entries of the values that belong to no sandbox, by key.
#[utoipa::path(get, path = "/v1/state", tag = "state", params(AsOf),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_global(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Query(as_of): Query<AsOf>,
) -> Result<Json<Page<Value>>, Problem> {
    entries((&service, &caller), Namespace(None), as_of).await
}

fn etag(version: u64) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(&format!("\"{version}\""))
        .map_err(|error| Problem::internal(error.to_string()))
}

async fn value(
    (service, caller): (&Arc<Service>, &Caller),
    (namespace, key): (Namespace, String),
    as_of: AsOf,
) -> Result<Response, Problem> {
    let parsed: StateKey = parse(&key)?;
    let found = service.with(caller, move |session| {
        let sandbox = namespace.find(session)?;
        let version = as_of.version(session, &sandbox)?;
        session.state(&sandbox, &parsed, version)
    });
    let (entry, value) = found.await?.ok_or_else(|| Problem::not_found("value", &key))?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, etag(entry.version)?)], value)
        .into_response())
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
    value((&service, &caller), (Namespace(Some(sandbox)), key), as_of).await
}

/// A value that belongs to no sandbox, as it was written. `ETag` is its version.
#[utoipa::path(get, path = "/v1/state/{key}", tag = "state",
    params(("key" = String, Path, description = "the key"), AsOf),
    security(("token" = ["viewer"])),
    responses((status = 200, body = String, content_type = "application/octet-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_global(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(key): Path<String>,
    Query(as_of): Query<AsOf>,
) -> Result<Response, Problem> {
    value((&service, &caller), (Namespace(None), key), as_of).await
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

/// What becomes of a value.
enum Change {
    Deleted,
    Written { value: Bytes, sensitive: bool },
}

impl Change {
    fn value(&self) -> NewValue<'_> {
        match self {
            Self::Deleted => NewValue::Deleted,
            Self::Written { value, sensitive: false } => NewValue::Written(value),
            Self::Written { value, sensitive: true } => NewValue::Sensitive(value),
        }
    }
}

async fn write(
    (service, caller): (&Arc<Service>, &Caller),
    (namespace, key): (Namespace, String),
    headers: &HeaderMap,
    change: Change,
) -> Result<Response, Problem> {
    let (parsed, expected): (StateKey, Expected) = (parse(&key)?, expected(headers)?);
    let adds = matches!(change, Change::Written { .. });
    let act = move |session: &dyn Session| {
        let sandbox = namespace.find(session)?;
        session.put_state(&sandbox, &parsed, change.value(), expected)
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
        ("key" = String, Path, description = "the key"), Writing),
    request_body(content = String, content_type = "application/octet-stream"),
    security(("token" = ["operator"])),
    responses((status = 200, body = Written), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path((sandbox, key)): Path<(String, String)>,
    Query(Writing { sensitive }): Query<Writing>,
    headers: HeaderMap,
    value: Bytes,
) -> Result<Response, Problem> {
    let names = (Namespace(Some(sandbox)), key);
    write((&service, &caller), names, &headers, Change::Written { value, sensitive }).await
}

/// Writes a value that belongs to no sandbox, as one of a sandbox is written.
#[utoipa::path(put, path = "/v1/state/{key}", tag = "state",
    params(("key" = String, Path, description = "the key"), Writing),
    request_body(content = String, content_type = "application/octet-stream"),
    security(("token" = ["operator"])),
    responses((status = 200, body = Written), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put_global(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(key): Path<String>,
    Query(Writing { sensitive }): Query<Writing>,
    headers: HeaderMap,
    value: Bytes,
) -> Result<Response, Problem> {
    let names = (Namespace(None), key);
    write((&service, &caller), names, &headers, Change::Written { value, sensitive }).await
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
    Path((sandbox, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let names = (Namespace(Some(sandbox)), key);
    write((&service, &caller), names, &headers, Change::Deleted).await
}

/// Deletes a value that belongs to no sandbox; its history stays. `If-Match` as for a write.
#[utoipa::path(delete, path = "/v1/state/{key}", tag = "state",
    params(("key" = String, Path, description = "the key")),
    security(("token" = ["operator"])),
    responses((status = 200, body = Written), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove_global(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    write((&service, &caller), (Namespace(None), key), &headers, Change::Deleted).await
}

async fn versions(
    (service, caller): (&Arc<Service>, &Caller),
    namespace: Namespace,
    key: &str,
) -> Result<Json<Page<Value>>, Problem> {
    let key: StateKey = parse(key)?;
    let found = service.with(caller, move |session| {
        let sandbox = namespace.find(session)?;
        on_core(session, |core| Ok(core.store().history(sandbox.id, &key)?))
    });
    let items = found.await?.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
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
    versions((&service, &caller), Namespace(Some(sandbox)), &key).await
}

/// All versions of a value that belongs to no sandbox, the newest first, without the values.
#[utoipa::path(get, path = "/v1/state/{key}/history", tag = "state",
    params(("key" = String, Path, description = "the key")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn history_global(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(key): Path<String>,
) -> Result<Json<Page<Value>>, Problem> {
    versions((&service, &caller), Namespace(None), &key).await
}
