//! What the engine asks of a workspace driver.
//!
//! A driver keeps immutable [`Tree`]s. An operation gets a writable [`Head`] on a tree; what it
//! wrote is sealed into a new tree or abandoned. Between operations nothing is writable, so a
//! crash costs at most the head of the operation that it hit.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::changeset::{ChangeCounts, Changeset};
use crate::digest::Digest;
use crate::id::{OperationId, SandboxId};
use crate::path::RelPath;
use crate::snapshot::Tree;

/// What went wrong in a workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The base cannot be used.
    #[error("{} cannot be the base of a workspace: {reason}", path.display())]
    Base {
        /// The base.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A tree's text is not this driver's.
    #[error("the tree `{tree}` is not one of driver {driver}")]
    ForeignTree {
        /// The driver asked.
        driver: &'static str,
        /// The text.
        tree: String,
    },
    /// What a tree was made of is gone or changed.
    #[error("the tree is damaged: {what} at {}", path.display())]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Others changed what a commit would change. Nothing was written.
    #[error("{} of the paths were changed by someone else", conflicts.len())]
    Conflicts {
        /// Where, and how.
        conflicts: Vec<Conflict>,
    },
    /// This driver cannot do it.
    #[error("workspace driver {driver} does not support {what}")]
    Unsupported {
        /// The driver.
        driver: &'static str,
        /// What was asked.
        what: &'static str,
    },
}

/// A path that someone else changed since the sandbox first touched it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Where.
    pub path: RelPath,
    /// How.
    pub reason: ConflictReason,
}

/// How a path conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictReason {
    /// It was changed outside.
    Changed,
    /// The sandbox adds it, and so did someone outside.
    Created,
    /// The sandbox changes it, and it is gone outside.
    Deleted,
    /// A folder that the sandbox removes or replaces holds something new or changed outside.
    InsideChanged,
}

/// What to do with conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictStrategy {
    /// Write nothing and name them.
    #[default]
    Fail,
    /// Leave the live version of those paths and drop the sandbox's.
    Theirs,
    /// Write the sandbox's version; the live one is kept for undo.
    Ours,
    /// Leave the live version and write the sandbox's beside it, as `NAME.ctrlz-op-N`.
    KeepBoth,
}

/// How an isolation driver puts a workspace in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceMount {
    /// Mount an overlay (`userxattr`, `volatile`).
    Overlay {
        /// Read-only directories, topmost first.
        lower_dirs: Vec<PathBuf>,
        /// The writable directory.
        upper_dir: PathBuf,
        /// overlayfs's working directory, on the same file system.
        work_dir: PathBuf,
    },
    /// Bind-mount a directory that is the head's own.
    Bind {
        /// The directory.
        source: PathBuf,
    },
}

/// A tree opened for writing by one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The sandbox that it was opened for.
    pub sandbox: SandboxId,
    /// The tree below.
    pub tree: Tree,
    /// How to mount it.
    pub mount: WorkspaceMount,
    /// The directory that grows when the operation writes: what a disk limit measures.
    pub written: PathBuf,
    /// The driver's own notes.
    pub notes: String,
}

/// What sealing a head gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The tree; the one before when nothing was written.
    pub tree: Tree,
    /// What was written, in numbers, against the tree before.
    pub counts: ChangeCounts,
    /// The digest of the driver's record of what was written; `None` when nothing was.
    pub digest: Option<Digest>,
}

/// What a driver can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCapabilities {
    /// Whether snapshot, rollback and fork cost the same for any tree.
    pub constant_time: bool,
    /// The most layers before they are merged; `None` when the driver has none.
    pub max_layers: Option<u32>,
    /// What it cannot keep, in words, empty when it keeps everything.
    pub loses: Vec<String>,
}

/// What a commit (or the undo of one) is going to do to the live directory. Made without writing
/// anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommitPlan {
    /// What will change in the live directory.
    pub changeset: Changeset,
    /// What someone else changed.
    pub conflicts: Vec<Conflict>,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The sandbox's tree on the changed base: empty after a whole commit, else what is left.
    pub tree: Tree,
    /// What changed in the live directory, in numbers.
    pub counts: ChangeCounts,
    /// The digest of the driver's record of what was to change, and of what was there before.
    pub digest: Digest,
}

/// What recovery found of an interrupted commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveredCommit {
    /// The live directory is as before the commit.
    TakenBack,
    /// The live directory is as after the commit.
    Finished(Committed),
}

/// What to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest<'a> {
    /// The operation under which it is journaled; names the backup.
    pub operation: OperationId,
    /// The tree to bring to its base.
    pub tree: &'a Tree,
    /// Only these paths and what lies below them; all when empty.
    pub paths: &'a [RelPath],
    /// What to do with conflicts.
    pub strategy: ConflictStrategy,
}

/// Why one operation's changes cannot be taken out of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithoutError {
    /// A later tree touches what the operation touched.
    Depends {
        /// The index, into the `later` argument, of the first step that depends on it.
        step: usize,
        /// On this path.
        path: RelPath,
    },
}

/// Keeps the trees of sandboxes.
pub trait WorkspaceDriver {
    /// The driver's name, as the store keeps it.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> WorkspaceCapabilities;

    /// The tree that is `base` without changes. Nothing is copied when the driver is lazy.
    ///
    /// # Errors
    /// [`WorkspaceError::Base`] when the base cannot be used, with the reason.
    fn create(&self, base: &Path) -> Result<Tree, WorkspaceError>;

    /// Opens `tree` for one operation of `sandbox`. What a crashed operation left there is
    /// removed first.
    ///
    /// # Errors
    /// A failed file operation, or a damaged tree.
    fn begin(&self, sandbox: SandboxId, tree: &Tree) -> Result<Head, WorkspaceError>;

    /// Removes what earlier operations of `sandbox` left and nobody needs. To be called between
    /// [`Self::begin`] and the end, when there is time: what it fails to remove waits for the next.
    fn tidy(&self, _sandbox: SandboxId) {}

    /// Ends an operation and keeps what it wrote. Nothing may write to the head any more.
    ///
    /// # Errors
    /// A failed file operation; the head is then as before and can be sealed again.
    fn seal(&self, head: &Head) -> Result<Sealed, WorkspaceError>;

    /// Ends an operation and drops what it wrote.
    ///
    /// # Errors
    /// A failed file operation.
    fn abandon(&self, sandbox: SandboxId) -> Result<(), WorkspaceError>;

    /// What `to` has that `from` has not. Both must have the same base. Its cost follows the size
    /// of the changes, not of the tree, where [`WorkspaceCapabilities::constant_time`] is true.
    ///
    /// # Errors
    /// A failed file operation.
    fn changes(&self, from: &Tree, to: &Tree) -> Result<Changeset, WorkspaceError>;

    /// The base of `tree` without any change, now.
    ///
    /// # Errors
    /// A foreign tree.
    fn base_tree(&self, tree: &Tree) -> Result<Tree, WorkspaceError>;

    /// Checks that what `tree` is made of is there and as it was sealed. A thorough check looks
    /// at every entry of every layer, a quick one at the layers themselves.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] with the first thing that is wrong.
    fn verify(&self, tree: &Tree, thorough: bool) -> Result<(), WorkspaceError>;

    /// `now` with `paths` (and what lies below them) as they are in `then`.
    ///
    /// # Errors
    /// A failed file operation.
    fn restore_paths(
        &self,
        now: &Tree,
        then: &Tree,
        paths: &[RelPath],
    ) -> Result<Tree, WorkspaceError>;

    /// `now` without the step from `before` to `after`. `later` are the trees that followed
    /// `after`, in order, the last being `now`.
    ///
    /// # Errors
    /// The outer one for a failed file operation; the inner one when a later step touches the
    /// same paths.
    fn without(
        &self,
        before: &Tree,
        after: &Tree,
        later: &[Tree],
    ) -> Result<Result<Tree, WithoutError>, WorkspaceError>;

    /// A tree equal to `tree` as it was before the commits `since` (oldest first) changed its
    /// base, expressed on the base as it is now.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] when a commit's backup is gone.
    fn rebase(&self, tree: &Tree, since: &[OperationId]) -> Result<Tree, WorkspaceError>;

    /// What [`Self::commit`] would do.
    ///
    /// # Errors
    /// A failed file operation.
    fn plan_commit(&self, request: &CommitRequest<'_>) -> Result<CommitPlan, WorkspaceError>;

    /// Brings a tree's changes to its live base: all of them or none. What it replaces is kept
    /// for [`Self::revert`]. A crash at any moment is resolved by [`Self::recover_commit`].
    ///
    /// # Errors
    /// [`WorkspaceError::Conflicts`] under [`ConflictStrategy::Fail`], or a failed file
    /// operation; the live directory is then as before.
    fn commit(&self, request: &CommitRequest<'_>) -> Result<Committed, WorkspaceError>;

    /// What [`Self::revert`] would do.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] when the backup is gone.
    fn plan_revert(&self, commit: OperationId) -> Result<CommitPlan, WorkspaceError>;

    /// Takes back a commit or an earlier revert, under a new operation: brings what that one
    /// replaced back to the live directory, with the same promises as [`Self::commit`].
    ///
    /// # Errors
    /// As [`Self::commit`].
    fn revert(
        &self,
        commit: OperationId,
        operation: OperationId,
        strategy: ConflictStrategy,
    ) -> Result<ChangeCounts, WorkspaceError>;

    /// Finishes or takes back what a crash left of the commit or revert `operation`.
    ///
    /// # Errors
    /// A failed file operation; calling it again continues.
    fn recover_commit(&self, operation: OperationId) -> Result<RecoveredCommit, WorkspaceError>;

    /// The names of what a tree is made of, each of which other trees may have, too. What a commit
    /// keeps to be taken back is no part of a tree.
    ///
    /// # Errors
    /// A foreign tree.
    fn parts(&self, tree: &Tree) -> Result<Vec<String>, WorkspaceError>;

    /// About how many bytes go when nothing needs a part any more; 0 when it is gone.
    ///
    /// # Errors
    /// A failed file operation.
    fn part_size(&self, part: &str) -> Result<u64, WorkspaceError>;

    /// Removes everything that none of the trees needs that `live` answers; answers the bytes
    /// freed, about. `live` is asked once nobody else can be about to record a tree, so that it
    /// must look then and not before; when it answers nothing, nothing is removed.
    ///
    /// # Errors
    /// A failed file operation.
    fn collect(&self, live: &mut dyn FnMut() -> Option<Vec<Tree>>) -> Result<u64, WorkspaceError>;
}
