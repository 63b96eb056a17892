//! Some paths, or one step, instead of a whole tree.

use ctrlz_core::changeset::ChangeKind::{Added, Deleted, Modified};
use ctrlz_core::path::RelPath;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WithoutError;

use super::fixture::{Fixture, MakeDriver, these};
use super::kinds::paths;
use super::view::{View, assert_same, rel};

const BASE: &str = "umask 022; printf one >one; printf two >two; mkdir -p d/e; printf in >d/in
    printf deep >d/e/deep; ln -s one link; mkdir other; printf o >other/o";

#[track_caller]
fn restored(f: &Fixture<'_>, now: &Tree, then: &Tree, chosen: &[&str]) -> View {
    let chosen: Vec<RelPath> = chosen.iter().map(|path| rel(path)).collect();
    let tree = f.driver.restore_paths(now, then, &chosen).expect("restore_paths");
    f.driver.verify(&tree, true).expect("verify");
    f.read(&tree)
}

/// Only the chosen paths, and what lies below them, are as they were; all else stays as it is.
pub fn chosen_paths_are_restored_and_no_others(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let then = f.step(&start, "printf then >one; printf kept >d/kept; chmod 700 d/e; mkdir was");
    let now = f.step(
        &then,
        "printf now >one; printf now >two; rm -r d/e; printf n >d/new; rm link; ln -s d link
         rmdir was; printf added >added; rm -r other; printf file >other",
    );
    let (at_then, at_now) = (f.read(&then), f.read(&now));
    for chosen in [
        &["one"][..],
        &["d"],
        &["d/e"],
        &["d/e/deep", "link"],
        &["added"],
        &["other"],
        &["was", "d/new"],
        &["one", "two", "d", "link", "was", "added", "other"],
    ] {
        let found = restored(&f, &now, &then, chosen);
        assert_same(&format!("{chosen:?}: chosen"), &at_then.only(chosen), &found.only(chosen));
        // The folders above what comes back come back with it.
        let above: Vec<String> = chosen
            .iter()
            .flat_map(|path| {
                rel(path).ancestors().map(|above| above.to_string()).collect::<Vec<_>>()
            })
            .filter(|above| !at_now.has(above))
            .collect();
        let above: Vec<&str> = above.iter().map(String::as_str).collect();
        let expected = at_now.except(chosen).except(&above);
        assert_same(
            &format!("{chosen:?}: the rest"),
            &expected,
            &found.except(chosen).except(&above),
        );
    }
    f.assert_reads("the tree itself", &now, &at_now);
    f.assert_reads("the old tree", &then, &at_then);
    // From the base, too.
    let found = restored(&f, &now, &start, &["one", "d/kept"]);
    assert_eq!(found.text("one"), "one");
    assert!(!found.has("d/kept") && found.has("d/new"));
}

/// A path comes back from a folder that is gone: with the folders above it, and nothing else.
pub fn a_path_is_restored_from_a_folder_that_is_gone(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let then = f.step(&f.create(), "chmod 711 d; printf x >d/e/x");
    for script in ["rm -r d", "rm -r d; printf file >d", "rm -r d; mkdir d; printf y >d/y"] {
        let now = f.step(&then, script);
        let found = restored(&f, &now, &then, &["d/e/x"]);
        assert_eq!(found.text("d/e/x"), "x", "{script}");
        assert!(!found.has("d/e/deep") && !found.has("d/in"), "{script}: {:?}", paths(&found));
        assert_eq!(found.has("d/y"), script.ends_with("d/y"), "{script}");
    }
}

/// The whole tree can be chosen, and what is restored can be committed like any change.
pub fn the_root_is_restored_and_committed(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let then = f.step(&f.create(), "printf then >one; printf t >then");
    let at_then = f.read(&then);
    let now = f.step(&then, "rm -r d then; printf now >one; printf n >new");
    let tree = f.driver.restore_paths(&now, &then, &[RelPath::root()]).expect("restore");
    f.assert_reads("all of it", &tree, &at_then);
    assert_eq!(f.changes(&then, &tree), []);
    let tree = f.driver.restore_paths(&now, &then, &[rel("d"), rel("one")]).expect("restore");
    assert_eq!(
        f.pending(&tree),
        these(&[("new", Added), ("one", Modified)]),
        "what came back is as in the base"
    );
    let seen = f.read(&tree);
    f.commit(&tree);
    assert_same("the commit", &seen, &f.live());
}

#[track_caller]
fn taken_out(f: &Fixture<'_>, before: &Tree, after: &Tree, later: &[Tree]) -> Tree {
    let tree = f.driver.without(before, after, later).expect("without");
    let tree = tree.unwrap_or_else(|why| panic!("independent: {why:?}"));
    f.driver.verify(&tree, true).expect("verify");
    tree
}

/// An independent step is taken out of the middle, and the later ones stay.
pub fn an_independent_step_is_taken_out(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let one = f.step(&start, "printf 1 >one; printf a >d/a");
    let two = f
        .step(&one, "printf 2 >two; rm -r other; mkdir -p mine/sub; printf m >mine/sub/m; rm link");
    let three = f.step(&two, "printf 3 >d/b; rm d/in; printf more >>one");
    let four = f.step(&three, "printf 4 >four; rm -r d/e");
    let expected = f.read(&four);
    let tree = taken_out(&f, &one, &two, &[three, four]);
    let found = f.read(&tree);
    let middle = ["two", "other", "mine", "link"];
    assert_same("the other steps", &expected.except(&middle), &found.except(&middle));
    assert_same("the step", &f.read(&one).only(&middle), &found.only(&middle));
    assert_eq!(
        f.pending(&tree),
        these(&[
            ("d/a", Added),
            ("d/b", Added),
            ("d/e", Deleted),
            ("d/e/deep", Deleted),
            ("d/in", Deleted),
            ("four", Added),
            ("one", Modified),
        ])
    );
    f.commit(&tree);
    assert_same("the commit", &found, &f.live());
}

/// The last step is taken out without asking anyone, and the first of several.
pub fn the_last_and_the_first_step_are_taken_out(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let one = f.step(&start, "printf 1 >one; rm -r d; printf d >d");
    let two = f.step(&one, "printf 2 >two; mkdir new; rm one");
    let tree = taken_out(&f, &one, &two, &[]);
    f.assert_reads("without the last", &tree, &f.read(&one));
    let tree = taken_out(&f, &start, &one, &[]);
    f.assert_reads("without the only one", &tree, &f.live());
    assert_eq!(f.pending(&tree), []);
    let other = f.step(&one, "printf 2 >two");
    let tree = taken_out(&f, &start, &one, std::slice::from_ref(&other));
    assert_eq!(f.pending(&tree), these(&[("two", Modified)]));
}

/// Where a later step touches what the step touched, the answer names that step and the path.
pub fn a_dependent_step_is_named(make: MakeDriver<'_>) {
    struct Case {
        step: &'static str,
        between: &'static str,
        dependent: &'static str,
        path: &'static str,
    }
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    for Case { step, between, dependent, path } in [
        Case {
            step: "printf 1 >one",
            between: "printf 2 >two",
            dependent: "printf 3 >>one",
            path: "one",
        },
        Case { step: "printf n >n", between: "printf 2 >two", dependent: "rm n", path: "n" },
        Case {
            step: "rm two",
            between: "printf 1 >one",
            dependent: "printf back >two",
            path: "two",
        },
        Case { step: "printf 1 >one", between: "rm two", dependent: "chmod 600 one", path: "one" },
        Case { step: "mkdir n", between: "rm two", dependent: "printf x >n/x", path: "n" },
        Case { step: "printf 1 >d/in", between: "rm two", dependent: "rm -r d", path: "d" },
        Case { step: "rm -r d", between: "rm two", dependent: "mkdir d; printf x >d/x", path: "d" },
        Case {
            step: "rm -r d; printf f >d",
            between: "rm two",
            dependent: "printf g >>d",
            path: "d",
        },
    ] {
        let after = f.step(&start, step);
        let middle = f.step(&after, between);
        let last = f.step(&middle, dependent);
        match f.driver.without(&start, &after, &[middle.clone(), last.clone()]).expect("without") {
            Err(WithoutError::Depends { step: index, path: on }) => {
                assert_eq!(index, 1, "`{dependent}` on `{step}`: the step");
                assert!(on.is_within(&rel(path)), "`{dependent}` on `{step}`: {on}");
            }
            Ok(_) => panic!("`{dependent}` depends on `{step}`"),
        }
        let tree = taken_out(&f, &start, &after, &[middle]);
        assert!(!f.pending(&tree).is_empty(), "`{between}` stays");
        f.driver.verify(&last, true).expect("the last tree is as it was");
    }
}
