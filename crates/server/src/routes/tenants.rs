//! Tenants, for the administrators of the service.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ctrlz_core::tenancy::{Quotas, Tenant, TenantName};
use serde_json::Value;

use super::extract::{Body, Path, parse};
use super::views::{Page, to_json};
use crate::auth::Owning;
use crate::problem::Problem;
use crate::service::Service;

/// The tenants, by name.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", security(("token" = ["owner"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    _: Owning,
) -> Result<Json<Page<Value>>, Problem> {
    let found = service.registry(|registry| registry.tenants()).await?;
    let items = found.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}

/// Makes a tenant, or gives one other quotas: `sandboxes`, `running`, `per_minute` (numbers) and
/// `memory` (bytes, for an operation); what is left out is not limited.
#[utoipa::path(put, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "its name")),
    request_body = Object, security(("token" = ["owner"])),
    responses((status = 200, body = Object), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    _: Owning,
    Path(name): Path<String>,
    Body(quotas): Body<Quotas>,
) -> Result<Json<Value>, Problem> {
    if [quotas.memory, quotas.disk].contains(&Some(0)) || quotas.running == Some(0) {
        return Err(Problem::bad_request("`running` and `memory` are more than 0"));
    }
    let tenant = Tenant { name: parse(&name)?, created: service.now(), quotas };
    let answer = to_json(&tenant)?;
    let left = service.parts.backend.store_of(&tenant.name);
    let made = service
        .registry(move |registry| {
            // Whoever had that name before would leave all that is theirs to somebody else.
            if left.is_some() && registry.tenant(&tenant.name)?.is_none() {
                return Ok(left);
            }
            registry.put_tenant(&tenant).map(|()| None)
        })
        .await?;
    if let Some(left) = made {
        let title = format!("a tenant `{name}` that is gone left its store");
        return Err(Problem::of_kind("exists", title)
            .hint(format!("remove {} when nobody needs it any more", left.display())));
    }
    Ok(Json(answer))
}

/// Removes a tenant with its tokens, and ends what runs. Its store stays where it is, and its name is
/// not given to another while it does.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "its name")),
    security(("token" = ["owner"])),
    responses((status = 204, description = "it is gone"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    _: Owning,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let parsed: TenantName = parse(&name)?;
    if parsed.is_owner() {
        let title = "the tenant `default` is the service's own";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title));
    }
    let removed = parsed.clone();
    match service.registry(move |registry| registry.remove_tenant(&parsed)).await? {
        true => {
            for process in service.processes.list(&removed, None) {
                // One that has ended needs none.
                let _ = process.signal(9);
            }
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(Problem::not_found("tenant", &name)),
    }
}
