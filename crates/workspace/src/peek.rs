//! What an operation has written so far. It writes on meanwhile: what is gone when it is looked at is
//! passed over, and nothing is touched.

use std::collections::HashSet;
use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeKind, Changeset, FileType, Metadata};
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::{TreeView, WorkspaceError};

use crate::access::is_denied;
use crate::layer::{is_opaque, is_whiteout};
use crate::node::{entries, is_gone, metadata, version};

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
        while let Some(folder) = pending.pop() {
            let disk_path = folder.below(self.root);
            // What is closed to whoever looks is told when the operation has ended.
            let Some(names) = seen(entries(&disk_path))? else { continue };
            for name in &names {
                let Some(less) = left.checked_sub(1) else { return Ok(None) };
                left = less;
                let path = folder.child(name);
                let Some(version) = seen(version(&path.below(self.root)))?.flatten() else {
                    continue;
                };
                let was = self.before.entry(&path)?;
                let is_mark = self.is_layer && is_whiteout(&version);
                let now = (!is_mark).then(|| metadata(&version));
                if version.is_directory() {
                    pending.push(path.clone());
                }
                changes.extend(change(path, was, now));
            }
            let hides = !self.is_layer || seen(is_opaque(&disk_path))?.unwrap_or(false);
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
