//! What can go wrong inside a transaction, before it is known what the transaction was for.

use std::path::{Path, PathBuf};

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::store::StoreError;

/// Why a step inside a transaction failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// The row is not what this code writes, or the request breaks a rule of the journal.
    Refused(Refusal),
    /// An answer that the caller gets as it is.
    Answer(StoreError),
}

/// Why the store refuses although SQLite would not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{sandbox} has {operation} open: it must be finished first")]
    OperationOpen { sandbox: SandboxId, operation: OperationId },
    #[error("{0} is not open: it has been finished before")]
    NotOpen(OperationId),
    #[error("the database holds `{text}` as {what}")]
    BadRow {
        what: &'static str,
        text: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the import has no good copy of its value")]
    NoCopy,
    #[error("its value should take {told} bytes, and takes {length}")]
    OtherSize { told: u64, length: u64 },
    #[error("it has no value, and yet a size or a key that encrypts it")]
    NoDeletion,
    #[error("cannot write {what} as JSON")]
    Encode {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

/// Adds the file to SQLite's own message, which names none.
#[derive(Debug, thiserror::Error)]
#[error("the database {}", path.display())]
pub(crate) struct DatabaseError {
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: rusqlite::Error,
}

impl Fault {
    /// The error for the caller, of the step `action` on the database `path`.
    pub(crate) fn during(self, action: &'static str, path: &Path) -> StoreError {
        match self {
            Self::Answer(error) => error,
            Self::Refused(refusal) => StoreError::Failed { action, source: Box::new(refusal) },
            Self::Sqlite(source) => StoreError::Failed {
                action,
                source: Box::new(DatabaseError { path: path.to_owned(), source }),
            },
        }
    }

    /// [`StoreError::NoSandbox`], by id.
    pub(crate) fn no_sandbox(id: SandboxId) -> Self {
        Self::Answer(StoreError::NoSandbox(id.to_string()))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
