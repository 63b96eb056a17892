//! Forth and back: commit, discard, undo, redo, rollback.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::workspace::ConflictStrategy;
use ctrlz_engine::{
    CommitOptions, EngineError, RollbackOptions, RollbackTarget, SandboxCore, UndoReport,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Body, Path, parse};
use super::views::{Done, Validation, to_json};
use crate::auth::{Acting, Caller};
use crate::metrics::Timing;
use crate::port::Session;
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// Does something to the sandbox of that name, timed as an operation of that kind.
async fn act(
    service: &Arc<Service>,
    caller: &Caller,
    kind: &'static str,
    name: String,
    act: impl FnOnce(&SandboxCore<'_>, &Sandbox) -> Result<Done, EngineError> + Send + 'static,
) -> Result<Done, Problem> {
    let timing = Timing::begin(service, kind);
    let _alone = service.sandboxes.alone(&caller.tenant, &name).await;
    let act = move |session: &dyn Session| {
        on_core(session, |core| act(core, &core.store().sandbox_named(&name)?))
    };
    let done = match kind {
        "undo" | "discard" => service.freeing(caller, act).await,
        _ => service.with(caller, act).await,
    };
    timing.end(done.is_ok());
    done
}

/// What an undo or a redo did.
fn of_undo(sandbox: &Sandbox, done: &UndoReport) -> Done {
    let target = Some(done.target.id.to_string());
    Done { target, ..Done::of(sandbox, Some(done.operation), Some(&done.counts)) }
}

fn paths(paths: &[String]) -> Result<Vec<RelPath>, Problem> {
    let parsed = paths.iter().map(|path| RelPath::parse(std::path::Path::new(path)));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::bad_request(format!("a path is not one: {error}")))
}

/// What to commit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Committing {
    /// Only these paths and what lies below them; all when it is empty.
    pub(crate) paths: Vec<String>,
    /// What to do with files that somebody else changed meanwhile: `fail`, `theirs`, `ours` or
    /// `keep-both`, as `ctrlz commit --conflict` takes it.
    #[schema(value_type = String)]
    pub(crate) conflict: ConflictStrategy,
    /// Tell what would be done, and do nothing.
    pub(crate) dry_run: bool,
}

/// Commits, for whoever may act; or tells what would be done.
pub(crate) async fn commit_it(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
    committing: Committing,
) -> Result<Done, Problem> {
    let options = CommitOptions { paths: paths(&committing.paths)?, strategy: committing.conflict };
    if committing.dry_run {
        let plan = service.with(caller, move |session| {
            let (sandbox, plan) = on_core(session, |core| {
                let sandbox = core.store().sandbox_named(&name)?;
                let plan = core.plan_commit(&sandbox, &options)?;
                Ok((sandbox, plan))
            })?;
            let conflicts = Some(to_json(&plan.conflicts)?);
            Ok(Done { conflicts, ..Done::dry_run(&sandbox, &plan.changeset)? })
        });
        return plan.await;
    }
    act(service, caller, "commit", name, move |core, sandbox| {
        let done = core.commit(sandbox, &options)?;
        Ok(Done::of(sandbox, Some(done.operation), Some(&done.counts)))
    })
    .await
}

/// Brings a sandbox's changes to the folder that it started from.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/commit", tag = "history",
    params(("sandbox" = String, Path, description = "its name")), request_body = Committing,
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn commit(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    Body(committing): Body<Committing>,
) -> Result<Json<Done>, Problem> {
    commit_it((&service, &caller), name, committing).await.map(Json)
}

/// Throws away what is not committed.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/discard", tag = "history",
    params(("sandbox" = String, Path, description = "its name")),
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn discard(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
) -> Result<Json<Done>, Problem> {
    act(&service, &caller, "discard", name, |core, sandbox| {
        let counts = core.discard(sandbox)?;
        Ok(Done::of(sandbox, None, Some(&counts)))
    })
    .await
    .map(Json)
}

/// What to take back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Undoing {
    /// This operation alone, while later ones stay; the last one when it is left out.
    pub(crate) operation: Option<String>,
    /// For a commit that is taken back: what to do with files that somebody else changed since.
    #[schema(value_type = String)]
    pub(crate) conflict: ConflictStrategy,
}

/// Undoes, for whoever may act.
pub(crate) async fn undo_it(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
    undoing: Undoing,
) -> Result<Done, Problem> {
    let operation: Option<OperationId> = undoing.operation.as_deref().map(parse).transpose()?;
    act(service, caller, "undo", name, move |core, sandbox| {
        let done = core.undo(sandbox, operation, undoing.conflict)?;
        Ok(of_undo(sandbox, &done))
    })
    .await
}

/// Takes back the last operation, whatever it was, or one in the middle.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/undo", tag = "history",
    params(("sandbox" = String, Path, description = "its name")), request_body = Undoing,
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn undo(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    Body(undoing): Body<Undoing>,
) -> Result<Json<Done>, Problem> {
    undo_it((&service, &caller), name, undoing).await.map(Json)
}

/// How to bring back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Redoing {
    /// For a commit: what to do with files that somebody else changed since.
    #[schema(value_type = String)]
    conflict: ConflictStrategy,
}

/// Brings back what the last undo took.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/redo", tag = "history",
    params(("sandbox" = String, Path, description = "its name")), request_body = Redoing,
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn redo(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    Body(redoing): Body<Redoing>,
) -> Result<Json<Done>, Problem> {
    act(&service, &caller, "redo", name, move |core, sandbox| {
        let done = core.redo(sandbox, redoing.conflict)?;
        Ok(of_undo(sandbox, &done))
    })
    .await
    .map(Json)
}

/// Where to return to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Returning {
    /// A snapshot.
    pub(crate) snapshot: Option<String>,
    /// The point before this operation.
    pub(crate) before: Option<String>,
    /// Only these paths and what lies below them; everything, the state included, when it is empty.
    #[serde(default)]
    pub(crate) paths: Vec<String>,
    /// Tell what would change, and do nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Read every file of the snapshot first, not only what tells of its layers.
    #[serde(default)]
    pub(crate) verify: bool,
    /// Run the health checks of the configuration afterwards.
    #[serde(default)]
    pub(crate) check: bool,
}

/// Rolls back, for whoever may act; or tells what would change.
pub(crate) async fn rollback_it(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
    returning: Returning,
) -> Result<Done, Problem> {
    let target = match (&returning.snapshot, &returning.before) {
        (Some(snapshot), None) => RollbackTarget::Snapshot(parse(snapshot)?),
        (None, Some(operation)) => RollbackTarget::Before(parse(operation)?),
        _ => return Err(Problem::bad_request("a rollback has `snapshot` or `before`")),
    };
    let options = RollbackOptions { paths: paths(&returning.paths)?, thorough: returning.verify };
    if returning.dry_run {
        let plan = service.with(caller, move |session| {
            let (sandbox, changeset) = on_core(session, |core| {
                let sandbox = core.store().sandbox_named(&name)?;
                let changeset = core.plan_rollback(&sandbox, target, &options)?;
                Ok((sandbox, changeset))
            })?;
            Done::dry_run(&sandbox, &changeset)
        });
        return plan.await;
    }
    let timing = Timing::begin(service, "rollback");
    let _alone = service.sandboxes.alone(&caller.tenant, &name).await;
    let done = service.freeing(caller, move |session| {
        let (sandbox, done) = on_core(session, |core| {
            let sandbox = core.store().sandbox_named(&name)?;
            let done = core.rollback(&sandbox, target, &options)?;
            Ok((sandbox, done))
        })?;
        let checks = if returning.check { session.check_health(&sandbox)? } else { Vec::new() };
        let validation = Validation {
            validated: if returning.verify { "files" } else { "layers" },
            intact: done.intact,
            from_archive: done.mended,
            checks: to_json(&checks)?,
        };
        Ok(Done {
            left_behind: Some(done.left_behind.to_string()),
            validation: Some(validation),
            ..Done::of(&sandbox, Some(done.operation), done.counts.as_ref())
        })
    });
    let done = done.await;
    timing.end(done.is_ok());
    done
}

/// Returns to a snapshot, or to the point before an operation. What is left behind is kept as a
/// snapshot.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/rollback", tag = "history",
    params(("sandbox" = String, Path, description = "its name")), request_body = Returning,
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn rollback(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    Body(returning): Body<Returning>,
) -> Result<Json<Done>, Problem> {
    rollback_it((&service, &caller), name, returning).await.map(Json)
}
