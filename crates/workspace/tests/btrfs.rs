//! What is the btrfs driver's own: subvolumes, and what is inside of them.
//!
//! `CTRLZ_TEST_BTRFS` names a directory on btrfs in which everything is made.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{CommitRequest, ConflictStrategy, WorkspaceDriver, WorkspaceError};
use ctrlz_sys::btrfs::{create_subvolume, snapshot_subvolume};
use ctrlz_workspace::{CopyDriver, Duplication};
use tempfile::TempDir;

struct Place {
    driver: CopyDriver,
    base: PathBuf,
    store: PathBuf,
    dir: TempDir,
}

/// A base and a driver on btrfs; nothing, after telling so, where there is none.
fn place(duplication: Duplication) -> Option<Place> {
    if !ctrlz_testkit::workspace_contract::goes_to("CTRLZ_TEST_BTRFS") {
        return None;
    }
    let dir = TempDir::with_prefix("ctrlz-btrfs-").expect("tempdir");
    let (base, store) = (dir.path().join("base"), dir.path().join("store"));
    subvolume(&base);
    Some(Place { driver: CopyDriver::by(duplication, &store), base, store, dir })
}

fn subvolume(path: &Path) {
    let above = fs::File::open(path.parent().expect("parent")).expect("open");
    create_subvolume(&above, path.file_name().expect("name")).expect("a subvolume");
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

impl Place {
    fn step(&self, tree: &Tree, act: impl FnOnce(&Path)) -> Tree {
        let head = self.driver.begin(SandboxId(1), tree).expect("begin");
        act(&head.written);
        self.driver.seal(&head).expect("seal").tree
    }

    fn collect(&self, live: &[&Tree]) {
        let live = || Some(live.iter().copied().cloned().collect());
        // A driver of its own, as nothing else uses the store then.
        self.driver.collect(&mut live.clone(), &|| true).expect("collect");
    }

    /// The subvolumes below the store.
    fn subvolumes(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut pending = vec![self.store.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).expect("list").flatten() {
                let stat = entry.metadata().expect("stat");
                if stat.is_dir() {
                    pending.push(entry.path());
                    if stat.ino() == 256 {
                        found.push(entry.path());
                    }
                }
            }
        }
        found
    }
}

/// A base that is a subvolume is taken by a snapshot: its files have their inode numbers.
#[test]
fn a_subvolume_is_taken_by_a_snapshot() {
    let Some(p) = place(Duplication::Btrfs) else { return };
    // A copy would begin to count anew.
    fs::write(p.base.join("gone"), "").expect("write");
    fs::write(p.base.join("f"), "base").expect("write");
    fs::remove_file(p.base.join("gone")).expect("remove");
    let tree = p.driver.create(&p.base).expect("create");
    let inode = fs::metadata(p.base.join("f")).expect("stat").ino();
    let tree = p.step(&tree, |root| {
        let stat = |path: &Path| fs::metadata(path).expect("stat");
        assert_eq!(stat(&root.join("f")).ino(), inode, "no copy");
        assert_eq!(stat(root).ino(), 256, "the head is a subvolume");
        fs::write(root.join("g"), "new").expect("write");
    });
    let head = p.driver.begin(SandboxId(2), &tree).expect("begin");
    assert_eq!(fs::metadata(head.written.join("f")).expect("stat").ino(), inode);
    p.driver.abandon(SandboxId(2)).expect("abandon");
    assert_eq!(read(p.base.join("f")), "base");
}

/// What is in subvolumes inside the base is in no snapshot of it, and yet in the tree.
#[test]
fn subvolumes_inside_the_base_come_along() {
    for duplication in [Duplication::Btrfs, Duplication::Reflink, Duplication::Copy] {
        let Some(p) = place(duplication) else { return };
        fs::create_dir(p.base.join("d")).expect("mkdir");
        subvolume(&p.base.join("d/inner"));
        fs::write(p.base.join("d/inner/kept"), "kept").expect("write");
        subvolume(&p.base.join("d/inner/deep"));
        fs::write(p.base.join("d/inner/deep/too"), "too").expect("write");
        let tree = p.driver.create(&p.base).expect("create");
        let tree = p.step(&tree, |root| {
            assert_eq!(read(root.join("d/inner/kept")), "kept");
            assert_eq!(read(root.join("d/inner/deep/too")), "too");
            fs::write(root.join("f"), "mine").expect("write");
        });
        let head = p.driver.begin(SandboxId(1), &tree).expect("begin");
        assert_eq!(read(head.written.join("d/inner/deep/too")), "too");
        p.driver.abandon(SandboxId(1)).expect("abandon");
        let strategy = ConflictStrategy::Fail;
        let request =
            CommitRequest { operation: OperationId(1), tree: &tree, paths: &[], strategy };
        let committed = p.driver.commit(&request).expect("commit");
        let one = ChangeCounts { added: 1, ..ChangeCounts::default() };
        assert_eq!(committed.counts, one, "{duplication:?}");
        assert_eq!(read(p.base.join("f")), "mine");
        assert_eq!(read(p.base.join("d/inner/deep/too")), "too");
    }
}

/// A change inside of such a subvolume reaches it, or the commit says why not and loses nothing.
#[test]
fn a_commit_into_a_subvolume_inside_the_base_loses_nothing() {
    let Some(p) = place(Duplication::Btrfs) else { return };
    subvolume(&p.base.join("inner"));
    fs::write(p.base.join("inner/f"), "old").expect("write");
    fs::write(p.base.join("g"), "old").expect("write");
    let tree = p.driver.create(&p.base).expect("create");
    let tree = p.step(&tree, |root| {
        fs::write(root.join("inner/f"), "new").expect("write");
        fs::write(root.join("g"), "new").expect("write");
    });
    let strategy = ConflictStrategy::Fail;
    let request = CommitRequest { operation: OperationId(1), tree: &tree, paths: &[], strategy };
    let both = || (read(p.base.join("inner/f")), read(p.base.join("g")));
    match p.driver.commit(&request) {
        Ok(_) => assert_eq!(both(), ("new".to_owned(), "new".to_owned())),
        Err(WorkspaceError::Io { source, .. }) => {
            p.driver.recover_commit(OperationId(1)).expect("recover");
            assert_eq!(both(), ("old".to_owned(), "old".to_owned()), "{source}");
        }
        Err(error) => panic!("{error}"),
    }
    let head = p.driver.begin(SandboxId(2), &tree).expect("begin");
    assert_eq!(read(head.written.join("inner/f")), "new");
}

/// A command may make subvolumes itself, even some that cannot be written to: they are kept, come
/// back, and go when nobody needs them.
#[test]
fn subvolumes_that_a_command_made_are_kept_and_removed() {
    let Some(p) = place(Duplication::Btrfs) else { return };
    fs::write(p.base.join("f"), "base").expect("write");
    let start = p.driver.create(&p.base).expect("create");
    let make = |root: &Path| {
        fs::create_dir(root.join("d")).expect("mkdir");
        subvolume(&root.join("d/made"));
        fs::write(root.join("d/made/in"), "inside").expect("write");
        let (made, d) = (fs::File::open(root.join("d/made")), fs::File::open(root.join("d")));
        let (made, d) = (made.expect("open"), d.expect("open"));
        snapshot_subvolume(&made, &d, OsStr::new("sealed")).expect("snapshot");
        let set = Command::new("btrfs")
            .args(["property", "set", "-ts"])
            .args([root.join("d/sealed").as_os_str(), "ro".as_ref(), "true".as_ref()])
            .output()
            .expect("run btrfs");
        assert!(set.status.success(), "{set:?}");
        assert!(fs::write(root.join("d/sealed/in"), "x").is_err(), "it is read-only");
    };
    let tree = p.step(&start, make);
    let later = p.step(&tree, |root| {
        assert_eq!(read(root.join("d/made/in")), "inside");
        assert_eq!(read(root.join("d/sealed/in")), "inside");
        fs::write(root.join("f"), "mine").expect("write");
    });
    let head = p.driver.begin(SandboxId(1), &later).expect("begin");
    assert_eq!(read(head.written.join("d/made/in")), "inside");
    p.driver.abandon(SandboxId(1)).expect("abandon");
    // A head that is abandoned with such things in it.
    let head = p.driver.begin(SandboxId(1), &start).expect("begin");
    make(&head.written);
    p.driver.abandon(SandboxId(1)).expect("abandon");
    p.collect(&[&start]);
    let left = p.subvolumes();
    assert!(left.is_empty(), "{left:?}");
}

/// Whatever a process that was killed left of trees, heads and landings, goes.
#[test]
fn what_a_killed_process_left_is_collected() {
    let Some(p) = place(Duplication::Btrfs) else { return };
    fs::write(p.base.join("f"), "base").expect("write");
    let start = p.driver.create(&p.base).expect("create");
    let tree = p.step(&start, |root| fs::write(root.join("g"), "new").expect("write"));
    // No process has such a number.
    let making = p.store.join("making/4194305-0");
    fs::create_dir_all(&making).expect("mkdir");
    subvolume(&making.join("root"));
    fs::write(making.join("root/half"), "made").expect("write");
    subvolume(&making.join("root/inner"));
    fs::write(making.join("root/inner/f"), "x").expect("write");
    p.collect(&[&tree]);
    assert!(!making.exists());
    p.collect(&[]);
    let left = p.subvolumes();
    assert!(left.is_empty(), "{left:?}");
}

/// A file that is written in place (`chattr +C`) shares blocks, too.
#[test]
fn files_without_copy_on_write_are_cloned() {
    let Some(p) = place(Duplication::Reflink) else { return };
    let file = p.base.join("image");
    fs::write(&file, "").expect("write");
    let set = Command::new("chattr").arg("+C").arg(&file).output().expect("run chattr");
    assert!(set.status.success(), "{set:?}");
    fs::write(&file, vec![7; 1 << 16]).expect("write");
    let tree = p.driver.create(&p.base).expect("create");
    p.step(&tree, |root| {
        assert_eq!(fs::read(root.join("image")).expect("read"), vec![7; 1 << 16]);
    });
}

/// What cannot be had is refused when a sandbox is made, with the reason.
#[test]
fn what_the_file_system_lacks_is_told() {
    let reason = |duplication, store: &Path, base: &Path| match CopyDriver::by(duplication, store)
        .create(base)
    {
        Err(WorkspaceError::Base { reason, .. }) => reason,
        other => panic!("{duplication:?}: {other:?}"),
    };
    let plain = TempDir::new_in("/dev/shm").expect("tempdir");
    let base = plain.path().join("base");
    fs::create_dir(&base).expect("mkdir");
    fs::write(base.join("f"), "text").expect("write");
    let store = plain.path().join("store");
    let found = reason(Duplication::Reflink, &store, &base);
    assert!(found.contains("cannot share blocks between files"), "{found}");
    let found = reason(Duplication::Btrfs, &store, &base);
    assert!(found.contains("does not lie on btrfs"), "{found}");
    let Some(p) = place(Duplication::Reflink) else { return };
    let found = reason(Duplication::Reflink, &p.store, &base);
    assert!(found.contains("does not lie on the file system of the store"), "{found}");
    // Another driver takes such a base by copying it once.
    let driver = CopyDriver::by(Duplication::Btrfs, &p.dir.path().join("other"));
    let tree = driver.create(&base).expect("create");
    let head = driver.begin(SandboxId(1), &tree).expect("begin");
    assert_eq!(read(head.written.join("f")), "text");
    driver.abandon(SandboxId(1)).expect("abandon");
}
