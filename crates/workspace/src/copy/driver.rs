//! The driver: which module does what.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ctrlz_core::archive::{Arrival, Dialect, Stratum};
use ctrlz_core::changeset::{ChangeCounts, Changeset};
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::live::Captured;
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitPlan, CommitRequest, Committed, ConflictStrategy, Edit, Head, RecoveredCommit, Sealed,
    TreeView, WithoutError, WorkspaceCapabilities, WorkspaceDriver, WorkspaceError,
};
use rustix::fs::FlockOperation;

use super::duplicate::Duplication;
use super::store::Store;
use super::tree::CopyTree;
use super::{arrival, capture, collect, commit, head, mend, origin, paths, revert, verify};
use crate::edit::Editor;
use crate::kept::newest_commit;
use crate::node::{failed, version};

/// Keeps complete trees, which it duplicates by one of several means.
#[derive(Debug)]
pub struct CopyDriver {
    store: Store,
    /// Held shared from the first tree on: tells other processes' collections that trees may be
    /// made here at any moment.
    lock: Mutex<Option<OwnedFd>>,
}

impl CopyDriver {
    /// A driver that keeps everything below `dir`, an absolute path that need not exist yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self::by(Duplication::Copy, dir)
    }

    /// A driver that duplicates trees in its own way, and keeps everything below `dir`.
    #[must_use]
    pub fn by(duplication: Duplication, dir: &Path) -> Self {
        Self { store: Store::new(duplication, dir), lock: Mutex::default() }
    }

    /// The driver `zfs`, with its datasets below the dataset `parent` instead of that on which `dir` lies.
    #[must_use]
    pub fn zfs_below(parent: &str, dir: &Path) -> Self {
        Self { store: Store::below(parent, dir), lock: Mutex::default() }
    }

    /// Whether it is the driver of that name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.store.driver() == name
    }

    /// Why this driver cannot work with a store where it has it, and what to do about that; `None`
    /// when it can.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn lacks(&self) -> Result<Option<String>, WorkspaceError> {
        self.store.lacks()
    }

    fn announce(&self) -> Result<(), WorkspaceError> {
        self.locked(|_| Ok(()))
    }

    fn locked<T>(
        &self,
        act: impl FnOnce(&OwnedFd) -> Result<T, WorkspaceError>,
    ) -> Result<T, WorkspaceError> {
        // A panic elsewhere leaves a descriptor, which cannot be half changed.
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match lock.take() {
            Some(file) => file,
            None => {
                let file = collect::lock_file(&self.store)?;
                rustix::fs::flock(&file, FlockOperation::LockShared)
                    .map_err(failed("lock", self.store.lock()))?;
                file
            }
        };
        act(lock.insert(file))
    }
}

impl WorkspaceDriver for CopyDriver {
    fn name(&self) -> &'static str {
        self.store.driver()
    }

    fn capabilities(&self) -> WorkspaceCapabilities {
        WorkspaceCapabilities {
            constant_time: false,
            max_layers: None,
            layered: false,
            live: capture::means(&self.store),
            loses: self.store.loses(),
        }
    }

    fn create(&self, base: &Path) -> Result<Tree, WorkspaceError> {
        origin::check_base(&self.store, base)?;
        CopyTree::bare(base).text()
    }

    fn begin(&self, sandbox: SandboxId, tree: &Tree) -> Result<Head, WorkspaceError> {
        self.announce()?;
        head::begin(&self.store, sandbox, tree)
    }

    fn view(&self, tree: &Tree) -> Result<Box<dyn TreeView>, WorkspaceError> {
        let tree = self.store.parse(tree)?;
        let copy = self.store.load_tree(&tree)?;
        Ok(Box::new(self.store.view_of(&tree.base, copy.as_ref())?))
    }

    fn edit(&self, head: &Head, edits: &[Edit]) -> Result<(), WorkspaceError> {
        // Neither a subvolume nor a dataset is entered by a rename.
        let entered = ![Duplication::Btrfs, Duplication::Zfs].contains(&self.store.duplication());
        let staging = entered.then(|| self.store.head(head.sandbox).join("edit"));
        let merged = || self.store.view_of(&head.written, None);
        Editor { root: &head.written, below: None, merged: &merged, staging }.apply(edits)
    }

    fn peek(
        &self,
        sandbox: SandboxId,
        _: &Tree,
        most: usize,
    ) -> Result<Option<Changeset>, WorkspaceError> {
        head::peek(&self.store, sandbox, most)
    }

    fn capture(&self, sandbox: SandboxId, tree: &Tree) -> Result<Captured, WorkspaceError> {
        self.announce()?;
        capture::capture(&self.store, sandbox, tree)
    }

    fn keep(&self, captured: &Captured) -> Result<Sealed, WorkspaceError> {
        capture::keep(&self.store, captured)
    }

    fn let_go(&self, captured: &Captured) -> Result<(), WorkspaceError> {
        self.store.remove(&captured.directory)
    }

    fn seal(&self, head: &Head) -> Result<Sealed, WorkspaceError> {
        self.announce()?;
        head::seal(&self.store, head)
    }

    fn abandon(&self, sandbox: SandboxId) -> Result<(), WorkspaceError> {
        head::abandon(&self.store, sandbox)
    }

    fn changes(&self, from: &Tree, to: &Tree) -> Result<Changeset, WorkspaceError> {
        paths::changes_between(&self.store, from, to)
    }

    fn base_tree(&self, tree: &Tree) -> Result<Tree, WorkspaceError> {
        self.store.parse(tree)?.with(None).text()
    }

    fn verify(&self, tree: &Tree, thorough: bool) -> Result<(), WorkspaceError> {
        verify::verify(&self.store, tree, thorough)
    }

    fn restore_paths(
        &self,
        now: &Tree,
        then: &Tree,
        paths: &[RelPath],
    ) -> Result<Tree, WorkspaceError> {
        self.announce()?;
        paths::restore_paths(&self.store, now, then, paths)
    }

    fn without(
        &self,
        before: &Tree,
        after: &Tree,
        later: &[Tree],
    ) -> Result<Result<Tree, WithoutError>, WorkspaceError> {
        self.announce()?;
        paths::without(&self.store, before, after, later)
    }

    fn rebase(&self, tree: &Tree, since: &[OperationId]) -> Result<Tree, WorkspaceError> {
        self.announce()?;
        paths::rebase(&self.store, tree, since)
    }

    fn plan_commit(&self, request: &CommitRequest<'_>) -> Result<CommitPlan, WorkspaceError> {
        commit::plan_commit(&self.store, request)
    }

    fn commit(&self, request: &CommitRequest<'_>) -> Result<Committed, WorkspaceError> {
        self.announce()?;
        commit::commit(&self.store, request)
    }

    fn plan_revert(&self, commit: OperationId) -> Result<CommitPlan, WorkspaceError> {
        revert::plan_revert(&self.store, commit)
    }

    fn revert(
        &self,
        commit: OperationId,
        operation: OperationId,
        strategy: ConflictStrategy,
    ) -> Result<ChangeCounts, WorkspaceError> {
        self.announce()?;
        revert::revert(&self.store, commit, operation, strategy)
    }

    fn newest_commit(&self) -> Result<Option<OperationId>, WorkspaceError> {
        newest_commit(&self.store.commits())
    }

    fn recover_commit(&self, operation: OperationId) -> Result<RecoveredCommit, WorkspaceError> {
        self.announce()?;
        commit::recover_commit(&self.store, operation)
    }

    fn strata(&self, tree: &Tree) -> Result<Vec<Stratum>, WorkspaceError> {
        self.announce()?;
        let tree = self.store.parse(tree)?;
        // A copy holds all of its tree.
        Ok(vec![match self.store.load_tree(&tree)? {
            Some(copy) => Stratum {
                record: Some(arrival::tell(&self.store, &copy)?),
                id: Some(copy.id.as_str().to_owned()),
                directory: copy.root,
                dialect: Dialect::Plain,
                root: true,
                hidden: Vec::new(),
            },
            None => Stratum {
                id: None,
                directory: tree.base,
                dialect: Dialect::Plain,
                root: true,
                hidden: Vec::new(),
                record: None,
            },
        }])
    }

    fn parts(&self, tree: &Tree) -> Result<Vec<String>, WorkspaceError> {
        collect::parts(&self.store, &self.store.parse(tree)?)
    }

    fn part_size(&self, part: &str) -> Result<u64, WorkspaceError> {
        collect::size(&self.store, &self.store.trees().join(part))
    }

    fn landing(&self) -> Result<PathBuf, WorkspaceError> {
        self.announce()?;
        self.store.make()
    }

    fn clear_landing(&self, landing: &Path) -> Result<(), WorkspaceError> {
        self.store.clear_made(landing)
    }

    fn holds(&self, part: &str) -> Result<bool, WorkspaceError> {
        self.announce()?;
        arrival::holds(&self.store, part)
    }

    fn adopt(&self, base: &Path, parts: &[Arrival]) -> Result<Tree, WorkspaceError> {
        self.announce()?;
        arrival::adopt(&self.store, base, parts)
    }

    fn mend(&self, part: &Arrival) -> Result<(), WorkspaceError> {
        self.announce()?;
        mend::mend(&self.store, part)
    }

    fn is_chain_long(&self, _: &Tree) -> Result<bool, WorkspaceError> {
        // A tree is one copy.
        Ok(false)
    }

    fn merge(&self, _: &Tree) -> Result<bool, WorkspaceError> {
        Ok(false)
    }

    fn collect(
        &self,
        live: &mut dyn FnMut() -> Option<Vec<Tree>>,
        more: &dyn Fn() -> bool,
    ) -> Result<u64, WorkspaceError> {
        // Where nobody ever made a tree there is nothing, and nothing is made for that.
        if version(self.store.dir())?.is_none() {
            return Ok(0);
        }
        self.locked(|lock| collect::collect(&self.store, (live, more), lock))
    }
}
