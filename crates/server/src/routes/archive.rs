//! Snapshots at rest: archived, listed, brought back, verified.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ctrlz_core::id::SnapshotId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::snapshot::SnapshotScope;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::errands::{answered, answered_with};
use super::extract::{Body, parse};
use super::sandboxes::room;
use crate::auth::{Acting, Caller, Looking};
use crate::errand::{Errand, Pushed};
use crate::halt::Halt;
use crate::problem::Problem;
use crate::service::Service;

/// How many names one call takes.
const NAMES: usize = 1000;

/// The snapshots in the tenant's archive, the oldest first.
#[utoipa::path(get, path = "/v1/archive", tag = "archive", security(("token" = ["viewer"])),
    responses((status = 200, body = Object, description = "as `ctrlz archive ls --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
) -> Result<Json<Value>, Problem> {
    Ok(Json(service.errand(&caller, Errand::List, Halt::default()).await?))
}

/// What to archive: `sandbox` as it stands now, or `snapshots`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pushing {
    /// A sandbox's name.
    sandbox: Option<String>,
    /// Ids of snapshots.
    #[serde(default)]
    snapshots: Vec<String>,
    /// `full`, `incremental` or `state-only`.
    #[schema(value_type = Option<String>)]
    scope: Option<SnapshotScope>,
    /// Take files that cannot be read for absent, and tell them.
    #[serde(default)]
    skip_unreadable: bool,
}

/// Archives snapshots, in the archive of the tenant's store and in its copies.
#[utoipa::path(post, path = "/v1/archive", tag = "archive", request_body = Pushing,
    security(("token" = ["operator"])),
    responses((status = 202, body = Object, description = "with `Prefer: respond-async`: where the process is"),
        (status = 200, body = Object, description = "as `ctrlz push --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn push(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    headers: HeaderMap,
    Body(pushing): Body<Pushing>,
) -> Result<Response, Problem> {
    let ids = || -> Result<Vec<SnapshotId>, Problem> {
        bounded(&pushing.snapshots)?.iter().map(|id| parse(id)).collect()
    };
    let what = match &pushing.sandbox {
        Some(name) if pushing.snapshots.is_empty() => {
            Pushed::Sandbox(known(&service, &caller, name).await?)
        }
        None if !pushing.snapshots.is_empty() => Pushed::Snapshots(ids()?),
        _ => return Err(Problem::bad_request("a push has `sandbox` or `snapshots`")),
    };
    let Pushing { scope, skip_unreadable, .. } = pushing;
    answered((&service, &caller), &headers, Errand::Push { what, scope, skip_unreadable }).await
}

/// The name of a sandbox that is there.
async fn known(
    service: &Arc<Service>,
    caller: &Caller,
    name: &str,
) -> Result<SandboxName, Problem> {
    let name = name.to_owned();
    service.with_core(caller, move |core| Ok(core.store().sandbox_named(&name)?.name)).await
}

/// What to bring back, and where to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pulling {
    /// The snapshot's name in the archive.
    name: String,
    /// The sandbox that gets it; it is made when there is none of that name.
    sandbox: String,
}

/// Brings a snapshot back from the tenant's archive, to a sandbox that is there or to a new one.
#[utoipa::path(post, path = "/v1/archive/restore", tag = "archive", request_body = Pulling,
    security(("token" = ["operator"])),
    responses((status = 202, body = Object, description = "with `Prefer: respond-async`: where the process is"),
        (status = 200, body = Object, description = "as `ctrlz pull --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pull(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    headers: HeaderMap,
    Body(Pulling { name, sandbox }): Body<Pulling>,
) -> Result<Response, Problem> {
    let sandbox: SandboxName = parse(&sandbox)?;
    let name = bounded(&[name])?.remove(0);
    let errand = Errand::Pull { name, sandbox: sandbox.clone() };
    let about = (errand.title(), sandbox.to_string());
    let (inner, who) = (Arc::clone(&service), caller.clone());
    // As for one that is made: whoever goes meanwhile changes nothing.
    let halt = Halt::default();
    let asked = halt.clone();
    let work = async move {
        let is_there = known(&inner, &who, sandbox.as_str()).await.is_ok();
        let _alone = if is_there { None } else { room(&inner, &who).await? };
        inner.errand(&who, errand, asked).await
    };
    answered_with((&service, &caller), &headers, about, (work, halt)).await
}

/// Names of snapshots in the archive.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Names {
    /// The names; when there are none, what the call says.
    names: Vec<String>,
}

/// Takes snapshots out of the archive. `POST /v1/archive/collect` gives their space back.
#[utoipa::path(post, path = "/v1/archive/remove", tag = "archive", request_body = Names,
    security(("token" = ["operator"])),
    responses((status = 202, body = Object, description = "with `Prefer: respond-async`: where the process is"),
        (status = 200, body = Object, description = "as `ctrlz archive rm --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    headers: HeaderMap,
    Body(Names { names }): Body<Names>,
) -> Result<Response, Problem> {
    if names.is_empty() {
        return Err(Problem::bad_request("`names` says what is to go"));
    }
    answered((&service, &caller), &headers, Errand::Remove { names: bounded(&names)? }).await
}

/// How to collect.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Collecting {
    /// Only tell what would go.
    dry_run: bool,
    /// Also what was written within the last day and belongs to no snapshot.
    now: bool,
}

/// Removes from the archive what no snapshot in it needs.
#[utoipa::path(post, path = "/v1/archive/collect", tag = "archive", request_body = Collecting,
    security(("token" = ["operator"])),
    responses((status = 202, body = Object, description = "with `Prefer: respond-async`: where the process is"),
        (status = 200, body = Object, description = "as `ctrlz archive gc --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn collect(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    headers: HeaderMap,
    Body(Collecting { dry_run, now }): Body<Collecting>,
) -> Result<Response, Problem> {
    answered((&service, &caller), &headers, Errand::Collect { dry_run, now }).await
}

/// What to verify.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Verifying {
    /// Names of snapshots; all of them when there are none.
    names: Vec<String>,
    /// Read only about this share of the layers, others each day: more than 0 and at most 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    sample: Option<f64>,
    /// Remove damaged blobs, so that the next push brings them again.
    discard: bool,
}

/// Reads what is archived and compares it with its digests: all of it, or the snapshots of those names.
#[utoipa::path(post, path = "/v1/archive/verify", tag = "archive", request_body = Verifying,
    security(("token" = ["operator"])),
    responses((status = 202, body = Object, description = "with `Prefer: respond-async`: where the process is"),
        (status = 200, body = Object, description = "as `ctrlz verify --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    headers: HeaderMap,
    Body(Verifying { names, sample, discard }): Body<Verifying>,
) -> Result<Response, Problem> {
    if sample.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        return Err(Problem::bad_request("`sample` is a share: more than 0 and at most 1"));
    }
    let names = bounded(&names)?;
    answered((&service, &caller), &headers, Errand::Verify { names, sample, discard }).await
}

/// Restores archived snapshots for a moment and compares them file by file: the newest of each
/// sandbox, or those of these names.
#[utoipa::path(post, path = "/v1/archive/drill", tag = "archive", request_body = Names,
    security(("token" = ["operator"])),
    responses((status = 202, body = Object, description = "with `Prefer: respond-async`: where the process is"),
        (status = 200, body = Object, description = "as `ctrlz drill --json`"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn drill(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    headers: HeaderMap,
    Body(Names { names }): Body<Names>,
) -> Result<Response, Problem> {
    answered((&service, &caller), &headers, Errand::Drill { names: bounded(&names)? }).await
}

/// Names that can be arguments of a program.
fn bounded(names: &[String]) -> Result<Vec<String>, Problem> {
    if names.len() > NAMES {
        return Err(Problem::bad_request(format!("at most {NAMES} names at once")));
    }
    if names.iter().any(|name| name.is_empty() || name.len() > 1024 || name.contains('\0')) {
        return Err(Problem::bad_request("a name has 1 to 1024 bytes, and no NUL"));
    }
    Ok(names.to_vec())
}
