//! The whole of it, in order.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{Conflict, ConflictStrategy, WorkspaceError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::record::{self, Done, FORMAT, Plan, Staged, TakenBack, TakingBack};
use super::tree::{LiveTree, Spot, open_beneath};
use super::{Applied, Step, apply, backward, check, decide, finish, inverse, stage};
use crate::fault;
use crate::node::{Place, failed, remove_tree_at, version_at};

/// A transaction on its live directory.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) directory: PathBuf,
    pub(super) plan: Plan,
    pub(super) tree: LiveTree,
    /// The staging directory, once it is made.
    staging: Option<OwnedFd>,
}

/// Why applying stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Someone changed a path in the meantime.
    Conflict(Conflict),
    /// A file operation failed.
    Failed(WorkspaceError),
}

impl From<WorkspaceError> for Stopped {
    fn from(error: WorkspaceError) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for WorkspaceError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Conflict(conflict) => Self::Conflicts { conflicts: vec![conflict] },
            Stopped::Failed(error) => error,
        }
    }
}

/// Applies `steps` to the directory `live`. What is needed to take it back, and to recover from a
/// crash, goes to `transaction_dir`, which must not hold a transaction yet.
///
/// # Errors
/// [`WorkspaceError::Conflicts`] under [`ConflictStrategy::Fail`], or, whatever the strategy, when
/// someone changes a path while it is applied; or a failed file operation. The live directory is
/// then as before. When taking back fails as well, or the very last step, which only moves the
/// old nodes to `transaction_dir`, [`super::recover()`] continues.
pub(crate) fn execute(
    live: &Path,
    transaction_dir: &Path,
    operation: OperationId,
    steps: Vec<Step>,
    strategy: ConflictStrategy,
) -> Result<Applied, WorkspaceError> {
    let tree = LiveTree::open(live)?;
    let findings = check::check(&tree, &steps)?;
    let conflicts = check::conflicts(&steps, &findings);
    if strategy == ConflictStrategy::Fail && !conflicts.is_empty() {
        return Err(WorkspaceError::Conflicts { conflicts });
    }
    let decision = decide::decide(&tree, &steps, &findings, operation, strategy)?;
    drop((steps, findings));
    std::fs::create_dir_all(transaction_dir).map_err(failed("create", transaction_dir))?;
    if record::read::<serde_json::Value>(transaction_dir, record::PLAN)?.is_some() {
        let there = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(failed("begin a transaction in", transaction_dir)(there));
    }
    let plan = Plan {
        format: FORMAT,
        live: std::path::absolute(live).map_err(failed("resolve", live))?,
        inode: tree.root_version()?.ino,
        operation,
        staging: staging_name(transaction_dir, operation),
        items: decision.items,
        skipped: decision.skipped,
    };
    record::write(transaction_dir, record::PLAN, &plan)?;
    let mut transaction =
        Transaction { directory: transaction_dir.to_owned(), plan, tree, staging: None };
    transaction.run()
}

/// A name that is this transaction's alone, also when another store works on the same directory.
fn staging_name(directory: &Path, operation: OperationId) -> String {
    use std::os::unix::ffi::OsStrExt;
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let digest = blake3::hash(directory.as_os_str().as_bytes()).to_hex();
    format!(".ctrlz-{operation}-{}", digest.get(..8).unwrap_or_default())
}

impl Transaction {
    /// An earlier process's transaction; `None` when there is none.
    pub(super) fn load(directory: &Path) -> Result<Option<Self>, WorkspaceError> {
        let Some(plan) = record::read::<Plan>(directory, record::PLAN)? else { return Ok(None) };
        let damaged = |what, path: &Path| WorkspaceError::Damaged { what, path: path.to_owned() };
        if plan.format != FORMAT {
            return Err(damaged("the plan is in another format", directory));
        }
        let tree = LiveTree::open(&plan.live)?;
        if tree.root_version()?.ino != plan.inode {
            return Err(damaged("the live directory is another one now", &plan.live));
        }
        let mut transaction = Self { directory: directory.to_owned(), plan, tree, staging: None };
        transaction.staging = transaction.open_staging()?;
        Ok(Some(transaction))
    }

    fn run(&mut self) -> Result<Applied, WorkspaceError> {
        if self.plan.items.is_empty() {
            return finish::finish(self, &Staged::nothing());
        }
        let staged = match self.stage() {
            Ok(staged) => staged,
            Err(error) => {
                // Nothing live was touched; if this fails as well, recovery does it. The record
                // may have come to the disk though its writing failed.
                let _ = record::remove(&self.directory, record::APPLYING)
                    .and_then(|()| self.forget(TakenBack::default()));
                return Err(error);
            }
        };
        match self.bring_forward(&staged) {
            Ok(()) => finish::finish(self, &staged),
            Err(stopped) => {
                self.take_back(&staged)?;
                Err(stopped.into())
            }
        }
    }

    fn stage(&mut self) -> Result<Staged, WorkspaceError> {
        fault::point("stage-begin").map_err(failed("stage in", self.tree.path()))?;
        let path = self.staging_path();
        rustix::fs::mkdirat(
            self.tree.root(),
            self.plan.staging.as_str(),
            Mode::from_raw_mode(0o700),
        )
        .map_err(failed("create the staging directory", &path))?;
        self.staging = self.open_staging()?;
        let staged = stage::stage(self)?;
        record::write(&self.directory, record::APPLYING, &staged)?;
        Ok(staged)
    }

    /// From staged to applied; also after a crash, from wherever it was.
    pub(super) fn bring_forward(&self, staged: &Staged) -> Result<(), Stopped> {
        apply::forward(self, staged)?;
        let copied = inverse::prepare(self)?;
        self.sync()?;
        Ok(record::write(&self.directory, record::APPLIED, &Done { copied })?)
    }

    /// From wherever it is, back to before.
    pub(super) fn take_back(&self, staged: &Staged) -> Result<(), WorkspaceError> {
        // The record may have come to the disk though its writing failed. It must not say
        // "applied" of what is half taken back; while it stands, recovery goes on to the end.
        record::remove(&self.directory, record::APPLIED)?;
        let moved = match record::read::<TakingBack>(&self.directory, record::TAKING_BACK)? {
            // Some of it may be back already, and no more be seen to have been away.
            Some(begun) => begun.moved,
            None => {
                let begun = TakingBack { moved: backward::moved(self, staged)? };
                // Without this mark a crash might let recovery go forward again, which is as good.
                let _ = record::write(&self.directory, record::TAKING_BACK, &begun);
                begun.moved
            }
        };
        inverse::forget(self)?;
        backward::backward(self, staged)?;
        self.sync()?;
        self.forget(TakenBack { moved: Some(backward::back(self, &moved)?) })
    }

    /// Ends a transaction that has no effect (any more). The record comes first: of a staging
    /// directory that is half removed nothing can be told.
    pub(super) fn forget(&self, taken_back: TakenBack) -> Result<(), WorkspaceError> {
        record::write(&self.directory, record::TAKEN_BACK, &taken_back)?;
        self.remove_staging()
    }

    /// Makes durable what happened in the live directory.
    pub(super) fn sync(&self) -> Result<(), WorkspaceError> {
        fault::point("sync").map_err(failed("sync", self.tree.path()))?;
        rustix::fs::syncfs(self.tree.root()).map_err(failed("sync", self.tree.path()))
    }

    fn staging_path(&self) -> PathBuf {
        self.tree.path().join(&self.plan.staging)
    }

    fn open_staging(&self) -> Result<Option<OwnedFd>, WorkspaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = self.plan.staging.as_str();
        match rustix::fs::openat(self.tree.root(), name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("open the staging directory", self.staging_path())(errno)),
        }
    }

    /// Whether there is a staging directory.
    pub(super) fn is_staged(&self) -> bool {
        self.staging.is_some()
    }

    /// The open staging directory.
    pub(super) fn staging(&self) -> Result<&OwnedFd, WorkspaceError> {
        self.staging.as_ref().ok_or_else(|| WorkspaceError::Damaged {
            what: "the staging directory is gone",
            path: self.staging_path(),
        })
    }

    fn staged_spot(&self, name: &str) -> Result<Spot, WorkspaceError> {
        let directory = self.staging()?.try_clone().map_err(failed("open", self.staging_path()))?;
        Ok(Spot::new(directory, name.as_ref(), self.staging_path().join(name)))
    }

    /// Where the new node of an item waits, and the old one goes.
    pub(super) fn slot(&self, item: usize) -> Result<Spot, WorkspaceError> {
        self.staged_spot(&format!("slot-{item}"))
    }

    /// A node of an item inside the slot.
    pub(super) fn slot_node(&self, item: usize, node: &RelPath) -> Result<Spot, WorkspaceError> {
        let slot = OsString::from(format!("slot-{item}"));
        let path =
            node.as_path().iter().fold(RelPath::root().child(&slot), |path, name| path.child(name));
        let shown = path.below(&self.staging_path());
        let parent = path.parent().unwrap_or_default();
        if parent.is_root() {
            return self.slot(item);
        }
        let directory = open_beneath(self.staging()?, &parent)
            .map_err(failed("open the directory of", &shown))?;
        Ok(Spot::new(directory, path.file_name(), shown))
    }

    /// Where the copy of a live node is that is changed in place.
    pub(super) fn backup(&self, item: usize) -> Result<Spot, WorkspaceError> {
        self.staged_spot(&format!("backup-{item}"))
    }

    /// Removes the staging directory. The caller has made sure that nothing in it is the only
    /// one of its kind.
    pub(super) fn remove_staging(&self) -> Result<(), WorkspaceError> {
        let path = self.staging_path();
        let place = Place::new(self.tree.root(), self.plan.staging.as_str(), &path);
        if version_at(place)?.is_none() {
            return Ok(());
        }
        fault::point("staging-remove").map_err(failed("remove", &path))?;
        remove_tree_at(place)
    }
}
