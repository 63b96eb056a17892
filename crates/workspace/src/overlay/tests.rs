//! What the contract suite cannot see: the store itself, and views against real mounts.

mod arrival;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitRequest, ConflictReason, ConflictStrategy, Head, WorkspaceDriver, WorkspaceError,
    WorkspaceMount,
};

use super::OverlayDriver;
use super::store::Store;
use super::tree::OverlayTree;
use crate::layer::make_whiteout;
use crate::node::file_type;
use crate::view::View;

const SANDBOX: SandboxId = SandboxId(1);

struct Fixture {
    base: PathBuf,
    store: PathBuf,
    driver: OverlayDriver,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (base, store) = (dir.path().join("base"), dir.path().join("store"));
        fs::create_dir(&base).expect("mkdir");
        let driver = OverlayDriver::new(&store);
        Self { base, store, driver, dir }
    }

    fn create(&self) -> Tree {
        self.driver.create(&self.base).expect("create")
    }

    /// An operation whose writes `write` makes straight in the upper directory.
    fn operate(&self, tree: &Tree, write: impl FnOnce(&Path)) -> Tree {
        let head = self.driver.begin(SANDBOX, tree).expect("begin");
        write(&head.written);
        self.driver.seal(&head).expect("seal").tree
    }

    fn commit(&self, tree: &Tree) -> Result<(), WorkspaceError> {
        let request = CommitRequest {
            operation: OperationId(1),
            tree,
            paths: &[],
            strategy: ConflictStrategy::Fail,
        };
        self.driver.commit(&request).map(drop)
    }

    fn only_layer(&self, tree: &Tree) -> PathBuf {
        let tree = OverlayTree::parse(tree).expect("parse");
        assert_eq!(tree.layers.len(), 1);
        Store::new(&self.store).layer(&tree.layers[0])
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
    fs::write(path, text).expect("write");
}

#[test]
fn an_operation_that_writes_nothing_leaves_its_directories_for_the_next() {
    let f = Fixture::new();
    let tree = f.create();
    let inode =
        |head: &Head| crate::node::version(&head.written).expect("stat").expect("there").ino;
    let first = f.driver.begin(SANDBOX, &tree).expect("begin");
    assert_eq!(f.driver.seal(&first).expect("seal").tree, tree);
    let second = f.driver.begin(SANDBOX, &tree).expect("begin");
    assert_eq!(inode(&first), inode(&second));
    assert_eq!(fs::read_dir(f.store.join("layers")).map_or(0, Iterator::count), 0);
}

#[test]
fn a_change_outside_while_the_operation_runs_is_a_conflict() {
    let f = Fixture::new();
    write(&f.base.join("raced"), "old");
    write(&f.base.join("before"), "old");
    write(&f.base.join("before"), "changed just before");
    let tree = f.create();
    let tree = f.operate(&tree, |upper| {
        write(&upper.join("raced"), "mine");
        write(&upper.join("before"), "mine");
        // Longer than any tick of the clock that stamps files.
        std::thread::sleep(std::time::Duration::from_millis(20));
        write(&f.base.join("raced"), "theirs");
    });
    match f.commit(&tree) {
        Err(WorkspaceError::Conflicts { conflicts }) => {
            assert_eq!(conflicts.len(), 1, "{conflicts:?}");
            assert_eq!(conflicts[0].path, RelPath::parse("raced").expect("valid"));
            assert_eq!(conflicts[0].reason, ConflictReason::Changed);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_to_string(f.base.join("raced")).expect("read"), "theirs");
}

#[test]
fn someone_elses_new_mode_of_a_folder_survives_a_commit_inside_it() {
    use std::os::unix::fs::PermissionsExt;
    let f = Fixture::new();
    write(&f.base.join("d/in"), "old");
    let tree = f.operate(&f.create(), |upper| {
        write(&upper.join("d/new"), "mine");
        crate::node::copy_metadata(&f.base.join("d"), &upper.join("d")).expect("copy up");
    });
    fs::set_permissions(f.base.join("d"), fs::Permissions::from_mode(0o700)).expect("chmod");
    f.commit(&tree).expect("no conflict");
    assert!(f.base.join("d/new").exists());
    let mode = fs::metadata(f.base.join("d")).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_layer_that_an_earlier_boot_left_damaged_is_noticed_at_begin() {
    let f = Fixture::new();
    let tree = f.operate(&f.create(), |upper| write(&upper.join("f"), "content"));
    let layer = f.only_layer(&tree);
    let boot = Store::new(&f.store).boot().to_owned();
    let other = if boot == "00000000" { "00000001" } else { "00000000" };
    let earlier = |path: &Path| {
        PathBuf::from(
            path.to_str().expect("text").replace(&format!("-{boot}-"), &format!("-{other}-")),
        )
    };
    let manifest = PathBuf::from(format!("{}.manifest", layer.display()));
    fs::rename(&layer, earlier(&layer)).expect("rename");
    fs::rename(&manifest, earlier(&manifest)).expect("rename");
    let tree = Tree(tree.0.replace(&format!("-{boot}-"), &format!("-{other}-")));
    f.driver.begin(SANDBOX, &tree).expect("a whole layer");
    // It is looked at once; then it is known to have survived.
    let survived = PathBuf::from(format!("{}.survived", earlier(&layer).display()));
    fs::remove_file(&survived).expect("the mark of a layer that survived");
    // As ext4 leaves a file whose blocks were not allocated when the machine died.
    fs::OpenOptions::new()
        .write(true)
        .open(earlier(&layer).join("f"))
        .and_then(|file| file.set_len(0))
        .expect("truncate");
    let found = f.driver.begin(SANDBOX, &tree);
    assert!(matches!(found, Err(WorkspaceError::Damaged { .. })), "{found:?}");
}

#[test]
fn a_manifest_without_its_layer_hurts_nobody_and_is_collected() {
    let f = Fixture::new();
    let tree = f.operate(&f.create(), |upper| write(&upper.join("f"), "content"));
    let layer = f.only_layer(&tree);
    // A crash between the two steps of sealing another layer.
    let orphan = PathBuf::from(format!("{}1.manifest", layer.display()));
    fs::copy(format!("{}.manifest", layer.display()), &orphan).expect("copy");
    f.driver.verify(&tree, true).expect("verify");
    f.driver.collect(&mut || Some(vec![tree.clone()]), &|| true).expect("collect");
    assert!(!orphan.exists());
    f.driver.verify(&tree, true).expect("verify");
}

#[test]
fn while_another_process_uses_the_store_young_layers_stay() {
    let f = Fixture::new();
    let tree = f.operate(&f.create(), |upper| write(&upper.join("f"), "content"));
    let layer = f.only_layer(&tree);
    let other = OverlayDriver::new(&f.store);
    other.collect(&mut || Some(Vec::new()), &|| true).expect("collect");
    assert!(layer.exists(), "it may have been sealed just now and not yet recorded");
    drop(other);
    f.driver.collect(&mut || Some(Vec::new()), &|| true).expect("collect");
    assert!(!layer.exists());
}

/// What another process seals, records and goes away from just before is among what is live.
#[test]
fn what_is_live_is_asked_when_nobody_else_can_add_to_it() {
    let f = Fixture::new();
    let tree = f.operate(&f.create(), |upper| write(&upper.join("f"), "content"));
    let layer = f.only_layer(&tree);
    let mut asked = false;
    f.driver
        .collect(
            &mut || {
                asked = true;
                let lock = fs::File::open(f.store.join("lock")).expect("the lock file");
                let shared = rustix::fs::FlockOperation::NonBlockingLockShared;
                let busy = rustix::fs::flock(&lock, shared);
                assert_eq!(busy, Err(rustix::io::Errno::WOULDBLOCK), "others can still come");
                None
            },
            &|| true,
        )
        .expect("collect");
    assert!(asked);
    assert!(layer.exists(), "without an answer nothing goes");
}

#[test]
fn the_store_is_never_committed_away() {
    let f = Fixture::new();
    let above = f.dir.path();
    write(&above.join("other"), "x");
    let tree = f.driver.create(above).expect("create");
    let view = Store::new(&f.store);
    f.driver.begin(SANDBOX, &tree).expect("begin");
    let view = view.view(&OverlayTree::parse(&tree).expect("parse")).expect("view");
    assert_eq!(view.lookup(&RelPath::parse("store").expect("valid")).expect("lookup"), None);

    // A command can at most put something in its place.
    let tree = f.operate(&tree, |upper| write(&upper.join("store/f"), "x"));
    match f.commit(&tree) {
        Err(WorkspaceError::Io { path, .. }) => assert!(path.starts_with(&f.store), "{path:?}"),
        other => panic!("{other:?}"),
    }
    // A store below something that is removed.
    let deep = OverlayDriver::new(&above.join("base/a/store"));
    let tree = deep.create(&f.base).expect("create");
    let head = deep.begin(SANDBOX, &tree).expect("begin");
    make_whiteout(&head.written.join("a")).expect("whiteout");
    let tree = deep.seal(&head).expect("seal").tree;
    let request = CommitRequest {
        operation: OperationId(2),
        tree: &tree,
        paths: &[],
        strategy: ConflictStrategy::Ours,
    };
    assert!(deep.commit(&request).is_err());
    assert!(above.join("base/a/store/layers").exists());
}

/// Runs a script in the mounted head; the names, types, modes and sizes that it sees at its end.
/// `None`, with the reason told, where this host cannot mount.
fn run(head: &Head, script: &str) -> Option<BTreeMap<String, String>> {
    let WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } = &head.mount else {
        panic!("not an overlay: {head:?}");
    };
    let at = tempfile::tempdir().expect("temporary directory");
    let lower: Vec<String> = lower_dirs.iter().map(|dir| dir.display().to_string()).collect();
    let flags: &[&str] = if rustix::process::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let options = format!(
        "userxattr,volatile,lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        upper_dir.display(),
        work_dir.display()
    );
    let control = r#"mount -t overlay overlay -o "$1" "$2" || exit 99
        cd "$2" && eval "$3"; find . -mindepth 1 \( -type d -printf '%P %y %m\n' \
            -o -printf '%P %y %m %s\n' \)"#;
    let output = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", control, "sh", &options])
        .arg(at.path())
        .arg(script)
        .output()
        .expect("run unshare");
    if output.status.code() == Some(99) {
        eprintln!("SKIPPED({})", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let (path, rest) = line.split_once(' ').expect("a path and more");
        (path.to_owned(), rest.to_owned())
    };
    Some(text.lines().map(line).collect())
}

/// The same, of a view.
fn shown(view: &View) -> BTreeMap<String, String> {
    use ctrlz_core::changeset::FileType;
    let mut seen = BTreeMap::new();
    let mut pending = vec![RelPath::root()];
    while let Some(directory) = pending.pop() {
        for (name, found) in view.children(&directory).expect("children") {
            let path = directory.child(&name);
            let alone = view.lookup(&path).expect("lookup");
            assert_eq!(alone.as_ref(), Some(&found), "{path}");
            let letter = match file_type(&found.version) {
                FileType::Directory => 'd',
                FileType::Symlink => 'l',
                FileType::Fifo => 'p',
                _ => 'f',
            };
            let mut text = format!("{letter} {:o}", found.version.permissions());
            if letter == 'd' {
                pending.push(path.clone());
            } else {
                text = format!("{text} {}", found.version.size);
            }
            seen.insert(path.to_string(), text);
        }
    }
    seen
}

/// A generator of numbers (Knuth's MMIX constants); tests must come out the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        let names: Vec<_> = (0..depth).map(|_| ["a", "b", "c"][self.below(3) as usize]).collect();
        names.join("/")
    }

    fn command(&mut self) -> String {
        let (path, other, number) = (self.path(), self.path(), self.below(1000));
        match self.below(12) {
            0 | 1 => format!("mkdir -p {path}"),
            2 => format!("printf {number} >{path}"),
            3 => format!("printf {number} >>{path}"),
            4 => format!("rm -rf {path}"),
            5 => format!("rm -rf {path}; mkdir {path}"),
            6 => format!("rm -rf {path}; printf {number} >{path}"),
            7 => format!("mv -T {path} {other}"),
            8 => format!("chmod {} {path}", ["700", "755", "711"][self.below(3) as usize]),
            9 => format!("ln {path} {other}"),
            10 => format!("ln -sfn {other} {path}"),
            _ => format!("cp -a {path} {other}"),
        }
    }
}

#[test]
fn a_view_shows_what_a_mount_shows() {
    for seed in 1..4 {
        let f = Fixture::new();
        for (path, text) in [("a/a/a", "1"), ("a/b", "22"), ("b/a/b", "333"), ("c", "4")] {
            write(&f.base.join(path), text);
        }
        let mut random = Random(seed);
        let mut tree = f.create();
        let mut script = String::new();
        for step in 0..12 {
            let commands: Vec<_> = (0..4).map(|_| random.command()).collect();
            let commands = format!("({}) 2>/dev/null", commands.join(") 2>/dev/null; ("));
            script = format!("{script}\n{commands}");
            let head = f.driver.begin(SANDBOX, &tree).expect("begin");
            let Some(seen) = run(&head, &commands) else { return };
            tree = f.driver.seal(&head).expect("seal").tree;
            let parsed = OverlayTree::parse(&tree).expect("parse");
            let view = Store::new(&f.store).view(&parsed).expect("view");
            assert_eq!(shown(&view), seen, "seed {seed}, step {step}:{script}");
            f.driver.verify(&tree, true).expect("verify");
        }
    }
}
