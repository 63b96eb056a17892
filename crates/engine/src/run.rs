//! The life of a command.

use std::ffi::OsString;
use std::path::PathBuf;

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::driver::Driver;
use ctrlz_core::id::OperationId;
use ctrlz_core::isolation::{Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::monitor::{Anomaly, AnomalyPolicy, Sampled};
use ctrlz_core::operation::{
    CommandReport, Operation, OperationKind, Outcome, Request, Status, Stopped,
};
use ctrlz_core::sandbox::{GuardChange, Root, Sandbox};
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{NewSnapshot, Point, SnapshotKind};
use ctrlz_core::store::Durability;
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_core::workspace::{Head, WorkspaceDriver};

use crate::commit::{CommitOptions, CommitReport};
use crate::core::{Held, SandboxCore};
use crate::error::EngineError;
use crate::operation::Effect;
use crate::rollback::{RollbackOptions, RollbackTarget};
use crate::tracker::{Monitoring, Watch};

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
    /// How much it may add to the workspace now, whatever the limits say. That is no part of what somebody
    /// approves: it changes with what others do.
    pub most_disk: Option<ByteSize>,
    /// So much has to be free for what it writes, see [`Launch::least_free`].
    pub least_free: Option<ByteSize>,
    /// What isolates it.
    pub isolation: Driver,
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
    /// Take its changes back when it fails.
    pub take_back: bool,
    /// The profile by whose rules it was judged.
    pub profile: String,
    /// What the folder or the image was known by; see [`crate::Approved::identity`]. Only looked at
    /// when somebody approved the command.
    pub identity: String,
    /// The files that it names, as it sees them. Only looked at when somebody approved it.
    pub files: Vec<PathBuf>,
    /// What the validator said of it, and who approved it; `None` when nobody asked the validator.
    pub verdict: Option<VerdictRecord>,
    /// How it is watched while it runs.
    pub monitoring: Monitoring,
    /// Its standard streams. Those that are given are closed here once the command has them.
    pub streams: Streams,
    /// The folder with the memory from which it goes on, see [`Launch::memory`].
    pub memory: Option<PathBuf>,
    /// The folder for compiled code, see [`Launch::compiled`].
    pub compiled: Option<PathBuf>,
}

/// How far a command has come. Whoever watches knows the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is journaled under this operation, and has not begun.
    Journaled(OperationId),
    /// The point before it is kept; it begins.
    Running,
    /// It has ended.
    Ended,
    /// What it did is known, and is written down next.
    Graded,
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
    /// Whether its changes were taken back since it failed, see [`RunRequest::take_back`].
    pub taken_back: bool,
    /// What was committed, when [`RunRequest::commit`] asked for it and it succeeded, and nothing
    /// unusual stood in the way.
    pub commit: Option<CommitReport>,
    /// What was unusual.
    pub anomalies: Vec<Anomaly>,
    /// The rollback that followed from that.
    pub rolled_back: Option<OperationId>,
    /// Whether the sandbox was contained for that.
    pub contained: bool,
    /// What went wrong with watching it, which did it no harm.
    pub unwatched: Option<String>,
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
        self.run_watched(sandbox, request, &mut |_| {})
    }

    /// The same; `progress` learns how far it has come.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub fn run_watched(
        &self,
        sandbox: &Sandbox,
        request: RunRequest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<RunReport, EngineError> {
        let mut held = self.hold(sandbox)?;
        self.run_held(&mut held, request, progress)
    }

    pub(crate) fn run_held(
        &self,
        held: &mut Held<'_>,
        mut request: RunRequest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<RunReport, EngineError> {
        self.check_approval(&held.sandbox, &request)?;
        if let Some(most) = request.most_disk {
            let disk = request.limits.disk.map_or(most.0, |disk| disk.0.min(most.0));
            request.limits.disk = Some(ByteSize(disk));
        }
        if let (Some(reason), true) =
            (&held.sandbox.guard.contained, request.network != Network::None)
        {
            let sandbox = held.sandbox.name.to_string();
            return Err(EngineError::Contained { sandbox, reason: reason.clone() });
        }
        if request.fresh {
            self.discard_held(held)?;
        }
        let driver = held.driver;
        let head = driver.begin(held.sandbox.id, &held.sandbox.point.tree)?;
        // The set-up goes on in another process while the journal is written.
        let mut prepared = self
            .isolation
            .prepare(launch(&held.sandbox, &head, &request), &mut |pid, process| {
                held.lock.share(pid, process)
            })?;
        // Whoever reads what the command writes must see the end of it.
        request.streams = Streams::Inherited;
        // Whoever contained it since has not seen the process, which has been noted just now.
        if request.network != Network::None
            && let Some(reason) = self.store.sandbox(held.sandbox.id)?.guard.contained
        {
            drop(prepared);
            driver.abandon(held.sandbox.id)?;
            let sandbox = held.sandbox.name.to_string();
            return Err(EngineError::Contained { sandbox, reason });
        }
        let journaled = Request {
            sandbox: held.sandbox.id,
            kind: OperationKind::Run,
            title: request.title.clone(),
            limits: request.limits,
            target: None,
            verdict: request.verdict.clone(),
        };
        let operation = self.store.begin(&journaled, Durability::Process)?;
        progress(Progress::Journaled(operation.id));
        if request.snapshot {
            let new = NewSnapshot::of(SnapshotKind::PreOperation, &request.title);
            self.store.create_snapshot(&operation, &new, &operation.before)?;
        }
        if let Some(why) = &request.automatic {
            let new = NewSnapshot::of(SnapshotKind::Automatic, why);
            self.store.create_snapshot(&operation, &new, &operation.before)?;
        }
        progress(Progress::Running);
        let started = prepared.start();
        // While the command runs, this costs nobody time.
        driver.tidy(held.sandbox.id);
        let of = Sampled { sandbox: held.sandbox.id, operation: operation.id };
        let suspend =
            |reason: &str| self.suspend(&self.store.sandbox(of.sandbox)?, reason).map(drop);
        let mut watch = Watch::new(of, request.monitoring, self.store, self.recorder, &suspend);
        let command = match started.and_then(|()| prepared.wait(Some(&mut watch))) {
            Ok(report) => report,
            Err(error) => {
                drop(prepared);
                driver.abandon(held.sandbox.id)?;
                let error = EngineError::from(error);
                self.fail(&operation, &error);
                return Err(error);
            }
        };
        progress(Progress::Ended);
        // What was ended for being unusual is kept, so that a rollback can be undone.
        let keep = request.commit.is_none() && !request.take_back
            || command.exit.is_success() && command.stopped.is_none()
            || command.stopped == Some(Stopped::Unusual);
        let mut graded = || progress(Progress::Graded);
        let ended = (&operation, &command, keep);
        let counts = self.end(held, (driver, &head), ended, &mut watch, &mut graded)?;
        // The sandbox was taken down meanwhile.
        drop(prepared);
        let stands = keep && !counts.is_empty();
        let mut report = RunReport {
            operation: operation.id,
            command,
            counts,
            taken_back: !keep,
            commit: None,
            anomalies: Vec::new(),
            rolled_back: None,
            contained: false,
            unwatched: None,
        };
        let acts = watch.acts();
        if acts {
            held.sandbox = self.store.sandbox(held.sandbox.id)?;
            let reason = watch.reason();
            match request.monitoring.anomaly {
                AnomalyPolicy::Rollback if stands => {
                    self.require_rollback(&held.sandbox, reason, None)?;
                    let target = RollbackTarget::Before(operation.id);
                    let done = self.rollback_held(held, target, &RollbackOptions::default())?;
                    report.rolled_back = Some(done.operation);
                }
                AnomalyPolicy::Rollback => {}
                // What an emergency does more, its caller does.
                _ => {
                    let watched = request.monitoring.watched;
                    let contain = GuardChange::Contain { reason, watched };
                    self.store.change_guard(held.sandbox.id, &contain)?;
                    report.contained = true;
                }
            }
        }
        report.anomalies = watch.anomalies;
        report.unwatched = watch.trouble;
        if let Some(options) = request.commit.filter(|_| stands && !acts) {
            held.sandbox = self.store.sandbox(held.sandbox.id)?;
            report.commit = Some(self.commit_held(held, &options)?);
        }
        Ok(report)
    }

    /// Seals or drops what the command wrote, judges what came of it and journals that.
    fn end(
        &self,
        held: &Held<'_>,
        (driver, head): (&dyn WorkspaceDriver, &Head),
        (operation, command, keep): (&Operation, &CommandReport, bool),
        watch: &mut Watch<'_>,
        graded: &mut dyn FnMut(),
    ) -> Result<ChangeCounts, EngineError> {
        let mut outcome = Outcome { command: Some(command.clone()), ..Outcome::default() };
        if !keep {
            driver.abandon(held.sandbox.id)?;
            watch.judge_outcome(&outcome);
            outcome.anomalies.clone_from(&watch.anomalies);
            graded();
            self.store.finish(operation.id, Status::Failed, &outcome, None, Durability::Process)?;
            watch.tell();
            return Ok(ChangeCounts::default());
        }
        let sealed = driver.seal(head)?;
        outcome.counts = Some(sealed.counts);
        outcome.changeset = sealed.digest;
        watch.judge_outcome(&outcome);
        outcome.anomalies.clone_from(&watch.anomalies);
        graded();
        let state_version = held.sandbox.point.state_version;
        let after = Point { tree: sealed.tree, state_version };
        self.store.finish(
            operation.id,
            Status::Done,
            &outcome,
            Some(&after),
            Durability::Process,
        )?;
        watch.tell();
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

    pub(crate) fn discard_held(&self, held: &mut Held<'_>) -> Result<ChangeCounts, EngineError> {
        let tree = held.sandbox.point.tree.clone();
        let base = self.start_of(&held.sandbox)?;
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
    let root = match (&sandbox.root, request.isolation.image()) {
        (Root::Host, Some(image)) => RootView::Image {
            reference: image.as_str().to_owned(),
            workspace_at: sandbox.base.clone(),
        },
        (Root::Host, None) => RootView::Host { workspace_at: sandbox.base.clone() },
        (Root::Overlay, _) => RootView::Workspace { host_mounts: true },
        (Root::Directory { .. } | Root::Image { .. }, _) => {
            RootView::Workspace { host_mounts: false }
        }
    };
    Launch {
        driver: request.isolation.clone(),
        root,
        workspace: head.mount.clone(),
        written: head.written.clone(),
        hidden: request.hidden.clone(),
        workdir: request.workdir.clone(),
        argv: request.argv.clone(),
        env: request.env.clone(),
        network: request.network,
        limits: request.limits,
        least_free: request.least_free,
        keep_capabilities: request.keep_capabilities.clone(),
        streams: request.streams.clone(),
        memory: request.memory.clone(),
        compiled: request.compiled.clone(),
    }
}
