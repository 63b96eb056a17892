//! The one call that checks, keeps, runs and takes back: run a command with a net below it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ctrlz_core::operation::OperationKind;
use ctrlz_core::snapshot::SnapshotKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::Body;
use super::operations::outcome;
use crate::auth::Acting;
use crate::execute::{Ask, start};
use crate::port::Command;
use crate::problem::Problem;
use crate::service::Service;

/// A command, and where.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Execute {
    /// The sandbox's name.
    sandbox_id: String,
    /// The caller's own word for it, which the answer repeats.
    operation_id: Option<String>,
    /// A script for `/bin/sh -c`.
    command: String,
    /// The id of an approved confirmation.
    confirmation: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Executed {
    /// True: what failed is answered with 500.
    success: bool,
    /// The caller's own word for it.
    operation_id: Option<String>,
    /// What `POST /v1/sandboxes/{sandbox}/operations` answers.
    #[schema(value_type = Object)]
    result: Value,
    /// The snapshot that was taken before it.
    snapshot_id: Option<String>,
}

/// Checks a command, keeps where the sandbox stands, runs it, and takes back what it did when it fails.
/// Unsafe: 400 with the reason. Failed: 500 with what happened.
#[utoipa::path(post, path = "/sandbox/execute", tag = "operations", request_body = Execute,
    security(("token" = ["operator"])),
    responses((status = 200, body = Executed),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "it is not safe"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 500, body = Problem, content_type = "application/problem+json", description = "it failed, and was taken back")))]
pub(super) async fn execute(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Body(asked): Body<Execute>,
) -> Result<Json<Executed>, Problem> {
    let Execute { sandbox_id, operation_id, command, confirmation } = asked;
    if command.contains('\0') {
        return Err(Problem::bad_request("a word of a command cannot contain NUL"));
    }
    let command = Command {
        argv: vec!["/bin/sh".into(), "-c".into(), command.into()],
        take_back: true,
        snapshot: true,
        input: Some(Vec::new()),
        ..Command::default()
    };
    let sandbox = sandbox_id.clone();
    let (hold_output, is_background) = (false, false);
    let ask = Ask { sandbox: sandbox_id, command, confirmation, hold_output, is_background };
    let process = start(&service, &caller, ask).await?;
    let result = process.answer().await?;
    let operation = *process.operation.borrow();
    let snapshot_id = service
        .with_core(&caller, move |core| {
            let sandbox = core.store().sandbox_named(&sandbox)?;
            let snapshots = core.store().snapshots(sandbox.id)?;
            let taken = snapshots.into_iter().find(|snapshot| {
                Some(snapshot.operation) == operation && snapshot.kind == SnapshotKind::PreOperation
            });
            Ok(taken.map(|snapshot| snapshot.id.to_string()))
        })
        .await?;
    if outcome(&result) {
        return Ok(Json(Executed { success: true, operation_id, result, snapshot_id }));
    }
    let code = result.get("exit_code").cloned().unwrap_or(Value::Null);
    let title =
        format!("Operation failed: it ended with {code}, and what it changed was taken back");
    Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "operation-failed", title)
        .with("operation_id", operation_id)
        .with("kind_of_operation", OperationKind::Run.word())
        .with("snapshot_id", snapshot_id)
        .with("result", result))
}
