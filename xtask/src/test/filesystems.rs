//! File systems for the tests of workspace drivers.

use std::path::{Path, PathBuf};

use super::skips::Skips;
use crate::{account, filesystems};

/// The variable by which the tests are told of a folder on a file system, and its name.
const WANTED: &[(&str, &str)] = &[("CTRLZ_TEST_XFS", "xfs"), ("CTRLZ_TEST_BTRFS", "btrfs")];

/// A folder on each, with the variable by which the tests are told. What cannot be had is told.
pub(super) fn mounted(target: &Path, skips: &mut Skips) -> Vec<(&'static str, PathBuf)> {
    if !account::is_root() {
        skips.note("user", "xtask", "file systems in files: not root");
        return Vec::new();
    }
    let mut found = Vec::new();
    for (variable, name) in WANTED {
        match filesystems::mounted(target, name) {
            Ok(folder) => found.push((*variable, folder)),
            Err(failure) => {
                println!("{failure}");
                skips.note("root", "xtask", &format!("{name} in a file: not to be had here"));
            }
        }
    }
    found
}
