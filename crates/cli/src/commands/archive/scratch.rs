//! A folder in the store for what is needed for a moment.

use std::path::{Path, PathBuf};

use ctrlz_archive::unpack::remove_tree;

use super::setting::Setting;
use crate::failure::{Failure, OWN_FAILURE};

/// A folder of this process, removed at the end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, and removes what processes left that were killed.
    pub(super) fn new(setting: &Setting) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "archive", &error);
        let folder = setting.scratch();
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let own = folder.join(std::process::id().to_string());
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            let lives = entry.file_name().is_some_and(|pid| Path::new("/proc").join(pid).exists());
            if !lives || entry == own {
                // What cannot be removed now, the next one removes.
                let _ = remove_tree(&entry);
            }
        }
        std::fs::create_dir(&own).map_err(failed)?;
        Ok(Self(own))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}
