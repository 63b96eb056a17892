//! Folders as values that can be compared, and copies of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::{Answer, Failure};

/// One entry: all that a user could miss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds; nothing for a folder, whose time tells only when it was written.
    modified: Option<(i64, i64)>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Folder,
    Link(PathBuf),
    Bytes(Vec<u8>),
    Other,
}

/// Everything below a folder, by path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree(pub(crate) BTreeMap<PathBuf, Entry>);

impl Tree {
    /// Reads the folder `root`.
    pub(crate) fn read(root: &Path) -> Answer<Self> {
        let mut tree = Self::default();
        tree.add(root, root)?;
        Ok(tree)
    }

    fn add(&mut self, root: &Path, folder: &Path) -> Answer {
        for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
            let path = entry.map_err(Failure::io("list", folder))?.path();
            let metadata = path.symlink_metadata().map_err(Failure::io("look at", &path))?;
            let content = if metadata.is_dir() {
                self.add(root, &path)?;
                Content::Folder
            } else if metadata.is_symlink() {
                Content::Link(path.read_link().map_err(Failure::io("read", &path))?)
            } else if metadata.is_file() {
                Content::Bytes(fs::read(&path).map_err(Failure::io("read", &path))?)
            } else {
                Content::Other
            };
            let entry = Entry {
                mode: metadata.mode(),
                owner: (metadata.uid(), metadata.gid()),
                modified: (!metadata.is_dir()).then(|| (metadata.mtime(), metadata.mtime_nsec())),
                content,
            };
            let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
            self.0.insert(path, entry);
        }
        Ok(())
    }

    /// The number of files and the bytes in them.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sizes = self.0.values().filter_map(|entry| match &entry.content {
            Content::Bytes(bytes) => Some(bytes.len()),
            _ => None,
        });
        sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size))
    }

    /// The paths that differ, at most a handful.
    pub(crate) fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let mine = self.0.iter().filter(|(path, entry)| other.0.get(*path) != Some(*entry));
        let theirs = other.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        mine.chain(theirs).map(|(path, _)| path.clone()).take(8).collect()
    }
}

/// Copies the sources of a project from `from` to `to`, which must not exist: all but what git or
/// cargo keep there.
pub(crate) fn copy_sources(from: &Path, to: &Path) -> Answer {
    fs::create_dir(to).map_err(Failure::io("make", to))?;
    for entry in fs::read_dir(from).map_err(Failure::io("list", from))? {
        let entry = entry.map_err(Failure::io("list", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Failure::io("look at", &path))?;
        if kind.is_dir() {
            let kept = [".git", "target"].iter().any(|name| entry.file_name() == *name);
            if !kept {
                copy_sources(&path, &target)?;
            }
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(Failure::io("copy", &path))?;
        }
    }
    Ok(())
}
