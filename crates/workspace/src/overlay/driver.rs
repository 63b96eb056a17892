//! The driver: which module does what.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ctrlz_core::archive::{Arrival, Stratum};
use ctrlz_core::changeset::{ChangeCounts, Changeset};
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::live::{Captured, LiveMeans};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitPlan, CommitRequest, Committed, ConflictStrategy, Edit, Head, RecoveredCommit, Sealed,
    TreeView, WithoutError, WorkspaceCapabilities, WorkspaceDriver, WorkspaceError,
};
use rustix::fs::FlockOperation;

use super::store::Store;
use super::tree::{OverlayTree, bare};
use super::{
    DRIVER, adopt, capture, chain, collect, commit, head, landing, mend, restore, revert, seal,
    strata, verify, without,
};
use crate::diff::changes;
use crate::edit::Editor;
use crate::kept::newest_commit;
use crate::node::{failed, remove_tree};
use crate::peek::Written;
use crate::view::{Layer, quick_version};

/// Keeps trees as overlayfs layers on a live directory.
///
/// Nothing is copied before it is written to. It mounts nothing itself: an isolation driver does,
/// by [`Head::mount`].
#[derive(Debug)]
pub struct OverlayDriver {
    store: Store,
    usage: Mutex<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    /// Held shared from the first operation on: tells other processes' collections that layers
    /// may be made here at any moment.
    lock: Option<OwnedFd>,
    /// Sandboxes with a head that was neither sealed nor abandoned, and what it is on.
    open: HashMap<SandboxId, Tree>,
    /// The names of landings that nobody cleared.
    landings: HashSet<OsString>,
}

impl OverlayDriver {
    /// A driver that keeps everything below `dir`, which need not exist yet. It must be an
    /// absolute path on a file system that overlayfs takes as upper directory (extended
    /// attributes in `user.`, and `d_type`).
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { store: Store::new(dir), usage: Mutex::default() }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        // A panic elsewhere leaves a set of ids, which cannot be half changed.
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, usage: &mut Usage) -> Result<(), WorkspaceError> {
        if usage.lock.is_none() {
            let lock = collect::lock_file(&self.store)?;
            rustix::fs::flock(&lock, FlockOperation::LockShared)
                .map_err(failed("lock", self.store.lock()))?;
            usage.lock = Some(lock);
        }
        Ok(())
    }
}

impl WorkspaceDriver for OverlayDriver {
    fn name(&self) -> &'static str {
        DRIVER
    }

    fn capabilities(&self) -> WorkspaceCapabilities {
        WorkspaceCapabilities {
            constant_time: true,
            max_layers: None,
            layered: true,
            live: LiveMeans::Frozen,
            loses: Vec::new(),
        }
    }

    fn create(&self, base: &Path) -> Result<Tree, WorkspaceError> {
        head::check_base(base)?;
        self.store.check_outside(base)?;
        bare(base).text()
    }

    fn begin(&self, sandbox: SandboxId, tree: &Tree) -> Result<Head, WorkspaceError> {
        let mut usage = self.usage();
        self.announce(&mut usage)?;
        usage.open.insert(sandbox, tree.clone());
        drop(usage);
        let head = head::begin(&self.store, sandbox, tree);
        if head.is_err() {
            self.usage().open.remove(&sandbox);
        }
        head
    }

    fn tidy(&self, sandbox: SandboxId) {
        head::tidy(&self.store, sandbox);
    }

    fn view(&self, tree: &Tree) -> Result<Box<dyn TreeView>, WorkspaceError> {
        Ok(Box::new(self.store.view(&OverlayTree::parse(tree)?)?))
    }

    fn edit(&self, head: &Head, edits: &[Edit]) -> Result<(), WorkspaceError> {
        let tree = OverlayTree::parse(&head.tree)?;
        let below = self.store.view(&tree)?;
        let merged = || self.store.view_with(&tree, Layer::open(head.written.clone()));
        // What a crash leaves there goes with what the mounts leave there.
        let staging = Some(self.store.head(head.sandbox).join("work").join("edit"));
        Editor { root: &head.written, below: Some(&below), merged: &merged, staging }.apply(edits)
    }

    fn peek(
        &self,
        sandbox: SandboxId,
        tree: &Tree,
        most: usize,
    ) -> Result<Option<Changeset>, WorkspaceError> {
        let before = &self.store.view(&OverlayTree::parse(tree)?)?;
        let root = &head::upper(&self.store, sandbox);
        Written { root, is_layer: true, before }.peek(most)
    }

    fn capture(&self, sandbox: SandboxId, tree: &Tree) -> Result<Captured, WorkspaceError> {
        self.announce(&mut self.usage())?;
        capture::capture(&self.store, sandbox, tree)
    }

    fn keep(&self, captured: &Captured) -> Result<Sealed, WorkspaceError> {
        capture::keep(&self.store, captured)
    }

    fn let_go(&self, captured: &Captured) -> Result<(), WorkspaceError> {
        remove_tree(&captured.directory)
    }

    fn seal(&self, head: &Head) -> Result<Sealed, WorkspaceError> {
        self.announce(&mut self.usage())?;
        let sealed = seal::seal(&self.store, head)?;
        self.usage().open.remove(&head.sandbox);
        Ok(sealed)
    }

    fn abandon(&self, sandbox: SandboxId) -> Result<(), WorkspaceError> {
        head::abandon(&self.store, sandbox)?;
        self.usage().open.remove(&sandbox);
        Ok(())
    }

    fn changes(&self, from: &Tree, to: &Tree) -> Result<Changeset, WorkspaceError> {
        let (from, to) = (OverlayTree::parse(from)?, OverlayTree::parse(to)?);
        let (from, to, candidates) = self.store.compared(&from, &to)?;
        changes(&from, &to, &candidates)
    }

    fn base_tree(&self, tree: &Tree) -> Result<Tree, WorkspaceError> {
        OverlayTree::parse(tree)?.with_layers(Vec::new()).text()
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
        self.announce(&mut self.usage())?;
        restore::restore_paths(&self.store, now, then, paths)
    }

    fn without(
        &self,
        before: &Tree,
        after: &Tree,
        later: &[Tree],
    ) -> Result<Result<Tree, WithoutError>, WorkspaceError> {
        without::without(&self.store, before, after, later)
    }

    fn rebase(&self, tree: &Tree, since: &[OperationId]) -> Result<Tree, WorkspaceError> {
        revert::rebase(&self.store, &OverlayTree::parse(tree)?, since)?.text()
    }

    fn plan_commit(&self, request: &CommitRequest<'_>) -> Result<CommitPlan, WorkspaceError> {
        commit::plan_commit(&self.store, request)
    }

    fn commit(&self, request: &CommitRequest<'_>) -> Result<Committed, WorkspaceError> {
        self.announce(&mut self.usage())?;
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
        self.announce(&mut self.usage())?;
        revert::revert(&self.store, commit, operation, strategy)
    }

    fn newest_commit(&self) -> Result<Option<OperationId>, WorkspaceError> {
        newest_commit(&self.store.commits())
    }

    fn recover_commit(&self, operation: OperationId) -> Result<RecoveredCommit, WorkspaceError> {
        self.announce(&mut self.usage())?;
        commit::recover_commit(&self.store, operation)
    }

    fn strata(&self, tree: &Tree) -> Result<Vec<Stratum>, WorkspaceError> {
        self.announce(&mut self.usage())?;
        strata::strata(&self.store, tree)
    }

    fn parts(&self, tree: &Tree) -> Result<Vec<String>, WorkspaceError> {
        let layers = OverlayTree::parse(tree)?.layers;
        let own = layers.iter().filter(|layer| layer.kind().commit().is_none());
        Ok(own.map(ToString::to_string).collect())
    }

    fn part_size(&self, part: &str) -> Result<u64, WorkspaceError> {
        collect::usage(&self.store.layers().join(part))
    }

    fn landing(&self) -> Result<PathBuf, WorkspaceError> {
        // Held until it is noted: a collection of this driver must not come in between.
        let mut usage = self.usage();
        self.announce(&mut usage)?;
        let (path, name) = landing::make(&self.store)?;
        usage.landings.insert(name);
        Ok(path)
    }

    fn clear_landing(&self, landing: &Path) -> Result<(), WorkspaceError> {
        let name = landing::name_of(&self.store, landing)?;
        if !self.usage().landings.contains(&name) && quick_version(landing)?.is_some() {
            return Err(landing::refused(landing));
        }
        remove_tree(landing)?;
        self.usage().landings.remove(&name);
        Ok(())
    }

    fn holds(&self, part: &str) -> Result<bool, WorkspaceError> {
        self.announce(&mut self.usage())?;
        adopt::holds(&self.store, part)
    }

    fn adopt(&self, base: &Path, parts: &[Arrival]) -> Result<Tree, WorkspaceError> {
        self.announce(&mut self.usage())?;
        adopt::adopt(&self.store, base, parts)
    }

    fn mend(&self, part: &Arrival) -> Result<(), WorkspaceError> {
        // Held to the end, so that nothing begins on the part meanwhile.
        let mut usage = self.usage();
        self.announce(&mut usage)?;
        mend::mend(&self.store, part, usage.open.values())
    }

    fn is_chain_long(&self, tree: &Tree) -> Result<bool, WorkspaceError> {
        chain::is_long(&self.store, &OverlayTree::parse(tree)?)
    }

    fn merge(&self, tree: &Tree) -> Result<bool, WorkspaceError> {
        self.announce(&mut self.usage())?;
        chain::merge_ahead(&self.store, &OverlayTree::parse(tree)?)
    }

    fn collect(
        &self,
        live: &mut dyn FnMut() -> Option<Vec<Tree>>,
        more: &dyn Fn() -> bool,
    ) -> Result<u64, WorkspaceError> {
        let mut usage = self.usage();
        self.announce(&mut usage)?;
        let Some(lock) = &usage.lock else { return Ok(0) };
        let ours = collect::Ours {
            heads: usage.open.keys().map(|sandbox| sandbox.to_string().into()).collect(),
            landings: usage.landings.clone(),
        };
        collect::collect(&self.store, (live, more), lock, &ours)
    }
}
