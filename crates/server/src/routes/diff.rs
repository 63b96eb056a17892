//! What a sandbox, or an operation, changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ctrlz_core::changeset::Changeset;
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::operation::Operation;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_engine::{EngineError, LifeReport, SandboxCore};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query, parse};
use super::views::{Counts, OperationView, to_json};
use crate::auth::{Caller, Looking};
use crate::port::Session;
use crate::problem::Problem;
use crate::service::{Service, on_core};

/// The largest patch that is told, in bytes.
const LARGEST_PATCH: usize = 16 << 20;

/// Between which points.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Between {
    /// What this operation changed, instead of all uncommitted changes.
    operation: Option<String>,
    /// What changed since this snapshot.
    since: Option<String>,
    /// Against the folder that it started from, with what the commands of `setup:` left.
    #[serde(default)]
    base: bool,
    /// Only these paths and what lies below them: a JSON array of texts.
    paths: Option<String>,
    /// Add the changed lines of text files.
    #[serde(default)]
    patch: bool,
}

/// What is asked for.
enum Span {
    Uncommitted,
    OnBase,
    Operation(OperationId),
    Since(SnapshotId),
}

impl Between {
    fn span(&self) -> Result<Span, Problem> {
        match (&self.operation, &self.since, self.base) {
            (None, None, false) => Ok(Span::Uncommitted),
            (None, None, true) => Ok(Span::OnBase),
            (Some(id), None, false) => Ok(Span::Operation(parse(id)?)),
            (None, Some(id), false) => Ok(Span::Since(parse(id)?)),
            _ => Err(Problem::bad_request("a diff has one of `operation`, `since` and `base`")),
        }
    }
}

impl Between {
    fn paths(&self) -> Result<Vec<RelPath>, Problem> {
        let read = |text: &String| {
            serde_json::from_str(text).map_err(|error| {
                Problem::bad_request(format!("`paths` is no array of paths: {error}"))
            })
        };
        Ok(self.paths.as_ref().map(read).transpose()?.unwrap_or_default())
    }
}

impl Span {
    fn changes(&self, core: &SandboxCore<'_>, sandbox: &Sandbox) -> Result<Changeset, EngineError> {
        let start = match *self {
            Self::Operation(id) => return core.changes_of(sandbox, &core.store().operation(id)?),
            Self::Since(id) => return core.changes_since(sandbox, &core.store().snapshot(id)?),
            Self::OnBase => core.driver_of(sandbox)?.base_tree(&sandbox.point.tree)?,
            Self::Uncommitted => core.start_of(sandbox)?,
        };
        Ok(core.driver_of(sandbox)?.changes(&start, &sandbox.point.tree)?)
    }
}

/// What lies between two points.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Diff {
    /// The sandbox's name.
    sandbox: String,
    /// How much.
    counts: Counts,
    /// What, by path; see docs/json.md.
    #[schema(value_type = Vec<Object>)]
    changes: Value,
    /// The changed lines of text files, as unified diffs; when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

/// The changes of a sandbox since it was made or committed, for whoever may look.
pub(crate) async fn changes_of(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
) -> Result<Changeset, Problem> {
    let found = service.with_core(caller, move |core| {
        Span::Uncommitted.changes(core, &core.store().sandbox_named(&name)?)
    });
    found.await
}

/// What a sandbox changed since it was made or committed, or between other points.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/diff", tag = "history",
    params(("sandbox" = String, Path, description = "its name"), Between),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Diff), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn diff(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(name): Path<String>,
    Query(between): Query<Between>,
) -> Result<Json<Diff>, Problem> {
    let (span, paths) = (between.span()?, between.paths()?);
    let found = service.with(&caller, move |session| {
        let mut changeset =
            on_core(session, |core| span.changes(core, &core.store().sandbox_named(&name)?))?;
        if !paths.is_empty() {
            changeset.changes.retain(|change| paths.iter().any(|path| change.path.is_within(path)));
        }
        let patch = between.patch.then(|| patch(session, &changeset)).transpose()?;
        let counts = Counts::of(&changeset.counts());
        Ok(Diff { sandbox: name, counts, changes: to_json(&changeset.changes)?, patch })
    });
    Ok(Json(found.await?))
}

fn patch(session: &dyn Session, changeset: &Changeset) -> Result<String, Problem> {
    session.patch(changeset, LARGEST_PATCH).ok_or_else(|| {
        let title = format!("the changed lines have more than {} MiB", LARGEST_PATCH >> 20);
        Problem::of_kind("too-large", title).hint("ask without `patch`")
    })
}

/// Whether the changed lines are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Patching {
    /// Add the changed lines of text files.
    #[serde(default)]
    patch: bool,
}

/// An operation, and what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperationChanges {
    /// The sandbox's name.
    sandbox: String,
    /// The state of the sandbox's life; see docs/json.md.
    #[schema(value_type = Object)]
    lifecycle: Value,
    /// The operation.
    operation: OperationView,
    /// What it changed, by path; null when retention let that go.
    #[schema(value_type = Vec<Object>, nullable)]
    changes: Value,
    /// The changed lines of text files, as unified diffs; when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

/// An operation with what it changed.
#[utoipa::path(get, path = "/v1/operations/{operation}/changes", tag = "operations",
    params(("operation" = String, Path, description = "its id, such as `op-12`"), Patching),
    security(("token" = ["viewer"])),
    responses((status = 200, body = OperationChanges), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn of_operation(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
    Query(patching): Query<Patching>,
) -> Result<Json<OperationChanges>, Problem> {
    let id: OperationId = parse(&id)?;
    let found = service.with(&caller, move |session| {
        let (operation, sandbox, life, changeset) = on_core(session, |core| look(core, id))?;
        let patch = match changeset.as_ref().filter(|_| patching.patch) {
            Some(changeset) => Some(patch(session, changeset)?),
            None => None,
        };
        Ok(OperationChanges {
            sandbox: sandbox.name.to_string(),
            lifecycle: to_json(&life)?,
            operation: OperationView::of(&operation)?,
            changes: to_json(&changeset.map(|changeset| changeset.changes))?,
            patch,
        })
    });
    Ok(Json(found.await?))
}

type Looked = (Operation, Sandbox, LifeReport, Option<Changeset>);

fn look(core: &SandboxCore<'_>, id: OperationId) -> Result<Looked, EngineError> {
    let operation = core.store().operation(id)?;
    let sandbox = core.store().sandbox(operation.request.sandbox)?;
    let changeset = match core.changes_of(&sandbox, &operation) {
        Ok(changeset) => Some(changeset),
        // What it did is known no more; that it did is.
        Err(EngineError::LetGo { .. }) => None,
        Err(error) => return Err(error),
    };
    let life = core.life_of(&sandbox)?;
    Ok((operation, sandbox, life, changeset))
}
