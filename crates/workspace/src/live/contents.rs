//! What was put in place, for evidence: the contents, too, which a version only stands for.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::transaction::Transaction;
use crate::node::failed;

/// The BLAKE3 over a line for each staged regular file, in the order of the plan: the BLAKE3 of its
/// contents, a blank, its path and a NUL. Of a file that its owner may not read, `unread` stands there.
pub(super) fn digest(transaction: &Transaction) -> Result<String, WorkspaceError> {
    let mut all = blake3::Hasher::new();
    for (index, item) in transaction.plan.items.iter().enumerate() {
        for node in &item.nodes {
            let spot = transaction.slot_node(index, &node.path)?;
            if !spot.version()?.is_some_and(|version| version.is_file()) {
                continue;
            }
            let place = spot.place();
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let contents =
                match rustix::fs::openat(place.directory, place.name, flags, Mode::empty()) {
                    Ok(file) => {
                        let mut hasher = blake3::Hasher::new();
                        hasher
                            .update_reader(File::from(file))
                            .map_err(failed("read", place.shown))?;
                        hasher.finalize().to_hex().to_string()
                    }
                    Err(Errno::ACCESS | Errno::PERM) => "unread".to_owned(),
                    Err(errno) => return Err(failed("read", place.shown)(errno)),
                };
            let path = node.path.as_path().iter();
            let path = path.fold(item.path.clone(), |path, name| path.child(name));
            all.update(contents.as_bytes());
            all.update(b" ");
            all.update(path.as_path().as_os_str().as_bytes());
            all.update(&[0]);
        }
    }
    Ok(all.finalize().to_hex().to_string())
}
