//! The look of a folder, to be compared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Everything below a folder: types, modes, owners, times, content, links and attributes.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Tree {
    entries: BTreeMap<PathBuf, String>,
}

impl Tree {
    /// What is below `folder` now.
    #[track_caller]
    pub(crate) fn of(folder: &Path) -> Self {
        let mut tree = Self { entries: BTreeMap::new() };
        let mut links = BTreeMap::new();
        tree.add(folder, Path::new(""), &mut links);
        tree
    }

    fn add(&mut self, folder: &Path, at: &Path, links: &mut BTreeMap<(u64, u64), PathBuf>) {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        for name in names {
            let (path, relative) = (folder.join(&name), at.join(&name));
            self.entries.insert(relative.clone(), describe(&path, &relative, links));
            if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                self.add(&path, &relative, links);
            }
        }
    }

    /// What differs, one line an entry.
    pub(crate) fn difference(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, here) in &self.entries {
            match other.entries.get(path) {
                Some(there) if there == here => {}
                Some(there) => lines.push(format!("~ {} {here} | {there}", path.display())),
                None => lines.push(format!("- {} {here}", path.display())),
            }
        }
        let new = other.entries.iter().filter(|(path, _)| !self.entries.contains_key(*path));
        lines.extend(new.map(|(path, there)| format!("+ {} {there}", path.display())));
        lines
    }

    /// Fails unless `other` is the same.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        let difference = self.difference(other);
        assert!(difference.is_empty(), "the trees differ:\n{}", difference.join("\n"));
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.entries).finish()
    }
}

fn describe(path: &Path, at: &Path, links: &mut BTreeMap<(u64, u64), PathBuf>) -> String {
    let metadata = path.symlink_metadata().expect("the metadata of an entry");
    let kind = metadata.file_type();
    let mut text = format!("{:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid());
    if kind.is_file() {
        let content = fs::read(path).unwrap_or_else(|error| error.to_string().into_bytes());
        let shown = String::from_utf8_lossy(&content[..content.len().min(60)]).into_owned();
        text += &format!(" {} bytes {:016x} {shown:?}", content.len(), digest(&content));
        if metadata.nlink() > 1 {
            let first = links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| at.into());
            text += &format!(" linked with {}", first.display());
        }
    } else if kind.is_symlink() {
        text += &format!(" -> {:?}", fs::read_link(path).expect("a link's target"));
    } else if kind.is_block_device() || kind.is_char_device() {
        text += &format!(" device {:x}", metadata.rdev());
    }
    // A directory's time changes with what is done in it, commit's own steps included.
    if !kind.is_dir() && !kind.is_symlink() {
        text += &format!(" at {}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    }
    for (name, value) in attributes(path) {
        text += &format!(" {name}={value:?}");
    }
    text
}

/// FNV-1a: enough to tell contents of tests apart.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0_u8; 1 << 12];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut found: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0_u8; 1 << 12];
            let name = std::ffi::OsStr::from_bytes(name);
            let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap_or(0);
            value.truncate(length);
            (name.to_string_lossy().into_owned(), value)
        })
        .collect();
    found.sort();
    found
}
