//! The life of a command.

use std::ffi::OsString;
use std::path::PathBuf;

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::isolation::{Launch, Network, RootView};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{CommandReport, Operation, OperationKind, Outcome, Request, Status};
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::snapshot::{NewSnapshot, Point, SnapshotKind};
use ctrlz_core::store::Durability;
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_core::workspace::{Head, WorkspaceDriver};

use crate::commit::{CommitOptions, CommitReport};
use crate::core::{Held, SandboxCore};
use crate::error::EngineError;
use crate::operation::Effect;

/// A command to run in a sandbox.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// One line for people.
    pub title: String,
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory inside.
    pub workdir: PathBuf,
    /// The limits.
    pub limits: Limits,
    /// The network.
    pub network: Network,
    /// Host paths to hide.
    pub hidden: Vec<PathBuf>,
    /// Capabilities to keep.
    pub keep_capabilities: Vec<String>,
    /// Keep a named pre-operation snapshot.
    pub snapshot: bool,
    /// Keep an automatic snapshot of the point before it, for this reason.
    pub automatic: Option<String>,
    /// Throw away uncommitted changes first.
    pub fresh: bool,
    /// Commit when the command succeeds, take its changes back when it fails.
    pub commit: Option<CommitOptions>,
    /// The profile by whose rules it was judged.
    pub profile: String,
    /// What the folder or the image was known by; see [`crate::Approved::identity`]. Only looked at
    /// when somebody approved the command.
    pub identity: String,
    /// What the validator said of it, and who approved it; `None` when nobody asked the validator.
    pub verdict: Option<VerdictRecord>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// The operation under which it is journaled.
    pub operation: OperationId,
    /// How the command ended.
    pub command: CommandReport,
    /// What it changed in the workspace.
    pub counts: ChangeCounts,
    /// Whether its changes were taken back since it failed under [`RunRequest::commit`].
    pub taken_back: bool,
    /// What was committed, when [`RunRequest::commit`] asked for it and it succeeded.
    pub commit: Option<CommitReport>,
}

impl SandboxCore<'_> {
    /// Runs a command in `sandbox`.
    ///
    /// # Errors
    /// When the command could not be run, or is not the one that was approved; the sandbox is then
    /// as before. With
    /// [`RunRequest::commit`] also when the commit failed; the command's changes are then kept in
    /// the sandbox, uncommitted.
    pub fn run(&self, sandbox: &Sandbox, request: RunRequest) -> Result<RunReport, EngineError> {
        let mut held = self.hold(sandbox)?;
        Self::check_approval(&held.sandbox, &request)?;
        if let (Some(reason), true) =
            (&held.sandbox.guard.contained, request.network != Network::None)
        {
            let sandbox = held.sandbox.name.to_string();
            return Err(EngineError::Contained { sandbox, reason: reason.clone() });
        }
        if request.fresh {
            self.discard_held(&mut held)?;
        }
        let driver = held.driver;
        let head = driver.begin(held.sandbox.id, &held.sandbox.point.tree)?;
        // The set-up goes on in another process while the journal is written.
        let mut prepared = self
            .isolation
            .prepare(launch(&held.sandbox, &head, &request), &mut |pid, process| {
                held.lock.share(pid, process)
            })?;
        let journaled = Request {
            sandbox: held.sandbox.id,
            kind: OperationKind::Run,
            title: request.title.clone(),
            limits: request.limits,
            target: None,
            verdict: request.verdict.clone(),
        };
        let operation = self.store.begin(&journaled, Durability::Process)?;
        if request.snapshot {
            let new = NewSnapshot::of(SnapshotKind::PreOperation, &request.title);
            self.store.create_snapshot(&operation, &new, &operation.before)?;
        }
        if let Some(why) = &request.automatic {
            let new = NewSnapshot::of(SnapshotKind::Automatic, why);
            self.store.create_snapshot(&operation, &new, &operation.before)?;
        }
        // The set-up still takes longer than this.
        driver.tidy(held.sandbox.id);
        let command = match prepared.run() {
            Ok(report) => report,
            Err(error) => {
                drop(prepared);
                driver.abandon(held.sandbox.id)?;
                let error = EngineError::from(error);
                self.fail(&operation, &error);
                return Err(error);
            }
        };
        let keep =
            request.commit.is_none() || command.exit.is_success() && command.stopped.is_none();
        let counts = self.end(&held, driver, &head, &operation, &command, keep)?;
        // The sandbox was taken down meanwhile.
        drop(prepared);
        let mut report =
            RunReport { operation: operation.id, command, counts, taken_back: !keep, commit: None };
        if let Some(options) = request.commit.filter(|_| keep && !counts.is_empty()) {
            held.sandbox = self.store.sandbox(held.sandbox.id)?;
            report.commit = Some(self.commit_held(&held, &options)?);
        }
        Ok(report)
    }

    /// Seals or drops what the command wrote and journals the outcome.
    fn end(
        &self,
        held: &Held<'_>,
        driver: &dyn WorkspaceDriver,
        head: &Head,
        operation: &Operation,
        command: &CommandReport,
        keep: bool,
    ) -> Result<ChangeCounts, EngineError> {
        let mut outcome = Outcome { command: Some(command.clone()), ..Outcome::default() };
        if !keep {
            driver.abandon(held.sandbox.id)?;
            self.store.finish(operation.id, Status::Failed, &outcome, None, Durability::Process)?;
            return Ok(ChangeCounts::default());
        }
        let sealed = driver.seal(head)?;
        outcome.counts = Some(sealed.counts);
        outcome.changeset = sealed.digest;
        let state_version = held.sandbox.point.state_version;
        let after = Point { tree: sealed.tree, state_version };
        self.store.finish(
            operation.id,
            Status::Done,
            &outcome,
            Some(&after),
            Durability::Process,
        )?;
        Ok(sealed.counts)
    }

    /// Throws away what is not committed; answers what that was.
    ///
    /// # Errors
    /// A failed file operation, or a failure to write the store.
    pub fn discard(&self, sandbox: &Sandbox) -> Result<ChangeCounts, EngineError> {
        let mut held = self.hold(sandbox)?;
        self.discard_held(&mut held)
    }

    fn discard_held(&self, held: &mut Held<'_>) -> Result<ChangeCounts, EngineError> {
        let tree = held.sandbox.point.tree.clone();
        let base = held.driver.base_tree(&tree)?;
        if tree == base {
            return Ok(ChangeCounts::default());
        }
        let counts = held.driver.changes(&base, &tree)?.counts();
        if counts == ChangeCounts::default() {
            // Layers that undo each other: nothing to throw away, and nothing that ends a redo.
            return Ok(counts);
        }
        let outcome = Outcome { counts: Some(counts), ..Outcome::default() };
        let effect = Effect { outcome, ..Effect::tree(base) };
        self.perform(
            held,
            OperationKind::Discard,
            "discard uncommitted changes".to_owned(),
            None,
            Durability::Process,
            |_| Ok(effect),
        )?;
        held.sandbox = self.store.sandbox(held.sandbox.id)?;
        Ok(counts)
    }
}

pub(crate) fn launch(sandbox: &Sandbox, head: &Head, request: &RunRequest) -> Launch {
    let root = match sandbox.root {
        Root::Host => RootView::Host { workspace_at: sandbox.base.clone() },
        Root::Overlay => RootView::Workspace { host_mounts: true },
        Root::Directory { .. } | Root::Image { .. } => RootView::Workspace { host_mounts: false },
    };
    Launch {
        root,
        workspace: head.mount.clone(),
        written: head.written.clone(),
        hidden: request.hidden.clone(),
        workdir: request.workdir.clone(),
        argv: request.argv.clone(),
        env: request.env.clone(),
        network: request.network,
        limits: request.limits,
        keep_capabilities: request.keep_capabilities.clone(),
    }
}
