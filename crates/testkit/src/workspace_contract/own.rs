//! What we ourselves did to the base is no conflict with ourselves: commits that were undone, and
//! done again. What others did to it in the meantime still is one.

use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{ConflictStrategy, WorkspaceError};

use super::fixture::{Fixture, MakeDriver, OTHER, named};
use super::view::{View, assert_same};

const BASE: &str = "umask 022; printf one >one; ln -s one link; printf h >h; ln h h2; ln h h3
    printf p >p; ln p p2; printf t >t; mkdir -p d/e; printf in >d/e/in; printf gone >gone
    printf spare >spare; touch -d 2001-01-01 one";
/// Every kind of change, and the next one at the same paths.
const FIRST: &str = "printf ONE >one; ln -sfn spare link; printf 1 >>h; printf 1 >>p
    rm t; mkdir t; printf x >t/x; rm -r d; printf file >d; rm gone; mkdir new; printf n >new/n";
const SECOND: &str = "printf two >one; ln -sfn gone link; printf 2 >>h; rm p; printf P >p
    rm -r t; printf T >t; rm d; mkdir d; printf y >d/y; printf back >gone; rm -r new";

/// What somebody else does to one of those paths, and the path of which it is told. The first
/// keeps the size, the time and the inode.
const STRANGERS: &[(&str, &str)] = &[
    ("touch -r one ref; printf 'XXX' >one; touch -r ref one; rm ref", "one"),
    ("printf theirs >ref; mv ref one", "one"),
    ("chmod 751 one", "one"),
    ("ln -sfn theirs link", "link"),
    ("printf theirs >>h", "h"),
    ("printf theirs >>h3", "h"),
    ("printf theirs >>p2", "p"),
    ("rm -rf t; printf theirs >t", "t"),
    ("rm -rf d; mkdir d; printf theirs >d/y", "d"),
    ("rm -f gone; printf theirs >gone", "gone"),
];

/// The live directory is what the sandbox saw; but a file with several names is written by one of
/// them, and shows it by all, also where the sandbox saw the others as they were.
#[track_caller]
fn assert_as_seen(what: &str, seen: &View, live: &View) {
    let others = ["h2", "h3", "p2"];
    assert_same(what, &seen.parted().except(&others), &live.parted().except(&others));
}

/// A conflict at `path` or in it.
#[track_caller]
fn assert_conflict(f: &Fixture<'_>, tree: &Tree, path: &str, stranger: &str) {
    let found = f.conflicts(tree);
    let below = format!("{path}/");
    let told = found.iter().any(|(at, _)| at == path || at.starts_with(&below));
    assert!(told, "{stranger}: {found:?}");
}

/// A commit, a step at the same paths, undo and redo of both: the step is committed.
pub fn an_undo_and_a_redo_are_no_conflict(make: MakeDriver<'_>) {
    let strangers = STRANGERS.iter().copied().chain([
        ("printf theirs >t/x", "t"),
        ("printf theirs >t/theirs", "t"),
        ("printf theirs >new/n", "new"),
        ("printf theirs >new/theirs", "new"),
        ("printf theirs >>d", "d"),
    ]);
    for (stranger, path) in std::iter::once(("", "")).chain(strangers) {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let one = f.step(&f.create(), FIRST);
        let (mut last, committed) = f.commit(&one);
        let two = f.step(&committed.tree, SECOND);
        let (after, seen) = (f.live(), f.read(&two));
        for _ in 0..2 {
            last = f.revert(last);
            last = f.revert(last);
            assert_same("done again", &after, &f.live());
        }
        if stranger.is_empty() {
            let (commit, _) = f.commit(&two);
            assert_as_seen("the step, committed", &seen, &f.live());
            f.revert(commit);
            assert_same("the step, undone", &after, &f.live());
            f.revert(last);
        } else {
            f.outside(stranger);
            assert_conflict(&f, &two, path, stranger);
        }
    }
}

/// What one sandbox committed and took back is no conflict for another one; what it did not take
/// back is.
pub fn what_another_sandbox_took_back_is_no_conflict(make: MakeDriver<'_>) {
    let kept = STRANGERS.iter().map(|(_, path)| ("", *path));
    let cases = kept.chain(STRANGERS.iter().copied());
    for (stranger, path) in std::iter::once(("", "")).chain(cases) {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let start = f.create();
        let mine = f.step(&start, FIRST);
        let (before, seen) = (f.live(), f.read(&mine));
        let (theirs, _) = f.operate(OTHER, &start, |mounted| _ = mounted.run(FIRST));
        let theirs = f.step(&theirs.tree, SECOND);
        let other = f.another_driver();
        let request = ctrlz_core::workspace::CommitRequest {
            operation: f.next_operation(),
            tree: &theirs,
            paths: &[],
            strategy: ConflictStrategy::Fail,
        };
        other.commit(&request).expect("commit of the other sandbox");
        let kept = stranger.is_empty() && !path.is_empty();
        if !kept {
            f.revert(request.operation);
            assert_same("taken back", &before, &f.live());
        }
        if path.is_empty() {
            let (commit, _) = f.commit(&mine);
            assert_as_seen("mine", &seen, &f.live());
            f.revert(commit);
            assert_same("mine, taken back", &before, &f.live());
        } else {
            f.outside(stranger);
            assert_conflict(&f, &mine, path, stranger);
        }
    }
}

/// A commit is undone after a later one at the same paths was.
pub fn an_older_commit_is_undone_after_a_later_one(make: MakeDriver<'_>) {
    // A folder in place of the file is what the undo wants there.
    let strangers = STRANGERS.iter().copied().filter(|(_, path)| !["gone", "d"].contains(path));
    let strangers = strangers.chain([("printf theirs >>d", "d"), ("printf theirs >t/theirs", "t")]);
    for (stranger, path) in std::iter::once(("", "")).chain(strangers) {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let before = f.live();
        let (first, committed) = f.commit(&f.step(&f.create(), FIRST));
        let after = f.live();
        let (second, _) = f.commit(&f.step(&committed.tree, SECOND));
        f.revert(second);
        assert_same("the later one is undone", &after, &f.live());
        if stranger.is_empty() {
            assert_eq!(f.driver.plan_revert(first).expect("plan").conflicts, []);
            f.revert(first);
            assert_same("both are undone", &before, &f.live());
            continue;
        }
        f.outside(stranger);
        let live = f.live();
        let refused = f.driver.revert(first, f.next_operation(), ConflictStrategy::Fail);
        let Err(WorkspaceError::Conflicts { conflicts }) = refused else {
            panic!("{stranger}: {refused:?}");
        };
        let found = named(&conflicts);
        assert!(found.iter().any(|(at, _)| at == path), "{stranger}: {found:?}");
        assert_same("nothing is written", &live, &f.live());
    }
}

/// After an undo a part is committed, or something else; then the rest is. What only the trees
/// from before needed is collected in between.
pub fn the_rest_is_committed_after_an_undo(make: MakeDriver<'_>) {
    let cases = std::iter::once(&("", "")).chain(STRANGERS);
    for ((stranger, path), part) in cases.flat_map(|case| [(case, true), (case, false)]) {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let start = f.create();
        let spare = "printf part >spare";
        let tree = match part {
            true => f.step(&start, &format!("{FIRST}; {spare}")),
            false => f.step(&start, FIRST),
        };
        let seen = f.read(&tree);
        let (commit, _) = f.commit(&f.step(&start, FIRST));
        f.revert(commit);
        let rest = if part {
            let part = f.try_commit(f.next_operation(), &tree, &["spare"], ConflictStrategy::Fail);
            part.expect("a part").tree
        } else {
            let (commit, _) = f.commit(&f.step(&start, spare));
            f.driver.rebase(&tree, &[commit]).expect("rebase")
        };
        f.another_driver().collect(&mut || Some(vec![rest.clone()]), &|| true).expect("collect");
        if stranger.is_empty() {
            f.commit(&rest);
            let live = f.live();
            assert_as_seen("all of it", &seen.except(&["spare"]), &live.except(&["spare"]));
            assert_eq!(live.text("spare"), if part { "part" } else { "spare" });
        } else {
            f.outside(stranger);
            assert_conflict(&f, &rest, path, stranger);
        }
    }
}
