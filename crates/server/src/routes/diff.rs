//! What a sandbox changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ctrlz_core::changeset::Changeset;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::Path;
use super::views::{Counts, to_json};
use crate::auth::{Caller, Looking};
use crate::problem::Problem;
use crate::service::Service;

/// What lies between where a sandbox stands and what it started from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Diff {
    /// The sandbox's name.
    sandbox: String,
    /// How much.
    counts: Counts,
    /// What, by path; see docs/json.md.
    #[schema(value_type = Vec<Object>)]
    changes: Value,
}

/// The changes of a sandbox since it was made or committed, for whoever may look.
pub(crate) async fn changes_of(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
) -> Result<Changeset, Problem> {
    let found = service.with_core(caller, move |core| {
        let sandbox = core.store().sandbox_named(&name)?;
        let driver = core.driver_of(&sandbox)?;
        Ok(driver.changes(&core.start_of(&sandbox)?, &sandbox.point.tree)?)
    });
    found.await
}

/// What a sandbox changed since it was made or committed.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/diff", tag = "history",
    params(("sandbox" = String, Path, description = "its name")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Diff), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn diff(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(sandbox): Path<String>,
) -> Result<Json<Diff>, Problem> {
    let changeset = changes_of((&service, &caller), sandbox.clone()).await?;
    let counts = Counts::of(&changeset.counts());
    Ok(Json(Diff { sandbox, counts, changes: to_json(&changeset.changes)? }))
}
