//! The undo of a commit, the undo of that, and trees from before a commit.

use ctrlz_core::changeset::ChangeKind::{Added, Deleted, Modified};
use ctrlz_core::id::OperationId;
use ctrlz_core::workspace::{ConflictReason, ConflictStrategy, WorkspaceError};

use super::fixture::{Fixture, MakeDriver, kinds, named, these};
use super::view::{assert_same, fingerprint};

const BASE: &str = "umask 022; printf one >one; printf two >two; mkdir -p d/e; printf in >d/in
    printf deep >d/e/deep; ln -s one link; chmod 600 two";
const STEP: &str = "printf ONE >one; rm two; rm -r d/e; printf x >d/e; ln -sfn d link; chmod 700 d
    mkdir -p new/er; printf f >new/er/f; ln new/er/f new/g; touch -d 2001-01-01 d/in";

/// Commit and undo is identity; so is the undo of the undo; a plan tells it before and writes
/// nothing.
pub fn a_revert_brings_back_what_was_there(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let before = f.live();
    let tree = f.step(&f.create(), STEP);
    let (commit, committed) = f.commit(&tree);
    let after = f.live();

    let print = fingerprint(&f.base);
    let plan = f.driver.plan_revert(commit).expect("plan");
    assert_eq!(print, fingerprint(&f.base), "a plan wrote something");
    assert_eq!(plan.conflicts, []);
    let found = kinds(&plan.changeset);
    for expected in these(&[("one", Modified), ("two", Added), ("new", Deleted)]) {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    let counts = plan.changeset.counts();
    assert_eq!((counts.added, counts.deleted), (committed.counts.deleted, committed.counts.added));

    let mut last = commit;
    for round in 0..2 {
        last = f.revert(last);
        assert_same(&format!("undone, round {round}"), &before, &f.live());
        last = f.revert(last);
        assert_same(&format!("done again, round {round}"), &after, &f.live());
    }
}

/// An undo and its undo move times in a directory that a later step removes: that is our own doing.
/// What others put there in the meantime is not.
pub fn a_directory_is_removed_after_undo_and_redo(make: MakeDriver<'_>) {
    for stranger in ["", "mkdir d/e/theirs", "chmod 711 d/e", "printf theirs >d/e/deep"] {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let one = f.step(&f.create(), "printf 1 >d/e/deep; printf new >d/e/new");
        let (commit, committed) = f.commit(&one);
        let two = f.step(&committed.tree, "rm -r d");
        let undo = f.revert(commit);
        f.revert(undo);
        if stranger.is_empty() {
            f.commit(&two);
            assert!(!f.live().has("d"));
        } else {
            f.outside(stranger);
            assert!(!f.conflicts(&two).is_empty(), "{stranger}");
        }
    }
}

/// A directory of which a part was committed before is removed.
pub fn a_directory_is_removed_in_parts(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), "rm -r d; printf 1 >one");
    let committed = f.try_commit(f.next_operation(), &tree, &["d/e/deep"], ConflictStrategy::Fail);
    assert!(!f.live().has("d/e/deep"));
    f.commit(&committed.expect("a part").tree);
    assert!(!f.live().has("d"));
}

/// Two commits are undone in either order of independence.
pub fn an_older_commit_is_reverted_alone(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let one = f.step(&f.create(), "printf 1 >one; printf n >new");
    let (first, committed) = f.commit(&one);
    let two = f.step(&committed.tree, "printf 2 >two");
    f.commit(&two);
    f.revert(first);
    let live = f.live();
    assert_eq!((live.text("one"), live.text("two")), ("one", "2"));
    assert!(!live.has("new"));
}

/// What others did after the commit is not overwritten by its undo: each strategy.
pub fn a_revert_meets_conflicts(make: MakeDriver<'_>) {
    for strategy in [
        ConflictStrategy::Fail,
        ConflictStrategy::Theirs,
        ConflictStrategy::Ours,
        ConflictStrategy::KeepBoth,
    ] {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let tree = f.step(&f.create(), "printf ONE >one; printf TWO >two; mkdir n; printf n >n/n");
        let (commit, _) = f.commit(&tree);
        f.outside("printf theirs >one; printf theirs >n/theirs");
        let before = f.live();
        let conflicts =
            these(&[("n", ConflictReason::InsideChanged), ("one", ConflictReason::Changed)]);
        assert_eq!(named(&f.driver.plan_revert(commit).expect("plan").conflicts), conflicts);
        let operation = f.next_operation();
        let result = f.driver.revert(commit, operation, strategy);
        let live = f.live();
        match strategy {
            ConflictStrategy::Fail => {
                match result {
                    Err(WorkspaceError::Conflicts { conflicts: found }) => {
                        assert_eq!(named(&found), conflicts);
                    }
                    other => panic!("{other:?}"),
                }
                assert_same("nothing is written", &before, &live);
                continue;
            }
            ConflictStrategy::Theirs => {
                assert_eq!((live.text("one"), live.text("n/theirs")), ("theirs", "theirs"));
            }
            ConflictStrategy::Ours => {
                assert_eq!(live.text("one"), "one");
                assert!(!live.has("n"));
            }
            ConflictStrategy::KeepBoth => {
                assert_eq!((live.text("one"), live.text("n/theirs")), ("theirs", "theirs"));
                assert_eq!(live.text(&format!("one.ctrlz-{operation}")), "one");
            }
        }
        result.expect("the strategy resolves it");
        assert_eq!(live.text("two"), "two", "what has no conflict is taken back");
        f.revert(operation);
        assert_same("the undo of the undo", &before, &f.live());
    }
}

/// A commit that is not known cannot be taken back.
pub fn an_unknown_commit_is_not_reverted(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let before = f.live();
    let unknown = OperationId(4711);
    let found = f.driver.plan_revert(unknown);
    assert!(matches!(found, Err(WorkspaceError::Damaged { .. })), "{found:?}");
    let found = f.driver.revert(unknown, f.next_operation(), ConflictStrategy::Fail);
    assert!(matches!(found, Err(WorkspaceError::Damaged { .. })), "{found:?}");
    assert_same("the base", &before, &f.live());
}

/// Trees from before a commit still hold what they held, and can be committed again.
pub fn an_old_tree_survives_a_commit(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let one = f.step(&start, "printf 1 >one; rm -r d/e; printf n >new");
    let two = f.step(&one, &format!("rm new; {}", STEP.replace("rm -r d/e;", "")));
    let (at_start, at_one, at_two) = (f.read(&start), f.read(&one), f.read(&two));
    let (commit, _) = f.commit(&two);

    let start = f.driver.rebase(&start, &[commit]).expect("rebase");
    let one = f.driver.rebase(&one, &[commit]).expect("rebase");
    let two = f.driver.rebase(&two, &[commit]).expect("rebase");
    f.assert_reads("the start", &start, &at_start);
    f.assert_reads("the first step", &one, &at_one);
    f.assert_reads("the second step", &two, &at_two);
    assert_eq!(f.pending(&two), []);
    let found = f.pending(&one);
    assert!(found.contains(&("one".to_owned(), Modified)), "{found:?}");
    assert!(found.contains(&("new/er/f".to_owned(), Deleted)), "{found:?}");

    f.commit(&one);
    assert_same("the older tree, committed", &at_one, &f.live());
}

/// The same through several commits and an undo.
pub fn an_old_tree_survives_several_commits(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let one = f.step(&start, "printf 1 >one; printf n >new");
    let (at_start, at_one) = (f.read(&start), f.read(&one));
    let (first, committed) = f.commit(&one);
    let two = f.step(&committed.tree, "printf 2 >one; rm new; mkdir new; printf x >new/x");
    let at_two = f.read(&two);
    let (second, committed) = f.commit(&two);
    let three = f.step(&committed.tree, "rm -r new d; printf 3 >two");
    let (third, _) = f.commit(&three);
    let undo = f.revert(third);
    let all = [first, second, third, undo];
    let start = f.driver.rebase(&start, &all).expect("rebase");
    f.assert_reads("the start", &start, &at_start);
    let one = f.driver.rebase(&one, &all).expect("rebase");
    f.assert_reads("the first step", &one, &at_one);
    let two = f.driver.rebase(&two, &all[1..]).expect("rebase");
    f.assert_reads("the second step", &two, &at_two);
    assert_eq!(f.pending(&two), []);
    f.commit(&start);
    assert_same("the start, committed", &at_start, &f.live());
}

/// A partial commit changes the base under the older trees, too.
pub fn an_old_tree_survives_a_partial_commit(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let one = f.step(&start, "printf 1 >one; printf 2 >two; rm -r d");
    let (at_start, at_one) = (f.read(&start), f.read(&one));
    let operation = f.next_operation();
    let committed =
        f.try_commit(operation, &one, &["one", "d"], ConflictStrategy::Fail).expect("commit");
    f.assert_reads("what is left", &committed.tree, &at_one);
    assert_eq!(f.pending(&committed.tree), these(&[("two", Modified)]));
    let start = f.driver.rebase(&start, &[operation]).expect("rebase");
    f.assert_reads("the start", &start, &at_start);
    let one = f.driver.rebase(&one, &[operation]).expect("rebase");
    f.assert_reads("the step", &one, &at_one);
    // An outside edit is still a conflict for a rebased tree.
    f.outside("printf theirs >one");
    assert_eq!(f.conflicts(&start), these(&[("one", ConflictReason::Changed)]));
}
