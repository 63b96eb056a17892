//! From a request's header to who asks.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ctrlz_core::actor::{Actor, ActorKind};
use ctrlz_core::tenancy::{Right, Role, TenantName};

use super::bearer;
use crate::problem::Problem;
use crate::service::Service;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The id of the token; of a local user, a word for them.
    pub(crate) token: String,
    /// Whose it is.
    pub(crate) tenant: TenantName,
    /// What it lets do.
    pub(crate) role: Role,
    /// The user of this host who asks without a token, since the store is theirs.
    pub(crate) local: Option<Actor>,
}

impl Caller {
    /// Errs when the token does not let do that.
    pub(crate) fn require(&self, right: Right) -> Result<(), Problem> {
        if self.role.may(right, self.tenant.is_owner()) {
            return Ok(());
        }
        let (role, wanted) = (self.role.word(), needed(right));
        let title = format!("your token has the role {role}; this needs {wanted}");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title))
    }

    /// The user to whom the service's own store belongs.
    pub(crate) fn local(user: Actor) -> Self {
        let token = format!("user-{}", user.id);
        Self { token, tenant: TenantName::owner(), role: Role::Admin, local: Some(user) }
    }

    /// As the journal knows it.
    pub(crate) fn actor(&self) -> Actor {
        let token = || Actor { kind: ActorKind::ApiKey, id: self.token.clone() };
        self.local.clone().unwrap_or_else(token)
    }
}

fn needed(right: Right) -> &'static str {
    match right {
        Right::Look => "viewer",
        Right::Act => "operator",
        Right::Approve => "approver",
        Right::Manage => "admin",
        Right::Own => "admin of the tenant `default`",
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route outside of `authenticate` has none, and so lets nobody in.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unauthorized("who calls is unknown"))
    }
}

/// Callers with a right, which is looked at before anything else of a request.
macro_rules! with_right {
    ($($(#[$doc:meta])* $name:ident: $right:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(pub(crate) Caller);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let caller = Caller::from_request_parts(parts, state).await?;
                caller.require(Right::$right)?;
                Ok(Self(caller))
            }
        }
    )*};
}

with_right! {
    /// Who may look.
    Looking: Look;
    /// Who may run, change and take back.
    Acting: Act;
    /// Who may approve.
    Approving: Approve;
    /// Who may manage the tenant's tokens.
    Managing: Manage;
}

/// Who may manage tenants.
#[derive(Debug)]
pub(crate) struct Owning;

impl<S: Send + Sync> FromRequestParts<S> for Owning {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, state).await?.require(Right::Own).map(|()| Self)
    }
}

fn unauthorized(title: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", title)
        .hint("send `Authorization: Bearer TOKEN`; `ctrlz token new` makes a token")
}

/// Lets in who has a token that is valid now, and nobody else.
pub(crate) async fn authenticate(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&service, request.headers().get(header::AUTHORIZATION)).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let mut response = next.run(request).await;
            // For whoever writes down who asked.
            response.extensions_mut().insert(caller);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whether a caller who was let in would be let in now.
pub(crate) async fn is_still_let_in(service: &Arc<Service>, caller: &Caller) -> bool {
    let id = caller.token.clone();
    let found = service.registry(move |registry| registry.token(&id)).await;
    // Who cannot be asked about is not let in.
    let token = found.ok().flatten().map(|(token, _)| token);
    token.is_some_and(|token| bearer::is_over(&token, service.now()).is_none())
}

async fn caller(
    service: &Arc<Service>,
    header: Option<&header::HeaderValue>,
) -> Result<Caller, Problem> {
    let text = header.ok_or_else(|| unauthorized("there is no token"))?;
    let text = text.to_str().unwrap_or_default();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(unauthorized("the Authorization header has no bearer token")),
    };
    // Whatever is wrong, the answer is the same, so that it tells nothing of what there is.
    let wrong = || unauthorized("the token is not valid");
    let (id, secret) = bearer::split(token).ok_or_else(wrong)?;
    let (id, secret) = (id.to_owned(), secret.to_owned());
    let found = service.registry(move |registry| registry.token(&id)).await?;
    let (token, expected) = found.ok_or_else(wrong)?;
    if !bearer::is_secret(&secret, &expected) {
        return Err(wrong());
    }
    // Who has the secret may know.
    if let Some(why) = bearer::is_over(&token, service.now()) {
        return Err(unauthorized(&format!("the token is not valid: {why}")));
    }
    Ok(Caller { token: token.id, tenant: token.tenant, role: token.role, local: None })
}
