//! Whether the journal is what the event log tells of it.

use std::collections::HashMap;
use std::fmt;

use ctrlz_core::digest::Digest;
use ctrlz_core::event::{Event, Happening, OperationFinished, OperationStarted, SafetyViolation};
use ctrlz_core::id::OperationId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{Operation, OperationKind, Status};
use ctrlz_core::snapshot::Point;
use ctrlz_core::state_store::GLOBAL;
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

/// What the log tells of one sandbox, or of the namespace that belongs to none.
#[derive(Default)]
struct ToldOfSandbox {
    operations: HashMap<OperationId, Told>,
    /// The last operation whose files were let go, as were those of all before it.
    trimmed: Option<OperationId>,
}

/// What the log tells of all that was not removed, by name.
#[derive(Default)]
struct ToldOfAll {
    sandboxes: HashMap<String, ToldOfSandbox>,
    /// The first operation that it knows.
    first: Option<OperationId>,
}

impl ToldOfAll {
    fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let mut after = 0;
        loop {
            let page = store.events(after, 4096)?;
            let Some(newest) = page.last() else { return Ok(all) };
            after = newest.number;
            for event in &page {
                // What is no event, the check of the chain tells.
                let Ok(event) = serde_json::from_str::<Event>(&event.text) else { continue };
                let Some(name) = event.subject else { continue };
                all.add(name, event.happening);
            }
        }
    }

    fn add(&mut self, name: String, happening: Happening) {
        if matches!(happening, Happening::SandboxRemoved {}) {
            // The journal has nothing of it any more, and the next of this name is another.
            self.sandboxes.remove(&name);
            return;
        }
        let sandbox = self.sandboxes.entry(name).or_default();
        match happening {
            Happening::SandboxCreated(created) => {
                sandbox.operations.entry(created.operation).or_default();
            }
            Happening::OperationStarted(started) => {
                self.first.get_or_insert(started.operation);
                let operation = started.operation;
                sandbox.operations.entry(operation).or_default().started = Some(started);
            }
            Happening::OperationFinished(finished) => {
                let operation = finished.operation;
                sandbox.operations.entry(operation).or_default().finished = Some(finished);
            }
            Happening::SafetyViolation(refused) => {
                self.first.get_or_insert(refused.operation);
                let operation = refused.operation;
                sandbox.operations.entry(operation).or_default().refused = Some(refused);
            }
            Happening::HistoryTrimmed(trimmed) => {
                sandbox.trimmed = sandbox.trimmed.max(Some(trimmed.up_to));
            }
            _ => {}
        }
    }
}

/// How often the comparison is made anew when others write to the store meanwhile.
const ATTEMPTS: u32 = 8;

/// Compares the operations of all living sandboxes, and those of the namespace that belongs to
/// none, with the log.
///
/// Operations from before there was a log are not in it; nor are those of removed sandboxes in the
/// journal.
///
/// # Errors
/// A failure to read.
pub fn compare(store: &dyn Store) -> Result<Vec<Difference>, StoreError> {
    let mut attempts = 1;
    loop {
        let before = store.log_head()?.last;
        let differences = compare_once(store)?;
        // What is told between the two readings is no difference.
        let settled = differences.is_empty() || store.log_head()?.last == before;
        if settled || attempts == ATTEMPTS {
            return Ok(differences);
        }
        attempts += 1;
    }
}

fn compare_once(store: &dyn Store) -> Result<Vec<Difference>, StoreError> {
    let ToldOfAll { mut sandboxes, first } = ToldOfAll::read(store)?;
    let mut differences = Vec::new();
    let living = store.sandboxes()?.into_iter().map(|sandbox| (sandbox.id, sandbox.name));
    // The global namespace is not made just to be looked at.
    for (id, name) in living.chain([(GLOBAL, SandboxName::of_no_sandbox())]) {
        let mut told = sandboxes.remove(name.as_str()).unwrap_or_default();
        for operation in store.operations(id, u32::MAX)? {
            let kind = operation.request.kind;
            let known = told.operations.remove(&operation.id);
            let made = matches!(kind, OperationKind::Create | OperationKind::Fork);
            if made || first.is_none_or(|first| operation.id < first) {
                continue;
            }
            let trimmed = told.trimmed >= Some(operation.id);
            let what = difference(&operation, known.as_ref(), trimmed);
            differences.extend(what.map(|what| Difference { operation: operation.id, what }));
        }
        sandboxes.insert(name.to_string(), told);
    }
    let missing = sandboxes.into_values().flat_map(|told| told.operations.into_keys());
    differences.extend(missing.map(|operation| Difference {
        operation,
        what: "the event log tells of it, and the journal does not",
    }));
    differences.sort_unstable_by_key(|difference| difference.operation);
    Ok(differences)
}

fn difference(operation: &Operation, told: Option<&Told>, trimmed: bool) -> Option<&'static str> {
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
        && is_told(&operation.before, Some(started.snapshot), trimmed);
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
                    Some(after) => is_told(after, finished.snapshot, trimmed),
                    None => finished.snapshot.is_none(),
                };
            (!same).then_some("it ended otherwise than was told")
        }
    }
}

/// Whether a point is the one that was told. Of one whose files were let go, which is told as well,
/// only the log knows what it was.
fn is_told(point: &Point, told: Option<Digest>, trimmed: bool) -> bool {
    trimmed && point.tree.is_none() && told.is_some() || Some(digest(point)) == told
}
