//! `ctrlz token`: tokens made where the service's store lies.

use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{Quotas, Registry as _, Tenant, TenantName, Token};
use ctrlz_core::time::Timestamp;

use super::backend::directory_of;
use super::{registry, told};
use crate::Answer;
use crate::arguments::{TokenAction, TokenArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, plain, print_table};
use crate::{clock, places};

pub(crate) fn token(arguments: &TokenArguments, json: bool) -> Answer {
    let failed = |error: StoreError| Failure::caused(OWN_FAILURE, "registry", &error);
    // Whoever may write to the store may make tokens; that it is theirs alone is looked at first.
    Context::open()?.check_ownership()?;
    let registry = registry(&places::store()?)?;
    let now = clock::now();
    match &arguments.action {
        TokenAction::New { tenant: given, role, note, expires } => {
            let tenant = &owner_or(given);
            if registry.tenant(tenant).map_err(failed)?.is_none() {
                let left = directory_of(&places::store()?, tenant);
                if left.exists() {
                    let message = format!("a tenant `{tenant}` that is gone left its store");
                    let hint = format!("remove {} when nobody needs it any more", left.display());
                    return Err(Failure::new(REFUSED, "exists", message).hint(hint));
                }
                let (name, quotas) = (tenant.clone(), Quotas::default());
                registry.put_tenant(&Tenant { name, created: now, quotas }).map_err(failed)?;
            }
            let lasts = expires.map(|lasts| i64::try_from(lasts.0.as_nanos()).unwrap_or(i64::MAX));
            let expires = lasts.map(|lasts| Timestamp(now.0.saturating_add(lasts)));
            let made = ctrlz_server::new_token(tenant.clone(), *role, note.clone(), (now, expires));
            let (token, digest, text) = made.map_err(told)?;
            registry.add_token(&token, &digest).map_err(failed)?;
            tell_new(&text, &token.id, json)
        }
        TokenAction::Ls { tenant: given } => {
            tell_list(&registry.tokens(&owner_or(given)).map_err(failed)?, json)
        }
        TokenAction::Revoke { id, tenant: given } => {
            let tenant = owner_or(given);
            if !registry.revoke(&tenant, id, now).map_err(failed)? {
                return Err(no_token(&tenant, id));
            }
            tell_revoked(id, json)
        }
    }
}

/// The tenant that is meant here.
fn owner_or(given: &Option<TenantName>) -> TenantName {
    given.clone().unwrap_or_else(TenantName::owner)
}

pub(crate) fn no_token(tenant: &TenantName, id: &str) -> Failure {
    let message = format!("tenant `{tenant}` has no token `{id}` that is not revoked");
    Failure::new(REFUSED, "no-token", message).hint("`ctrlz token ls` lists them")
}

pub(crate) fn tell_new(text: &str, id: &str, json: bool) -> Answer {
    if json {
        show::print_json(&[("token", text.into()), ("id", id.into())]);
    } else {
        println!("{text}");
    }
    show::done()
}

pub(crate) fn tell_revoked(id: &str, json: bool) -> Answer {
    if json {
        show::print_json(&[("id", id.into())]);
    } else {
        println!("{id} is not taken any more");
    }
    show::done()
}

pub(crate) fn tell_list(tokens: &[Token], json: bool) -> Answer {
    if json {
        show::print_json(&[("tokens", show::to_json(&tokens)?)]);
        return show::done();
    }
    let now = clock::now();
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let status = match (token.revoked, token.expires) {
                (Some(at), _) => format!("revoked {}", at.rfc3339()),
                (None, Some(at)) if at <= now => "expired".to_owned(),
                (None, Some(at)) => format!("until {}", at.rfc3339()),
                (None, None) => "valid".to_owned(),
            };
            let (role, note) = (token.role.word().to_owned(), plain(&token.note));
            vec![token.id.clone(), role, status, token.created.rfc3339(), note.to_string()]
        })
        .collect();
    print_table(&["ID", "ROLE", "STATUS", "CREATED", "NOTE"], &rows, "there are no tokens");
    show::done()
}
