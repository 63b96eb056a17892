//! Sandboxes: made, listed, copied, suspended, removed.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ctrlz_core::lifecycle::Lifecycle;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::workspace_choice::WorkspaceChoice;
use ctrlz_engine::{EngineError, Moved};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query, parse};
use super::views::{LivingSandbox, Page, SandboxView};
use crate::auth::{Acting, Caller, Looking};
use crate::metrics::Timing;
use crate::places::Place;
use crate::port::{Base, Session};
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// A new sandbox.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSandbox {
    /// Its name: 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit.
    name: String,
    /// A folder of the service's host that it starts from; only the tenant `default` has any.
    #[schema(value_type = Option<String>)]
    base: Option<PathBuf>,
    /// A tar file or OCI image layout on the service's host, likewise.
    #[schema(value_type = Option<String>)]
    image: Option<PathBuf>,
    /// What keeps its trees: `overlay`, `btrfs`, `zfs`, `reflink` or `copy`; or `auto`, the cheapest that can be had.
    /// What the service's configuration says when it is left out.
    #[schema(value_type = Option<String>)]
    workspace: Option<WorkspaceChoice>,
}

/// What page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// How many on a page, 1 to 1000; 100 when it is not said.
    pub(crate) limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub(crate) cursor: Option<String>,
}

impl Paging {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(100) {
            limit @ 1..=1000 => Ok(limit as usize),
            _ => Err(Problem::bad_request("`limit` must be 1 to 1000")),
        }
    }
}

/// A sandbox, the state of its life, and whether it is clean.
type Looked = (Sandbox, (Lifecycle, bool));

/// A page of a tenant's sandboxes, by name, each with the state of its life and whether it is clean, and where
/// the next one begins; for whoever may look.
pub(crate) async fn page_of(
    (service, caller): (&Arc<Service>, &Caller),
    paging: Paging,
) -> Result<(Vec<Looked>, Option<String>), Problem> {
    let limit = paging.limit()?;
    let found = service.with_core(caller, move |core| {
        let mut all = core.store().sandboxes()?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.retain(|one| paging.cursor.as_deref().is_none_or(|after| one.name.as_str() > after));
        let more = all.len() > limit;
        all.truncate(limit);
        let next = all.last().filter(|_| more).map(|last| last.name.to_string());
        let living = all.into_iter().map(|one| {
            let life = LivingSandbox::look(core, &one)?;
            Ok((one, life))
        });
        Ok((living.collect::<Result<Vec<_>, EngineError>>()?, next))
    });
    found.await
}

/// The sandboxes, by name.
#[utoipa::path(get, path = "/v1/sandboxes", tag = "sandboxes", params(Paging),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<LivingSandbox>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<LivingSandbox>>, Problem> {
    let (all, next) = page_of((&service, &caller), paging).await?;
    let items = all.into_iter().map(|(one, life)| LivingSandbox::of(&one, life));
    Ok(Json(Page { items: items.collect::<Result<_, _>>()?, next }))
}

/// Makes a sandbox, for whoever may act.
pub(crate) async fn make_it(
    (service, caller): (&Arc<Service>, &Caller),
    name: &str,
    (base, workspace): (Base, Option<WorkspaceChoice>),
) -> Result<Sandbox, Problem> {
    let name: SandboxName = parse(name)?;
    if let Base::Folder(path) | Base::Image(path) = &base
        && !path.is_absolute()
    {
        return Err(Problem::bad_request("what a sandbox starts from must be an absolute path"));
    }
    if base != Base::Empty && !caller.tenant.is_owner() {
        let title = "only sandboxes of the tenant `default` start from files of the service's host";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title));
    }
    let timing = Timing::begin(service, "create");
    let made =
        one_more(service, caller, move |session| session.create(&name, &base, workspace)).await;
    timing.end(made.is_ok());
    made
}

/// Makes a sandbox. Without `base` and `image` it starts from an empty folder of its own.
#[utoipa::path(post, path = "/v1/sandboxes", tag = "sandboxes", request_body = NewSandbox,
    security(("token" = ["operator"])),
    responses((status = 201, body = SandboxView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Body(new): Body<NewSandbox>,
) -> Result<Response, Problem> {
    let base = match (new.base, new.image) {
        (None, None) => Base::Empty,
        (Some(folder), None) => Base::Folder(folder),
        (None, Some(image)) => Base::Image(image),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("a sandbox starts from `base` or from `image`"));
        }
    };
    let made = make_it((&service, &caller), &new.name, (base, new.workspace)).await?;
    created(&SandboxView::of(&made)?, &format!("/v1/sandboxes/{}", new.name))
}

/// Makes a sandbox when the tenant may have one more.
async fn one_more(
    service: &Arc<Service>,
    caller: &Caller,
    make: impl FnOnce(&dyn Session) -> Result<Sandbox, Problem> + Send + 'static,
) -> Result<Sandbox, Problem> {
    let (service, caller) = (Arc::clone(service), caller.clone());
    // Whoever goes before it is made does not let another one be counted without it.
    let made = tokio::spawn(async move {
        let _alone = room(&service, &caller).await?;
        service.adding(&caller, make).await
    });
    made.await.map_err(|error| Problem::internal(error.to_string()))?
}

/// Errs when the tenant may not have one more sandbox. While what it answers is held, nobody else of it makes
/// one where sandboxes are counted.
pub(super) async fn room(
    service: &Arc<Service>,
    caller: &Caller,
) -> Result<Option<Place>, Problem> {
    let tenant = caller.tenant.clone();
    let tenant = service.registry(move |registry| registry.tenant(&tenant)).await?;
    let Some(most) = tenant.and_then(|tenant| tenant.quotas.sandboxes) else { return Ok(None) };
    let alone = service.making.take(&caller.tenant).await;
    let there = service.with_core(caller, |core| Ok(core.store().sandboxes()?.len())).await?;
    if there >= most as usize {
        let title = format!("this tenant may have {most} sandboxes, and has them");
        return Err(Problem::new(StatusCode::FORBIDDEN, "quota", title));
    }
    Ok(Some(alone))
}

/// An answer with what was made and where it is.
pub(super) fn created(view: &impl Serialize, location: &str) -> Result<Response, Problem> {
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    let location = HeaderValue::from_str(location)
        .map_err(|error| Problem::internal(format!("cannot tell where it is: {error}")))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// One sandbox.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "its name")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = LivingSandbox), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(name): Path<String>,
) -> Result<Json<LivingSandbox>, Problem> {
    let found = service.with_core(&caller, move |core| {
        let found = core.store().sandbox_named(&name)?;
        let life = LivingSandbox::look(core, &found)?;
        Ok((found, life))
    });
    let (found, life) = found.await?;
    Ok(Json(LivingSandbox::of(&found, life)?))
}

/// How to remove a sandbox.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Removing {
    /// Even when it has changes that were not committed.
    #[serde(default)]
    force: bool,
}

/// What a removal freed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    /// The sandbox's name.
    sandbox: String,
    /// Bytes of the store that are free again, about. After many removals, or in a large store, what nothing
    /// needs any more goes later, and counts nothing here.
    freed_bytes: u64,
}

/// Removes a sandbox with all that belongs to it.
#[utoipa::path(delete, path = "/v1/sandboxes/{sandbox}", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "its name"), Removing),
    security(("token" = ["operator"])),
    responses((status = 200, body = Removed), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    Query(removing): Query<Removing>,
) -> Result<Json<Removed>, Problem> {
    let timing = Timing::begin(&service, "remove");
    let sandbox = name.clone();
    let freed = service.freeing(&caller, move |session| {
        let found = on_core(session, |core| Ok(core.store().sandbox_named(&name)?))?;
        session.remove(&found, removing.force)
    });
    let freed = freed.await;
    timing.end(freed.is_ok());
    Ok(Json(Removed { sandbox, freed_bytes: freed? }))
}

/// The name of something new.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// Its name.
    name: String,
}

/// Copies a sandbox, for whoever may act.
pub(crate) async fn fork_it(
    (service, caller): (&Arc<Service>, &Caller),
    source: String,
    name: &str,
) -> Result<Sandbox, Problem> {
    let name: SandboxName = parse(name)?;
    let timing = Timing::begin(service, "fork");
    let made = one_more(service, caller, move |session| {
        on_core(session, |core| core.fork(&core.store().sandbox_named(&source)?, name))
    })
    .await;
    timing.end(made.is_ok());
    made
}

/// Copies a sandbox as it stands, its state included.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/fork", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "its name")), request_body = Named,
    security(("token" = ["operator"])),
    responses((status = 201, body = SandboxView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn fork(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(source): Path<String>,
    Body(named): Body<Named>,
) -> Result<Response, Problem> {
    let made = fork_it((&service, &caller), source, &named.name).await?;
    created(&SandboxView::of(&made)?, &format!("/v1/sandboxes/{}", named.name))
}

/// How a sandbox's life went on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LifeChanged {
    /// The sandbox's name.
    sandbox: String,
    /// What it was.
    #[schema(value_type = String)]
    from: Lifecycle,
    /// What it is.
    #[schema(value_type = String)]
    to: Lifecycle,
    /// Process 1 of what was frozen, or goes on.
    process: Option<u32>,
    /// How it was frozen.
    by: Option<String>,
    /// Whether something that a crash had left was finished or taken back.
    recovered: bool,
}

impl LifeChanged {
    fn of(sandbox: String, moved: Moved) -> Json<Self> {
        let Moved { from, to, process, by, recovered } = moved;
        Json(Self { sandbox, from, to, process, by, recovered })
    }
}

/// How long a reason may be.
const REASON: usize = 1024;

/// How to suspend.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Suspending {
    /// Why, for those who meet it later.
    reason: Option<String>,
}

/// Freezes a sandbox: what runs in it stops, and nothing new begins.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/suspend", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "its name"), Suspending),
    security(("token" = ["operator"])),
    responses((status = 200, body = LifeChanged), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn suspend(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    Query(suspending): Query<Suspending>,
) -> Result<Json<LifeChanged>, Problem> {
    let sandbox = name.clone();
    let reason = suspending.reason.unwrap_or_else(|| "asked for over the network".to_owned());
    if reason.len() > REASON {
        return Err(Problem::bad_request(format!("`reason` has up to {REASON} bytes")));
    }
    let moved = service
        .with_core(&caller, move |core| core.suspend(&core.store().sandbox_named(&name)?, &reason));
    Ok(LifeChanged::of(sandbox, moved.await?))
}

/// Lets a suspended sandbox go on.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/resume", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "its name")),
    security(("token" = ["operator"])),
    responses((status = 200, body = LifeChanged), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resume(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
) -> Result<Json<LifeChanged>, Problem> {
    let sandbox = name.clone();
    let moved = service
        .with_core(&caller, move |core| core.resume(&core.store().sandbox_named(&name)?))
        .await?;
    Ok(LifeChanged::of(sandbox, moved))
}
