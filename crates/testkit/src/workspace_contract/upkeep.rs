//! Verification, retention, and long chains.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeKind::Added;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::WorkspaceError;

use super::fixture::{Fixture, MakeDriver, OTHER, SANDBOX, explained, lose, mount, these};
use super::view::{View, let_time_pass};

const MARKER: &str = "a-name-that-is-nowhere-else";

/// Every entry named `name` below `dir`.
pub(super) fn holding(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name() == name {
            found.push(entry.path());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.append(&mut holding(&entry.path(), name));
        }
    }
    found
}

#[track_caller]
fn assert_damaged(f: &Fixture<'_>, tree: &Tree, thorough: bool, what: &str) {
    match f.driver.verify(tree, thorough) {
        Err(WorkspaceError::Damaged { path, .. }) => {
            assert!(!path.as_os_str().is_empty(), "{what}: no path");
        }
        Err(error) => panic!("{what}: not told as damage: {}", explained(&error)),
        Ok(()) => panic!("{what}: not noticed"),
    }
}

/// Good trees pass; whatever is done to a tree's files inside the store, a thorough check names.
pub fn damage_is_found(make: MakeDriver<'_>) {
    let script = format!("mkdir -p d/e; printf content >d/e/{MARKER}; ln -s target link");
    type Damage = (&'static str, fn(&Path));
    let cases: &[Damage] = &[
        ("a deleted file", |at| fs::remove_file(at).expect("remove")),
        ("other content", |at| fs::write(at, "CONTENT").expect("write")),
        ("less content", |at| fs::write(at, "c").expect("write")),
        ("another mode", |at| {
            fs::set_permissions(at, fs::Permissions::from_mode(0o711)).expect("chmod");
        }),
        ("another type", |at| {
            fs::remove_file(at).expect("remove");
            fs::create_dir(at).expect("mkdir");
        }),
        ("a new file", |at| fs::write(at.with_file_name("stranger"), "x").expect("write")),
    ];
    for (what, damage) in cases {
        let Some(f) = Fixture::new(make, "printf base >base") else { return };
        let start = f.create();
        let one = f.step(&start, "printf other >other");
        let tree = f.step(&one, &script);
        for thorough in [false, true] {
            for tree in [&start, &one, &tree] {
                f.driver.verify(tree, thorough).expect("a good tree");
            }
        }
        let found = holding(&f.store, MARKER);
        assert!(!found.is_empty(), "the driver keeps it somewhere");
        let_time_pass();
        for at in found {
            damage(&at);
        }
        assert_damaged(&f, &tree, true, what);
        f.driver.verify(&one, true).expect("a tree that is not made of it");
    }
}

/// A quick check notices when a whole layer or tree is gone, and nothing is read from it.
pub fn a_missing_layer_is_found(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf base >base") else { return };
    let one = f.step(&f.create(), "printf other >other");
    let tree = f.step(&one, &format!("printf content >{MARKER}"));
    for at in holding(&f.store, MARKER) {
        lose(at.parent().expect("a directory"));
    }
    assert_damaged(&f, &tree, false, "a missing directory");
    assert_damaged(&f, &tree, true, "a missing directory");
    f.driver.begin(SANDBOX, &tree).expect_err("a damaged tree was opened");
    f.driver.verify(&one, true).expect("a tree that is not made of it");
}

/// Collection keeps what the live trees need, to the last attribute, and what is being written;
/// it removes the rest and says how much that was.
pub fn collection_keeps_live_trees_only(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir d; printf base >d/base; printf x >x") else { return };
    let start = f.create();
    let one = f.step(&start, "printf 1 >one; rm x; mkdir new; printf n >new/n");
    let two = f.step(&one, "printf 2 >>one; rm -r new; printf 2 >d/two");
    let dead = f.step(&one, &format!("head -c 1000000 /dev/zero | tr '\\0' z >{MARKER}"));
    let three = f.step(&two, "printf 3 >three");
    let views = [&start, &two, &three].map(|tree| f.read(tree));
    let head = f.begin(OTHER, &two);
    mount(&head).run("printf open >open");
    assert!(!holding(&f.store, MARKER).is_empty());

    let freed = f
        .driver
        .collect(&mut || Some(vec![start.clone(), two.clone(), three.clone()]), &|| true)
        .expect("collect");
    assert!(freed >= 1_000_000, "{freed} bytes freed");
    assert_eq!(holding(&f.store, MARKER), Vec::<PathBuf>::new());
    for (tree, view) in [&start, &two, &three].iter().zip(&views) {
        f.driver.verify(tree, true).expect("a live tree");
        f.assert_reads("a live tree", tree, view);
    }
    f.driver.verify(&dead, false).expect_err("a dead tree");
    let sealed = f.driver.seal(&head).expect("what was being written");
    assert_eq!(f.changes(&two, &sealed.tree), these(&[("open", Added)]));
    // Again, in another process, with nothing left to do for the live ones.
    f.another_driver().collect(&mut || Some(vec![three.clone()]), &|| true).expect("collect");
    f.assert_reads("the last tree", &three, &views[2]);
    let later = f.step(&three, "printf 4 >four");
    assert_eq!(f.pending(&later).len(), f.pending(&three).len() + 1);
}

/// Collection keeps what the undo of a commit needs.
pub fn collection_keeps_what_an_undo_needs(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir d; printf base >d/base; printf x >x") else { return };
    let before = f.live();
    let start = f.create();
    let one = f.step(&start, "printf 1 >x; rm -r d; printf n >new");
    let (commit, committed) = f.commit(&one);
    f.driver.collect(&mut || Some(vec![committed.tree.clone()]), &|| true).expect("collect");
    f.assert_reads("the sandbox", &committed.tree, &f.live());
    let start = f.driver.rebase(&start, &[commit]).expect("rebase");
    f.assert_reads("the start", &start, &before);
    f.revert(commit);
    super::view::assert_same("the undo", &before, &f.live());
}

/// A collection ends when it is told to, with each thing whole or gone, and the next one goes on.
pub fn a_collection_that_is_cut_short_goes_on(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf x >x") else { return };
    let start = f.create();
    let live = f.step(&start, "printf 1 >one");
    let seen = f.read(&live);
    for n in 0..3 {
        f.step(&live, &format!("mkdir dead-{n}; printf {n} >dead-{n}/{MARKER}"));
    }
    let left = || holding(&f.store, MARKER).len();
    let before = left();
    assert!(before >= 3, "{before}");
    let collect = |most: usize| {
        let asked = std::cell::Cell::new(0);
        let more = || asked.replace(asked.get() + 1) < most;
        f.driver.collect(&mut || Some(vec![live.clone()]), &more).expect("collect");
        f.assert_reads("what is live", &live, &seen);
    };
    collect(0);
    assert_eq!(left(), before, "nothing goes when there is no time");
    // The work of other steps is in the way, but one thing a time it gets there.
    let rounds = (1..1000).find(|_| {
        collect(1);
        left() == 0
    });
    assert!(rounds.is_some_and(|rounds| rounds >= 2), "{rounds:?}");
}

/// What the next steps would have to merge can be merged before; the trees stay what they are.
pub fn layers_are_merged_ahead(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir d; printf base >d/base") else { return };
    let mut tree = f.create();
    assert!(!f.driver.is_chain_long(&tree).expect("a look"));
    let mut merged = 0;
    for n in 0..70 {
        tree = f.step(&tree, &format!("printf {n} >d/{}; printf {n} >>log", n % 7));
        let seen = f.read(&tree);
        let is_long = f.driver.is_chain_long(&tree).expect("a look");
        assert_eq!(f.driver.merge(&tree).expect("merge"), is_long);
        assert!(!f.driver.is_chain_long(&tree).expect("a look"), "it was merged");
        if is_long {
            merged += 1;
            f.driver.collect(&mut || Some(vec![tree.clone()]), &|| true).expect("collect");
            assert!(!f.driver.is_chain_long(&tree).expect("a look"), "what was merged is needed");
        }
        f.assert_reads("the merged tree", &tree, &seen);
    }
    // Not at each step: as many are merged at once.
    assert!(merged <= 2, "{merged}");
    f.driver.collect(&mut || Some(vec![tree.clone()]), &|| true).expect("collect");
    f.driver.verify(&tree, true).expect("whole");
}

/// A chain of more operations than an overlay takes layers: every point of it can be returned to,
/// one in the middle be taken out, and the end be committed.
pub fn a_long_chain_still_works(make: MakeDriver<'_>) {
    let base = "mkdir d; for i in $(seq 0 9); do printf base >d/$i; done; printf start >log";
    let Some(f) = Fixture::new(make, base) else { return };
    let mut tree = f.create();
    let mut chain: Vec<(Tree, View)> = vec![(tree.clone(), f.live())];
    for index in 0..120 {
        let digit = index % 10;
        let script = match index {
            60 => "mkdir only-60; printf x >only-60/x".to_owned(),
            _ if digit == 3 => {
                format!("rm -r d; mkdir d; printf {index} >d/3; printf {index} >>log")
            }
            _ if digit == 7 => format!("rm -f d/*; ln log d/log; printf {index} >{index}"),
            _ => {
                format!("printf {index} >d/{digit}; printf {index} >{index}; printf ,{index} >>log")
            }
        };
        let (sealed, seen) = f.operate(SANDBOX, &tree, |m| _ = m.run(&script));
        tree = sealed.tree;
        chain.push((tree.clone(), seen));
    }
    f.driver.verify(&tree, true).expect("verify");
    for index in [120, 119, 90, 64, 61, 60, 31, 30, 1, 0] {
        let (tree, view) = &chain[index];
        f.assert_reads(&format!("after {index} operations"), tree, view);
    }
    let (sixty, sixty_one) = (&chain[60].0, &chain[61].0);
    let later: Vec<Tree> = chain[62..].iter().map(|(tree, _)| tree.clone()).collect();
    let without = f.driver.without(sixty, sixty_one, &later).expect("without");
    let without = without.expect("nothing depends on it");
    f.assert_reads("without one of many", &without, &chain[120].1.except(&["only-60"]));
    assert_eq!(
        f.changes(sixty, sixty_one),
        these(&[("only-60", Added), ("only-60/x", Added)]),
        "steps deep in the chain can still be told"
    );
    f.driver
        .collect(&mut || Some(vec![chain[60].0.clone(), tree.clone()]), &|| true)
        .expect("collect");
    f.assert_reads("the middle", &chain[60].0, &chain[60].1);
    f.commit(&tree);
    let (live, seen) = (f.live().except(&["log", "d"]), chain[120].1.except(&["log", "d"]));
    super::view::assert_same("the commit", &seen, &live);
}
