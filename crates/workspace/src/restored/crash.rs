//! Commits that were cut short and taken back, with each driver: what that moved is no conflict
//! with ourselves, and what others changed is one all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitRequest, ConflictStrategy, RecoveredCommit, WorkspaceDriver, WorkspaceError,
};

use crate::{CopyDriver, OverlayDriver};

const DRIVERS: [&str; 2] = ["copy", "overlay"];
/// In this order they are brought to the base; the last one by name comes last.
const PATHS: [&str; 6] = ["edit", "folder", "gone", "link", "names", "z"];

fn driver(name: &str, root: &Path) -> Box<dyn WorkspaceDriver> {
    match name {
        "copy" => Box::new(CopyDriver::new(&root.join("store"))),
        _ => Box::new(OverlayDriver::new(&root.join("store"))),
    }
}

fn commit(
    driver: &dyn WorkspaceDriver,
    operation: i64,
    tree: &Tree,
    paths: &[&str],
) -> Result<(), WorkspaceError> {
    let paths: Vec<RelPath> =
        paths.iter().map(|path| RelPath::parse(path).expect("path")).collect();
    let strategy = ConflictStrategy::Fail;
    let operation = OperationId(operation);
    driver.commit(&CommitRequest { operation, tree, paths: &paths, strategy }).map(drop)
}

/// What a test runs in another process, which `CTRLZ_FAULT` ends or lets fail.
#[test]
fn child() {
    let Some(root) = std::env::var_os("CTRLZ_RESTORED_SCENE") else { return };
    let name = std::env::var("CTRLZ_RESTORED_DRIVER").expect("a driver");
    let root = PathBuf::from(root);
    let tree = Tree(fs::read_to_string(root.join("tree")).expect("the tree"));
    let driver = driver(&name, &root);
    let done = match std::env::var("CTRLZ_RESTORED_RECOVER") {
        Ok(_) => driver.recover_commit(OperationId(1)).is_ok(),
        Err(_) => commit(driver.as_ref(), 1, &tree, &[]).is_ok(),
    };
    std::process::exit(if done { 0 } else { 3 });
}

struct Scene {
    name: &'static str,
    root: tempfile::TempDir,
    tree: Tree,
}

impl Scene {
    /// A base, and a sandbox that changed each of [`PATHS`].
    fn new(name: &'static str) -> Self {
        let root = tempfile::tempdir().expect("tempdir");
        let at = |path: &str| root.path().join("base").join(path);
        fs::create_dir_all(at("folder/in")).expect("mkdir");
        for file in ["edit", "folder/f", "folder/in/f", "gone", "names", "z"] {
            fs::write(at(file), "old").expect("write");
        }
        std::os::unix::fs::symlink("old", at("link")).expect("link");
        // With names elsewhere they are changed in place, after all others.
        fs::hard_link(at("names"), root.path().join("outside")).expect("link");
        fs::hard_link(at("z"), root.path().join("outside-z")).expect("link");
        let driver = driver(name, root.path());
        let tree = driver.create(&root.path().join("base")).expect("create");
        let head = driver.begin(SandboxId(1), &tree).expect("begin");
        let to = |path: &str| head.written.join(path);
        for file in ["edit", "names", "z"] {
            fs::write(to(file), "mine").expect("write");
        }
        for path in ["folder", "gone", "link"] {
            crate::node::remove_tree(&to(path)).expect("remove");
        }
        // What is removed is written down where layers are written.
        if name == "overlay" {
            crate::layer::make_whiteout(&to("gone")).expect("whiteout");
        }
        fs::write(to("folder"), "mine").expect("write");
        std::os::unix::fs::symlink("mine", to("link")).expect("link");
        let tree = driver.seal(&head).expect("seal").tree;
        fs::write(root.path().join("tree"), &tree.0).expect("write");
        Self { name, root, tree }
    }

    fn driver(&self) -> Box<dyn WorkspaceDriver> {
        driver(self.name, self.root.path())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join("base").join(path)
    }

    fn run(&self, recover: bool, fault: &str) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().expect("own path"));
        child
            .args(["--exact", "restored::crash::child", "--test-threads=1"])
            .env("CTRLZ_RESTORED_SCENE", self.root.path())
            .env("CTRLZ_RESTORED_DRIVER", self.name)
            .env("CTRLZ_FAULT", fault);
        if recover {
            child.env("CTRLZ_RESTORED_RECOVER", "1");
        }
        child.output().expect("run").status
    }

    fn recover(&self) {
        let found = self.driver().recover_commit(OperationId(1)).expect("recover");
        assert_eq!(found, RecoveredCommit::TakenBack);
        let read = |path: &str| fs::read_to_string(self.at(path)).expect("read");
        assert_eq!((read("folder/in/f").as_str(), read("edit").as_str()), ("old", "old"));
    }

    /// Whether `path` is a conflict; if it is none, it is committed.
    #[track_caller]
    fn is_conflict(&self, operation: i64, path: &str) -> bool {
        match commit(self.driver().as_ref(), operation, &self.tree, &[path]) {
            Ok(()) => false,
            Err(WorkspaceError::Conflicts { .. }) => true,
            Err(error) => panic!("{path}: {error:?}"),
        }
    }
}

/// Ways in which a commit is taken back when all paths but the last are in place.
fn cut_short(scene: &Scene, way: &str) {
    match way {
        // By the process that fails.
        "fails" => assert_eq!(scene.run(false, "inverse:1:eio").code(), Some(3)),
        // By the one that comes after a crash, and finds somebody else at work.
        "killed" => {
            assert_eq!(scene.run(false, "rewritten:1").code(), None);
            fs::write(scene.at("z"), "theirs").expect("write");
        }
        // The same, and that one is killed, too.
        _ => {
            cut_short(scene, "killed");
            assert_eq!(scene.run(true, "take-back:4").code(), None);
        }
    }
}

#[test]
fn what_was_taken_back_can_be_committed() {
    for name in DRIVERS {
        for way in ["fails", "killed", "twice"] {
            let scene = Scene::new(name);
            cut_short(&scene, way);
            scene.recover();
            scene.recover();
            // What another process keeps of it outlives a collection.
            let live = vec![scene.tree.clone()];
            scene.driver().collect(&mut || Some(live.clone()), &|| true).expect("collect");
            for (operation, path) in (2..).zip(PATHS) {
                let theirs = path == "z" && way != "fails";
                assert_eq!(scene.is_conflict(operation, path), theirs, "{name}, {way}: {path}");
            }
            assert_eq!(fs::read(scene.root.path().join("outside")).expect("read"), b"mine");
        }
    }
}

/// After it was taken back, and, where it was not reached yet, before.
#[test]
fn what_others_change_of_it_stays_a_conflict() {
    type Stranger = fn(&Path);
    // The second keeps the content and all the times that can be set.
    let strangers: [Stranger; 2] = [|at| fs::write(at, "new").expect("write"), |at| attribute(at)];
    for name in DRIVERS {
        for way in ["fails", "killed", "twice"] {
            for stranger in strangers {
                let scene = Scene::new(name);
                cut_short(&scene, way);
                scene.recover();
                for (operation, path) in (2..).zip(["edit", "folder/in/f", "gone", "names"]) {
                    stranger(&scene.at(path));
                    let step = path.split('/').next().expect("a name");
                    assert!(scene.is_conflict(operation, step), "{name}, {way}: {path}");
                }
            }
        }
        for stranger in strangers {
            let scene = Scene::new(name);
            // `edit` is in place, what comes after is not.
            assert_eq!(scene.run(false, "renamed:1").code(), None);
            for path in ["gone", "names", "z"] {
                stranger(&scene.at(path));
            }
            fs::write(scene.at("folder/theirs"), "theirs").expect("write");
            scene.recover();
            for (operation, path) in (2..).zip(["gone", "names", "z", "folder"]) {
                assert!(scene.is_conflict(operation, path), "{name}: {path}");
            }
            for (operation, path) in (6..).zip(["edit", "link"]) {
                assert!(!scene.is_conflict(operation, path), "{name}: {path}");
            }
        }
    }
}

/// What somebody wrote to a file that was being changed in place is put back by nobody.
#[test]
fn what_others_write_before_it_is_taken_back_stays_a_conflict() {
    for name in DRIVERS {
        let scene = Scene::new(name);
        assert_eq!(scene.run(false, "rewritten:1").code(), None);
        for path in ["names", "z"] {
            fs::write(scene.at(path), "theirs").expect("write");
        }
        scene.recover();
        for (operation, path) in (2..).zip(["names", "z"]) {
            assert_eq!(fs::read(scene.at(path)).expect("read"), b"theirs");
            assert!(scene.is_conflict(operation, path), "{name}: {path}");
        }
        assert!(!scene.is_conflict(4, "edit"), "{name}");
    }
}

/// Changes nothing of a file but an attribute.
fn attribute(at: &Path) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(at, "user.theirs", b"theirs", flags).expect("an attribute");
}

/// Once no tree needs it, nothing is kept of it.
#[test]
fn what_was_taken_back_is_forgotten() {
    let scene = Scene::new("copy");
    cut_short(&scene, "fails");
    scene.recover();
    let kept = scene.root.path().join("store/commits/op-1");
    assert_eq!(crate::node::entries(&kept).expect("kept"), ["taken-back"]);
    scene.driver().collect(&mut || Some(Vec::new()), &|| true).expect("collect");
    assert!(!kept.exists());
}
