//! Digests of what a driver wrote down about a change.

use std::io;
use std::path::Path;

use ctrlz_core::changeset::Change;
use ctrlz_core::digest::Digest;
use ctrlz_core::workspace::WorkspaceError;

use crate::node::failed;

/// The digest of a commit: of the record of what was to change, in the file `path`, and of `contents`,
/// the digest of what was put in place, as its text.
pub(crate) fn digest_of_commit(
    path: &Path,
    contents: Option<&str>,
) -> Result<Digest, WorkspaceError> {
    let record = std::fs::read(path).map_err(failed("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record);
    hasher.update(contents.unwrap_or_default().as_bytes());
    Ok(Digest::blake3(hasher.finalize().into()))
}

/// The digest of changes, one line of JSON each.
pub(crate) fn digest_of_changes(changes: &[Change]) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    for change in changes {
        hasher.update(&serde_json::to_vec(change)?);
        hasher.update(b"\n");
    }
    Ok(Digest::blake3(hasher.finalize().into()))
}
