//! Why a task failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// A program did not start.
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    /// A program ended otherwise than expected.
    #[error("`{command}` ended with {status}{output}")]
    Ended { command: String, status: String, output: String },
    /// A program printed something that cannot be read.
    #[error("cannot read what {program} printed: {source}")]
    Output { program: String, source: serde_json::Error },
    /// Something else, in words.
    #[error("{0}")]
    Told(String),
}

/// What a task answers.
pub(crate) type Answer<T = ()> = Result<T, Failure>;

impl Failure {
    /// For `map_err` after a file operation.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// In words.
    pub(crate) fn told(text: impl Into<String>) -> Self {
        Self::Told(text.into())
    }
}
