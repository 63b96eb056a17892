//! What a file tree looks like from outside, in full, and how two looks differ.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ctrlz_core::changeset::FileType;
use ctrlz_core::path::RelPath;

/// Whether the driver under test says that it loses parts of seconds.
static ONLY_SECONDS: AtomicBool = AtomicBool::new(false);

/// Whether the driver under test says that access control lists are not what they are elsewhere.
static NO_LISTS: AtomicBool = AtomicBool::new(false);

/// From now on, no access control lists are compared.
pub(super) fn overlook_access_control_lists() {
    NO_LISTS.store(true, Ordering::Relaxed);
}

/// Whether the driver under test says that what is copied out of its trees has no holes.
static NO_HOLES: AtomicBool = AtomicBool::new(false);

/// From now on, files that are committed may be filled.
pub(super) fn overlook_holes() {
    NO_HOLES.store(true, Ordering::Relaxed);
}

/// Whether files that are committed have holes where they had some.
pub(super) fn keeps_holes() -> bool {
    !NO_HOLES.load(Ordering::Relaxed)
}

/// From now on, times are compared by the second: a binary tests one driver.
pub(super) fn overlook_parts_of_seconds() {
    ONLY_SECONDS.store(true, Ordering::Relaxed);
}

/// What a driver keeps of a time in nanoseconds.
pub(super) fn kept(time: i128) -> i128 {
    if ONLY_SECONDS.load(Ordering::Relaxed) { time - time.rem_euclid(1_000_000_000) } else { time }
}

/// Waits until a change has another time than all before it.
pub(super) fn let_time_pass() {
    if ONLY_SECONDS.load(Ordering::Relaxed) {
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
}

/// A file tree, entry by entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) entries: BTreeMap<RelPath, Entry>,
}

/// All that must survive of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) file_type: FileType,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Of files and symbolic links.
    pub(super) size: u64,
    /// Of device nodes.
    pub(super) device: u64,
    /// Nanoseconds. Of all but directories, whose time changes with their entries.
    pub(super) mtime: Option<i128>,
    pub(super) content: Content,
    pub(super) attributes: BTreeMap<OsString, Vec<u8>>,
    /// The first of the names of the same inode in this tree, where there are several.
    pub(super) linked_to: Option<RelPath>,
}

/// What is inside.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    None,
    Bytes(Vec<u8>),
    /// Of more than fits in a message.
    Digest(u64),
    Target(OsString),
    /// The mode hides it from an ordinary user.
    Hidden,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Digest(digest) => write!(f, "digest {digest:x}"),
            Self::Target(target) => write!(f, "-> {target:?}"),
            Self::Hidden => f.write_str("hidden"),
        }
    }
}

impl View {
    /// Looks at everything at and below `root`.
    pub(super) fn of(root: &Path) -> Self {
        let mut view = Self { entries: BTreeMap::new() };
        let mut inodes = BTreeMap::new();
        view.add(root, RelPath::root(), &mut inodes);
        for names in inodes.into_values().filter(|names: &Vec<RelPath>| names.len() > 1) {
            let first = names.iter().min().cloned();
            for name in names {
                if let Some(entry) = view.entries.get_mut(&name) {
                    entry.linked_to.clone_from(&first);
                }
            }
        }
        view
    }

    fn add(&mut self, root: &Path, path: RelPath, inodes: &mut BTreeMap<(u64, u64), Vec<RelPath>>) {
        let at = path.below(root);
        let stat = fs::symlink_metadata(&at)
            .unwrap_or_else(|error| panic!("cannot look at {}: {error}", at.display()));
        let file_type = file_type(&stat.file_type());
        let directory = file_type == FileType::Directory;
        if !directory {
            inodes.entry((stat.dev(), stat.ino())).or_default().push(path.clone());
        }
        let entry = Entry {
            file_type,
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            size: match file_type {
                FileType::File | FileType::Symlink => stat.size(),
                _ => 0,
            },
            device: match file_type {
                FileType::BlockDevice | FileType::CharDevice => stat.rdev(),
                _ => 0,
            },
            mtime: (!directory).then(|| {
                kept(i128::from(stat.mtime()) * 1_000_000_000 + i128::from(stat.mtime_nsec()))
            }),
            content: content(&at, file_type),
            attributes: attributes(&at),
            linked_to: None,
        };
        self.entries.insert(path.clone(), entry);
        if !directory {
            return;
        }
        let names = match fs::read_dir(&at) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
            Err(error) => panic!("cannot list {}: {error}", at.display()),
        };
        for name in names {
            let name = name.unwrap_or_else(|error| panic!("list {}: {error}", at.display()));
            self.add(root, path.child(&name.file_name()), inodes);
        }
    }

    /// The entry at `path`, if there is one.
    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(&rel(path))
    }

    /// Whether there is an entry at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// The text of the file at `path`.
    #[track_caller]
    pub(super) fn text(&self, path: &str) -> &str {
        match self.get(path).map(|entry| &entry.content) {
            Some(Content::Bytes(bytes)) => std::str::from_utf8(bytes).expect("UTF-8"),
            other => panic!("{path} is no small file: {other:?}"),
        }
    }

    /// This view without `paths` and what lies below them.
    pub(super) fn except(&self, paths: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.entries.retain(|path, _| !paths.iter().any(|gone| path.is_within(&rel(gone))));
        rest
    }

    /// Without hard links: a commit keeps those of the live directory, and an overlay parts them.
    pub(super) fn parted(&self) -> Self {
        let mut parted = self.clone();
        for entry in parted.entries.values_mut() {
            entry.linked_to = None;
        }
        parted
    }

    /// Only `paths` and what lies below them.
    pub(super) fn only(&self, paths: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.entries.retain(|path, _| paths.iter().any(|kept| path.is_within(&rel(kept))));
        rest
    }
}

/// Fails with the differing entries when two trees do not look the same.
#[track_caller]
pub(super) fn assert_same(what: &str, expected: &View, found: &View) {
    let mut text = String::new();
    for (path, entry) in &expected.entries {
        match found.entries.get(path) {
            None => _ = writeln!(text, "missing: {path}\n    {entry:?}"),
            Some(other) if other != entry => {
                _ = writeln!(
                    text,
                    "differs: {path}\n    expected {entry:?}\n    found    {other:?}"
                );
            }
            Some(_) => {}
        }
    }
    for (path, entry) in &found.entries {
        if !expected.entries.contains_key(path) {
            _ = writeln!(text, "too much: {path}\n    {entry:?}");
        }
    }
    assert!(text.is_empty(), "{what}:\n{text}");
}

/// What the kernel would change if anyone wrote to the tree: by path, the inode, its change time
/// and its modification time, directories' included.
pub(super) fn fingerprint(root: &Path) -> BTreeMap<RelPath, (u64, i64, i64, i64, i64)> {
    fn add(root: &Path, path: RelPath, all: &mut BTreeMap<RelPath, (u64, i64, i64, i64, i64)>) {
        let stat = fs::symlink_metadata(path.below(root)).expect("stat");
        let print = (stat.ino(), stat.ctime(), stat.ctime_nsec(), stat.mtime(), stat.mtime_nsec());
        all.insert(path.clone(), print);
        if stat.is_dir()
            && let Ok(names) = fs::read_dir(path.below(root))
        {
            for name in names {
                add(root, path.child(&name.expect("entry").file_name()), all);
            }
        }
    }
    let mut all = BTreeMap::new();
    add(root, RelPath::root(), &mut all);
    all
}

/// `path` as a path in the workspace.
pub(super) fn rel(path: &str) -> RelPath {
    RelPath::parse(path).expect("a path inside the workspace")
}

fn file_type(kind: &fs::FileType) -> FileType {
    if kind.is_dir() {
        FileType::Directory
    } else if kind.is_symlink() {
        FileType::Symlink
    } else if kind.is_fifo() {
        FileType::Fifo
    } else if kind.is_socket() {
        FileType::Socket
    } else if kind.is_block_device() {
        FileType::BlockDevice
    } else if kind.is_char_device() {
        FileType::CharDevice
    } else {
        FileType::File
    }
}

fn content(at: &Path, file_type: FileType) -> Content {
    match file_type {
        FileType::Symlink => Content::Target(fs::read_link(at).expect("readlink").into_os_string()),
        FileType::File => match fs::read(at) {
            Ok(bytes) if bytes.len() <= 4096 => Content::Bytes(bytes),
            Ok(bytes) => {
                let mut hasher = DefaultHasher::new();
                hasher.write(&bytes);
                Content::Digest(hasher.finish())
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Content::Hidden,
            Err(error) => panic!("cannot read {}: {error}", at.display()),
        },
        _ => Content::None,
    }
}

/// Extended attributes: the users', ACLs and file capabilities.
fn attributes(at: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 65536];
    let Ok(length) = rustix::fs::llistxattr(at, &mut names) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| {
        (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
            || (name.starts_with(b"system.posix_acl") && !NO_LISTS.load(Ordering::Relaxed))
            || *name == b"security.capability"
    }) {
        let mut value = vec![0; 65536];
        if let Ok(length) = rustix::fs::lgetxattr(at, OsStr::from_bytes(name), &mut value) {
            value.truncate(length);
            found.insert(OsStr::from_bytes(name).to_owned(), value);
        }
    }
    found
}
