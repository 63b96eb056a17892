//! Commit: the live directory gets what the sandbox has, whole or in part.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::changeset::ChangeKind::{Added, Deleted, MetadataChanged, Modified};
use ctrlz_core::workspace::{CommitRequest, ConflictStrategy, RecoveredCommit};

use super::fixture::{Fixture, MakeDriver, kinds, these};
use super::view::{assert_same, fingerprint, rel};

const BASE: &str = "umask 022; printf one >one; printf two >two; mkdir -p d/e; printf in >d/in
    printf deep >d/e/deep; ln -s one link; chmod 600 two; mkdir other; printf o >other/o";
const STEP: &str = "umask 022; printf ONE >one; rm two; rm -r d/e; printf new >d/new
    mkdir -p fresh/er; printf f >fresh/er/f; ln -sfn d link; chmod 700 other
    ln d/new twin; mkfifo pipe";

/// After a commit the live directory is what the sandbox saw, to the last attribute, and the
/// sandbox stands on it without a change.
pub fn a_commit_makes_the_live_directory_equal(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), STEP);
    let tree = f.step(&tree, "printf more >>one; rm -r fresh; mkdir fresh; printf g >fresh/g");
    let seen = f.read(&tree);
    let expected = f.driver.changes(&f.driver.base_tree(&tree).expect("base"), &tree);
    let expected = expected.expect("changes").counts();
    let (_, committed) = f.commit(&tree);
    assert_same("the live directory", &seen, &f.live());
    assert_eq!(committed.counts, expected);
    assert_eq!(f.pending(&committed.tree), []);
    f.assert_reads("the sandbox afterwards", &committed.tree, &seen);
    let next = f.step(&committed.tree, "printf again >one");
    assert_eq!(f.pending(&next), these(&[("one", Modified)]));
    let seen = f.read(&next);
    f.commit(&next);
    assert_same("the second commit", &seen, &f.live());
}

/// A plan tells what a commit will do and writes nothing, neither live nor in the sandbox.
pub fn a_plan_writes_nothing(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), STEP);
    let (live, print, seen) = (f.live(), fingerprint(&f.base), f.read(&tree));
    let request = CommitRequest {
        operation: f.next_operation(),
        tree: &tree,
        paths: &[],
        strategy: ConflictStrategy::Fail,
    };
    let plan = f.driver.plan_commit(&request).expect("plan");
    assert_eq!(kinds(&plan.changeset), f.pending(&tree));
    assert_eq!(plan.conflicts, []);
    assert_same("the live directory", &live, &f.live());
    assert_eq!(print, fingerprint(&f.base), "the live directory");
    f.assert_reads("the tree", &tree, &seen);
    // The plan is what the commit then does.
    let committed = f.driver.commit(&request).expect("commit");
    assert_eq!(committed.counts, plan.changeset.counts());
    assert_same("the live directory", &seen, &f.live());
}

/// A plan names the conflicts, and still writes nothing.
pub fn a_plan_names_the_conflicts(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), STEP);
    f.outside("printf theirs >one");
    let print = fingerprint(&f.base);
    let paths = [];
    let operation = f.next_operation();
    let request =
        CommitRequest { operation, tree: &tree, paths: &paths, strategy: ConflictStrategy::Fail };
    let plan = f.driver.plan_commit(&request).expect("plan");
    assert_eq!(
        super::fixture::named(&plan.conflicts),
        these(&[("one", ctrlz_core::workspace::ConflictReason::Changed)])
    );
    assert_eq!(print, fingerprint(&f.base), "the live directory");
}

/// A commit of a tree without changes is a commit of nothing.
pub fn a_commit_without_changes_writes_nothing(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let print = fingerprint(&f.base);
    let (commit, committed) = f.commit(&f.create());
    assert_eq!(committed.counts, ChangeCounts::default());
    assert_eq!(print, fingerprint(&f.base), "the live directory");
    f.assert_reads("the sandbox afterwards", &committed.tree, &f.live());
    f.revert(commit);
    assert_eq!(print, fingerprint(&f.base), "the live directory");
}

/// With paths, only these and what lies below them are written; the rest stays in the tree, and a
/// diff shows only the rest, until that is committed, too.
pub fn a_partial_commit_leaves_the_rest(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let before = f.live();
    let tree = f.step(&f.create(), STEP);
    let seen = f.read(&tree);
    let operation = f.next_operation();
    let committed = f
        .try_commit(operation, &tree, &["d", "one"], ConflictStrategy::Fail)
        .expect("partial commit");
    let live = f.live();
    assert_eq!(live.text("one"), "ONE");
    assert_eq!(live.text("d/new"), "new");
    assert!(!live.has("d/e"));
    let chosen = ["one", "d"];
    assert_same("the rest of the live directory", &before.except(&chosen), &live.except(&chosen));
    assert_eq!(committed.counts, ChangeCounts { added: 1, modified: 1, deleted: 2, metadata: 0 });
    assert_eq!(
        f.pending(&committed.tree),
        these(&[
            ("fresh", Added),
            ("fresh/er", Added),
            ("fresh/er/f", Added),
            ("link", Modified),
            ("other", MetadataChanged),
            ("pipe", Added),
            ("twin", Added),
            ("two", Deleted),
        ])
    );
    let rest = f.read(&committed.tree);
    let linked = ["d/new", "twin"];
    assert_same("what the sandbox sees", &seen.except(&linked), &rest.except(&linked));
    let (_, committed) = f.commit(&committed.tree);
    assert_same("all of it", &seen.except(&linked), &f.live().except(&linked));
    assert_eq!(f.live().text("twin"), "new");
    assert_eq!(f.pending(&committed.tree), []);
}

/// What a conflict kept out of a partial commit, and what someone else had done alike, is no
/// longer the sandbox's: it shows what is live, and a later change of it is no conflict.
pub fn a_partial_commit_takes_over_what_is_live(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let script = "printf mine >one; printf both >two; printf x >d/new; printf y >fresh";
    let tree = f.step(&f.create(), script);
    f.outside("printf theirs >one; printf both >two");
    let operation = f.next_operation();
    let committed = f
        .try_commit(operation, &tree, &["one", "two"], ConflictStrategy::Theirs)
        .expect("partial commit");
    assert_eq!(f.live().text("one"), "theirs");
    assert_eq!(f.pending(&committed.tree), these(&[("d/new", Added), ("fresh", Added)]));
    let view = f.read(&committed.tree);
    assert_eq!((view.text("one"), view.text("two"), view.text("fresh")), ("theirs", "both", "y"));
    let next = f.step(&committed.tree, "printf ' again' >>one; printf ' again' >>two");
    f.commit(&next);
    let live = f.live();
    assert_eq!((live.text("one"), live.text("two")), ("theirs again", "both again"));
    assert_eq!((live.text("d/new"), live.text("fresh")), ("x", "y"));
}

/// A path deep inside what the sandbox added takes the folders above it along, and nothing else.
pub fn a_partial_commit_brings_the_folders_above(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let script = "mkdir -p a/b/c; chmod 711 a/b; printf 1 >a/b/c/1; printf 2 >a/2; printf 3 >a/b/3";
    let tree = f.step(&f.create(), script);
    let committed = f
        .try_commit(f.next_operation(), &tree, &["a/b/c/1"], ConflictStrategy::Fail)
        .expect("partial commit");
    let live = f.live();
    assert_eq!(live.text("a/b/c/1"), "1");
    assert_eq!(live.get("a/b").expect("a/b").mode, 0o711);
    assert!(!live.has("a/2") && !live.has("a/b/3"));
    assert_eq!(f.pending(&committed.tree), these(&[("a/2", Added), ("a/b/3", Added)]));
}

/// Paths that hold no change commit nothing, and a conflict elsewhere does not matter.
pub fn a_partial_commit_minds_only_its_paths(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), STEP);
    f.outside("printf theirs >one");
    let operation = f.next_operation();
    let committed =
        f.try_commit(operation, &tree, &["other", "d/in"], ConflictStrategy::Fail).expect("commit");
    assert_eq!(committed.counts, ChangeCounts { metadata: 1, ..ChangeCounts::default() });
    let live = f.live();
    assert_eq!((live.text("one"), live.get("other").expect("other").mode), ("theirs", 0o700));
    // `d` is no prefix of `d`'s namesakes.
    let left = f.pending(&committed.tree);
    assert!(left.contains(&("d/new".to_owned(), Added)), "{left:?}");
}

/// A file of the live directory with several names keeps its inode, wherever the others lie.
pub fn a_commit_keeps_hard_links(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf one >a; ln a b; printf two >c; printf 3 >plain")
    else {
        return;
    };
    fs::hard_link(f.base.join("c"), f.path("outside")).expect("link");
    fs::hard_link(f.base.join("a"), f.path("outside-a")).expect("link");
    let inode = |name: &str| fs::metadata(f.base.join(name)).expect("stat").ino();
    let (a, c) = (inode("a"), inode("c"));
    let (start, before) = (f.create(), f.live());
    let early = f.step(&start, "printf x >early");
    let tree = f.step(&start, "printf ' more' >>a; printf ' more' >>c; printf 4 >plain");
    let (commit, _) = f.commit(&tree);
    // Trees from before see the old content by every name, also by those that no step touched.
    for tree in [&start, &early] {
        let old = f.read(&f.driver.rebase(tree, &[commit]).expect("rebase"));
        assert_same("an older tree", &before.parted(), &old.except(&["early"]).parted());
    }
    assert_eq!((inode("a"), inode("b"), inode("c")), (a, a, c));
    let live = f.live();
    assert_eq!(
        (live.text("a"), live.text("b"), live.text("c")),
        ("one more", "one more", "two more")
    );
    assert_eq!(fs::read_to_string(f.path("outside")).expect("read"), "two more");
    assert_eq!(fs::read_to_string(f.path("outside-a")).expect("read"), "one more");
    f.revert(commit);
    assert_eq!((inode("a"), inode("b"), inode("c")), (a, a, c));
    let live = f.live();
    assert_eq!((live.text("a"), live.text("b"), live.text("c")), ("one", "one", "two"));
    assert_eq!(fs::read_to_string(f.path("outside")).expect("read"), "two");
}

/// A commit leaves what it has no business with alone, to the inode.
pub fn a_commit_touches_only_what_changed(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let print = fingerprint(&f.base);
    let tree = f.step(&f.create(), "printf changed >d/in; rm two");
    f.commit(&tree);
    let now = fingerprint(&f.base);
    for path in ["one", "link", "d/e", "d/e/deep", "other", "other/o"] {
        assert_eq!(print.get(&rel(path)), now.get(&rel(path)), "{path} was touched");
    }
}

/// Recovery of an operation that never reached the live directory finds nothing to take back;
/// of one that is complete, it answers what the commit answered.
pub fn recovery_knows_what_happened(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), STEP);
    let (live, never) = (f.live(), f.next_operation());
    assert_eq!(f.driver.recover_commit(never).expect("recover"), RecoveredCommit::TakenBack);
    assert_same("the live directory", &live, &f.live());
    let (commit, committed) = f.commit(&tree);
    let live = f.live();
    let later = f.another_driver();
    for _ in 0..2 {
        match later.recover_commit(commit).expect("recover") {
            RecoveredCommit::Finished(found) => assert_eq!(found, committed),
            RecoveredCommit::TakenBack => panic!("a finished commit was taken back"),
        }
        assert_same("the live directory", &live, &f.live());
    }
    // A refused commit left nothing to recover.
    let tree = f.step(&committed.tree, "printf mine >one");
    f.outside("printf theirs >one");
    let refused = f.next_operation();
    f.try_commit(refused, &tree, &[], ConflictStrategy::Fail).expect_err("a conflict");
    assert_eq!(f.driver.recover_commit(refused).expect("recover"), RecoveredCommit::TakenBack);
    assert_eq!(f.live().text("one"), "theirs");
}
