//! What the engine asks of a workspace driver.
//!
//! A driver keeps immutable [`Tree`]s. An operation gets a writable [`Head`] on a tree; what it
//! wrote is sealed into a new tree or abandoned. Between operations nothing is writable, so a
//! crash costs at most the head of the operation that it hit.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::{Arrival, Stratum};
use crate::changeset::{ChangeCounts, Changeset, Metadata};
use crate::digest::Digest;
use crate::id::{OperationId, SandboxId};
use crate::live::{Captured, LiveMeans};
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
    /// Whether a tree is layers on its base, each of which comes and goes by itself; otherwise it is
    /// one part that has all of it.
    pub layered: bool,
    /// How it captures what an operation is writing.
    pub live: LiveMeans,
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

/// What a tree shows, as a command in the sandbox would see it. No link is followed, and nothing
/// that lies above the tree is seen.
pub trait TreeView {
    /// What is at `path`; `None` when nothing is.
    ///
    /// # Errors
    /// When a folder on the way cannot be looked into.
    fn entry(&self, path: &RelPath) -> Result<Option<Metadata>, WorkspaceError>;

    /// What lies in the folder at `path`, sorted by name; empty when there is none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn children(&self, path: &RelPath) -> Result<Vec<(OsString, Metadata)>, WorkspaceError>;

    /// Where the symbolic link at `path` leads.
    ///
    /// # Errors
    /// When there is no such link.
    fn target(&self, path: &RelPath) -> Result<OsString, WorkspaceError>;

    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    /// When it is none, is not there any more, or its mode does not let us read it.
    fn open(&self, path: &RelPath) -> Result<OwnedFd, WorkspaceError>;
}

/// One change to a tree that no command makes. The folder that it is in has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A file has these bytes. One that is there keeps its owner, mode and attributes, but for the
    /// bits and capabilities that a write takes away; other names of it keep the former bytes.
    Write {
        /// Where.
        path: RelPath,
        /// All of it.
        content: Vec<u8>,
        /// Its permissions; those of the former file, or 0644, when it is not said.
        mode: Option<u32>,
    },
    /// A new folder.
    MakeFolder {
        /// Where nothing is.
        path: RelPath,
        /// Its permissions; 0755 when it is not said.
        mode: Option<u32>,
    },
    /// Removes what is there, with all that is in it.
    Remove {
        /// Where.
        path: RelPath,
    },
    /// Gives it another name: what is no folder also in place of what is no folder either, a folder with
    /// all that is in it where nothing is, outside of itself.
    Move {
        /// What it is called.
        from: RelPath,
        /// What it will be called.
        to: RelPath,
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

    /// What a tree shows. It may be used until the tree is collected.
    ///
    /// # Errors
    /// A foreign tree, or one of which something is missing.
    fn view(&self, tree: &Tree) -> Result<Box<dyn TreeView>, WorkspaceError>;

    /// Makes changes in a head, in this order, as a command would that runs in it.
    ///
    /// # Errors
    /// A failed file operation; the head then has some of the changes, and is to be abandoned.
    fn edit(&self, head: &Head, edits: &[Edit]) -> Result<(), WorkspaceError>;

    /// What the operation under way in `sandbox`, which began at `tree`, has written so far, as far as
    /// that can be seen while it writes on. Nothing is touched. `None` when more than `most` entries
    /// would have to be looked at.
    ///
    /// # Errors
    /// A failed file operation, or when nothing is under way.
    fn peek(
        &self,
        sandbox: SandboxId,
        tree: &Tree,
        most: usize,
    ) -> Result<Option<Changeset>, WorkspaceError>;

    /// Duplicates what the operation under way in `sandbox`, which began at `tree`, has written. The
    /// operation goes on; it may be one of another process. Where [`WorkspaceCapabilities::live`] is
    /// [`LiveMeans::Frozen`], nothing may write meanwhile. What can be done later is left to
    /// [`Self::keep`].
    ///
    /// # Errors
    /// [`WorkspaceError::Unsupported`]; [`WorkspaceError::Damaged`] when nothing is under way; a failed
    /// file operation, after which nothing is left.
    fn capture(&self, sandbox: SandboxId, tree: &Tree) -> Result<Captured, WorkspaceError>;

    /// Makes a tree of what was captured: what [`Self::seal`] would have made at that moment. It is
    /// [`Captured::tree`] when nothing had been written.
    ///
    /// # Errors
    /// A failed file operation; what was captured is then still there.
    fn keep(&self, captured: &Captured) -> Result<Sealed, WorkspaceError>;

    /// Removes what was captured and is not to be kept; nothing to do when it is gone.
    ///
    /// # Errors
    /// A failed file operation.
    fn let_go(&self, captured: &Captured) -> Result<(), WorkspaceError>;

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

    /// The newest commit or revert that the driver keeps something of. A new operation must not get
    /// its id, nor a lower one.
    ///
    /// # Errors
    /// A failed file operation.
    fn newest_commit(&self) -> Result<Option<OperationId>, WorkspaceError>;

    /// Finishes or takes back what a crash left of the commit or revert `operation`.
    ///
    /// # Errors
    /// A failed file operation; calling it again continues.
    fn recover_commit(&self, operation: OperationId) -> Result<RecoveredCommit, WorkspaceError>;

    /// What a tree is made of, lowest first, for those who keep it elsewhere. Nothing of it is
    /// removed while the driver lives, and what has an id never changes.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] when a part is missing.
    fn strata(&self, tree: &Tree) -> Result<Vec<Stratum>, WorkspaceError>;

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

    /// A new, empty directory that only we may use, on the file system of the driver's trees, in
    /// which parts of trees can be restored for [`Self::adopt`] and [`Self::mend`]. What a crash
    /// leaves of it is collected; as long as this driver lives it stays until
    /// [`Self::clear_landing`].
    ///
    /// # Errors
    /// A failed file operation.
    fn landing(&self) -> Result<PathBuf, WorkspaceError>;

    /// Removes a landing of this driver with all that is left in it, whatever modes that has;
    /// nothing to do when it is gone.
    ///
    /// # Errors
    /// What could not be removed, or a directory that is no landing of this driver.
    fn clear_landing(&self, landing: &Path) -> Result<(), WorkspaceError>;

    /// Whether the part of that name (see [`Self::parts`]) is there and whole, as far as a quick
    /// [`Self::verify`] tells. Any text may be asked for; what is no name of a part is not held.
    /// What is held is not collected by others for an hour, so that it can still be used.
    ///
    /// # Errors
    /// A failed file operation.
    fn holds(&self, part: &str) -> Result<bool, WorkspaceError>;

    /// The tree of `parts`, lowest first, on `base`: whole, and on disk when this answers, so that
    /// a journal can rely on it.
    ///
    /// A part that this driver sealed and holds is used as it is there; its directory need not
    /// exist then. Another one keeps its name when that is one of a sealed part and nothing is
    /// there under it, not even something damaged (for which there is [`Self::mend`]); else, and
    /// without a name, it gets a new one. A part becomes visible whole or not at all; what a
    /// failure leaves is collected.
    ///
    /// What a later commit expects to find in the base is what the record says that the part was
    /// made on. Where `base` is not the directory that the records speak of but a copy of it, an
    /// entry with the recorded type, mode, size and time counts as the recorded one, and any other
    /// as changed by someone. What no record tells is expected as it is now. A record that cannot
    /// be read or is not of this part is passed over.
    ///
    /// # Errors
    /// [`WorkspaceError::Base`] when the base cannot be used; [`WorkspaceError::Damaged`] when a
    /// part is neither held nor in a landing, or is named twice; a failed file operation.
    fn adopt(&self, base: &Path, parts: &[Arrival]) -> Result<Tree, WorkspaceError>;

    /// Puts `part` in the place of the one with the same name, which is missing or damaged. What
    /// was there is set aside until the new one is in place, and then removed.
    ///
    /// No operation may be under way on a tree that has the part: the caller holds the lock of
    /// every sandbox with such a tree, from before this until after it. The driver itself knows
    /// only of the heads that it opened, and refuses when one of them is on such a tree.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] when what was restored does not fit its record, or is another
    /// part than the one whose description is still there: nothing is replaced then.
    /// [`WorkspaceError::ForeignTree`] when the name is none of this driver's sealed parts;
    /// [`WorkspaceError::Unsupported`] when the part cannot be put back that way; a failed file
    /// operation, after which the part is as before, or missing and can be mended again.
    fn mend(&self, part: &Arrival) -> Result<(), WorkspaceError>;

    /// Whether [`Self::begin`] will soon have to merge layers of `tree`, which [`Self::merge`] can do
    /// ahead of it.
    ///
    /// # Errors
    /// A foreign tree, or a failed file operation.
    fn is_chain_long(&self, tree: &Tree) -> Result<bool, WorkspaceError>;

    /// Merges layers of `tree` for what will be begun on it, when [`Self::is_chain_long`]; answers
    /// whether there was something to merge. The tree stays what it is.
    ///
    /// # Errors
    /// A failed file operation.
    fn merge(&self, tree: &Tree) -> Result<bool, WorkspaceError>;

    /// Removes everything that none of the trees needs that `live` answers; answers the bytes
    /// freed, about. `live` is asked once nobody else can be about to record a tree, so that it
    /// must look then and not before; when it answers nothing, nothing is removed. `more` is asked
    /// before each thing that goes: once it says no, the rest waits for the next call.
    ///
    /// # Errors
    /// A failed file operation.
    fn collect(
        &self,
        live: &mut dyn FnMut() -> Option<Vec<Tree>>,
        more: &dyn Fn() -> bool,
    ) -> Result<u64, WorkspaceError>;
}
