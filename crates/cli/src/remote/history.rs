//! `diff`, `commit`, `discard`, `undo`, `redo`, `rollback`, `log` and `show` at a service.

use ctrlz_core::changeset::{Change, ChangeCounts, Changeset};
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::Operation;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::workspace::{CommitPlan, Conflict, ConflictStrategy};
use ctrlz_engine::{HealthResult, LifeReport, RollbackReport, RollbackTarget, UndoReport};
use serde::Deserialize;
use serde_json::json;

use super::client::{Client, query, segment};
use super::problem::not_understood;
use super::sandboxes::{named, of, path, sandbox};
use crate::Answer;
use crate::arguments::{
    CommitArguments, DiffArguments, LogArguments, RedoArguments, RollbackArguments,
    SandboxArgument, ShowArguments, UndoArguments,
};
use crate::commands::{commit, diff, history, rollback, undo};
use crate::failure::Failure;
use crate::show::{self, Style, print_painted};

/// What was done, or would be.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Done {
    operation: Option<OperationId>,
    target: Option<OperationId>,
    left_behind: Option<SnapshotId>,
    counts: Option<ChangeCounts>,
    changes: Vec<Change>,
    conflicts: Vec<Conflict>,
    intact: bool,
    from_archive: Vec<String>,
    checks: Vec<HealthResult>,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            operation: None,
            target: None,
            left_behind: None,
            counts: None,
            changes: Vec::new(),
            conflicts: Vec::new(),
            intact: true,
            from_archive: Vec::new(),
            checks: Vec::new(),
        }
    }
}

/// What an answer must have.
fn needed<T>(field: Option<T>, name: &str) -> Result<T, Failure> {
    field.ok_or_else(|| not_understood(env!("CARGO_PKG_VERSION"), &format!("it lacks `{name}`")))
}

/// Paths of the workspace: relative ones from its root on.
fn paths(
    client: &Client,
    name: &SandboxName,
    given: &[std::path::PathBuf],
) -> Result<Vec<RelPath>, Failure> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let sandbox = sandbox(client, name)?;
    let base = sandbox.mount_point();
    diff::paths_from(base, given, base)
}

fn words(paths: &[RelPath]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

#[derive(Deserialize)]
struct Differs {
    changes: Vec<Change>,
    patch: Option<String>,
}

pub(super) fn differs(client: &Client, arguments: &DiffArguments, json: bool) -> Answer {
    let name = of(&arguments.sandbox)?;
    let wanted = paths(client, name, &arguments.paths)?;
    let mut fields = Vec::new();
    fields.extend(arguments.operation.map(|id| ("operation", id.to_string())));
    fields.extend(arguments.since.map(|id| ("since", id.to_string())));
    fields.extend(arguments.base.then(|| ("base", "true".to_owned())));
    let is_patch = arguments.patch && !json;
    fields.extend(is_patch.then(|| ("patch", "true".to_owned())));
    if !wanted.is_empty() {
        fields.push(("paths", show::to_json(&wanted)?.to_string()));
    }
    let found: Differs = client.get(&path(name, &format!("/diff{}", query(&fields))))?;
    if is_patch {
        print_painted(&found.patch.unwrap_or_default(), Style::stdout());
        return show::done();
    }
    diff::tell(name, &Changeset { changes: found.changes }, json)
}

pub(super) fn commits(client: &Client, arguments: &CommitArguments, json: bool) -> Answer {
    let sandbox = sandbox(client, of(&arguments.sandbox)?)?;
    let base = sandbox.mount_point();
    let conflict: ConflictStrategy = arguments.conflict.into();
    let body = json!({
        "paths": words(&diff::paths_from(base, &arguments.paths, base)?),
        "conflict": conflict,
        "dry_run": arguments.dry_run,
    });
    let done: Done = client.post(&path(&sandbox.name, "/commit"), &body)?;
    if arguments.dry_run {
        let changeset = Changeset { changes: done.changes };
        return commit::tell_plan(
            &sandbox,
            &CommitPlan { changeset, conflicts: done.conflicts },
            json,
        );
    }
    let counts = needed(done.counts, "counts")?;
    commit::tell(&sandbox, needed(done.operation, "operation")?, &counts, json)
}

pub(super) fn discard(client: &Client, argument: &SandboxArgument, json: bool) -> Answer {
    let name = of(argument)?;
    let done: Done = client.post(&path(name, "/discard"), &json!({}))?;
    commit::tell_discarded(name, &needed(done.counts, "counts")?, json)
}

pub(super) fn undo(client: &Client, arguments: &UndoArguments, json: bool) -> Answer {
    let sandbox = sandbox(client, of(&arguments.sandbox)?)?;
    let conflict: ConflictStrategy = arguments.conflict.into();
    let body = json!({ "operation": arguments.operation, "conflict": conflict });
    let done: Done = client.post(&path(&sandbox.name, "/undo"), &body)?;
    tell(client, &sandbox, &done, "undone", json)
}

pub(super) fn redo(client: &Client, arguments: &RedoArguments, json: bool) -> Answer {
    let sandbox = sandbox(client, of(&arguments.sandbox)?)?;
    let conflict: ConflictStrategy = arguments.conflict.into();
    let done: Done =
        client.post(&path(&sandbox.name, "/redo"), &json!({ "conflict": conflict }))?;
    tell(client, &sandbox, &done, "redone", json)
}

fn tell(client: &Client, sandbox: &Sandbox, done: &Done, word: &str, json: bool) -> Answer {
    let target = needed(done.target, "target")?;
    let report = UndoReport {
        operation: needed(done.operation, "operation")?,
        target: client.get(&operation(target, ""))?,
        counts: needed(done.counts, "counts")?,
    };
    undo::tell(sandbox, &report, word, json)
}

fn operation(id: OperationId, rest: &str) -> String {
    format!("/v1/operations/{}{rest}", segment(&id.to_string()))
}

pub(super) fn rolls_back(client: &Client, arguments: &RollbackArguments, json: bool) -> Answer {
    let (name, target) = rollback::named(&arguments.words)?;
    let name = named(name.as_ref())?;
    let (snapshot, before) = match target {
        RollbackTarget::Snapshot(id) => (Some(id), None),
        RollbackTarget::Before(id) => (None, Some(id)),
    };
    let body = json!({
        "snapshot": snapshot,
        "before": before,
        "paths": words(&paths(client, name, &arguments.paths)?),
        "dry_run": arguments.dry_run,
        "verify": arguments.verify,
        "check": arguments.check,
    });
    let done: Done = client.post(&path(name, "/rollback"), &body)?;
    if arguments.dry_run {
        return rollback::tell_plan(name, &Changeset { changes: done.changes }, json);
    }
    let report = RollbackReport {
        operation: needed(done.operation, "operation")?,
        left_behind: needed(done.left_behind, "left_behind")?,
        counts: done.counts,
        intact: done.intact,
        mended: done.from_archive,
    };
    let told = rollback::Returned { sandbox: name, report, checks: done.checks };
    told.tell(arguments.verify, json)
}

pub(super) fn log(client: &Client, arguments: &LogArguments, json: bool) -> Answer {
    let name = of(&arguments.sandbox)?;
    let most = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let operations: Vec<Operation> = client.list(&path(name, "/operations"), most)?;
    history::tell_log(name, &operations, json)
}

#[derive(Deserialize)]
struct Shown {
    sandbox: SandboxName,
    lifecycle: LifeReport,
    operation: Operation,
    changes: Option<Vec<Change>>,
    patch: Option<String>,
}

pub(super) fn shows(client: &Client, arguments: &ShowArguments, json: bool) -> Answer {
    let is_patch = arguments.patch && !json;
    let patch = query(&[("patch", is_patch.to_string())]);
    let found: Shown = client.get(&operation(arguments.operation, &format!("/changes{patch}")))?;
    let text = found.patch.unwrap_or_default();
    let print = |_: &Changeset| print_painted(&text, Style::stdout());
    let shown = history::Shown {
        sandbox: found.sandbox,
        lifecycle: found.lifecycle,
        operation: found.operation,
        changeset: found.changes.map(|changes| Changeset { changes }),
    };
    shown.tell(is_patch.then_some(&print), json)
}
