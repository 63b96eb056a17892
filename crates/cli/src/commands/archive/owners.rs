//! Whose the files are that come back.
//!
//! Of an ordinary user's sandbox whose root is its workspace, the numbers in the archive are those
//! inside: what is the user's belongs to root there. Of any other one they are those of the host.

use ctrlz_archive::unpack::{IdMap, IdRange, Ownership};
use ctrlz_core::sandbox::Sandbox;

use crate::mapped;
use crate::root::images;

/// Whose the files of a snapshot of `sandbox`, as the archive tells of it, become here.
pub(super) fn owners(sandbox: &Sandbox) -> Ownership {
    let is_root = rustix::process::geteuid().is_root();
    match (mapped::outside(), sandbox.root.has_many_owners()) {
        (Some((user, group)), false) => {
            let roots = |archived| vec![IdRange { archived, restored: 0, count: 1 }];
            Ownership::Mapped(IdMap { users: roots(user), groups: roots(group) })
        }
        (None, true) if !is_root => images::all_of_the_user(),
        _ => Ownership::natural(),
    }
}
