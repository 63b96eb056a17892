//! Snapshots that nobody asks for: when one is due, and why.

use ctrlz_core::changeset::{ChangeKind, Changeset};
use ctrlz_core::id::OperationId;
use ctrlz_core::operation::{Operation, OperationKind, Status};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{NewSnapshot, Snapshot, SnapshotKind, SnapshotScope};
use ctrlz_core::span::Span;
use ctrlz_core::store::StoreError;
use ctrlz_core::time::Timestamp;

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;

/// When a snapshot is due; `None` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AutomaticRules {
    /// When the last automatic one, or the sandbox, is so old.
    pub every: Option<Span>,
    /// After so many operations that undo can take back.
    pub every_operations: Option<u32>,
    /// When files that were added or changed since have so many bytes.
    pub changed_bytes: Option<ByteSize>,
    /// When [`risk_rises`].
    pub predictive: bool,
}

impl AutomaticRules {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How many of the newest judged commands [`risk_rises`] looks at.
const JUDGED: usize = 16;
/// How many operations are read for them.
const READ: u32 = 64;
/// The weight of the newest score in the mean.
const WEIGHT: f64 = 0.3;
/// From which mean on risk is noteworthy: where medium risk begins.
const NOTEWORTHY: f64 = 25.0;
/// How many operations a predictive snapshot is good for.
const GOOD_FOR: usize = 4;

/// Whether the risk of commands rises, `scores` being the validator's from the oldest to the
/// newest: their exponentially weighted mean (each newer score weighs 0.3, the mean so far 0.7) is 25
/// or more, and the newest score raised it.
#[must_use]
pub fn risk_rises(scores: &[u8]) -> bool {
    let mut mean: Option<(f64, f64)> = None;
    for score in scores {
        let score = f64::from(*score);
        mean = Some(match mean {
            None => (score, score),
            Some((_, mean)) => (mean, mean + WEIGHT * (score - mean)),
        });
    }
    mean.is_some_and(|(before, now)| now >= NOTEWORTHY && now > before)
}

impl SandboxCore<'_> {
    /// Takes an automatic snapshot when one is due, and says in its message why. Nothing, too, while
    /// another process uses the sandbox: its operation looks again.
    ///
    /// # Errors
    /// A failed file operation, or a failure to use the store.
    pub fn snapshot_if_due(
        &self,
        sandbox: &Sandbox,
        rules: &AutomaticRules,
        now: Timestamp,
    ) -> Result<Option<Snapshot>, EngineError> {
        let Some(held) = self.hold_if_free(sandbox)? else { return Ok(None) };
        let Some(why) = self.due(&held, rules, now)? else { return Ok(None) };
        let new = NewSnapshot::of(SnapshotKind::Automatic, &why);
        self.snapshot_held(&held, &new).map(Some)
    }

    fn due(
        &self,
        held: &Held<'_>,
        rules: &AutomaticRules,
        now: Timestamp,
    ) -> Result<Option<String>, EngineError> {
        let sandbox = &held.sandbox;
        let last = self.store.snapshots(sandbox.id)?.into_iter().find(|snapshot| {
            snapshot.kind == SnapshotKind::Automatic && snapshot.scope != SnapshotScope::StateOnly
        });
        if let Some(every) = rules.every {
            let since = last.as_ref().map_or(sandbox.created, |last| last.created);
            // One that lies in the future is of a clock that was wrong: it says nothing.
            let age = now.0.abs_diff(since.0);
            if u128::from(age) >= every.0.as_nanos() {
                return Ok(Some(format!("{every} have passed")));
            }
        }
        let since = last.as_ref().map_or(OperationId(0), |last| last.operation);
        if let Some(every) = rules.every_operations {
            let counts = |o: &&Operation| o.status == Status::Done && o.request.kind.is_undoable();
            let count =
                self.store.operations_since(sandbox.id, since)?.iter().filter(counts).count();
            if u32::try_from(count).unwrap_or(u32::MAX) >= every {
                return Ok(Some(format!("{count} operations came since the last one")));
            }
        }
        if rules.predictive && self.is_predicted(sandbox, since)? {
            return Ok(Some("the risk of the last commands rises".to_owned()));
        }
        if let Some(most) = rules.changed_bytes {
            let changes = match &last {
                Some(last) => self.changes_since(sandbox, last)?,
                None => {
                    let tree = &sandbox.point.tree;
                    held.driver.changes(&self.start_of(&held.sandbox)?, tree)?
                }
            };
            let changed = ByteSize(bytes_in(&changes));
            if changed >= most {
                return Ok(Some(format!("{changed} were added or changed since the last one")));
            }
        }
        Ok(None)
    }

    fn is_predicted(&self, sandbox: &Sandbox, since: OperationId) -> Result<bool, EngineError> {
        let newest = self.store.operations(sandbox.id, READ)?;
        let judged = newest.iter().filter(|o| o.request.kind == OperationKind::Run);
        let judged: Vec<(OperationId, u8)> = judged
            .filter_map(|o| Some((o.id, o.request.verdict.as_ref()?.score)))
            .take(JUDGED)
            .collect();
        let is_covered = judged.iter().take(GOOD_FOR).any(|(id, _)| *id < since);
        let scores: Vec<u8> = judged.iter().rev().map(|(_, score)| *score).collect();
        Ok(risk_rises(&scores) && !is_covered)
    }

    /// Holds `sandbox` unless another process does, or it is suspended, or was removed.
    pub(crate) fn hold_if_free(&self, sandbox: &Sandbox) -> Result<Option<Held<'_>>, EngineError> {
        match self.hold_asking(sandbox, &|_, _| false) {
            Ok(held) => Ok(Some(held)),
            Err(
                EngineError::Suspended { .. }
                | EngineError::Store(StoreError::Busy { .. } | StoreError::NoSandbox(_)),
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The bytes of files that were added, or whose contents changed.
fn bytes_in(changes: &Changeset) -> u64 {
    let written = changes.changes.iter().filter(|change| {
        matches!(change.kind, ChangeKind::Added | ChangeKind::Modified | ChangeKind::TypeChanged)
    });
    written
        .filter_map(|change| Some(change.after.as_ref()?.size))
        .fold(0, |sum, size| sum.saturating_add(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_rises_with_the_newest_scores() {
        assert!(!risk_rises(&[]));
        assert!(!risk_rises(&[10, 10, 10]), "low");
        assert!(!risk_rises(&[60]), "one command is no trend");
        assert!(!risk_rises(&[60, 60, 60]), "high, but not rising");
        assert!(!risk_rises(&[70, 40]), "falling");
        assert!(!risk_rises(&[0, 0, 0, 60]), "one alone: a mean of 18");
        assert!(risk_rises(&[0, 0, 60, 60]), "a mean of 30.6");
        assert!(risk_rises(&[10, 20, 30, 40, 50]));
    }
}
