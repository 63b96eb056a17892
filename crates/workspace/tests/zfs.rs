//! What is the zfs driver's own: datasets, their clones and snapshots, and what becomes of them.
//!
//! `CTRLZ_TEST_ZFS` names a directory, and `CTRLZ_TEST_ZFS_DATASET` the dataset for the trees.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctrlz_core::id::SandboxId;
use ctrlz_core::live::LiveMeans;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{WorkspaceDriver, WorkspaceError};
use ctrlz_workspace::{CopyDriver, Duplication};
use tempfile::TempDir;

struct Place {
    driver: Option<CopyDriver>,
    parent: String,
    base: PathBuf,
    store: PathBuf,
    dir: TempDir,
}

/// A base and a driver; nothing, after telling so, where there is no ZFS.
fn place() -> Option<Place> {
    if !ctrlz_testkit::workspace_contract::goes_to("CTRLZ_TEST_ZFS") {
        return None;
    }
    ctrlz_testkit::workspace_contract::alone();
    let parent = std::env::var("CTRLZ_TEST_ZFS_DATASET").expect("the name of a dataset");
    let dir = TempDir::with_prefix("ctrlz-zfs-").expect("tempdir");
    let (base, store) = (dir.path().join("base"), dir.path().join("store"));
    fs::create_dir(&base).expect("mkdir");
    let driver = Some(CopyDriver::zfs_below(&parent, &store));
    Some(Place { driver, parent, base, store, dir })
}

fn zfs(arguments: &[&str]) -> String {
    let output = Command::new("zfs").args(arguments).output().expect("run zfs");
    assert!(output.status.success(), "zfs {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Removes a dataset, which zfs-fuse takes for busy a moment after it was used.
fn destroy(name: &str) {
    for _ in 0..20 {
        let output = Command::new("zfs").args(["destroy", "-r", name]).output().expect("run zfs");
        if output.status.success() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{name} stays");
}

impl Place {
    fn driver(&self) -> &CopyDriver {
        self.driver.as_ref().expect("a driver")
    }

    fn step(&self, tree: &Tree, act: impl FnOnce(&Path)) -> Tree {
        let head = self.driver().begin(SandboxId(1), tree).expect("begin");
        act(&head.written);
        self.driver().seal(&head).expect("seal").tree
    }

    /// Collects as nobody else uses the store.
    fn collect(&self, live: &[&Tree]) {
        let live = || Some(live.iter().copied().cloned().collect());
        self.driver().collect(&mut live.clone(), &|| true).expect("collect");
    }

    /// The store's own datasets and their snapshots, the container among them.
    fn datasets(&self) -> Vec<String> {
        let Ok(container) = fs::read_to_string(self.store.join("container")) else {
            return Vec::new();
        };
        let listed = zfs(&["list", "-H", "-t", "all", "-o", "name", "-r", &container]);
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = driver.abandon(SandboxId(1));
            let _ = driver.collect(&mut || Some(Vec::new()), &|| true);
        }
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// A base that is a dataset is taken by a clone, and is as it was when that is gone.
#[test]
fn a_dataset_is_taken_by_a_clone() {
    let Some(mut p) = place() else { return };
    let name = format!("{}/base-{}", p.parent, std::process::id());
    let base = p.dir.path().join("dataset");
    zfs(&["create", "-o", &format!("mountpoint={}", base.display()), &name]);
    // A copy would begin to count anew.
    fs::write(base.join("gone"), "").expect("write");
    fs::write(base.join("f"), "base").expect("write");
    fs::remove_file(base.join("gone")).expect("remove");
    p.base = base;
    let tree = p.driver().create(&p.base).expect("create");
    let stat = |path: &Path| fs::metadata(path).expect("stat");
    let inode = stat(&p.base.join("f")).ino();
    let tree = p.step(&tree, |root| {
        assert_eq!(stat(&root.join("f")).ino(), inode, "no copy");
        assert_ne!(stat(root).dev(), stat(&p.store).dev(), "the head is a dataset");
        fs::write(root.join("g"), "new").expect("write");
    });
    let snapshots = || zfs(&["list", "-H", "-t", "snapshot", "-o", "name", "-r", &name]);
    assert_eq!(snapshots().lines().count(), 1, "what the clones stand on");
    p.collect(&[&tree]);
    assert_eq!(read(p.base.join("f")), "base");
    p.collect(&[]);
    assert_eq!(snapshots(), "", "nothing of ours is left in the base");
    destroy(&name);
}

/// Trees go in any order, those that others were cloned of first, and the rest stays whole.
#[test]
fn trees_go_before_those_that_stand_on_them() {
    let Some(p) = place() else { return };
    fs::write(p.base.join("f"), "base").expect("write");
    let start = p.driver().create(&p.base).expect("create");
    let mut tree = start.clone();
    let mut older = Vec::new();
    for step in 0..5 {
        tree = p.step(&tree, |root| {
            fs::write(root.join(format!("s{step}")), "x").expect("write");
        });
        older.push(tree.clone());
    }
    let fork = older.get(2).expect("the third").clone();
    let fork = p.step(&fork, |root| fs::write(root.join("fork"), "y").expect("write"));
    p.collect(&[&tree, &fork]);
    for tree in [&tree, &fork] {
        p.driver().verify(tree, true).expect("whole");
    }
    // The container, the copy of the base, two trees; and the snapshots on which those stand.
    let left = p.datasets();
    let (snapshots, datasets): (Vec<_>, Vec<_>) = left.iter().partition(|name| name.contains('@'));
    assert_eq!(datasets.len(), 4, "{left:?}");
    assert!(snapshots.len() <= 3, "{left:?}");
    let head = p.driver().begin(SandboxId(1), &fork).expect("begin");
    assert_eq!(read(head.written.join("fork")), "y");
    assert!(!head.written.join("s3").exists());
    p.driver().abandon(SandboxId(1)).expect("abandon");
    p.collect(&[]);
    assert_eq!(p.datasets(), Vec::<String>::new(), "and the container with the last");
    let mounted: Vec<_> = fs::read_dir(p.store.join("mounted")).expect("list").collect();
    assert!(mounted.is_empty(), "{mounted:?}");
}

/// Whatever a process that was killed left, with a link to it or without, goes.
#[test]
fn what_a_killed_process_left_is_collected() {
    let Some(p) = place() else { return };
    fs::write(p.base.join("f"), "base").expect("write");
    let start = p.driver().create(&p.base).expect("create");
    let tree = p.step(&start, |root| fs::write(root.join("g"), "new").expect("write"));
    let container = read(p.store.join("container"));
    let before = p.datasets();
    zfs(&["create", "-o", "mountpoint=none", &format!("{container}/t-1-4194305-0")]);
    zfs(&["create", "-o", "mountpoint=none", &format!("{container}/t-2-4194305-0")]);
    // No process has such a number.
    let making = p.store.join("making/4194305-0");
    fs::create_dir_all(&making).expect("mkdir");
    std::os::unix::fs::symlink("../../mounted/t-2-4194305-0", making.join("root")).expect("link");
    // What is not ours stays.
    zfs(&["create", "-o", "mountpoint=none", &format!("{container}/theirs")]);
    p.collect(&[&tree]);
    assert!(!making.exists());
    let theirs = format!("{container}/theirs");
    assert_eq!(p.datasets(), [before, vec![theirs.clone()]].concat());
    destroy(&theirs);
}

/// What another tool has unmounted is mounted again.
#[test]
fn what_was_unmounted_is_mounted_when_it_is_used() {
    let Some(p) = place() else { return };
    fs::write(p.base.join("f"), "base").expect("write");
    let start = p.driver().create(&p.base).expect("create");
    let tree = p.step(&start, |root| fs::write(root.join("g"), "new").expect("write"));
    for dataset in p.datasets().iter().skip(1).filter(|name| !name.contains('@')) {
        zfs(&["unmount", dataset]);
    }
    p.driver().verify(&tree, true).expect("whole");
    let head = p.driver().begin(SandboxId(1), &tree).expect("begin");
    assert_eq!(read(head.written.join("g")), "new");
}

/// What cannot be had is refused when a sandbox is made, with the reason.
#[test]
fn what_is_missing_is_told() {
    let plain = TempDir::new_in("/dev/shm").expect("tempdir");
    let base = plain.path().join("base");
    fs::create_dir(&base).expect("mkdir");
    let reason = |driver: &CopyDriver| match driver.create(&base) {
        Err(WorkspaceError::Base { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let store = plain.path().join("store");
    let driver = CopyDriver::by(Duplication::Zfs, &store);
    let found = reason(&driver);
    assert!(
        found.contains("does not lie on ZFS") && found.contains("CTRLZ_ZFS_DATASET"),
        "{found}"
    );
    assert_eq!(driver.capabilities().live, LiveMeans::Atomic);
    let nowhere = CopyDriver::zfs_below("no-such-pool/at-all", &store);
    if !rustix::process::geteuid().is_root() {
        let found = reason(&nowhere);
        assert!(found.contains("only root"), "{found}");
        return;
    }
    let found = reason(&nowhere);
    let answers = ["no program `zfs`", "can be made", "does not answer"];
    assert!(answers.iter().any(|answer| found.contains(answer)), "{found}");
    let Some(p) = place() else { return };
    let tree = p.driver().create(&p.base).expect("create");
    p.step(&tree, |root| fs::write(root.join("f"), "x").expect("write"));
    let elsewhere = CopyDriver::zfs_below("another/dataset", &p.store);
    let found = elsewhere.lacks().expect("a look").expect("a reason");
    assert!(found.contains("set CTRLZ_ZFS_DATASET as it was"), "{found}");
    // A store on ZFS needs nobody to name a dataset.
    let name = format!("{}/store-{}", p.parent, std::process::id());
    let on_zfs = p.dir.path().join("on-zfs");
    zfs(&["create", "-o", &format!("mountpoint={}", on_zfs.display()), &name]);
    let driver = CopyDriver::by(Duplication::Zfs, &on_zfs.join("deep/store"));
    assert_eq!(driver.lacks().expect("a look"), None);
    drop(driver);
    destroy(&name);
}
