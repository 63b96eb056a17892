//! Digests of what a driver wrote down about a change.

use std::io;
use std::path::Path;

use ctrlz_core::changeset::Change;
use ctrlz_core::digest::Digest;
use ctrlz_core::workspace::WorkspaceError;

use crate::node::failed;

/// The digest of a file's content.
pub(crate) fn digest_of_file(path: &Path) -> Result<Digest, WorkspaceError> {
    let content = std::fs::read(path).map_err(failed("read", path))?;
    Ok(Digest::blake3(blake3::hash(&content).into()))
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
