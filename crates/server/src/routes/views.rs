//! What calls answer: the objects of docs/json.md.

use ctrlz_core::changeset::{ChangeCounts, Changeset};
use ctrlz_core::id::OperationId;
use ctrlz_core::lifecycle::Lifecycle;
use ctrlz_core::operation::Operation;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::Snapshot;
use ctrlz_engine::{EngineError, SandboxCore};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Any value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|error| Problem::internal(error.to_string()))
}

macro_rules! view {
    ($(#[$doc:meta])* $name:ident of $core:ty { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        pub(crate) struct $name { $($(#[$field_doc])* $field: $type,)* }

        impl $name {
            /// As a client sees it.
            pub(crate) fn of(core: &$core) -> Result<Self, Problem> {
                Ok(Self { $($field: Take::take(to_json(&core.$field)?)?,)* })
            }
        }
    };
}

/// The word that a value is in JSON.
pub(crate) fn word(value: &impl Serialize) -> Result<String, Problem> {
    Ok(to_json(value)?.as_str().unwrap_or_default().to_owned())
}

/// A field of a view.
trait Take: Sized {
    fn take(value: Value) -> Result<Self, Problem>;
}

impl<T: serde::de::DeserializeOwned> Take for T {
    fn take(value: Value) -> Result<Self, Problem> {
        serde_json::from_value(value).map_err(|error| Problem::internal(error.to_string()))
    }
}

view! {
    /// A sandbox.
    SandboxView of Sandbox {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The folder of which it is the unnamed sandbox.
        #[schema(value_type = Value)]
        folder: Value,
        /// Which root its processes see.
        #[schema(value_type = Object)]
        root: Value,
        /// The folder that it starts from.
        #[schema(value_type = Value)]
        base: Value,
        /// What keeps its trees.
        driver: String,
        /// Where it stands.
        #[schema(value_type = Object)]
        point: Value,
        /// When it was made, in nanoseconds since 1970.
        created: i64,
        /// When it was last used.
        used: i64,
        /// The operation under way.
        open_operation: Option<String>,
        /// What is kept of its life.
        #[schema(value_type = Object)]
        life: Value,
        /// What an emergency left on it.
        #[schema(value_type = Object)]
        guard: Value,
    }
}

/// A sandbox and the state of its life.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LivingSandbox {
    #[serde(flatten)]
    sandbox: SandboxView,
    /// `init`, `ready`, `running`, `suspended`, `resumed` or `failed`.
    #[schema(value_type = String)]
    lifecycle: Lifecycle,
    /// Whether it has no changes that were not committed.
    clean: bool,
}

impl LivingSandbox {
    /// What is seen of it now.
    pub(crate) fn look(
        core: &SandboxCore<'_>,
        sandbox: &Sandbox,
    ) -> Result<(Lifecycle, bool), EngineError> {
        Ok((core.life_of(sandbox)?.lifecycle, core.is_clean(sandbox).unwrap_or_default()))
    }

    pub(crate) fn of(
        sandbox: &Sandbox,
        (lifecycle, clean): (Lifecycle, bool),
    ) -> Result<Self, Problem> {
        Ok(Self { sandbox: SandboxView::of(sandbox)?, lifecycle, clean })
    }
}

view! {
    /// An operation as the journal keeps it.
    OperationView of Operation {
        /// Its id.
        id: String,
        /// What was asked.
        #[schema(value_type = Object)]
        request: Value,
        /// How far it has come.
        status: String,
        /// Where the sandbox stood before.
        #[schema(value_type = Object)]
        before: Value,
        /// Where it stood after.
        #[schema(value_type = Object, nullable)]
        after: Value,
        /// When it began, in nanoseconds since 1970.
        started: i64,
        /// When it ended.
        finished: Option<i64>,
        /// What came of it.
        #[schema(value_type = Object)]
        outcome: Value,
    }
}

view! {
    /// A snapshot.
    SnapshotView of Snapshot {
        /// Its id.
        id: String,
        /// The sandbox's id.
        sandbox: String,
        /// `manual`, `automatic`, `pre-operation` or `pre-rollback`.
        kind: String,
        /// `full`, `incremental` or `state-only`.
        scope: String,
        /// What it was taken for.
        message: String,
        /// Its tags.
        tags: Vec<String>,
        /// The operation that took it.
        operation: String,
        /// Where the sandbox stood.
        #[schema(value_type = Object)]
        point: Value,
        /// When it was taken, in nanoseconds since 1970.
        created: i64,
        /// When it was found good.
        good: Option<i64>,
        /// How it was taken while a command ran: `by` is `atomic` or `frozen`, `stopped` for how many
        /// seconds the command's processes were stopped. Absent when nothing ran.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        live: Option<Value>,
    }
}

/// Numbers of entries.
#[derive(Debug, Serialize, serde::Deserialize, ToSchema, JsonSchema)]
pub(crate) struct Counts {
    /// Entries added.
    pub(crate) added: u64,
    /// Entries whose content or type changed.
    pub(crate) modified: u64,
    /// Entries deleted.
    pub(crate) deleted: u64,
    /// Entries of which only metadata changed.
    pub(crate) metadata: u64,
}

impl Counts {
    pub(crate) fn of(counts: &ChangeCounts) -> Self {
        let ChangeCounts { added, modified, deleted, metadata } = *counts;
        Self { added, modified, deleted, metadata }
    }
}

/// What an operation on a sandbox did.
#[derive(Debug, Serialize, ToSchema, JsonSchema)]
pub(crate) struct Done {
    /// The sandbox's name.
    pub(crate) sandbox: String,
    /// The operation under which it is journaled.
    pub(crate) operation: Option<String>,
    /// The operation that it took back or brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// The snapshot that holds what it left behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left_behind: Option<String>,
    /// What changed, or with `dry_run` would.
    pub(crate) counts: Option<Counts>,
    /// That nothing was done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    /// What would change, by path.
    #[schema(value_type = Option<Vec<Object>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changes: Option<Value>,
    /// What somebody else changed, and so would not be committed.
    #[schema(value_type = Option<Vec<Object>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conflicts: Option<Value>,
    /// What a rollback looked at.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    // Its fields are those of the whole, or missing: an option that is flattened would be told as "null, too".
    #[schema(value_type = Object)]
    pub(crate) validation: Option<Validation>,
}

/// What a rollback looked at, before and afterwards.
#[derive(Debug, Serialize, ToSchema, JsonSchema)]
pub(crate) struct Validation {
    /// `layers`, or `files` when every file was read.
    pub(crate) validated: &'static str,
    /// Whether what the sandbox stands on now is whole.
    pub(crate) intact: bool,
    /// What was missing or damaged, and came from an archive.
    pub(crate) from_archive: Vec<String>,
    /// What the health checks said, when they were asked for.
    #[schema(value_type = Vec<Object>)]
    pub(crate) checks: Value,
}

impl Done {
    /// What an operation on a sandbox would change.
    pub(crate) fn dry_run(sandbox: &Sandbox, changeset: &Changeset) -> Result<Self, Problem> {
        Ok(Self {
            dry_run: true,
            changes: Some(to_json(&changeset.changes)?),
            ..Self::of(sandbox, None, Some(&changeset.counts()))
        })
    }

    /// What an operation on a sandbox changed.
    pub(crate) fn of(
        sandbox: &Sandbox,
        operation: Option<OperationId>,
        counts: Option<&ChangeCounts>,
    ) -> Self {
        Self {
            sandbox: sandbox.name.to_string(),
            operation: operation.map(|id| id.to_string()),
            target: None,
            left_behind: None,
            counts: counts.map(Counts::of),
            dry_run: false,
            changes: None,
            conflicts: None,
            validation: None,
        }
    }
}

/// A page of a list, the newest first unless it says otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// Send it as `cursor` for the next page; there is none when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}
