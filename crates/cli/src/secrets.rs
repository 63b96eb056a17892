//! Which host paths a sandbox does not see.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The paths to cover, as they lie on the host without symbolic links: both a link's own place and
/// what it leads to are covered. Those that do not exist need no cover.
pub(crate) fn existing(hidden: &[PathBuf], store: &Path) -> Vec<PathBuf> {
    let mut paths = BTreeSet::new();
    for path in hidden {
        // Most do not exist, which one look tells; finding the real path takes one for each part of it.
        if path.exists()
            && let Ok(real) = path.canonicalize()
        {
            paths.insert(real);
        }
    }
    // Nothing inside may reach the layers and the journal.
    if let Ok(real) = store.canonicalize() {
        paths.insert(real);
    }
    paths.into_iter().collect()
}
