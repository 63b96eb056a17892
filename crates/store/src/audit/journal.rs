//! Whether the journal is what the event log tells of it.

use std::collections::HashMap;
use std::fmt;

use ctrlz_core::digest::Digest;
use ctrlz_core::event::{Event, Happening, OperationFinished, OperationStarted, SafetyViolation};
use ctrlz_core::id::OperationId;
use ctrlz_core::operation::{Operation, OperationKind, Status};
use ctrlz_core::snapshot::Point;
use ctrlz_core::store::{Store, StoreError};

use crate::events::digest;
use crate::state::journal::digest_of;

/// An operation that the journal has otherwise than it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which one.
    pub operation: OperationId,
    /// In what, in words.
    pub what: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.what)
    }
}

/// What the log tells of one operation.
#[derive(Default)]
struct Told {
    started: Option<OperationStarted>,
    finished: Option<OperationFinished>,
    refused: Option<SafetyViolation>,
}

/// Compares the operations of all living sandboxes with the log.
///
/// Operations from before there was a log are not in it; nor are those of removed sandboxes in the
/// journal.
///
/// # Errors
/// A failure to read.
pub fn compare(store: &dyn Store) -> Result<Vec<Difference>, StoreError> {
    let mut told: HashMap<OperationId, Told> = HashMap::new();
    let mut first = None;
    let mut after = 0;
    loop {
        let page = store.events(after, 4096)?;
        let Some(newest) = page.last() else { break };
        after = newest.number;
        for event in &page {
            // What is no event, the check of the chain tells.
            let Ok(event) = serde_json::from_str::<Event>(&event.text) else { continue };
            match event.happening {
                Happening::OperationStarted(started) => {
                    first.get_or_insert(started.operation);
                    let operation = started.operation;
                    told.entry(operation).or_default().started = Some(started);
                }
                Happening::OperationFinished(finished) => {
                    let operation = finished.operation;
                    told.entry(operation).or_default().finished = Some(finished);
                }
                Happening::SafetyViolation(refused) => {
                    first.get_or_insert(refused.operation);
                    let operation = refused.operation;
                    told.entry(operation).or_default().refused = Some(refused);
                }
                _ => {}
            }
        }
    }
    let mut differences = Vec::new();
    for sandbox in store.sandboxes()? {
        for operation in store.operations(sandbox.id, u32::MAX)? {
            let kind = operation.request.kind;
            let made = matches!(kind, OperationKind::Create | OperationKind::Fork);
            if made || first.is_none_or(|first| operation.id < first) {
                continue;
            }
            let what = difference(&operation, told.get(&operation.id));
            differences.extend(what.map(|what| Difference { operation: operation.id, what }));
        }
    }
    differences.sort_unstable_by_key(|difference| difference.operation);
    Ok(differences)
}

fn difference(operation: &Operation, told: Option<&Told>) -> Option<&'static str> {
    let Some(told) = told else { return Some("the event log does not know it") };
    let request = &operation.request;
    if let Some(refused) = &told.refused {
        let same = refused.title == request.title
            && refused.verdict == request.verdict
            && operation.status == Status::Blocked;
        return (!same).then_some("it was refused, and told so with other words");
    }
    let Some(started) = &told.started else { return Some("its beginning was not told") };
    let same = started.kind == request.kind
        && started.title == request.title
        && started.target == request.target
        && started.verdict == request.verdict
        && is_told(&operation.before, Some(started.snapshot));
    if !same {
        return Some("it began otherwise than was told");
    }
    match (&told.finished, operation.status) {
        (None, Status::Open) => None,
        (None, _) => Some("its end was not told"),
        (Some(_), Status::Open) => Some("it was told to have ended, and is open"),
        (Some(finished), status) => {
            // Undo and redo change the status later, and are told themselves.
            let undone = finished.status == Status::Done && status == Status::Undone;
            let same = (finished.status == status || undone)
                && finished.counts == operation.outcome.counts
                && finished.changeset == operation.outcome.changeset
                && finished.state == digest_of(&operation.outcome.state)
                && finished.error == operation.outcome.error
                && finished.command == operation.outcome.command
                && match &operation.after {
                    Some(after) => is_told(after, finished.snapshot),
                    None => finished.snapshot.is_none(),
                };
            (!same).then_some("it ended otherwise than was told")
        }
    }
}

/// Whether a point is the one that was told. Of one whose files were let go, only the log knows
/// what it was.
fn is_told(point: &Point, told: Option<Digest>) -> bool {
    point.tree.is_none() && told.is_some() || Some(digest(point)) == told
}
