//! The live base: which ones are refused, and what is seen of it when others change it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use ctrlz_core::workspace::{ConflictReason, ConflictStrategy, WorkspaceError};

use super::fixture::{Fixture, MakeDriver, explained, skipped, these};
use super::view::assert_same;

/// What is no directory is no base; the reason is told.
pub fn what_is_no_directory_is_no_base(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf x >file") else { return };
    symlink(f.base.join("nowhere"), f.path("dangling")).expect("symlink");
    for base in [f.base.join("file"), f.path("missing"), f.path("dangling")] {
        match f.driver.create(&base) {
            Err(WorkspaceError::Base { path, reason }) => {
                assert_eq!(path, base);
                assert!(!reason.is_empty());
            }
            other => panic!("{}: {other:?}", base.display()),
        }
    }
}

/// The driver's own store and what lies in it is no base, and a directory that holds the store is
/// either refused or seen without ever taking the store into itself.
pub fn a_base_that_holds_the_store(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf x >file") else { return };
    f.step(&f.create(), "printf y >other");
    match f.driver.create(&f.store) {
        Err(WorkspaceError::Base { .. }) => {}
        other => panic!("the store itself: {other:?}"),
    }
    let above = f.store.parent().expect("a parent").to_owned();
    match f.driver.create(&above) {
        Err(WorkspaceError::Base { path, reason }) => {
            assert_eq!(path, above);
            assert!(!reason.is_empty());
        }
        Ok(tree) => {
            let tree = f.step(&tree, "printf z >base/file");
            let found = f.changes(&f.driver.base_tree(&tree).expect("base"), &tree);
            assert_eq!(found, these(&[("base/file", ctrlz_core::changeset::ChangeKind::Modified)]));
        }
        Err(error) => panic!("{}", explained(&error)),
    }
}

/// Others edit the base while a sandbox lives. What the sandbox did not touch shows the old or the
/// new content (a lazy driver shows the new one at once; a copying one what it copied), nothing in
/// between; what it touched is its own; and no diff blames the sandbox for their edits.
pub fn the_base_is_edited_from_outside(make: MakeDriver<'_>) {
    let script = "printf one >one; printf two >two; printf three >three; mkdir d; printf in >d/in";
    let Some(f) = Fixture::new(make, script) else { return };
    let start = f.create();
    let tree = f.step(&start, "printf mine >one; printf new >d/new");
    f.outside("printf theirs >two; rm three; printf added >d/added");
    let view = f.read(&tree);
    assert_eq!(view.text("one"), "mine");
    assert_eq!(view.text("d/new"), "new");
    let two = view.text("two");
    assert!(two == "theirs" || two == "two", "{two}");
    // Together or not at all: no mixture of two times.
    assert_eq!(view.has("three"), two == "two");
    assert_eq!(view.has("d/added"), two == "theirs");
    let mine = these(&[
        ("d/new", ctrlz_core::changeset::ChangeKind::Added),
        ("one", ctrlz_core::changeset::ChangeKind::Modified),
    ]);
    assert_eq!(f.pending(&tree), mine);
    let later = f.step(&tree, "printf 4 >four");
    assert_eq!(
        f.changes(&tree, &later),
        these(&[("four", ctrlz_core::changeset::ChangeKind::Added)])
    );
    f.commit(&later);
    let live = f.live();
    assert_eq!((live.text("one"), live.text("two"), live.text("four")), ("mine", "theirs", "4"));
    assert_eq!((live.text("d/added"), live.text("d/new")), ("added", "new"));
    assert!(!live.has("three"), "someone deleted it");
}

/// An outside edit of what the sandbox touched is a conflict, even when it came before the
/// sandbox's last operation.
pub fn an_outside_edit_of_a_touched_path_is_a_conflict(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf one >one; printf two >two") else { return };
    let tree = f.step(&f.create(), "printf mine >one");
    f.outside("printf theirs >one");
    let tree = f.step(&tree, "printf mine-too >two");
    assert_eq!(f.conflicts(&tree), these(&[("one", ConflictReason::Changed)]));
    assert_eq!(f.read(&tree).text("one"), "mine");
}

/// A live base that cannot be written is refused with the reason: when the tree is made, or at
/// the commit, which then loses nothing.
pub fn a_read_only_base_is_refused(make: MakeDriver<'_>) {
    if rustix::process::geteuid().is_root() {
        let prepare = "mkdir base/d; printf one >base/d/one; printf 2 >base/two
            mount --bind base base; mount -o remount,ro,bind base";
        return in_a_namespace(make, prepare, assert_refused);
    }
    let Some(f) = Fixture::new(make, "umask 022; mkdir d; printf one >d/one; printf 2 >two") else {
        return;
    };
    f.outside("chmod 555 . d");
    assert_refused(&f);
}

fn assert_refused(f: &Fixture<'_>) {
    let before = f.live();
    let tree = match f.driver.create(&f.base) {
        Ok(tree) => tree,
        Err(WorkspaceError::Base { reason, .. }) => return assert!(!reason.is_empty()),
        Err(error) => panic!("create: {}", explained(&error)),
    };
    // A sandbox may open its own directories for itself.
    let tree = f.step(&tree, "chmod 755 d; printf more >>d/one; printf new >d/new");
    let seen = f.read(&tree);
    match f.try_commit(f.next_operation(), &tree, &[], ConflictStrategy::Fail) {
        Err(WorkspaceError::Base { .. } | WorkspaceError::Io { .. }) => {}
        other => panic!("a read-only base was committed to: {other:?}"),
    }
    assert_same("the base", &before, &f.live());
    f.assert_reads("the tree", &tree, &seen);
}

/// What is mounted inside the base stays out of the workspace: its files are neither shown,
/// changed nor copied.
pub fn a_mount_inside_the_base_is_not_crossed(make: MakeDriver<'_>) {
    if !rustix::process::geteuid().is_root() {
        return skipped("mounting a file system below the base needs root");
    }
    let prepare = "mkdir base/d base/mounted; printf 2 >base/two
        mount -t tmpfs none base/mounted; printf secret >base/mounted/secret";
    in_a_namespace(make, prepare, |f| {
        let tree = match f.driver.create(&f.base) {
            Ok(tree) => tree,
            Err(WorkspaceError::Base { reason, .. }) => return assert!(!reason.is_empty()),
            Err(error) => panic!("create: {}", explained(&error)),
        };
        assert!(!f.read(&tree).has("mounted/secret"), "another file system is shown");
        let tree = f.step(&tree, "printf more >>two; printf mine >d/new");
        f.commit(&tree);
        let live = f.live();
        assert_eq!((live.text("mounted/secret"), live.text("two")), ("secret", "2more"));
    });
}

/// Set while a test runs for the second time, in the namespace.
const INSIDE: &str = "CTRLZ_CONTRACT_NAMESPACE";

/// Runs the calling test again, as root in a private mount namespace where `prepare` has been run
/// beside the directory `base`; there it checks a fixture on that base. A mount has to be there
/// for the driver, which runs in this process, and this process cannot enter a namespace alone.
fn in_a_namespace(make: MakeDriver<'_>, prepare: &str, check: impl FnOnce(&Fixture<'_>)) {
    if std::env::var_os(INSIDE).is_some() {
        let Some(mut f) = Fixture::new(make, ":") else { return };
        f.base = std::env::current_dir().expect("current directory").join("base");
        return check(&f);
    }
    let thread = std::thread::current();
    let Some(name) = thread.name().filter(|name| *name != "main") else {
        return skipped("only where the test runner names its threads");
    };
    let dir = tempfile::tempdir().expect("tempdir");
    fs::create_dir(dir.path().join("base")).expect("mkdir");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-euc", &format!("{prepare}\nexec \"$@\""), "sh"])
        .arg(std::env::current_exe().expect("the test binary"))
        .args(["--exact", name, "--nocapture"])
        .current_dir(dir.path())
        .env(INSIDE, "1")
        .output()
        .expect("run unshare");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if !output.status.success() && !text.contains("running 1 test") {
        return skipped(&format!("no private mount namespace: {}", text.trim()));
    }
    if text.contains("in another mount namespace") {
        return skipped("zfs-fuse mounts in the mount namespace of its daemon only");
    }
    assert!(output.status.success() && text.contains("1 passed"), "in the namespace:\n{text}");
}
