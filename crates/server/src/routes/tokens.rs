//! A tenant's tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ctrlz_core::tenancy::{Right, Role, TenantName};
use ctrlz_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query, parse};
use super::sandboxes::created;
use super::views::{Page, to_json};
use crate::auth::{Caller, Managing};
use crate::first_token::new_token;
use crate::idempotency::ToldOnce;
use crate::problem::Problem;
use crate::service::Service;

/// Whose tokens.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Another tenant's: for the administrators of the service.
    tenant: Option<String>,
}

impl Whose {
    /// The tenant whose tokens the caller manages here.
    fn managed(&self, caller: &Caller) -> Result<TenantName, Problem> {
        let Some(name) = &self.tenant else { return Ok(caller.tenant.clone()) };
        let name: TenantName = parse(name)?;
        if name != caller.tenant {
            caller.require(Right::Own)?;
        }
        Ok(name)
    }
}

/// A tenant's tokens, without their secrets, the oldest first.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", params(Whose),
    security(("token" = ["admin"])),
    responses((status = 200, body = Page<Object>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Managing(caller): Managing,
    Query(whose): Query<Whose>,
) -> Result<Json<Page<Value>>, Problem> {
    let tenant = whose.managed(&caller)?;
    let found = service.registry(move |registry| registry.tokens(&tenant)).await?;
    let items = found.iter().map(to_json).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// `viewer`, `operator`, `approver` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// What it is for.
    #[serde(default)]
    note: String,
    /// For how many seconds it is taken; for ever when it is left out.
    expires_in: Option<u32>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Issued {
    /// What is sent as `Authorization: Bearer TOKEN`. It is told this once.
    token: String,
    /// What names it.
    id: String,
}

/// Makes a token. Its secret is told once, and kept as a digest.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", params(Whose), request_body = NewToken,
    security(("token" = ["admin"])),
    responses((status = 201, body = Issued), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Managing(caller): Managing,
    Query(whose): Query<Whose>,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let tenant = whose.managed(&caller)?;
    if new.note.len() > 1024 || new.expires_in == Some(0) {
        return Err(Problem::bad_request(
            "`note` has up to 1024 bytes, `expires_in` is more than 0",
        ));
    }
    let now = service.now();
    let lasts = new.expires_in.map(|seconds| i64::from(seconds) * 1_000_000_000);
    let expires = lasts.map(|lasts| Timestamp(now.0.saturating_add(lasts)));
    let (token, digest, text) = new_token(tenant.clone(), new.role, new.note, (now, expires))?;
    let id = token.id.clone();
    let is_there = service
        .registry(move |registry| {
            let is_there = registry.tenant(&token.tenant)?.is_some();
            if is_there {
                registry.add_token(&token, &digest)?;
            }
            Ok(is_there)
        })
        .await?;
    if !is_there {
        return Err(Problem::not_found("tenant", tenant.as_str()));
    }
    let location = format!("/v1/tokens/{id}");
    let mut response = created(&Issued { token: text, id }, &location)?;
    response.extensions_mut().insert(ToldOnce);
    Ok(response)
}

/// Revokes a token: from now on it is not taken.
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "its id"), Whose),
    security(("token" = ["admin"])),
    responses((status = 204, description = "it is revoked"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn revoke(
    State(service): State<Arc<Service>>,
    Managing(caller): Managing,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<StatusCode, Problem> {
    let (tenant, now, asked) = (whose.managed(&caller)?, service.now(), id.clone());
    let revoked = service.registry(move |registry| registry.revoke(&tenant, &asked, now)).await?;
    match revoked {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("token", &id)),
    }
}
