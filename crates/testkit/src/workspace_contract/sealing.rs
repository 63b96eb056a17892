//! Heads and trees: begin, seal, abandon, crash, fork, rollback.

use ctrlz_core::changeset::ChangeKind::{Added, Deleted, Modified};
use ctrlz_core::id::SandboxId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;

use super::fixture::{Fixture, MakeDriver, OTHER, SANDBOX, mount, these};
use super::view::{View, assert_same, fingerprint};

const BASE: &str =
    "umask 022; printf one >a; mkdir -p d/sub; printf two >d/b; printf three >d/sub/c
    ln -s a link; ln d/b hard; mkfifo pipe; chmod 640 a";

/// A new tree shows the base, and an operation that writes nothing changes nothing.
pub fn an_operation_without_a_change_gives_the_same_tree(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.create();
    f.assert_reads("the base", &tree, &f.live());
    assert_eq!(f.driver.base_tree(&tree).expect("base_tree"), tree, "a new tree is its base");
    let (sealed, _) = f.operate(SANDBOX, &tree, |m| _ = m.run("cat a d/b d/sub/c; ls -lR"));
    assert_eq!(sealed.tree, tree, "nothing was written");
    assert!(sealed.counts.is_empty(), "{:?}", sealed.counts);
    assert_eq!(f.changes(&tree, &sealed.tree), []);
    // Not only on the base.
    let one = f.step(&tree, "printf more >>a");
    let (sealed, _) = f.operate(SANDBOX, &one, |m| _ = m.run("cat a"));
    assert_eq!(sealed.tree, one);
    assert!(sealed.counts.is_empty(), "{:?}", sealed.counts);
}

/// What is written, then undone within the operation, is no change.
pub fn what_an_operation_takes_back_itself_is_no_change(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.create();
    let (sealed, seen) = f.operate(SANDBOX, &tree, |m| {
        m.run(
            "cp -p a keep; printf x >>a; cat keep >a; touch -r keep a; rm keep
             mkdir new; touch new/x; rm -r new; chmod 600 d/b; chmod 644 d/b
             touch d/sub/y; rm d/sub/y",
        );
    });
    assert_same("the base", &f.live().except(&["d/b", "hard"]), &seen.except(&["d/b", "hard"]));
    assert_eq!(f.changes(&tree, &sealed.tree), []);
    assert!(sealed.counts.is_empty(), "{:?}", sealed.counts);
}

/// What lies in a new directory is counted with it, wherever that directory stands: where nothing
/// was, where something else was, and where a directory was that is gone.
pub fn new_directories_count_with_all_that_lies_in_them(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.create();
    let fill =
        |at: &str| format!("mkdir -p {at}/e/s; ln -s y {at}/e/x; echo >{at}/e/s/z; echo >{at}/b");
    // Nothing; a file; a directory in whose place a new one is not merged with it; and one that
    // stays and gets a new one.
    let at = ["new", "a", "d", "kept"].map(fill).join("; ");
    let first = f.step(&tree, &format!("mkdir kept; rm -r a d; {at}"));
    let counts = f.changeset(&tree, &first).counts();
    assert_eq!((counts.added, counts.deleted), (21, 2), "{counts:?}");
    // The same again, above a layer that removed them.
    let gone = f.step(&first, "rm -r new a d kept/e");
    let again = f.step(&gone, &format!("mkdir -p d; {at}; rm new/e/s/z; mkfifo new/e/s/z"));
    f.step(&again, "mv new/e kept/moved; rm -r new d/e; mkdir -p d/e/deep; touch d/e/deep/x");
}

/// Snapshot, more changes, back to the snapshot: the same tree to the last attribute, however
/// often, and also in another process.
pub fn returning_to_an_old_tree_is_identity(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let at_start = f.live();
    let one = f.step(&start, "printf more >>a; rm -r d; printf n >new; ln -sfn new link");
    let at_one = f.read(&one);
    let two = f.step(&one, "rm a new link; mkdir d; printf z >d/z; chmod 711 d");
    let at_two = f.read(&two);
    for _ in 0..2 {
        f.assert_reads("the first tree", &start, &at_start);
        f.assert_reads("the second tree", &one, &at_one);
        f.assert_reads("the third tree", &two, &at_two);
    }
    let other = f.another_driver();
    other.verify(&one, true).expect("verify in another process");
    let head = other.begin(SANDBOX, &one).expect("begin");
    assert_same("another process", &at_one, &View::of(mount(&head).root()));
    other.abandon(SANDBOX).expect("abandon");
    // A step on an old tree leaves the newer ones as they are.
    let branch = f.step(&one, "printf branch >a");
    f.assert_reads("the other branch", &two, &at_two);
    assert_eq!(f.changes(&one, &branch), these(&[("a", Modified)]));
}

/// Two sandboxes on one tree, at work at the same time, do not see each other.
pub fn forks_do_not_see_each_other(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), "printf common >common");
    let at_fork = f.read(&tree);
    let (left, right) = (f.begin(SANDBOX, &tree), f.begin(OTHER, &tree));
    {
        let (mut l, mut r) = (mount(&left), mount(&right));
        l.run("printf left >side; printf l >>common; rm hard");
        r.run("test ! -e side; test -e hard; printf right >side; rm -r d");
        l.run("test \"$(cat side)\" = left; test -e d/b");
        assert_same("a reader in between", &at_fork, &f.read(&tree));
    }
    let left = f.driver.seal(&left).expect("seal").tree;
    let right = f.driver.seal(&right).expect("seal").tree;
    assert_eq!(f.read(&left).text("side"), "left");
    assert_eq!(f.read(&right).text("side"), "right");
    assert_eq!(
        f.changes(&tree, &left),
        these(&[("common", Modified), ("hard", Deleted), ("side", Added)])
    );
    assert_eq!(
        f.changes(&tree, &right),
        these(&[
            ("d", Deleted),
            ("d/b", Deleted),
            ("d/sub", Deleted),
            ("d/sub/c", Deleted),
            ("side", Added)
        ])
    );
    f.assert_reads("the tree that both came from", &tree, &at_fork);
}

/// An abandoned head is gone, and abandoning nothing is fine.
pub fn abandoning_drops_everything(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.create();
    let head = f.begin(SANDBOX, &tree);
    mount(&head).run("printf x >new; rm -r d; mkdir -m 0500 closed; chmod 000 a");
    f.driver.abandon(SANDBOX).expect("abandon");
    assert!(!head.written.exists(), "{} is still there", head.written.display());
    f.driver.abandon(SANDBOX).expect("abandon again");
    f.driver.abandon(SandboxId(77)).expect("abandon what never began");
    f.assert_reads("the tree", &tree, &f.live());
}

/// A crash leaves a head behind; the next begin, in another process, starts clean.
pub fn beginning_after_a_crash_starts_clean(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), "printf kept >kept");
    let expected = f.read(&tree);
    let left = f.begin(SANDBOX, &tree);
    mount(&left).run("printf junk >junk; rm -r d; mkdir -p shut/in; touch shut/in/x; chmod 0 shut");
    let later = f.another_driver();
    let head = later.begin(SANDBOX, &tree).expect("begin after a crash");
    assert_same("after a crash", &expected, &View::of(mount(&head).root()));
    let sealed = later.seal(&head).expect("seal");
    assert!(sealed.counts.is_empty(), "{:?}", sealed.counts);
    assert_eq!(sealed.tree, tree);
}

/// A head says what it stands on, and its disk use lies where it says.
pub fn a_head_says_where_it_writes(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.create();
    let head = f.begin(SANDBOX, &tree);
    assert_eq!((head.sandbox, &head.tree), (SANDBOX, &tree));
    assert!(head.written.starts_with(&f.store), "{}", head.written.display());
    mount(&head).run("printf x >a-file-that-is-written");
    let found = super::upkeep::holding(&head.written, "a-file-that-is-written");
    assert_eq!(found.len(), 1, "{found:?}");
    f.driver.abandon(SANDBOX).expect("abandon");
}

/// Nothing but a commit writes to the live base: not one inode of it changes.
pub fn only_a_commit_touches_the_live_base(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let (before, print) = (f.live(), fingerprint(&f.base));
    let start = f.create();
    let one = f.step(&start, "printf x >>a; rm -r d; chmod 700 .; touch -d 2001-01-01 hard");
    let two = f.step(&one, "rm -f *; mkdir d; printf y >d/b");
    f.step(&start, "rm -rf d");
    f.changes(&start, &two);
    let base = f.driver.base_tree(&two).expect("base_tree");
    f.changes(&two, &base);
    let back = f.driver.restore_paths(&two, &one, &[super::view::rel("a")]).expect("restore");
    f.read(&back);
    f.driver.without(&start, &one, &[]).expect("without").expect("nothing depends on it");
    f.driver.verify(&two, true).expect("verify");
    let request = ctrlz_core::workspace::CommitRequest {
        operation: f.next_operation(),
        tree: &two,
        paths: &[],
        strategy: ctrlz_core::workspace::ConflictStrategy::Fail,
    };
    f.driver.plan_commit(&request).expect("plan");
    f.driver.collect(&mut || Some(vec![start.clone()]), &|| true).expect("collect");
    assert_same("the base", &before, &f.live());
    assert_eq!(print, fingerprint(&f.base), "an inode of the base was touched");
}

/// A text that is not this driver's is refused, whatever it is.
pub fn a_foreign_tree_is_refused(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    for text in ["", "nonsense", "../../etc", "/", "0", "{}", "tree\0x", "\u{fe0f}", "[1,2]"] {
        let foreign = Tree(text.to_owned());
        let found = f.driver.begin(SANDBOX, &foreign);
        assert!(matches!(found, Err(WorkspaceError::ForeignTree { .. })), "{text:?}: {found:?}");
        let found = f.driver.base_tree(&foreign);
        assert!(matches!(found, Err(WorkspaceError::ForeignTree { .. })), "{text:?}: {found:?}");
    }
}
