//! One temporary base, one store, one driver: what every case starts from.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctrlz_core::changeset::{ChangeKind, Changeset};
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{
    CommitRequest, Committed, Conflict, ConflictReason, ConflictStrategy, Head, Sealed,
    WorkspaceDriver, WorkspaceError,
};
use tempfile::TempDir;

use super::mount::Mounted;
use super::view::{
    View, assert_same, overlook_access_control_lists, overlook_holes, overlook_parts_of_seconds,
    rel,
};

/// Makes a driver that keeps its trees in the given directory, which exists and is empty, or was
/// filled by an earlier driver made by the same function.
pub type MakeDriver<'a> = &'a dyn Fn(&Path) -> Box<dyn WorkspaceDriver>;

/// The sandbox that steps run in.
pub(super) const SANDBOX: SandboxId = SandboxId(1);
/// Another one.
pub(super) const OTHER: SandboxId = SandboxId(2);
/// The one that only ever reads.
const READER: SandboxId = SandboxId(900);

pub(super) struct Fixture<'a> {
    make: MakeDriver<'a>,
    pub(super) driver: Box<dyn WorkspaceDriver>,
    pub(super) base: PathBuf,
    pub(super) store: PathBuf,
    operations: Cell<i64>,
    // Last, so that the driver is gone when the directory goes.
    dir: TempDir,
}

impl<'a> Fixture<'a> {
    /// A base made by a shell script; nothing, after telling why, where this host cannot mount
    /// what the driver asks for.
    pub(super) fn new(make: MakeDriver<'a>, base_script: &str) -> Option<Self> {
        let dir = TempDir::with_prefix("ctrlz-contract-").expect("a temporary directory");
        let base = dir.path().join("base");
        let store = dir.path().join("store");
        fs::create_dir(&base).expect("create the base");
        fs::create_dir(&store).expect("create the store");
        sh(&base, base_script);
        let driver = make(&store);
        for lost in driver.capabilities().loses {
            match lost.as_str() {
                "times below a second" => overlook_parts_of_seconds(),
                "access control lists" => overlook_access_control_lists(),
                "holes in files that are committed" => overlook_holes(),
                other => panic!("{other}: what of it the contract asks is not known"),
            }
        }
        let fixture = Self { make, driver, base, store, operations: Cell::new(0), dir };
        fixture.probe().then_some(fixture)
    }

    /// A driver on another store, for another base; no operation is under way there.
    pub(super) fn elsewhere(&self, store: &Path, base: &Path) -> Self {
        fs::create_dir_all(store).expect("create the store");
        // Several may be on one store.
        self.operations.set(self.operations.get() + 1000);
        Self {
            make: self.make,
            driver: (self.make)(store),
            base: base.to_owned(),
            store: store.to_owned(),
            operations: Cell::new(self.operations.get()),
            dir: TempDir::with_prefix("ctrlz-contract-").expect("a temporary directory"),
        }
    }

    fn probe(&self) -> bool {
        let empty = self.path("probe");
        fs::create_dir(&empty).expect("create the probe");
        let tree = self.driver.create(&empty).expect("create a tree on an empty directory");
        let head = self.driver.begin(READER, &tree).expect("begin");
        let mounted = Mounted::open(&head).map(drop);
        self.driver.abandon(READER).expect("abandon");
        match mounted {
            Ok(()) => true,
            Err(reason) => {
                skipped(&reason);
                false
            }
        }
    }

    /// A path beside the base and the store.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A second driver on the same store, as another process would have it.
    pub(super) fn another_driver(&self) -> Box<dyn WorkspaceDriver> {
        (self.make)(&self.store)
    }

    pub(super) fn next_operation(&self) -> OperationId {
        self.operations.set(self.operations.get() + 1);
        OperationId(self.operations.get())
    }

    #[track_caller]
    pub(super) fn create(&self) -> Tree {
        self.driver.create(&self.base).expect("create a tree on the base")
    }

    #[track_caller]
    pub(super) fn begin(&self, sandbox: SandboxId, tree: &Tree) -> Head {
        self.driver.begin(sandbox, tree).expect("begin")
    }

    /// Runs `write` in `sandbox` on `tree` and seals it. Answers, too, what the sandbox saw last.
    #[track_caller]
    pub(super) fn operate(
        &self,
        sandbox: SandboxId,
        tree: &Tree,
        write: impl FnOnce(&mut Mounted),
    ) -> (Sealed, View) {
        let head = self.begin(sandbox, tree);
        let seen = {
            let mut mounted = mount(&head);
            write(&mut mounted);
            View::of(mounted.root())
        };
        (self.driver.seal(&head).expect("seal"), seen)
    }

    /// The tree after a shell script; what it holds is compared with what the script saw.
    #[track_caller]
    pub(super) fn step(&self, tree: &Tree, script: &str) -> Tree {
        let (sealed, seen) = self.operate(SANDBOX, tree, |mounted| _ = mounted.run(script));
        self.assert_reads("the tree after the script", &sealed.tree, &seen);
        let counts = self.changeset(tree, &sealed.tree).counts();
        assert_eq!(sealed.counts, counts, "what sealing counted: {script}");
        sealed.tree
    }

    /// What a sandbox on `tree` sees.
    #[track_caller]
    pub(super) fn read(&self, tree: &Tree) -> View {
        let head = self.begin(READER, tree);
        let view = View::of(mount(&head).root());
        self.driver.abandon(READER).expect("abandon");
        view
    }

    /// What a shell script prints in a sandbox on `tree`, whose changes are dropped.
    #[track_caller]
    pub(super) fn run_in(&self, tree: &Tree, script: &str) -> String {
        let head = self.begin(READER, tree);
        let output = mount(&head).run(script);
        self.driver.abandon(READER).expect("abandon");
        output
    }

    #[track_caller]
    pub(super) fn assert_reads(&self, what: &str, tree: &Tree, expected: &View) {
        assert_same(what, expected, &self.read(tree));
    }

    /// What the live base looks like.
    pub(super) fn live(&self) -> View {
        View::of(&self.base)
    }

    /// Someone else's shell script in the live base.
    #[track_caller]
    pub(super) fn outside(&self, script: &str) {
        sh(&self.base, script);
    }

    #[track_caller]
    pub(super) fn changeset(&self, from: &Tree, to: &Tree) -> Changeset {
        let changeset = self.driver.changes(from, to).expect("changes");
        assert!(
            changeset.changes.is_sorted_by(|a, b| a.path < b.path),
            "not sorted by path: {changeset:#?}"
        );
        changeset
    }

    #[track_caller]
    pub(super) fn changes(&self, from: &Tree, to: &Tree) -> Vec<(String, ChangeKind)> {
        kinds(&self.changeset(from, to))
    }

    /// What `tree` has on its base as it is now.
    #[track_caller]
    pub(super) fn pending(&self, tree: &Tree) -> Vec<(String, ChangeKind)> {
        let base = self.driver.base_tree(tree).expect("base_tree");
        self.changes(&base, tree)
    }

    pub(super) fn try_commit(
        &self,
        operation: OperationId,
        tree: &Tree,
        paths: &[&str],
        strategy: ConflictStrategy,
    ) -> Result<Committed, WorkspaceError> {
        let paths: Vec<RelPath> = paths.iter().map(|path| rel(path)).collect();
        self.driver.commit(&CommitRequest { operation, tree, paths: &paths, strategy })
    }

    /// A whole commit that has to succeed.
    #[track_caller]
    pub(super) fn commit(&self, tree: &Tree) -> (OperationId, Committed) {
        let operation = self.next_operation();
        let committed = self
            .try_commit(operation, tree, &[], ConflictStrategy::Fail)
            .unwrap_or_else(|error| panic!("commit: {}", explained(&error)));
        (operation, committed)
    }

    /// A revert that has to succeed.
    #[track_caller]
    pub(super) fn revert(&self, commit: OperationId) -> OperationId {
        let operation = self.next_operation();
        self.driver
            .revert(commit, operation, ConflictStrategy::Fail)
            .unwrap_or_else(|error| panic!("revert: {}", explained(&error)));
        operation
    }

    /// Commits an older tree on the base as others left it after `since`, sees that the live
    /// directory is then what the tree shows, and takes it back; answers the two operations.
    #[track_caller]
    pub(super) fn commit_and_revert(&self, tree: &Tree, since: &[OperationId]) -> [OperationId; 2] {
        let (before, seen) = (self.live(), self.read(tree));
        let tree = self.driver.rebase(tree, since).expect("rebase");
        let (commit, _) = self.commit(&tree);
        assert_same("the live directory after the commit", &seen.parted(), &self.live().parted());
        let revert = self.revert(commit);
        assert_same("the live directory after the undo", &before, &self.live());
        [commit, revert]
    }

    /// The conflicts that a whole commit meets; it must not have written anything.
    #[track_caller]
    pub(super) fn conflicts(&self, tree: &Tree) -> Vec<(String, ConflictReason)> {
        let before = self.live();
        let found = match self.try_commit(self.next_operation(), tree, &[], ConflictStrategy::Fail)
        {
            Err(WorkspaceError::Conflicts { conflicts }) => named(&conflicts),
            other => panic!("expected conflicts: {other:?}"),
        };
        assert_same("the base after a refused commit", &before, &self.live());
        found
    }
}

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        // What a driver has mounted is no part of the directory.
        for sandbox in [SANDBOX, OTHER, READER] {
            _ = self.driver.abandon(sandbox);
        }
        _ = self.driver.collect(&mut || Some(Vec::new()), &|| true);
        // An ordinary user cannot empty a directory that a case left without write permission.
        open_up(self.dir.path());
    }
}

/// Loses a tree's files, and the dataset that they are when they are one. One that others stand on
/// is only emptied.
#[track_caller]
pub(super) fn lose(files: &Path) {
    match fs::remove_dir_all(files) {
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {}
        removed => return removed.expect("remove"),
    }
    let found = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(files).output();
    let dataset = String::from_utf8(found.expect("run findmnt").stdout).expect("UTF-8");
    for _ in 0..20 {
        let destroy = Command::new("zfs").args(["destroy", "-r", dataset.trim()]).output();
        let output = destroy.expect("run zfs");
        // It is busy for a moment after others.
        if output.status.success() || !String::from_utf8_lossy(&output.stderr).contains("busy") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn open_up(dir: &Path) {
    if let Ok(stat) = fs::symlink_metadata(dir)
        && stat.permissions().mode() & 0o700 != 0o700
    {
        _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Puts a head in place; the fixture's probe has shown that it works here.
#[track_caller]
pub(super) fn mount(head: &Head) -> Mounted {
    Mounted::open(head).unwrap_or_else(|reason| panic!("cannot mount {head:?}: {reason}"))
}

/// Paths and kinds of a changeset.
pub(super) fn kinds(changeset: &Changeset) -> Vec<(String, ChangeKind)> {
    changeset.changes.iter().map(|change| (change.path.to_string(), change.kind)).collect()
}

/// Paths and reasons of conflicts.
pub(super) fn named(conflicts: &[Conflict]) -> Vec<(String, ConflictReason)> {
    conflicts.iter().map(|conflict| (conflict.path.to_string(), conflict.reason)).collect()
}

/// The same with `&str`, for comparison.
pub(super) fn these<K: Copy>(expected: &[(&str, K)]) -> Vec<(String, K)> {
    expected.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect()
}

/// An error with its causes.
pub(super) fn explained(error: &WorkspaceError) -> String {
    let mut text = format!("{error} ({error:?})");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Tells that a case could not be tried here. Past the capture of the test runner, so that a skip
/// is seen in a green run.
pub(super) fn skipped(reason: &str) {
    let case = std::thread::current().name().unwrap_or("?").to_owned();
    // In one write: others tell something, too.
    let line = format!("{case}: SKIPPED({reason})\n");
    _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs a shell script in a directory of this host.
#[track_caller]
pub(super) fn sh(dir: &Path, script: &str) -> String {
    let output =
        Command::new("sh").args(["-euc", script]).current_dir(dir).output().expect("run sh");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "a script failed:\n{script}\n--- it printed:\n{text}");
    text
}
