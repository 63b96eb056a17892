//! What sandboxes did and used, and how the service's host and store are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ctrlz_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::views::to_json;
use crate::auth::Looking;
use crate::listen::Expiry;
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// Since when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// In nanoseconds since 1970; always when it is left out.
    #[serde(default)]
    since: i64,
}

/// What a sandbox did and used, and what is usual for it.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/stats", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "its name"), Since),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Object, description = "as `ctrlz stats --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn stats(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(name): Path<String>,
    Query(Since { since }): Query<Since>,
) -> Result<Json<Value>, Problem> {
    let stats = service.with(&caller, move |session| {
        let sandbox = on_core(session, |core| Ok(core.store().sandbox_named(&name)?))?;
        session.stats(&sandbox, Timestamp(since))
    });
    Ok(Json(stats.await?))
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// One for each check: `check`, `severity`, `evidence`, `advice`.
    #[schema(value_type = Vec<Object>)]
    findings: Value,
}

/// What is wrong with the host and the store, for the tenant whose host it is.
#[utoipa::path(get, path = "/v1/health", tag = "health",
    security(("token" = ["viewer", "default"])),
    responses((status = 200, body = Health), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn health(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
) -> Result<Json<Health>, Problem> {
    if !caller.tenant.is_owner() {
        let title = "only the tenant `default` is told about the service's host";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title));
    }
    let mut findings = service.with(&caller, |session| session.health()).await?;
    let end = service.parts.tls.as_ref().map(|tls| tls.end());
    findings.extend(end.map(|end| Expiry::at(end, service.now()).finding()));
    Ok(Json(Health { findings: to_json(&findings)? }))
}
