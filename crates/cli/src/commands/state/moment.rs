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
    let Some(at) = at else { return Ok(version) };
    let name = sandbox.name.to_string();
    let id = |error: ctrlz_core::id::IdError| Failure::caused(OWN_FAILURE, "id", &error);
    if at.starts_with("snap-") {
        let snapshot = context.store().snapshot(at.parse::<SnapshotId>().map_err(id)?)?;
        if snapshot.sandbox != sandbox.id {
            let snapshot = snapshot.id;
            return Err(EngineError::ForeignSnapshot { snapshot, sandbox: name }.into());
        }
        return Ok(Some(snapshot.point.state_version));
    }
    if at.starts_with("op-") {
        let operation = context.store().operation(at.parse::<OperationId>().map_err(id)?)?;
        if operation.request.sandbox != sandbox.id {
            let operation = operation.id;
            return Err(EngineError::ForeignOperation { operation, sandbox: name }.into());
        }
        return Ok(Some(operation.before.state_version));
    }
    let Some(moment) = time(at) else {
        let message = format!("`{}` is no snapshot, operation or time", at.escape_debug());
        let failure = Failure::new(OWN_FAILURE, "when", message);
        return Err(failure.hint("such as `snap-3`, `op-7` or `2026-01-31T12:00:00Z`"));
    };
    context.with_core(WhenBusy::Wait, |core| Ok(Some(core.state_version_at(sandbox, moment)?)))
}

/// RFC 3339 in UTC, with or without a fraction of the second.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, digits)) if (1..=9).contains(&digits.len()) => {
            let all = digits.bytes().all(|byte| byte.is_ascii_digit());
            (whole, all.then(|| format!("{digits:0<9}").parse::<i64>().ok()).flatten()?)
        }
        Some(_) => return None,
        None => (text, 0),
    };
    // What a time is shown as sorts like the time itself, so the day is found by halving.
    let wanted = format!("{whole}Z");
    let (mut low, mut high) = (-62_135_596_800_i64, 9_223_372_036_i64);
    while low < high {
        let middle = low + (high - low) / 2;
        if Timestamp::from_parts(middle, 0).rfc3339() < wanted {
            low = middle + 1
        } else {
            high = middle
        }
    }
    let found = Timestamp::from_parts(low, 0);
    (found.rfc3339() == wanted).then(|| Timestamp(found.0.saturating_add(fraction)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_shown() {
        for seconds in [0, 951_782_400, 1_767_225_599, 1_795_349_111] {
            let shown = Timestamp::from_parts(seconds, 0);
            assert_eq!(time(&shown.rfc3339()), Some(shown));
            let finer = Timestamp::from_parts(seconds, 120_000_000);
            assert_eq!(time(&shown.rfc3339().replace('Z', ".12Z")), Some(finer));
        }
        for bad in ["", "Z", "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00.Z"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
