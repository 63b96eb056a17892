//! Snapshots: taken, listed.

use ctrlz_core::snapshot::Snapshot;
use ctrlz_core::tenancy::Right;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::tool::{Came, Hint, Tool, Words};
use crate::problem::Problem;
use crate::routes::sandboxes::Paging;
use crate::routes::snapshots::{Taking, page_of, take_it};
use crate::routes::views::word;

/// A snapshot.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Kept {
    /// Its id, such as `snap-3`.
    snapshot: String,
    /// `manual`, `automatic`, `pre-operation` or `pre-rollback`.
    kind: String,
    /// What it was taken for.
    message: String,
    /// Its tags.
    tags: Vec<String>,
    /// When it was taken (RFC 3339).
    created: String,
}

impl Kept {
    fn of(snapshot: &Snapshot) -> Result<Self, Problem> {
        Ok(Self {
            snapshot: snapshot.id.to_string(),
            kind: word(&snapshot.kind)?,
            message: snapshot.message.clone(),
            tags: snapshot.tags.iter().map(ToString::to_string).collect(),
            created: snapshot.created.rfc3339(),
        })
    }
}

impl Words for Kept {
    fn words(&self) -> String {
        let Self { snapshot, kind, message, created, .. } = self;
        let about = if message.is_empty() { String::new() } else { format!(": {message}") };
        format!("{snapshot} ({kind}, {created}){about}")
    }
}

/// `sandbox_snapshot`
pub(in crate::mcp) struct Take;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct NewSnapshot {
    /// The sandbox.
    sandbox: String,
    /// What it is taken for.
    #[serde(default)]
    message: String,
    /// Tags; with `keep`, retention leaves it alone.
    #[serde(default)]
    tags: Vec<String>,
    /// Now, also while a command runs, with what that has written so far; the command goes on.
    /// Otherwise when the command has ended.
    #[serde(default)]
    live: bool,
}

impl Tool for Take {
    const NAME: &str = "sandbox_snapshot";
    const TITLE: &str = "Keep a point";
    const ABOUT: &str =
        "Keep the point where a sandbox stands, to return to it by sandbox_rollback.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Adds;
    type Input = NewSnapshot;
    type Output = Kept;

    async fn call(call: &Call, input: NewSnapshot) -> Came<Kept> {
        let NewSnapshot { sandbox, message, tags, live } = input;
        let taking = Taking { message, tags, scope: None, live };
        Ok(Kept::of(&take_it(call.who(), sandbox, taking).await?)?)
    }
}

/// `sandbox_list_snapshots`
pub(in crate::mcp) struct List;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct Which {
    /// The sandbox.
    sandbox: String,
    /// How many, 1 to 1000; 100 when it is left out.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of snapshots, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Snapshots {
    /// What is on it.
    snapshots: Vec<Kept>,
    /// Send it as `cursor` for the next page; there is none when it is null.
    next: Option<String>,
}

impl Words for Snapshots {
    fn words(&self) -> String {
        if self.snapshots.is_empty() {
            return "there are no snapshots".to_owned();
        }
        let mut lines: Vec<String> = self.snapshots.iter().map(Words::words).collect();
        lines.extend(self.next.as_ref().map(|next| format!("more with cursor `{next}`")));
        lines.join("\n")
    }
}

impl Tool for List {
    const NAME: &str = "sandbox_list_snapshots";
    const TITLE: &str = "List snapshots";
    const ABOUT: &str = "List the snapshots of a sandbox, the newest first.";
    const RIGHT: Right = Right::Look;
    const HINT: Hint = Hint::Reads;
    type Input = Which;
    type Output = Snapshots;

    async fn call(call: &Call, input: Which) -> Came<Snapshots> {
        let paging = Paging { limit: input.limit, cursor: input.cursor };
        let (found, next) = page_of(call.who(), input.sandbox, &paging).await?;
        let snapshots = found.iter().map(Kept::of).collect::<Result<_, _>>()?;
        Ok(Snapshots { snapshots, next })
    }
}
