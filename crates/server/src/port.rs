//! What the service asks of what lies below it. Whoever wires drivers to the engine implements it;
//! the service knows the engine alone.

use std::ffi::OsString;
use std::path::PathBuf;

use ctrlz_core::actor::Actor;
use ctrlz_core::changeset::Changeset;
use ctrlz_core::driver::Isolation;
use ctrlz_core::health::Finding;
use ctrlz_core::id::OperationId;
use ctrlz_core::isolation::{Network, Streams};
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::state::{Expected, StateEntry, StateKey};
use ctrlz_core::tenancy::{ReadInput, TenantName};
use ctrlz_core::time::Timestamp;
use ctrlz_core::verdict::Decision;
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_core::workspace::ConflictStrategy;
use ctrlz_core::workspace_choice::WorkspaceChoice;
use ctrlz_engine::{EngineError, HealthResult, Progress, RunReport, SandboxCore};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::errand::Errand;
use crate::halt::Halt;
use crate::problem::Problem;

/// The tenants' stores.
pub trait Backend: Send + Sync + 'static {
    /// Opens a tenant's store for whoever acts. It is used by the thread that opened it, which may
    /// block.
    ///
    /// # Errors
    /// When the store cannot be opened or made.
    fn open(&self, tenant: &TenantName, actor: Actor) -> Result<Box<dyn Session + '_>, Problem>;

    /// Where the store of a tenant lies, when there is one.
    fn store_of(&self, tenant: &TenantName) -> Option<PathBuf>;

    /// What is wrong below, by name; all is well when nothing is.
    fn check(&self) -> Vec<Check>;
}

/// One thing that has to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Why it does not, if it does not.
    pub trouble: Option<String>,
}

/// A tenant's store, open.
pub trait Session {
    /// Calls `act` with the engine.
    ///
    /// # Errors
    /// What `act` answers.
    fn core(
        &self,
        act: &mut dyn FnMut(&SandboxCore<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem>;

    /// An error of the engine as clients see it.
    fn explain(&self, error: EngineError) -> Problem;

    /// Makes a sandbox.
    ///
    /// # Errors
    /// When its name is taken, or its base cannot be used.
    fn create(
        &self,
        name: &SandboxName,
        base: &Base,
        workspace: Option<WorkspaceChoice>,
    ) -> Result<Sandbox, Problem>;

    /// Removes a sandbox; answers how many bytes that freed.
    ///
    /// # Errors
    /// When it is in use or, without `force`, has changes that were not committed.
    fn remove(&self, sandbox: &Sandbox, force: bool) -> Result<u64, Problem>;

    /// Writes a value of the state, or deletes it; answers the new version. The configuration says
    /// which keys are encrypted.
    ///
    /// # Errors
    /// When `expected` does not hold, or it cannot be written or encrypted.
    fn put_state(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        value: NewValue<'_>,
        expected: Expected,
    ) -> Result<u64, Problem>;

    /// The version of the state at a snapshot (`snap-3`), before an operation (`op-7`), or at a time of
    /// RFC 3339.
    ///
    /// # Errors
    /// When the text names none of these, or one of another sandbox.
    fn state_version(&self, sandbox: &Sandbox, at: &str) -> Result<u64, Problem>;

    /// A value of the state as of a version, decrypted, with its entry.
    ///
    /// # Errors
    /// When it cannot be read or decrypted.
    fn state(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        version: Option<u64>,
    ) -> Result<Option<(StateEntry, Vec<u8>)>, Problem>;

    /// The changed lines of text files, as unified diffs; nothing when they are more bytes than `most`.
    fn patch(&self, changeset: &Changeset, most: usize) -> Option<String>;

    /// What a sandbox did and used since that time, as docs/json.md tells it.
    ///
    /// # Errors
    /// When the journal or the history of usage cannot be read.
    fn stats(&self, sandbox: &Sandbox, since: Timestamp) -> Result<Value, Problem>;

    /// What is wrong with the host and the store.
    ///
    /// # Errors
    /// When the store cannot be looked at.
    fn health(&self) -> Result<Vec<Finding>, Problem>;

    /// Runs the health checks that the sandbox's configuration asks for, one after the other.
    ///
    /// # Errors
    /// When the configuration cannot be read, or a check cannot be run at all.
    fn check_health(&self, sandbox: &Sandbox) -> Result<Vec<HealthResult>, Problem>;

    /// What commands in a sandbox do not see of its files: paths as they would have them.
    ///
    /// # Errors
    /// When the configuration cannot be read, or the sandbox cannot be used here.
    fn hidden(&self, sandbox: &Sandbox) -> Result<Vec<PathBuf>, Problem>;

    /// What the validator would say, as docs/json.md tells it.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    fn check(&self, sandbox: Option<&Sandbox>, asked: &Asked) -> Result<Value, Problem>;

    /// What the validator says of a command.
    ///
    /// # Errors
    /// When the configuration or what it names cannot be read.
    fn judge(&self, sandbox: &Sandbox, command: &Command) -> Result<Judged, Problem>;

    /// On a full disk, gives up what is kept back of it for what gives space back.
    fn spend_reserve(&self);

    /// Keeps that back again, where there is enough.
    fn refill_reserve(&self);

    /// Runs a command, which was judged and, when that is needed, approved.
    ///
    /// # Errors
    /// When it does not run, or what came of it cannot be kept.
    fn run(&self, sandbox: &Sandbox, order: Order<'_>) -> Result<Ran, Problem>;

    /// How many bytes of the disk the tenant's data takes: store, archive and workspaces.
    ///
    /// # Errors
    /// When a part of it cannot be looked at.
    fn disk_used(&self) -> Result<u64, Problem>;

    /// Has another process do something, which ends early when `halt` asks for it; answers what it says of
    /// it, which is JSON but for an export.
    ///
    /// # Errors
    /// When it cannot be begun, or does not do it.
    fn carry_out(&self, errand: &Errand, halt: &Halt) -> Result<Vec<u8>, Problem>;

    /// Writes down that a command was not let run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    fn refuse(
        &self,
        sandbox: &Sandbox,
        command: &Command,
        judged: &Judged,
        reason: &str,
    ) -> Result<OperationId, Problem>;
}

/// What becomes of a value of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewValue<'a> {
    /// Nothing: it is deleted.
    Deleted,
    /// These bytes; the configuration, or what they replace, says whether they are encrypted.
    Written(&'a [u8]),
    /// These bytes, encrypted.
    Sensitive(&'a [u8]),
}

/// What a new sandbox starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An empty folder of its own.
    Empty,
    /// A folder of the service's host.
    Folder(PathBuf),
    /// A tar file or OCI layout on the service's host.
    Image(PathBuf),
}

/// A command to run.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Variables besides those of the configuration.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory inside.
    pub workdir: Option<PathBuf>,
    /// The network; the configuration's when it is not said.
    pub network: Option<Network>,
    /// What isolates it; the configuration's when it is not said.
    pub isolation: Option<Isolation>,
    /// How long it may take.
    pub timeout: Option<Span>,
    /// How much memory it may have.
    pub memory: Option<ByteSize>,
    /// How many processors.
    pub cpus: Option<f64>,
    /// How many processes and threads.
    pub pids: Option<u32>,
    /// How much it may add to the workspace.
    pub disk: Option<ByteSize>,
    /// How many files each of its processes may have open.
    pub open_files: Option<u64>,
    /// How much it may write to its streams, both together.
    pub max_output: Option<ByteSize>,
    /// How much memory it may have at most, whatever else says.
    pub most_memory: Option<ByteSize>,
    /// How much it may add to the disk at most, whatever else says.
    pub most_disk: Option<ByteSize>,
    /// How much of that is left now, for what runs at once. Unlike the rest it is no part of what somebody approves.
    pub room: Option<ByteSize>,
    /// Commit when it succeeds, take its changes back when it fails.
    pub commit: Option<ConflictStrategy>,
    /// Take its changes back when it fails.
    pub take_back: bool,
    /// Keep a named snapshot of the point before it.
    pub snapshot: bool,
    /// What it reads; `None` when that is not known beforehand.
    pub input: Option<Vec<u8>>,
    /// The size of the terminal that it has, if it has one.
    pub terminal: Option<TerminalSize>,
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What the validator said.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What follows from it here.
    pub decision: Decision,
    /// What the journal keeps of it.
    pub record: VerdictRecord,
    /// One line for people, without secrets.
    pub title: String,
    /// Why, in words, the gravest first.
    pub reasons: Vec<String>,
    /// What it reads, for whoever has to approve it.
    pub stdin: Option<ReadInput>,
    /// The hash of everything that an approval is bound to, but for what it reads.
    pub hash: String,
}

/// What the validator is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A text for a shell.
    Text(String),
    /// A program and its arguments.
    Words(Vec<String>),
    /// A program in a language, by its name.
    Program {
        /// The language, such as `python`.
        language: String,
        /// Its text.
        text: String,
    },
}

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Itself.
    pub report: RunReport,
    /// Whether what came after it contained the sandbox.
    pub contained: bool,
    /// What an emergency after it did, as docs/json.md tells it; null when there was none.
    pub emergency: Value,
}

/// A command to be run now.
pub struct Order<'a> {
    /// The command.
    pub command: &'a Command,
    /// What was said of it, with the approval when there had to be one.
    pub verdict: VerdictRecord,
    /// Its standard streams.
    pub streams: Streams,
    /// Learns how far it has come.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl std::fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("command", self.command).finish_non_exhaustive()
    }
}
