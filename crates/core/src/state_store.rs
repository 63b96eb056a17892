//! What is asked of a store about state as a whole: encryption, checks, repair, export and import.
//! Single values are read and written by [`crate::store::Store`].

use std::fmt;

use serde::Serialize;

use crate::digest::Digest;
use crate::id::{OperationId, SandboxId};
use crate::sandbox::Sandbox;
use crate::state::{Expected, KeyId, StateKey, StateWrite};
use crate::store::StoreError;

/// The namespace that belongs to no sandbox and outlives them all. Ids of sandboxes begin at 1.
pub const GLOBAL: SandboxId = SandboxId(0);

/// The most bytes by which an encrypted value is longer than the value itself.
pub const MAX_SEAL: usize = 64;

/// An encrypted value.
#[derive(Debug, Clone, Copy)]
pub struct SealedValue<'a> {
    /// What is stored.
    pub bytes: &'a [u8],
    /// The size of the value itself, in bytes.
    pub size: u64,
    /// The secret key that opens it.
    pub sealed: KeyId,
}

/// Opens values with one secret key and seals them with another.
pub trait Reseal {
    /// The key that it opens with.
    fn from(&self) -> KeyId;

    /// The key that it seals with.
    fn to(&self) -> KeyId;

    /// The value of `key`, sealed anew.
    ///
    /// # Errors
    /// When the bytes are none that [`Self::from`] sealed for this key.
    fn reseal(
        &self,
        key: &StateKey,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Where good copies of values are found: an export, or an archive.
pub trait ValueCopies {
    /// Bytes with that digest. The store checks them once more.
    fn copy_of(&self, digest: &Digest) -> Option<Vec<u8>>;
}

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resealed {
    /// Versions of keys, in all namespaces.
    pub entries: u64,
    /// Values that are stored for them.
    pub values: u64,
    /// The operations as which it is journaled.
    pub operations: Vec<OperationId>,
}

/// What is wrong with one stored version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateProblem {
    /// The value is gone.
    ValueMissing,
    /// The value's bytes do not match their checksum.
    ValueDamaged,
    /// The bytes match, but they are not as long as the entry says.
    SizeWrong,
    /// The row holds something that is never written.
    RowDamaged,
    /// The journal tells of it, and the state does not have it.
    EntryMissing,
    /// The state has it, and no operation in the journal wrote it.
    EntryUnknown,
    /// The state has it otherwise than the journal tells.
    EntryDiffers,
    /// The namespace counts its versions otherwise than its newest entry says.
    VersionWrong,
}

impl StateProblem {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::ValueMissing => "the value is gone",
            Self::ValueDamaged => "the value does not match its checksum",
            Self::SizeWrong => "the value is not as long as the entry says",
            Self::RowDamaged => "the entry holds what is never written",
            Self::EntryMissing => "the journal tells of it, but the state lacks it",
            Self::EntryUnknown => "no operation in the journal wrote it",
            Self::EntryDiffers => "it is not what the journal tells",
            Self::VersionWrong => "the newest version is not the newest entry's",
        }
    }

    /// Whether a rebuild from the journal mends it.
    #[must_use]
    pub fn is_of_entry(self) -> bool {
        !matches!(self, Self::ValueMissing | Self::ValueDamaged)
    }
}

impl fmt::Display for StateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// One bad entry. The key is text, since a damaged one need not be a [`StateKey`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StateFault {
    /// The key, as far as it can be read.
    pub key: String,
    /// The version, 0 when it cannot be read.
    pub version: i64,
    /// What is wrong.
    pub problem: StateProblem,
}

/// What a rebuild or a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StateRepair {
    /// What was wrong and is right now.
    pub mended: Vec<StateFault>,
    /// What is still wrong.
    pub left: Vec<StateFault>,
}

/// What to do where an import and the store tell different histories of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportConflict {
    /// Write nothing and name them.
    Fail,
    /// Leave those keys as they are here.
    Skip,
    /// Write the import's history of those keys after what is here.
    Theirs,
}

/// The history of one namespace, as an import has it.
#[derive(Debug, Clone)]
pub struct StateImport {
    /// Where it goes.
    pub sandbox: SandboxId,
    /// Every write, by version.
    pub writes: Vec<StateWrite>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Versions that were written.
    pub written: u64,
    /// Versions that were here already.
    pub present: u64,
    /// Keys whose histories differ, each with its namespace.
    pub conflicts: Vec<ImportedConflict>,
    /// The operations as which it is journaled.
    pub operations: Vec<OperationId>,
}

/// One key whose history is another here than in an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedConflict {
    /// The namespace: a sandbox's name, or `@global`.
    pub namespace: String,
    /// The key.
    pub key: StateKey,
}

/// State as a whole. Every method is one atomic step, as in [`crate::store::Store`].
pub trait StateStore {
    /// The namespace that belongs to no sandbox: a [`Sandbox`] without a workspace, whose id is
    /// [`GLOBAL`]. It is no sandbox in any list of them.
    ///
    /// # Errors
    /// A failure to read or write.
    fn global(&self) -> Result<Sandbox, StoreError>;

    /// Writes an encrypted value when `expected` holds; answers the new version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`], [`StoreError::OtherKey`] when there are
    /// encrypted values and all are under other keys, or a failure to write.
    fn put_sealed(
        &self,
        sandbox: SandboxId,
        key: &StateKey,
        value: &SealedValue<'_>,
        expected: Expected,
    ) -> Result<u64, StoreError>;

    /// Encrypts every value of every version in all namespaces that is under one key with the
    /// other: all or, when one of them cannot be opened, none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Seal`], or a failure to write.
    fn reseal(&self, reseal: &dyn Reseal) -> Result<Resealed, StoreError>;

    /// Every write of a namespace, by version.
    ///
    /// # Errors
    /// A failure to read.
    fn state_writes(&self, sandbox: SandboxId) -> Result<Vec<StateWrite>, StoreError>;

    /// The stored bytes with that digest, verified; `None` when they are gone or damaged.
    ///
    /// # Errors
    /// A failure to read.
    fn stored_value(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Merges histories: what is here already is left, what continues it is written after it under
    /// new versions. Nothing is written when `dry_run`, or when it fails.
    ///
    /// # Errors
    /// A failure to write. With [`ImportConflict::Fail`], conflicts are no error: they are told,
    /// and nothing is written.
    fn import_state(
        &self,
        imports: &[StateImport],
        values: &dyn ValueCopies,
        on_conflict: ImportConflict,
        dry_run: bool,
    ) -> Result<Imported, StoreError>;

    /// Checks every stored version of every key: its bytes against their checksum, its entry
    /// against the journal. No secret key is needed.
    ///
    /// # Errors
    /// A failure to read.
    fn verify_state(&self, sandbox: SandboxId) -> Result<Vec<StateFault>, StoreError>;

    /// Compares the state with what the journal tells of it.
    ///
    /// # Errors
    /// A failure to read.
    fn compare_state(&self, sandbox: SandboxId) -> Result<Vec<StateFault>, StoreError>;

    /// Makes the state what the journal tells. Entries that the journal does not know are dropped
    /// only when `drop_unknown`, and else stay.
    ///
    /// # Errors
    /// A failure to write.
    fn rebuild_state(
        &self,
        sandbox: SandboxId,
        drop_unknown: bool,
    ) -> Result<StateRepair, StoreError>;

    /// Mends what [`Self::verify_state`] finds: entries from the journal, values from `copies` and
    /// from whatever the store still has. Drops nothing.
    ///
    /// # Errors
    /// A failure to write.
    fn repair_state(
        &self,
        sandbox: SandboxId,
        copies: &dyn ValueCopies,
    ) -> Result<StateRepair, StoreError>;
}
