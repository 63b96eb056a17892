//! Roots that come as files: a tar archive, or an OCI image layout.
//!
//! They are unpacked once into the store and used as a base from then on. As root, owners and
//! device nodes are kept; for an ordinary user every file belongs to that user, who is root inside
//! such a sandbox.

mod layer;
mod oci;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ctrlz_core::workspace::WorkspaceError;

/// Unpacks `source`, a tar archive (plain, gzip or zstd) or the directory of an OCI image layout,
/// below `images`, unless it is there already; answers the directory of the root.
///
/// # Errors
/// When `source` is neither, is damaged, or holds paths that leave the root; nothing is left
/// behind then.
pub fn unpack(source: &Path, images: &Path) -> Result<PathBuf, WorkspaceError> {
    let failed = |source_error: io::Error| WorkspaceError::Base {
        path: source.to_owned(),
        reason: source_error.to_string(),
    };
    let layers = if source.is_dir() {
        oci::layers(source).map_err(failed)?
    } else {
        vec![layer::Blob { path: source.to_owned(), digest: None }]
    };
    let name = name_of(&layers).map_err(failed)?;
    let target = images.join(name);
    if target.is_dir() {
        return Ok(target);
    }
    let unfinished = images.join(format!("unpacking-{}", std::process::id()));
    let unpacked = (|| -> io::Result<()> {
        fs::create_dir_all(&unfinished)?;
        layers.iter().try_for_each(|blob| layer::apply(blob, &unfinished))?;
        match fs::rename(&unfinished, &target) {
            // Another process unpacked the same image meanwhile.
            Err(_) if target.is_dir() => Ok(()),
            other => other,
        }
    })();
    if unfinished.exists() {
        let _ = crate::node::remove_tree(&unfinished);
    }
    unpacked.map_err(failed)?;
    Ok(target)
}

/// A name that another content cannot have: the digests of an image's layers, or a file's identity
/// and time.
fn name_of(layers: &[layer::Blob]) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    let mut hasher = blake3::Hasher::new();
    for blob in layers {
        match &blob.digest {
            Some(digest) => {
                hasher.update(digest.as_bytes());
            }
            None => {
                let status = File::open(&blob.path)?.metadata()?;
                for number in [status.dev(), status.ino(), status.len()] {
                    hasher.update(&number.to_le_bytes());
                }
                for number in [status.mtime(), status.mtime_nsec(), status.ctime()] {
                    hasher.update(&number.to_le_bytes());
                }
            }
        }
    }
    Ok(hasher.finalize().to_hex().chars().take(32).collect())
}
