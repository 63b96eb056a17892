//! Versions of the state by snapshot, operation or time.

use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::time::Timestamp;
use ctrlz_engine::EngineError;

use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};

/// The version that `--version` or `--at` names; nothing for the newest.
pub(super) fn version(
    context: &Context,
    sandbox: &Sandbox,
    version: Option<u64>,
    at: Option<&str>,
) -> Result<Option<u64>, Failure> {
    match at {
        None => Ok(version),
        Some(at) => version_at(context, sandbox, at).map(Some),
    }
}

/// The version that such a text names.
pub(crate) fn version_at(context: &Context, sandbox: &Sandbox, at: &str) -> Result<u64, Failure> {
    let name = sandbox.name.to_string();
    let id = |error: ctrlz_core::id::IdError| Failure::caused(OWN_FAILURE, "id", &error);
    if at.starts_with("snap-") {
        let snapshot = context.store().snapshot(at.parse::<SnapshotId>().map_err(id)?)?;
        if snapshot.sandbox != sandbox.id {
            let snapshot = snapshot.id;
            return Err(EngineError::ForeignSnapshot { snapshot, sandbox: name }.into());
        }
        return Ok(snapshot.point.state_version);
    }
    if at.starts_with("op-") {
        let operation = context.store().operation(at.parse::<OperationId>().map_err(id)?)?;
        if operation.request.sandbox != sandbox.id {
            let operation = operation.id;
            return Err(EngineError::ForeignOperation { operation, sandbox: name }.into());
        }
        return Ok(operation.before.state_version);
    }
    let moment = moment(at)?;
    context.with_core(WhenBusy::Wait, |core| Ok(core.state_version_at(sandbox, moment)?))
}

/// A time that `--at` names.
fn moment(at: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse_rfc3339(at).ok_or_else(|| {
        let message = format!("`{}` is no snapshot, operation or time", at.escape_debug());
        let failure = Failure::new(OWN_FAILURE, "when", message);
        failure.hint("such as `snap-3`, `op-7` or `2026-01-31T12:00:00Z`")
    })
}
