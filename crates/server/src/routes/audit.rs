//! The event log as evidence: verified, signed, exported.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::extract::Query;
use crate::auth::{Acting, Looking};
use crate::errand::Errand;
use crate::halt::Halt;
use crate::problem::Problem;
use crate::service::Service;

/// A part of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// The number of the first event.
    from: Option<i64>,
    /// The number of the last one.
    to: Option<i64>,
}

/// Whether the tenant's event log is as it was written: a chain, signed up to where it says, and the
/// same as the journal. 409 `tampered` when it is not.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "audit", params(Part),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Object, description = "as `ctrlz audit verify --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Query(Part { from, to }): Query<Part>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(service.errand(&caller, Errand::VerifyLog { from, to }, Halt::default()).await?))
}

/// The key with which signed checkpoints of the tenant's event log are verified.
#[utoipa::path(get, path = "/v1/audit/key", tag = "audit", security(("token" = ["viewer"])),
    responses((status = 200, body = Object, description = "as `ctrlz audit key --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn key(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
) -> Result<Json<Value>, Problem> {
    Ok(Json(service.errand(&caller, Errand::LogKey, Halt::default()).await?))
}

/// Signs how far the tenant's event log has come.
#[utoipa::path(post, path = "/v1/audit/sign", tag = "audit", security(("token" = ["operator"])),
    responses((status = 200, body = Object, description = "as `ctrlz audit sign --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn sign(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
) -> Result<Json<Value>, Problem> {
    Ok(Json(service.errand(&caller, Errand::SignLog, Halt::default()).await?))
}

/// The tenant's event log with its signed checkpoints, as JSON lines, which `ctrlz audit verify FILE`
/// verifies anywhere. Without `to`, its end is signed before.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(Part),
    security(("token" = ["operator"])),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn export(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Query(Part { from, to }): Query<Part>,
) -> Result<Response, Problem> {
    let text =
        service.errand_text(&caller, Errand::ExportLog { from, to }, Halt::default()).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response())
}
