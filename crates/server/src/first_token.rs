//! The token with which a new service is used for the first time.

use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{Registry, Role, TenantName, Token};
use ctrlz_core::time::Timestamp;

use crate::problem::Problem;
use crate::{auth, idempotency};

/// What a service does when it is sure to begin: it answers what one before it left unanswered, and
/// makes a token for the service's administrator when nobody has one that is valid; answers it. It
/// is told once: only its digest is kept.
///
/// # Errors
/// When the registry cannot be read or written, or there are no random numbers.
pub fn first_token(registry: &dyn Registry, now: Timestamp) -> Result<Option<String>, Problem> {
    let failed = |error: StoreError| Problem::internal(ctrlz_engine::in_full(&error));
    idempotency::end_unfinished(registry)?;
    let owner = TenantName::owner();
    let is_valid = |token: &Token| {
        token.role == Role::Admin
            && token.revoked.is_none()
            && token.expires.is_none_or(|expires| expires > now)
    };
    if registry.tokens(&owner).map_err(failed)?.iter().any(is_valid) {
        return Ok(None);
    }
    let note = "made when the service began".to_owned();
    let (token, digest, text) = new_token(owner, Role::Admin, note, (now, None))?;
    registry.add_token(&token, &digest).map_err(failed)?;
    Ok(Some(text))
}

/// A new token, the digest of its secret, which is kept, and its text, which is told once. `times` are
/// now and when it expires.
///
/// # Errors
/// When there are no random numbers.
pub fn new_token(
    tenant: TenantName,
    role: Role,
    note: String,
    times: (Timestamp, Option<Timestamp>),
) -> Result<(Token, [u8; 32], String), Problem> {
    let issued = auth::issue()?;
    let (created, expires) = times;
    let token = Token { id: issued.id, tenant, role, note, created, expires, revoked: None };
    Ok((token, issued.digest, issued.text))
}
