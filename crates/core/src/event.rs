//! What happens, as one typed stream: the event log keeps it, sinks send it on, and it is the chain
//! of evidence.
//!
//! An [`Event`] is the JSON form of CloudEvents 1.0. Beside the attributes of the specification it
//! has those of two documented extensions (`authtype` and `authid`, who acted; `sequence`, its
//! number in the log) and one of our own: `prevhash`, the SHA-256 of the event before it, as its
//! bytes stand in the log. So a copy of the log is verified with any SHA-256.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::actor::ActorKind;
use crate::changeset::ChangeCounts;
use crate::digest::Digest;
use crate::id::{OperationId, SnapshotId};
use crate::lifecycle::LifecycleChanged;
use crate::live::Live;
use crate::monitor::AnomalyPolicy;
use crate::operation::{CommandReport, OperationKind, Status};
use crate::sandbox::Guard;
use crate::snapshot::{SnapshotKind, SnapshotScope, Tag};
use crate::time::Timestamp;
use crate::verdict_record::VerdictRecord;

/// What happened. The names are the events' types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Happening {
    /// Intent: an operation is about to begin.
    #[serde(rename = "io.github.ctrlz.operation.started")]
    OperationStarted(OperationStarted),
    /// Outcome: it ended, well or not.
    #[serde(rename = "io.github.ctrlz.operation.finished")]
    OperationFinished(OperationFinished),
    /// An operation was not let run.
    #[serde(rename = "io.github.ctrlz.safety.violation")]
    SafetyViolation(SafetyViolation),
    /// A snapshot was taken.
    #[serde(rename = "io.github.ctrlz.snapshot.created")]
    SnapshotCreated(SnapshotCreated),
    /// A snapshot was removed.
    #[serde(rename = "io.github.ctrlz.snapshot.removed")]
    SnapshotRemoved(SnapshotRemoved),
    /// A snapshot's tags are others than before, or it was found good.
    #[serde(rename = "io.github.ctrlz.snapshot.changed")]
    SnapshotChanged(SnapshotChanged),
    /// A snapshot was archived.
    #[serde(rename = "io.github.ctrlz.snapshot.archived")]
    SnapshotArchived(SnapshotArchived),
    /// A snapshot that nobody asked for was taken out of the archive by itself.
    #[serde(rename = "io.github.ctrlz.snapshot.unarchived")]
    SnapshotUnarchived(SnapshotUnarchived),
    /// Old operations can be undone no more, since their files were let go.
    #[serde(rename = "io.github.ctrlz.history.trimmed")]
    HistoryTrimmed(HistoryTrimmed),
    /// A sandbox was contained, released, or is watched more or less closely.
    #[serde(rename = "io.github.ctrlz.sandbox.guarded")]
    SandboxGuarded(Guard),
    /// Something is wrong that a rollback mends.
    #[serde(rename = "io.github.ctrlz.rollback.required")]
    RollbackRequired(RollbackRequired),
    /// A rollback has taken place. Its operation's end is told as well.
    #[serde(rename = "io.github.ctrlz.rollback.done")]
    RollbackDone(RollbackDone),
    /// A sandbox was made, as a copy of another or new.
    #[serde(rename = "io.github.ctrlz.sandbox.created")]
    SandboxCreated(SandboxCreated),
    /// A sandbox was removed with all that is in it.
    #[serde(rename = "io.github.ctrlz.sandbox.removed")]
    SandboxRemoved {},
    /// A sandbox was suspended or resumed, or its setup ended. What begins and ends in it is told as
    /// an operation.
    #[serde(rename = "io.github.ctrlz.sandbox.lifecycle")]
    LifecycleChanged(LifecycleChanged),
    /// Damaged state was mended, by a rebuild from the journal or from good copies.
    #[serde(rename = "io.github.ctrlz.state.repaired")]
    StateRepaired(StateRepaired),
    /// A health check found something, or finds it no more.
    #[serde(rename = "io.github.ctrlz.health.changed")]
    HealthChanged(HealthChanged),
    /// A sandbox uses more than it did, or than it may.
    #[serde(rename = "io.github.ctrlz.resource.exceeded")]
    ResourceExceeded(ResourceExceeded),
    /// Somebody asked whether a sink takes events.
    #[serde(rename = "io.github.ctrlz.sink.tested")]
    SinkTested(SinkTested),
    /// The configuration is another than the one in use before.
    #[serde(rename = "io.github.ctrlz.configuration.changed")]
    ConfigurationChanged(ConfigurationChanged),
}

/// See [`Happening::OperationStarted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationStarted {
    /// Its id.
    pub operation: OperationId,
    /// What kind.
    pub kind: OperationKind,
    /// One line for people, without secrets.
    pub title: String,
    /// The operation that it undoes, redoes or returns to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<OperationId>,
    /// What the validator said, and who approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictRecord>,
    /// The digest of where the sandbox stands: what an undo returns to.
    pub snapshot: Digest,
}

/// See [`Happening::OperationFinished`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationFinished {
    /// Its id.
    pub operation: OperationId,
    /// What kind.
    pub kind: OperationKind,
    /// How it ended.
    pub status: Status,
    /// For a command: what it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandReport>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<ChangeCounts>,
    /// The digest of what it changed, when it changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changeset: Option<Digest>,
    /// The BLAKE3 of what it wrote to the state, as the journal has it, when it wrote something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The digest of where the sandbox stands now; nothing when it did not move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
}

/// See [`Happening::SafetyViolation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SafetyViolation {
    /// The operation as which it is journaled.
    pub operation: OperationId,
    /// One line for people, without secrets.
    pub title: String,
    /// What the validator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictRecord>,
    /// Why it was not let run.
    pub reason: String,
}

/// See [`Happening::SnapshotCreated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotCreated {
    /// Its id.
    pub snapshot: SnapshotId,
    /// Why it was taken.
    pub kind: SnapshotKind,
    /// What a return brings back.
    #[serde(default)]
    pub scope: SnapshotScope,
    /// What the user wrote about it.
    pub message: String,
    /// The words on it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Tag>,
    /// The operation that took it; of one that was taken while a command ran, the command's.
    pub operation: OperationId,
    /// The digest of what it returns to.
    pub digest: Digest,
    /// How it was taken while a command ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
}

/// See [`Happening::SnapshotRemoved`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRemoved {
    /// Its id.
    pub snapshot: SnapshotId,
    /// Why.
    pub reason: String,
}

/// See [`Happening::SnapshotArchived`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotArchived {
    /// Its id.
    pub snapshot: SnapshotId,
    /// Its name in the archive.
    pub name: String,
    /// Where the archive lies.
    pub place: String,
    /// What of it is there.
    pub scope: SnapshotScope,
    /// The digest of its manifest, which names all of it for ever.
    pub manifest: Digest,
    /// Why, when no user asked for it: `backup` or `policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<String>,
}

/// See [`Happening::SnapshotUnarchived`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotUnarchived {
    /// Its name in the archive.
    pub name: String,
    /// Where the archive lies.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// See [`Happening::SnapshotChanged`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotChanged {
    /// Its id.
    pub snapshot: SnapshotId,
    /// The words on it now.
    pub tags: BTreeSet<Tag>,
    /// When it was found good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Timestamp>,
}

/// See [`Happening::HistoryTrimmed`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryTrimmed {
    /// This operation and those before it.
    pub up_to: OperationId,
    /// Of how many the files were let go.
    pub operations: u64,
    /// Why.
    pub reason: String,
}

/// See [`Happening::RollbackRequired`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackRequired {
    /// What is wrong.
    pub reason: String,
    /// The snapshot that is known to be good, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SnapshotId>,
}

/// See [`Happening::RollbackDone`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackDone {
    /// The rollback.
    pub operation: OperationId,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<ChangeCounts>,
}

/// See [`Happening::SandboxCreated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxCreated {
    /// The operation as which it is journaled.
    pub operation: OperationId,
    /// One line for people.
    pub title: String,
    /// The digest of what it starts from.
    pub snapshot: Digest,
    /// What that was made of.
    #[serde(default, skip_serializing_if = "MadeOf::is_unknown")]
    pub made_of: MadeOf,
}

/// What a sandbox is made of, as far as that has a digest which is known without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MadeOf {
    /// The digest of the config of the image that is its root, which other tools call the id of the
    /// image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// The digest of the commands of `setup:` after which it begins, and of what they ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<Digest>,
    /// The digest of the manifest of the archived snapshot that it was brought back from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<Digest>,
}

impl MadeOf {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// See [`Happening::StateRepaired`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRepaired {
    /// Entries that were written as the journal has them.
    pub entries: u64,
    /// Entries that the journal does not know and that were dropped, as was asked.
    pub dropped: u64,
    /// Values that were brought back from good copies.
    pub values: u64,
    /// Values for which no good copy was found.
    pub left: u64,
}

/// How bad a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing to do.
    #[default]
    Ok,
    /// Somebody should look at it.
    Warning,
    /// Work fails, or will soon.
    Critical,
}

/// See [`Happening::HealthChanged`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthChanged {
    /// The check.
    pub check: String,
    /// How bad it is now.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What to do; empty when nothing.
    pub remedy: String,
}

/// See [`Happening::ResourceExceeded`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceExceeded {
    /// What is used: `memory`, `cpu`, `processes`, `writes` and so on.
    pub resource: String,
    /// How much.
    pub used: f64,
    /// How much was expected, or is allowed.
    pub expected: f64,
    /// In what: `bytes`, `percent`, `processes`.
    pub unit: String,
    /// In words.
    pub reason: String,
    /// How many times as much as was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The operation that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// What followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<AnomalyPolicy>,
}

/// See [`Happening::SinkTested`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinkTested {
    /// The sink's name.
    pub sink: String,
}

/// See [`Happening::ConfigurationChanged`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationChanged {
    /// The files that were read, each with its digest.
    pub files: Vec<ConfigurationFile>,
}

/// One file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationFile {
    /// Where; what is not UTF-8 in it is replaced.
    pub path: String,
    /// What stood in it; nothing when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// One event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `1.0`
    pub specversion: String,
    /// Unique together with [`Self::source`]: the number in the log.
    pub id: String,
    /// The log: `urn:uuid:` and the store's id.
    pub source: String,
    /// The sandbox's name; nothing for what is about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When, in RFC 3339 with nanoseconds.
    pub time: String,
    /// What kind of somebody acted.
    pub authtype: ActorKind,
    /// Who acted.
    pub authid: String,
    /// The number in the log with leading zeros, so that texts sort as numbers.
    pub sequence: String,
    /// The SHA-256 of the event before, 64 hexadecimal digits; all zero for the first.
    pub prevhash: String,
    /// What happened.
    #[serde(flatten)]
    pub happening: Happening,
}
