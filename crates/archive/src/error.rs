//! Why something could not be archived, checked or restored.

use std::path::PathBuf;

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;

/// Why something could not be archived, checked or restored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `create`, ….
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A blob's bytes are not what its name says.
    #[error("blob {digest} is damaged: {what}")]
    Damaged {
        /// The blob, by the digest that it should have.
        digest: Digest,
        /// What is wrong: `it has other bytes`, `it ends too early`, ….
        what: String,
    },
    /// A blob is not where the manifest says.
    #[error("blob {0} is missing")]
    Missing(Digest),
    /// A layer holds an entry that must not be restored: a path that leaves the tree, ….
    #[error("entry {}: {why}", path.display())]
    Refused {
        /// The entry as the archive writes it.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A document, a tar header or a compressed stream is not as its format says.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// Which document: `index.json`, `the manifest`, `a tar header`, ….
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// There are several images, and nobody said which one.
    #[error("{what} has several images{which}: {there}")]
    Several {
        /// Which document: `the index`, `manifest.json`.
        what: &'static str,
        /// Those that fit to what was asked for: ` named …`, ` for …`.
        which: String,
        /// Their names.
        there: String,
    },
    /// The stream that a blob is written to or read from failed.
    #[error("cannot {action} the blob: {source}")]
    Stream {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file never held still while it was read.
    #[error("{path} was being changed while it was archived")]
    Changing {
        /// Which one.
        path: RelPath,
    },
    /// What was to be archived became something else while it was read.
    #[error("it changed while it was archived: {0}")]
    Overtaken(String),
    /// Somebody asked for an end before it was done.
    #[error("archiving was to end before it was done")]
    Ended,
    /// A place has no image of that name.
    #[error("{place} has no image `{name}`")]
    Unnamed {
        /// Where it was looked for.
        place: String,
        /// Its name.
        name: String,
    },
    /// A place answered with an error, or not at all.
    #[error("cannot {action} {place}: {source}")]
    Place {
        /// What was tried, up to the place's address: `read blob sha256:… from`, ….
        action: String,
        /// The place's address.
        place: String,
        /// Whether the same may go well in a moment.
        transient: bool,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A place cannot do that at all.
    #[error("{place} cannot {what}: {why}")]
    Unsupported {
        /// The place's address.
        place: String,
        /// What was asked of it.
        what: &'static str,
        /// Why it cannot, and what to do instead.
        why: String,
    },
    /// Somebody else is at work there.
    #[error("{place} is in use: {what}")]
    Busy {
        /// The place's address.
        place: String,
        /// What they do, and what to do about it.
        what: String,
    },
    /// What was to be replaced is not what it was.
    #[error("`{name}` at {place} was changed by somebody else meanwhile; try again")]
    Moved {
        /// The place's address.
        place: String,
        /// The name.
        name: String,
    },
    /// What lies under the name is not whole, and cannot be made once more.
    #[error(
        "`{name}` at {place} is not whole, and cannot be made once more as it was: nothing was replaced"
    )]
    Irreplaceable {
        /// The place's address.
        place: String,
        /// The name.
        name: String,
    },
    /// A name leads to a snapshot that has another one.
    #[error("what is named `{name}` is `{of}`: the names were exchanged")]
    Misnamed {
        /// The name.
        name: String,
        /// The one that the snapshot itself tells.
        of: String,
    },
    /// Another snapshot has the name.
    #[error("{place} has another snapshot under the name `{name}`")]
    Taken {
        /// The place's address.
        place: String,
        /// The name.
        name: String,
    },
    /// An encrypted blob cannot be opened.
    #[error("blob {digest} cannot be decrypted: {why}")]
    Sealed {
        /// The blob.
        digest: Digest,
        /// Which key is missing or wrong, or what is wrong with the blob.
        why: String,
    },
    /// A recipient, an identity or a passphrase cannot be used. Its content is never told.
    #[error("{what}: {why}")]
    Key {
        /// Which one: a file, a line, a file descriptor.
        what: String,
        /// Why not.
        why: String,
    },
}

impl ArchiveError {
    /// What a stream's error says. A stream that checks what passes through it wraps one of ours.
    pub(crate) fn stream(action: &'static str, error: std::io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => Self::Stream { action, source },
        }
    }

    /// For `map_err`: what was tried on which path.
    pub(crate) fn io<E: Into<std::io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::of(error.into(), |source| Self::Io { action, path: path.into(), source })
    }

    /// What an [`std::io::Error`] carries when it went through a reader of this crate; otherwise
    /// what `describe` makes of it.
    pub fn of(error: std::io::Error, describe: impl FnOnce(std::io::Error) -> Self) -> Self {
        error.downcast::<Self>().unwrap_or_else(describe)
    }

    /// Whether the same may go well in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Place { transient: true, .. })
    }

    /// Bytes that are not what a blob's name says.
    pub(crate) fn damaged(digest: Digest, what: impl Into<String>) -> Self {
        Self::Damaged { digest, what: what.into() }
    }

    /// A document that is not as its format says.
    pub(crate) fn malformed(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}

/// For streams, whose errors are of that kind; [`ArchiveError::of`] is the way back.
impl From<ArchiveError> for std::io::Error {
    fn from(error: ArchiveError) -> Self {
        let kind = match &error {
            ArchiveError::Io { source, .. } | ArchiveError::Stream { source, .. } => source.kind(),
            _ => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
