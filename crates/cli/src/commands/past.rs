//! What a sandbox remembers of the commands before the next one, for the validator.

use std::path::Path;

use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{Operation, OperationKind, Status};
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::store::Store;
use ctrlz_core::time::Timestamp;
use ctrlz_core::verdict_record::{EffectRecord, VerdictRecord};
use ctrlz_engine::BaseChoice;
use ctrlz_policy::{Deletions, History, Verdict, redact};

use crate::clock;
use crate::failure::Failure;
use crate::store::OpenStore;
use crate::{places, root};

/// How many operations are remembered.
const REMEMBERED: u32 = 64;
/// For how long a deletion is recent, in nanoseconds: ten minutes.
const RECENT: i64 = 600_000_000_000;

/// The sandbox that a command in `folder` would run in and its store, when both are there. Nothing
/// is made.
pub(super) fn of_folder(
    folder: &Path,
    choice: &BaseChoice,
) -> Result<Option<(OpenStore, Sandbox)>, Failure> {
    let directory = places::store()?;
    if !directory.join("store.db").exists() {
        return Ok(None);
    }
    let store = crate::store::open(&directory)?;
    let sandboxes = store.sandboxes_of_folder(folder)?;
    let found = sandboxes.into_iter().find(|sandbox| is_from(sandbox, choice));
    Ok(found.map(|sandbox| (store, sandbox)))
}

/// A verdict in the light of what happened in the sandbox that `ctrlz run` would use in `folder`,
/// where there is one.
pub(super) fn weighed(verdict: Verdict, folder: &Path) -> Result<Verdict, Failure> {
    if !verdict.wants_history() {
        return Ok(verdict);
    }
    Ok(match of_folder(folder, &root::expected(None, folder))? {
        Some((store, sandbox)) => verdict.in_light_of(&history(&store, &sandbox)?),
        None => verdict,
    })
}

/// Writes down that a command was not let run, for the sandbox that `ctrlz run` would use in
/// `folder`, where there is one.
pub(super) fn refused(
    folder: &Path,
    title: &str,
    verdict: VerdictRecord,
    reason: &str,
) -> Result<(), Failure> {
    if let Some((store, sandbox)) = of_folder(folder, &root::expected(None, folder))? {
        let title = redact(title).into_owned();
        ctrlz_engine::refuse(&store, &sandbox, title, Limits::default(), verdict, reason)?;
    }
    Ok(())
}

/// Whether a sandbox is the one of a choice. An image is not unpacked yet when it is asked for.
fn is_from(sandbox: &Sandbox, choice: &BaseChoice) -> bool {
    match (&sandbox.root, &choice.root) {
        (Root::Image { source, .. }, Root::Directory { path }) => source == path,
        (root, chosen) => root == chosen && sandbox.base == choice.base,
    }
}

/// What `sandbox` remembers: one query, over its newest operations.
pub(super) fn history(store: &dyn Store, sandbox: &Sandbox) -> Result<History, Failure> {
    let operations = store.operations(sandbox.id, REMEMBERED)?;
    Ok(remembered(&operations, clock::now()))
}

/// What follows from operations, the newest first.
fn remembered(operations: &[Operation], now: Timestamp) -> History {
    let mut history = History::default();
    let mut approved: Vec<&EffectRecord> = Vec::new();
    let runs = operations.iter().filter(|one| one.request.kind == OperationKind::Run);
    for operation in runs {
        let verdict = operation.request.verdict.as_ref();
        if operation.status == Status::Blocked {
            // What somebody let run since is refused no more.
            let refused = |effect: &EffectRecord| !approved.iter().any(|one| covers(one, effect));
            history
                .refusals
                .extend(verdict.filter(|verdict| verdict.effects.iter().any(refused)).cloned());
            continue;
        }
        let deleted = operation.outcome.counts.as_ref().map_or(0, |counts| counts.deleted);
        if deleted > 0 && now.0.saturating_sub(operation.started.0) < RECENT {
            let Deletions { operations, entries } = &mut history.deletions;
            *operations += 1;
            *entries = entries.saturating_add(deleted);
        }
        let Some(verdict) = verdict else { continue };
        history.commands += 1;
        history.programs.extend(verdict.programs.iter().cloned());
        if verdict.approval.is_some() {
            approved.extend(&verdict.effects);
        }
    }
    history
}

/// Whether whoever approved `one` approved `other`, too: the same, or the same below.
fn covers(one: &EffectRecord, other: &EffectRecord) -> bool {
    let below = other.target.strip_prefix(&one.target);
    let named = !one.target.is_empty() || one.program == other.program;
    one.kind == other.kind
        && named
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use ctrlz_core::changeset::ChangeCounts;
    use ctrlz_core::id::{OperationId, SandboxId};
    use ctrlz_core::operation::{Outcome, Request};
    use ctrlz_core::snapshot::{Point, Tree};
    use ctrlz_core::verdict_record::{Approval, Approver};

    use super::*;

    fn operation(status: Status, program: &str, deleted: u64) -> Operation {
        let effect =
            EffectRecord { kind: "delete".into(), target: "/etc".into(), program: program.into() };
        let verdict = VerdictRecord {
            programs: vec![program.into()],
            effects: vec![effect],
            ..VerdictRecord::default()
        };
        Operation {
            id: OperationId(1),
            request: Request {
                sandbox: SandboxId(1),
                kind: OperationKind::Run,
                title: String::new(),
                limits: Limits::default(),
                target: None,
                verdict: Some(verdict),
            },
            status,
            before: Point { tree: Tree(String::new()), state_version: 0 },
            after: None,
            started: Timestamp(1_000),
            finished: None,
            outcome: Outcome {
                counts: Some(ChangeCounts { deleted, ..ChangeCounts::default() }),
                ..Outcome::default()
            },
        }
    }

    #[test]
    fn what_ran_what_was_refused_and_what_was_deleted() {
        let ran = operation(Status::Done, "rm", 3);
        let refused = operation(Status::Blocked, "shred", 0);
        let history = remembered(&[ran.clone(), refused.clone()], Timestamp(2_000));
        assert_eq!(history.commands, 1);
        assert!(history.programs.contains("rm") && !history.programs.contains("shred"));
        assert_eq!(history.refusals.len(), 1);
        assert_eq!(history.deletions, Deletions { operations: 1, entries: 3 });
        let later = remembered(std::slice::from_ref(&ran), Timestamp(RECENT + 2_000));
        assert_eq!(later.deletions, Deletions::default());

        let mut approved = operation(Status::Done, "shred", 0);
        let verdict = approved.request.verdict.as_mut().unwrap();
        verdict.approval = Some(Approval { by: Approver::Yes, hash: String::new() });
        let history = remembered(&[approved.clone(), refused.clone()], Timestamp(2_000));
        assert!(history.refusals.is_empty(), "it was approved since");
        let history = remembered(&[refused, approved], Timestamp(2_000));
        assert_eq!(history.refusals.len(), 1, "it was refused since");
    }
}
