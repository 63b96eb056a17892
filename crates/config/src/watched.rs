//! The files that hold the configuration of a host and of its user.

use std::path::{Path, PathBuf};

use crate::places::Places;
use crate::policy_files::{FOLDER, files_of};
use crate::{archive, sinks};

/// Every file whose change changes what ctrlz does, but for those of projects: those that are
/// there, and those that would count if they were. Sorted.
#[must_use]
pub fn watched_files(places: &Places) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in [Some(places.etc.as_path()), places.user.as_deref()].into_iter().flatten() {
        files.push(file.to_owned());
        files.push(file.with_file_name(sinks::FILE_NAME));
        files.push(file.with_file_name(archive::FILE_NAME));
        let packs = file.parent().unwrap_or(Path::new("/")).join(FOLDER);
        // A folder that cannot be read is told by whoever needs its packs.
        files.extend(files_of(&packs).unwrap_or_default());
    }
    files.sort();
    files.dedup();
    files
}
