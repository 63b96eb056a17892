//! `token` at a service.

use ctrlz_core::tenancy::{TenantName, Token};
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Call, Client, query, segment};
use crate::Answer;
use crate::arguments::{TokenAction, TokenArguments};
use crate::commands::serve::token;
use crate::failure::{Failure, OWN_FAILURE};

#[derive(Deserialize)]
struct Made {
    token: String,
    id: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Token>,
}

/// The tenant in a query; the token's own when none is named.
fn of(tenant: Option<&TenantName>) -> String {
    query(&tenant.map(|tenant| ("tenant", tenant.to_string())).into_iter().collect::<Vec<_>>())
}

pub(super) fn tokens(client: &Client, arguments: &TokenArguments, json: bool) -> Answer {
    match &arguments.action {
        TokenAction::New { tenant, role, note, expires } => {
            let seconds = expires.map(|span| u32::try_from(span.0.as_secs().max(1)));
            let seconds = seconds.transpose().map_err(|_| {
                let message = "a service takes a token for 136 years at most";
                Failure::new(OWN_FAILURE, "time", message).hint("leave --expires out")
            })?;
            let body = json!({ "role": role, "note": note, "expires_in": seconds });
            let path = format!("/v1/tokens{}", of(tenant.as_ref()));
            let make =
                || client.wait(client.ask_told(Call::new(Method::POST, path.clone()).json(&body)));
            let made = match (make()?, tenant) {
                (Err(refusal), Some(tenant)) if refusal.kind == "no-tenant" => {
                    let path = format!("/v1/tenants/{}", segment(tenant.as_str()));
                    client.wait(client.ask(Call::new(Method::PUT, path).json(&json!({}))))?;
                    make()?
                }
                (made, _) => made,
            };
            let made: Made = made.map_err(super::problem::Refusal::into_failure)?.read()?;
            token::tell_new(&made.token, &made.id, json)
        }
        TokenAction::Ls { tenant } => {
            let page: Page = client.get(&format!("/v1/tokens{}", of(tenant.as_ref())))?;
            token::tell_list(&page.items, json)
        }
        TokenAction::Revoke { id, tenant } => {
            let path = format!("/v1/tokens/{}{}", segment(id), of(tenant.as_ref()));
            match client.wait(client.ask_told(Call::new(Method::DELETE, path)))? {
                Ok(_) => token::tell_revoked(id, json),
                Err(refusal) if refusal.kind == "no-token" => {
                    let tenant = tenant.clone().unwrap_or_else(TenantName::owner);
                    Err(token::no_token(&tenant, id))
                }
                Err(refusal) => Err(refusal.into_failure()),
            }
        }
    }
}
