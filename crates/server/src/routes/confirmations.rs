//! What waits for somebody's approval.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ctrlz_core::tenancy::Confirmation;
use serde_json::Value;

use super::extract::Path;
use super::views::{Page, to_json};
use crate::auth::{Approving, Caller, Looking};
use crate::problem::Problem;
use crate::service::Service;

/// What waits for an approval, or was approved and did not run yet, the oldest first.
#[utoipa::path(get, path = "/v1/confirmations", tag = "confirmations",
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
) -> Result<Json<Page<Value>>, Problem> {
    let (tenant, now) = (caller.tenant.clone(), service.now());
    let found = service.registry(move |registry| registry.confirmations(&tenant, now)).await?;
    let items = found.iter().map(|one: &Confirmation| to_json(one)).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}

/// Approves, for whoever may.
pub(crate) async fn approve_it(
    (service, caller): (&Arc<Service>, &Caller),
    id: &str,
) -> Result<(), Problem> {
    let (tenant, by, now) = (caller.tenant.clone(), caller.token.clone(), service.now());
    let asked = id.to_owned();
    let approved =
        service.registry(move |registry| registry.approve(&tenant, &asked, &by, now)).await?;
    match approved {
        true => Ok(()),
        false => Err(Problem::not_found("confirmation", id)
            .hint("it may have expired, or been approved before")),
    }
}

/// Approves an operation. The approval is for that operation as it was asked, once, and expires.
#[utoipa::path(post, path = "/v1/confirmations/{confirmation}/approve", tag = "confirmations",
    params(("confirmation" = String, Path, description = "its id")),
    security(("token" = ["approver"])),
    responses((status = 204, description = "it may run"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn approve(
    State(service): State<Arc<Service>>,
    Approving(caller): Approving,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    approve_it((&service, &caller), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
