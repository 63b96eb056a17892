//! What a tenant's data takes of the disk.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::backend::TENANTS;
use super::session::Desk;
use crate::failure::{Failure, OWN_FAILURE};

/// A block of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

impl Desk<'_> {
    /// See [`ctrlz_server::Session::disk_used`].
    pub(super) fn disk_used_(&self) -> Result<u64, Failure> {
        let store = &self.context.directory;
        let others = self.tenant.is_owner().then(|| store.join(TENANTS));
        Ok(taken(store, others.as_deref())? + taken(&self.workspaces(), None)?)
    }
}

/// The blocks of everything at and below a path, but for one. What goes meanwhile takes nothing.
fn taken(path: &Path, but: Option<&Path>) -> Result<u64, Failure> {
    let mut total = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let failed = |error: std::io::Error| {
            let message = format!("cannot measure {}", path.display());
            Failure::new(OWN_FAILURE, "disk", message).detail(error.to_string())
        };
        let about = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            about => about.map_err(failed)?,
        };
        // Of a file with several names, a part for each.
        total += about.blocks() * BLOCK / if about.is_dir() { 1 } else { about.nlink().max(1) };
        if !about.is_dir() || but == Some(&path) {
            continue;
        }
        match fs::read_dir(&path) {
            Ok(entries) => left.extend(entries.flatten().map(|entry| entry.path())),
            // The kernel's own folder of an overlay, and what a sandbox's user closed: nobody fills it.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(total)
}
