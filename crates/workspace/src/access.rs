//! Getting at entries of our own store that their mode closes even to their owner.
//!
//! Only without root: a command may leave a file or directory without the owner's read
//! permission in a layer, and the mode is content that has to stay.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::Mode;

use crate::node::{failed, version};

/// Entries that are open for the moment. Dropped, they have their modes back; a crash before
/// that leaves the owner's permission bits set.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// Outermost first, with the mode to return to.
    closed: Vec<(PathBuf, u32)>,
}

impl Opened {
    /// Opens `path` of the layer at `layer` and the directories above it, as far as they are ours
    /// and closed.
    ///
    /// # Errors
    /// When a mode cannot be read or set.
    pub(crate) fn open(layer: &Path, path: &RelPath) -> Result<Self, WorkspaceError> {
        let mut opened = Self::default();
        for part in path.ancestors().chain([path.clone()]) {
            opened.add(part.below(layer))?;
        }
        Ok(opened)
    }

    /// Opens `path`, of which the directories above are open.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn open_one(path: &Path) -> Result<Self, WorkspaceError> {
        let mut opened = Self::default();
        opened.add(path.to_owned())?;
        Ok(opened)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), WorkspaceError> {
        let us = rustix::process::geteuid();
        let Some(version) = version(&path)? else { return Ok(()) };
        let wanted = if version.is_directory() {
            0o700
        } else if version.is_file() {
            0o400
        } else {
            return Ok(());
        };
        let mode = version.permissions();
        if !us.is_root() && version.uid == us.as_raw() && mode & wanted != wanted {
            let set = Mode::from_raw_mode(mode | wanted);
            rustix::fs::chmod(&path, set).map_err(failed("make readable", &path))?;
            self.closed.push((path, mode));
        }
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        for (path, mode) in self.closed.iter().rev() {
            // What cannot be closed again has a mode that the thorough check finds.
            let _ = rustix::fs::chmod(path, Mode::from_raw_mode(*mode));
        }
    }
}

/// Whether an error says that permissions forbid it.
pub(crate) fn is_denied(error: &WorkspaceError) -> bool {
    matches!(error, WorkspaceError::Io { source, .. }
        if source.kind() == ErrorKind::PermissionDenied)
}
