//! What changed, and forth and back: diff, commit, undo, rollback.

use ctrlz_core::changeset::Change;
use ctrlz_core::tenancy::Right;
use ctrlz_core::workspace::ConflictStrategy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::tool::{Came, Hint, Tool, Words};
use crate::problem::Problem;
use crate::routes::diff::changes_of;
use crate::routes::history::{Committing, Returning, Undoing, commit_it, rollback_it, undo_it};
use crate::routes::views::{Counts, Done, word};

/// How many changes are told when nobody says how many.
const CHANGES: u32 = 200;

/// What to do with files that somebody else changed meanwhile.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::mcp) enum Conflict {
    /// Write nothing and name them.
    #[default]
    Fail,
    /// Leave the folder's version of those paths.
    Theirs,
    /// Write the sandbox's version; the folder's is kept for undo.
    Ours,
    /// Leave the folder's version and write the sandbox's beside it.
    KeepBoth,
}

impl From<Conflict> for ConflictStrategy {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Fail => Self::Fail,
            Conflict::Theirs => Self::Theirs,
            Conflict::Ours => Self::Ours,
            Conflict::KeepBoth => Self::KeepBoth,
        }
    }
}

/// Numbers of entries, in words.
pub(super) fn in_words(counts: &Counts) -> String {
    let Counts { added, modified, deleted, metadata } = *counts;
    let told = [
        (added, "added"),
        (modified, "modified"),
        (deleted, "deleted"),
        (metadata, "of other metadata"),
    ];
    let told = told.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, what)| format!("{count} {what}")).collect();
    if told.is_empty() { "nothing changed".to_owned() } else { told.join(", ") }
}

impl Words for Done {
    fn words(&self) -> String {
        let operation = self.operation.as_deref().unwrap_or("done");
        let target = self.target.as_ref().map(|target| format!(" of {target}"));
        let counts = self.counts.as_ref().map(|counts| format!(": {}", in_words(counts)));
        let left = self.left_behind.as_ref().map(|left| format!("; {left} keeps what was left"));
        let rest: String = [target, counts, left].into_iter().flatten().collect();
        format!("{operation}{rest}")
    }
}

/// `sandbox_diff`
pub(in crate::mcp) struct Diff;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct Looked {
    /// The sandbox.
    sandbox: String,
    /// How many changes to tell, 1 to 10000; 200 when it is left out.
    limit: Option<u32>,
}

/// A change.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Changed {
    /// Where, relative to the workspace. Bytes that are no UTF-8 stand as U+FFFD.
    path: String,
    /// `added`, `modified`, `deleted`, `type-changed` or `metadata-changed`.
    kind: String,
    /// How many bytes it has now; null when it is gone.
    size: Option<u64>,
}

impl Changed {
    fn of(change: &Change) -> Result<Self, Problem> {
        let path = change.path.as_path().to_string_lossy().into_owned();
        let size = change.after.as_ref().map(|after| after.size);
        Ok(Self { path, kind: word(&change.kind)?, size })
    }
}

/// What a sandbox changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Changes {
    /// The sandbox's name.
    sandbox: String,
    /// How much.
    counts: Counts,
    /// What, by path.
    changes: Vec<Changed>,
    /// Whether there are more than were asked for.
    truncated: bool,
}

impl Words for Changes {
    fn words(&self) -> String {
        let mut lines = vec![in_words(&self.counts)];
        lines.extend(self.changes.iter().map(|one| format!("{} {}", one.kind, one.path)));
        if self.truncated {
            lines.push("and more".to_owned());
        }
        lines.join("\n")
    }
}

impl Tool for Diff {
    const NAME: &str = "sandbox_diff";
    const TITLE: &str = "Show what changed";
    const ABOUT: &str = "Tell which files a sandbox changed since it was made or last committed.";
    const RIGHT: Right = Right::Look;
    const HINT: Hint = Hint::Reads;
    type Input = Looked;
    type Output = Changes;

    async fn call(call: &Call, input: Looked) -> Came<Changes> {
        let limit = match input.limit.unwrap_or(CHANGES) {
            limit @ 1..=10_000 => limit as usize,
            _ => return Err(Problem::bad_request("`limit` must be 1 to 10000").into()),
        };
        let found = changes_of(call.who(), input.sandbox.clone()).await?;
        let changes = found.changes.iter().take(limit).map(Changed::of);
        Ok(Changes {
            sandbox: input.sandbox,
            counts: Counts::of(&found.counts()),
            changes: changes.collect::<Result<_, _>>()?,
            truncated: found.changes.len() > limit,
        })
    }
}

/// `sandbox_commit`
pub(in crate::mcp) struct Commit;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToCommit {
    /// The sandbox.
    sandbox: String,
    /// Only these paths and what lies below them; all when it is left out.
    #[serde(default)]
    paths: Vec<String>,
    /// What to do with files that somebody else changed meanwhile; `fail` when it is left out.
    #[serde(default)]
    conflict: Conflict,
}

impl Tool for Commit {
    const NAME: &str = "sandbox_commit";
    const TITLE: &str = "Bring changes to the real folder";
    const ABOUT: &str = "Write a sandbox's changes to the folder that it started from. It is one step that \
        sandbox_undo takes back; what somebody else changed meanwhile is not overwritten unless `conflict` says so.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Changes;
    type Input = ToCommit;
    type Output = Done;

    async fn call(call: &Call, input: ToCommit) -> Came<Done> {
        let ToCommit { sandbox, paths, conflict } = input;
        let committing = Committing { paths, conflict: conflict.into(), dry_run: false };
        Ok(commit_it(call.who(), sandbox, committing).await?)
    }
}

/// `sandbox_undo`
pub(in crate::mcp) struct Undo;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToUndo {
    /// The sandbox.
    sandbox: String,
    /// This operation alone, such as `op-7`, while later ones stay; the last one when it is left out.
    operation: Option<String>,
    /// For a commit that is taken back: what to do with files that somebody else changed since.
    #[serde(default)]
    conflict: Conflict,
}

impl Tool for Undo {
    const NAME: &str = "sandbox_undo";
    const TITLE: &str = "Take a step back";
    const ABOUT: &str = "Take back the last operation of a sandbox, whatever it was, a commit included; or one in the \
        middle, when later ones do not depend on it.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Changes;
    type Input = ToUndo;
    type Output = Done;

    async fn call(call: &Call, input: ToUndo) -> Came<Done> {
        let ToUndo { sandbox, operation, conflict } = input;
        let undoing = Undoing { operation, conflict: conflict.into() };
        Ok(undo_it(call.who(), sandbox, undoing).await?)
    }
}

/// `sandbox_rollback`
pub(in crate::mcp) struct Rollback;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToReturn {
    /// The sandbox.
    sandbox: String,
    /// A snapshot, such as `snap-3`. Either this or `before` is needed.
    snapshot: Option<String>,
    /// The point before this operation, such as `op-7`.
    before: Option<String>,
    /// Only these paths and what lies below them; everything, the state included, when it is left out.
    #[serde(default)]
    paths: Vec<String>,
}

impl Tool for Rollback {
    const NAME: &str = "sandbox_rollback";
    const TITLE: &str = "Return to a point";
    const ABOUT: &str = "Return a sandbox to a snapshot, or to the point before an operation. What is left behind is \
        kept as a snapshot, and sandbox_undo takes the return back.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Changes;
    type Input = ToReturn;
    type Output = Done;

    async fn call(call: &Call, input: ToReturn) -> Came<Done> {
        let ToReturn { sandbox, snapshot, before, paths } = input;
        let (dry_run, verify, check) = (false, false, false);
        let returning = Returning { snapshot, before, paths, dry_run, verify, check };
        Ok(rollback_it(call.who(), sandbox, returning).await?)
    }
}
