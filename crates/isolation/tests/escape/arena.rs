//! Where the tests keep their files on the host.
//!
//! The sandbox has a `/tmp`, `/var/tmp`, `/run` and `/dev` of its own, so what an attack tries to
//! reach must lie elsewhere, or the tests would test those alone.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A directory for all tests of one run, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) directory: PathBuf,
}

const PRIVATE: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev"];

impl Arena {
    /// Makes one where this user may.
    pub(crate) fn make() -> Result<Self, String> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let candidates = [Some(env!("CARGO_TARGET_TMPDIR").into()), Some(target), home]
            .into_iter()
            .flatten()
            .chain([PathBuf::from("/var/lib")]);
        for candidate in candidates {
            let Ok(place) = fs::canonicalize(candidate) else { continue };
            if PRIVATE.iter().any(|private| place.starts_with(private)) || !is_open(&place) {
                continue;
            }
            let directory = place.join(format!("ctrlz-escape-{}", std::process::id()));
            if fs::create_dir(&directory).is_ok() {
                return Ok(Self { directory });
            }
        }
        Err("no writable directory outside of /tmp, /run and /dev that every user can enter".into())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.directory) {
            eprintln!("cannot remove {}: {error}", self.directory.display());
        }
    }
}

/// Whether other users can go through every directory above.
fn is_open(place: &Path) -> bool {
    place.ancestors().all(|above| fs::metadata(above).is_ok_and(|m| m.mode() & 0o001 != 0))
}

/// Removes a tree with directories that even their owner may not list, as overlayfs leaves them.
pub(crate) fn remove_tree(directory: &Path) -> io::Result<()> {
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let metadata = fs::symlink_metadata(&directory)?;
        if metadata.mode() & 0o700 != 0o700 {
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        }
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(directory)
}
