//! Trees to work on, what is compared of them, and strangers.

mod attack;
mod conflict;
mod crash;
mod property;
mod undo;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ctrlz_core::id::OperationId;
use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::{Conflict, ConflictReason, ConflictStrategy, WorkspaceError};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::{Applied, Expect, Recovered, Replacement, Step};
use crate::node;

pub(super) const OPERATION: OperationId = OperationId(7);

/// A place with a live directory, a wanted one beside it, and room for transactions.
pub(super) struct Scene {
    keep: Option<tempfile::TempDir>,
    pub(super) root: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // An ordinary user has to open the directories without permissions first.
        if self.keep.is_some() {
            let _ = node::remove_tree(&self.root);
        }
    }
}

impl Scene {
    pub(super) fn new() -> Self {
        // In memory where that has user attributes: the syncs of the crash tests cost nothing.
        let memory = tempfile::tempdir_in("/dev/shm").ok().filter(|dir| {
            rustix::fs::setxattr(dir.path(), "user.probe", b"y", XattrFlags::empty()).is_ok()
        });
        let keep = memory.unwrap_or_else(|| tempfile::tempdir().expect("tempdir"));
        let root = keep.path().to_owned();
        fs::create_dir(root.join("live")).expect("mkdir");
        Self { keep: Some(keep), root }
    }

    pub(super) fn live(&self) -> PathBuf {
        self.root.join("live")
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join("live").join(path)
    }

    pub(super) fn wanted(&self, path: &str) -> PathBuf {
        self.root.join("wanted").join(path)
    }

    pub(super) fn transaction(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Begins the wanted tree as a copy of the live one.
    pub(super) fn fork(&self) {
        let _ = node::remove_tree(&self.root.join("wanted"));
        node::copy_tree(&self.live(), &self.root.join("wanted")).expect("copy");
    }

    /// The steps from the live tree to the wanted one, as a sandbox that saw the live tree now.
    pub(super) fn steps(&self) -> Vec<Step> {
        steps_between(&self.live(), &self.root.join("wanted"))
    }

    pub(super) fn execute(&self, steps: &[Step]) -> Result<Applied, WorkspaceError> {
        self.execute_by(steps, ConflictStrategy::Fail)
    }

    pub(super) fn execute_by(
        &self,
        steps: &[Step],
        strategy: ConflictStrategy,
    ) -> Result<Applied, WorkspaceError> {
        let transaction = self.transaction("transaction");
        super::execute(&self.live(), &transaction, OPERATION, steps.to_vec(), strategy)
    }

    /// Reverts the first transaction.
    pub(super) fn revert(&self) -> Result<Applied, WorkspaceError> {
        let steps = super::inverse_steps(&self.transaction("transaction")).expect("steps");
        let revert = self.transaction("revert");
        let strategy = ConflictStrategy::Fail;
        super::execute(&self.live(), &revert, OperationId(8), steps, strategy)
    }

    pub(super) fn tree(&self) -> Tree {
        tree(&self.live())
    }
}

/// Everything that must survive, by path. Directories' times are left out: they move with what is
/// in them.
pub(super) type Tree = BTreeMap<RelPath, Entry>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    mode: u32,
    owner: (u32, u32),
    rdev: u64,
    mtime: Option<Timestamp>,
    content: Vec<u8>,
    attributes: Vec<String>,
    /// The first path of the same inode.
    linked: Option<RelPath>,
}

pub(super) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes: BTreeMap<u64, RelPath> = BTreeMap::new();
    let mut pending = vec![RelPath::root()];
    while let Some(path) = pending.pop() {
        let full = path.below(root);
        let version = node::version(&full).expect("version").expect("there");
        let mut content = Vec::new();
        if version.is_directory() {
            for name in node::entries(&full).expect("list").into_iter().rev() {
                pending.push(path.child(&name));
            }
        } else if version.is_file() {
            content = fs::read(&full).expect("read");
        } else if let Ok(target) = fs::read_link(&full) {
            content = target.into_os_string().into_encoded_bytes();
        }
        let mut names = vec![0; 4096];
        let length = rustix::fs::llistxattr(&full, names.as_mut_slice()).expect("list");
        names.truncate(length);
        let mut attributes: Vec<String> = names
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let mut value = vec![0; 4096];
                let length = rustix::fs::lgetxattr(&full, name, value.as_mut_slice()).expect("get");
                value.truncate(length);
                format!("{}={value:?}", String::from_utf8_lossy(name))
            })
            .collect();
        attributes.sort();
        let linked = (!version.is_directory() && version.nlink > 1)
            .then(|| inodes.entry(version.ino).or_insert_with(|| path.clone()).clone());
        tree.insert(
            path,
            Entry {
                mode: version.mode,
                owner: (version.uid, version.gid),
                rdev: version.rdev,
                mtime: (!version.is_directory()).then_some(version.mtime),
                content,
                attributes,
                linked,
            },
        );
    }
    tree
}

/// Fails with the paths that differ.
#[track_caller]
pub(super) fn assert_same(now: &Tree, wanted: &Tree, what: &str) {
    let differ: Vec<String> = now
        .keys()
        .chain(wanted.keys())
        .filter(|path| now.get(*path) != wanted.get(*path))
        .map(|path| {
            format!("{path}\n  is     {:?}\n  wanted {:?}", now.get(path), wanted.get(path))
        })
        .collect();
    assert!(differ.is_empty(), "{what}:\n{}", differ.join("\n"));
}

/// The present, later than everything that was stamped before.
pub(super) fn now(root: &Path) -> Timestamp {
    let probe = root.parent().expect("parent").join("clock");
    let tick = || {
        fs::write(&probe, b"tick").expect("write");
        node::version(&probe).expect("version").expect("there").ctime
    };
    let first = tick();
    loop {
        let now = tick();
        if now > first {
            return now;
        }
    }
}

pub(super) fn steps_between(live: &Path, wanted: &Path) -> Vec<Step> {
    let (from, to) = (tree(live), tree(wanted));
    let since = now(live);
    let mut steps: Vec<Step> = Vec::new();
    for path in from.keys().chain(to.keys().filter(|path| !from.contains_key(*path))) {
        let (old, new) = (from.get(path), to.get(path));
        let mut before = old.cloned();
        // Link groups are compared by what they are, not by who is first.
        if let (Some(before), Some(new)) = (&mut before, new) {
            before.linked = new.linked.clone();
        }
        if before.as_ref() == new {
            continue;
        }
        let gone = path.ancestors().any(|above| {
            from.contains_key(&above)
                && to.get(&above).is_none_or(|entry| entry.mode & 0o170_000 != 0o040_000)
        });
        if gone {
            continue;
        }
        let expect = match old {
            None => Expect::Absent,
            Some(_) => Expect::Unchanged {
                version: node::version(&path.below(live)).expect("version").expect("there"),
                since,
            },
        };
        let replace = match new {
            None => Replacement::Nothing,
            Some(_) => Replacement::Entry { source: path.below(wanted) },
        };
        steps.push(Step { path: path.clone(), expect, replace });
    }
    steps.sort_by(|a, b| a.path.cmp(&b.path));
    steps
}

pub(super) fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
    fs::write(path, content).expect("write");
}

pub(super) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// A tree with one of each, and a sandbox that changed each in each way.
pub(super) fn busy() -> Scene {
    let scene = Scene::new();
    let at = |path: &str| scene.at(path);
    write(&at("edit"), "old");
    write(&at("mode"), "only the mode changes");
    write(&at("gone"), "removed");
    write(&at("kept/same"), "untouched");
    write(&at("kept/inner"), "old inner");
    write(&at("folder/a"), "a");
    write(&at("folder/deep/b"), "b");
    write(&at("to-folder"), "a file becomes a folder");
    write(&at("to-file/x"), "a folder becomes a file");
    write(&at("to-file/y/z"), "with more in it");
    write(&at("pair-1"), "two names, both removed");
    fs::hard_link(at("pair-1"), at("pair-2")).expect("link");
    write(&at("linked-1"), "old content of two names");
    fs::hard_link(at("linked-1"), at("linked-2")).expect("link");
    symlink("edit", at("link")).expect("symlink");
    symlink("/etc", at("link-out")).expect("symlink");
    fs::create_dir(at("closing")).expect("mkdir");
    write(&at("closing/x"), "in a folder that is closed");
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .expect("fifo");
    rustix::fs::setxattr(at("edit"), "user.note", b"old note", XattrFlags::empty()).expect("xattr");
    fs::write(at(std::str::from_utf8(b"name-\xc3\xa9").expect("utf8")), b"plain").expect("write");

    scene.fork();
    let to = |path: &str| scene.wanted(path);
    fs::remove_file(to("edit")).expect("remove");
    write(&to("edit"), "new, and longer");
    rustix::fs::setxattr(to("edit"), "user.note", b"new note", XattrFlags::empty()).expect("xattr");
    chmod(&to("mode"), 0o4711);
    fs::remove_file(to("gone")).expect("remove");
    write(&to("kept/inner"), "new inner");
    fs::remove_dir_all(to("folder")).expect("remove");
    fs::remove_file(to("to-folder")).expect("remove");
    write(&to("to-folder/one"), "1");
    write(&to("to-folder/two/three"), "3");
    fs::remove_dir_all(to("to-file")).expect("remove");
    write(&to("to-file"), "file now");
    fs::remove_file(to("pair-1")).expect("remove");
    fs::remove_file(to("pair-2")).expect("remove");
    write(&to("linked-1"), "new content of two names");
    fs::remove_file(to("link")).expect("remove");
    symlink("mode", to("link")).expect("symlink");
    fs::remove_file(to("pipe")).expect("remove");
    write(&to("closing/y"), "added and then closed");
    chmod(&to("closing"), 0o555);
    write(&to("added/one"), "1");
    write(&to("added/deep/er/two"), "2");
    fs::hard_link(to("added/one"), to("added/one-again")).expect("link");
    chmod(&to("added/deep"), 0o500);
    write(&to("new"), "new");
    fs::hard_link(to("new"), to("new-again")).expect("link");
    scene
}

#[track_caller]
pub(super) fn reasons(result: Result<Applied, WorkspaceError>) -> Vec<(String, ConflictReason)> {
    match result {
        Err(WorkspaceError::Conflicts { conflicts }) => list(&conflicts),
        other => panic!("no conflicts but {other:?}"),
    }
}

pub(super) fn list(conflicts: &[Conflict]) -> Vec<(String, ConflictReason)> {
    conflicts.iter().map(|conflict| (conflict.path.to_string(), conflict.reason)).collect()
}

pub(super) fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("stat").ino()
}

/// Whether the live root holds nothing of ours any more.
#[track_caller]
pub(super) fn assert_clean(scene: &Scene) {
    let left: Vec<_> = node::entries(&scene.live())
        .expect("list")
        .into_iter()
        .filter(|name| name.to_string_lossy().starts_with(".ctrlz"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[track_caller]
pub(super) fn recovered(scene: &Scene) -> Recovered {
    super::recover(&scene.transaction("transaction")).expect("recover")
}

#[test]
fn what_is_put_in_place_is_told_by_its_contents() {
    let digest_of = |content: &str| {
        let scene = Scene::new();
        fs::write(scene.at("f"), "old").expect("write");
        scene.fork();
        fs::write(scene.wanted("f"), content).expect("write");
        fs::create_dir(scene.wanted("d")).expect("mkdir");
        fs::write(scene.wanted("d/in"), "in").expect("write");
        let applied = scene.execute(&scene.steps()).expect("execute");
        let again = super::recover(&scene.transaction("transaction")).expect("recover");
        assert_eq!(again, Recovered::Finished(applied.clone()), "whoever comes later finds it");
        applied.contents.expect("a digest")
    };
    let mut expected = blake3::Hasher::new();
    for (path, content) in [("d/in", "in"), ("f", "new")] {
        let hash = blake3::hash(content.as_bytes());
        expected.update(format!("{hash} {path}\0").as_bytes());
    }
    assert_eq!(digest_of("new"), expected.finalize().to_string());
    assert_ne!(digest_of("new"), digest_of("nEw"));
}
