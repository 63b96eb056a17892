//! Snapshots: taken, listed, removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use ctrlz_core::id::SnapshotId;
use ctrlz_core::snapshot::{NewSnapshot, Snapshot, SnapshotKind, SnapshotScope, Tag};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query, parse};
use super::sandboxes::{Paging, created};
use super::views::{Page, SnapshotView};
use crate::auth::{Acting, Caller, Looking};
use crate::metrics::Timing;
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// A page of a sandbox's snapshots, the newest first, and where the next one begins; for whoever may
/// look.
pub(crate) async fn page_of(
    (service, caller): (&Arc<Service>, &Caller),
    sandbox: String,
    paging: &Paging,
) -> Result<(Vec<Snapshot>, Option<String>), Problem> {
    let limit = paging.limit()?;
    let before: Option<SnapshotId> = paging.cursor.as_deref().map(parse).transpose()?;
    let found = service.with_core(caller, move |core| {
        Ok(core.store().snapshots(core.store().sandbox_named(&sandbox)?.id)?)
    });
    let mut all = found.await?;
    all.sort_by_key(|one| std::cmp::Reverse(one.id));
    all.retain(|one| before.is_none_or(|before| one.id < before));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|last| last.id.to_string());
    Ok((all, next))
}

/// The snapshots of a sandbox, the newest first.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/snapshots", tag = "snapshots",
    params(("sandbox" = String, Path, description = "its name"), Paging),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<SnapshotView>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(sandbox): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<SnapshotView>>, Problem> {
    let (all, next) = page_of((&service, &caller), sandbox, &paging).await?;
    let items = all.iter().map(SnapshotView::of).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next }))
}

/// A snapshot to be taken.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Taking {
    /// What it is taken for.
    pub(crate) message: String,
    /// Tags; with `keep` or `manual` retention leaves it alone.
    pub(crate) tags: Vec<String>,
    /// `full`, `incremental` or `state-only`.
    #[schema(value_type = Option<String>)]
    pub(crate) scope: Option<SnapshotScope>,
    /// Now, also while a command runs, with what that has written so far; the command goes on. Otherwise
    /// a snapshot waits for its end.
    pub(crate) live: bool,
}

/// How long a message may be, and how many tags one call takes.
const MESSAGE: usize = 4096;
const TAGS: usize = 64;

/// Errs when there are too many tags.
fn bounded(tags: &[String]) -> Result<(), Problem> {
    match tags.len() > TAGS {
        false => Ok(()),
        true => Err(Problem::bad_request(format!("at most {TAGS} tags at once"))),
    }
}

/// Takes a snapshot, for whoever may act.
pub(crate) async fn take_it(
    (service, caller): (&Arc<Service>, &Caller),
    sandbox: String,
    taking: Taking,
) -> Result<Snapshot, Problem> {
    bounded(&taking.tags)?;
    if taking.message.len() > MESSAGE {
        let title = format!("`message` has up to {MESSAGE} bytes");
        return Err(Problem::bad_request(title));
    }
    let tags =
        taking.tags.iter().map(|tag| parse::<Tag>(tag)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut new = NewSnapshot::of(SnapshotKind::Manual, &taking.message);
    new.tags.extend(tags);
    new.scope = taking.scope.unwrap_or(new.scope);
    let timing = Timing::begin(service, "snapshot");
    let taken = service
        .adding(caller, move |session| {
            on_core(session, |core| {
                let sandbox = core.store().sandbox_named(&sandbox)?;
                match taking.live {
                    true => core.snapshot_live(&sandbox, &new, None),
                    false => core.snapshot(&sandbox, &new),
                }
            })
        })
        .await;
    timing.end(taken.is_ok());
    let taken = taken?;
    measure(service, caller, &taken);
    Ok(taken)
}

/// Keeps the point where a sandbox stands.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/snapshots", tag = "snapshots",
    params(("sandbox" = String, Path, description = "its name")), request_body = Taking,
    security(("token" = ["operator"])),
    responses((status = 201, body = SnapshotView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(sandbox): Path<String>,
    Body(taking): Body<Taking>,
) -> Result<Response, Problem> {
    let taken = take_it((&service, &caller), sandbox, taking).await?;
    created(&SnapshotView::of(&taken)?, &format!("/v1/snapshots/{}", taken.id))
}

/// Notes how large a snapshot is, after whoever took it has its answer.
fn measure(service: &Arc<Service>, caller: &Caller, taken: &Snapshot) {
    let (service, caller, taken) = (Arc::clone(service), caller.clone(), taken.clone());
    tokio::spawn(async move {
        let size = service.with_core(&caller, move |core| core.snapshot_size(&taken)).await;
        // One that is gone already has none.
        if let Ok(size) = size {
            service.metrics.snapshot(size);
        }
    });
}

/// One snapshot.
#[utoipa::path(get, path = "/v1/snapshots/{snapshot}", tag = "snapshots",
    params(("snapshot" = String, Path, description = "its id, such as `snap-3`")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = SnapshotView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
) -> Result<Json<SnapshotView>, Problem> {
    let id: SnapshotId = parse(&id)?;
    let found = service.with_core(&caller, move |core| Ok(core.store().snapshot(id)?)).await?;
    Ok(Json(SnapshotView::of(&found)?))
}

/// Tags to put on a snapshot and to take off.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tagging {
    /// To put on.
    add: Vec<String>,
    /// To take off.
    remove: Vec<String>,
}

/// Changes the tags of a snapshot.
#[utoipa::path(post, path = "/v1/snapshots/{snapshot}/tags", tag = "snapshots",
    params(("snapshot" = String, Path, description = "its id")), request_body = Tagging,
    security(("token" = ["operator"])),
    responses((status = 200, body = SnapshotView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn tag(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(id): Path<String>,
    Body(tagging): Body<Tagging>,
) -> Result<Json<SnapshotView>, Problem> {
    let id: SnapshotId = parse(&id)?;
    bounded(&tagging.add)?;
    bounded(&tagging.remove)?;
    let tags =
        |words: &[String]| words.iter().map(|tag| parse(tag)).collect::<Result<Vec<Tag>, _>>();
    let (add, remove) = (tags(&tagging.add)?, tags(&tagging.remove)?);
    let tagged =
        service.with_core(&caller, move |core| Ok(core.store().tag_snapshot(id, &add, &remove)?));
    Ok(Json(SnapshotView::of(&tagged.await?)?))
}

/// How to remove a snapshot.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Removing {
    /// Even when its tags keep it.
    #[serde(default)]
    force: bool,
}

/// What a removal freed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SnapshotRemoved {
    /// The snapshot's id.
    snapshot: String,
    /// Bytes of the store that are free again.
    freed_bytes: u64,
}

/// Removes a snapshot. What another one, or a sandbox, needs of it stays.
#[utoipa::path(delete, path = "/v1/snapshots/{snapshot}", tag = "snapshots",
    params(("snapshot" = String, Path, description = "its id"), Removing),
    security(("token" = ["operator"])),
    responses((status = 200, body = SnapshotRemoved), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(id): Path<String>,
    Query(removing): Query<Removing>,
) -> Result<Json<SnapshotRemoved>, Problem> {
    let id: SnapshotId = parse(&id)?;
    let freed = service.freeing(&caller, move |session| {
        on_core(session, |core| core.remove_snapshot(id, removing.force))
    });
    Ok(Json(SnapshotRemoved { snapshot: id.to_string(), freed_bytes: freed.await? }))
}
