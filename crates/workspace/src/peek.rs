//! What an operation has written so far. It writes on meanwhile: what is gone when it is looked at is
//! passed over, and nothing is touched. A folder may become a link at any moment, which leads nowhere here.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeKind, Changeset, FileType, Metadata};
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{TreeView, WorkspaceError};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::access::is_denied;
use crate::layer::{is_open_opaque, is_whiteout};
use crate::node::{Place, entries_at, failed, is_gone, metadata, open_directory, version_at};

/// What is written to.
pub(crate) struct Written<'a> {
    /// A layer on top of `before`, or all of the tree.
    pub(crate) root: &'a Path,
    pub(crate) is_layer: bool,
    /// What was there when the operation began.
    pub(crate) before: &'a dyn TreeView,
}

impl Written<'_> {
    /// What differs now; `None` when more than `most` entries would have to be looked at.
    pub(crate) fn peek(&self, most: usize) -> Result<Option<Changeset>, WorkspaceError> {
        let mut changes = Vec::new();
        let mut left = most;
        let mut pending = vec![RelPath::root()];
        let root = open_directory(self.root, OFlags::RDONLY)?;
        while let Some(folder) = pending.pop() {
            let shown = folder.below(self.root);
            // What is closed to whoever looks is told when the operation has ended.
            let Some(open) = seen(enter(&root, &folder, &shown))?.flatten() else { continue };
            let Some(names) = seen(entries_at(&open, &shown))? else { continue };
            for name in &names {
                let Some(less) = left.checked_sub(1) else { return Ok(None) };
                left = less;
                let path = folder.child(name);
                let shown = path.below(self.root);
                let place = Place::new(&open, name, &shown);
                let Some(version) = seen(version_at(place))?.flatten() else { continue };
                let was = self.before.entry(&path)?;
                let is_mark = self.is_layer && is_whiteout(&version);
                let now = (!is_mark).then(|| metadata(&version));
                if version.is_directory() {
                    pending.push(path.clone());
                }
                changes.extend(change(path, was, now));
            }
            let hides = !self.is_layer || seen(is_open_opaque(&open, &shown))?.unwrap_or(false);
            if !hides {
                continue;
            }
            let names: HashSet<_> = names.into_iter().collect();
            for (name, was) in self.before.children(&folder)? {
                let Some(less) = left.checked_sub(1) else { return Ok(None) };
                left = less;
                if !names.contains(&name) {
                    changes.extend(change(folder.child(&name), Some(was), None));
                }
            }
        }
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Some(Changeset { changes }))
    }
}

/// Opens a folder below `root`, through folders alone: whoever writes there may put a link in the place of
/// each. `None` when one is in the way, or the path is too long for the kernel.
fn enter(
    root: impl AsFd,
    folder: &RelPath,
    shown: &Path,
) -> Result<Option<OwnedFd>, WorkspaceError> {
    let path = if folder.is_root() { Path::new(".") } else { folder.as_path() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(open) => Ok(Some(open)),
        Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(failed("open the directory", shown)(errno)),
    }
}

/// `None` for what is not there any more, or cannot be looked at.
fn seen<T>(look: Result<T, WorkspaceError>) -> Result<Option<T>, WorkspaceError> {
    match look {
        Err(error) if is_denied(&error) || is_gone(&error) => Ok(None),
        look => look.map(Some),
    }
}

fn change(path: RelPath, before: Option<Metadata>, after: Option<Metadata>) -> Option<Change> {
    let kind = match (&before, &after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Deleted,
        (Some(was), Some(now)) if was.file_type != now.file_type => ChangeKind::TypeChanged,
        (Some(was), Some(now)) => {
            // A folder's time is that of what is in it.
            let is_folder = now.file_type == FileType::Directory;
            let is_same = was.size == now.size && was.mtime == now.mtime || is_folder;
            let is_kept = (was.mode, was.uid, was.gid) == (now.mode, now.uid, now.gid);
            match (is_same, is_kept) {
                (true, true) => return None,
                (true, false) => ChangeKind::MetadataChanged,
                (false, _) => ChangeKind::Modified,
            }
        }
    };
    Some(Change { path, kind, before, after, old_content: None, new_content: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_folder_leads_nowhere() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, secret) = (dir.path().join("root"), dir.path().join("secret/inner"));
        std::fs::create_dir_all(&secret).expect("made");
        std::fs::create_dir_all(root.join("folder/inner")).expect("made");
        let open = open_directory(&root, OFlags::RDONLY).expect("open");
        let enter = |path: &str| {
            let path = RelPath::parse(path).expect("a path");
            seen(enter(&open, &path, path.as_path())).expect("an answer").flatten().is_some()
        };
        assert!(enter("folder") && enter("folder/inner"));
        // As a command does between two looks.
        std::fs::rename(root.join("folder"), root.join("away")).expect("moved");
        std::os::unix::fs::symlink("../secret", root.join("folder")).expect("linked");
        assert!(!enter("folder") && !enter("folder/inner"));
        assert!(enter("away/inner"));
    }
}
