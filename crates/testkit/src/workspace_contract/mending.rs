//! Damaged parts that are put back from elsewhere.

use std::fs;
use std::path::Path;

use ctrlz_core::archive::{Arrival, Stratum};
use ctrlz_core::changeset::ChangeKind::Added;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{ConflictStrategy, WorkspaceError};

use super::arrival::{arrive, copy_of_base, keep, land};
use super::fixture::{Fixture, MakeDriver, OTHER, explained, lose, these};
use super::view::{assert_same, let_time_pass};

const BASE: &str = "mkdir -p d gone; printf 1 >d/a; printf 2 >gone/b; printf 3 >top";
const FIRST: &str =
    "printf first >d/a; rm -r gone; mkdir -p made/in; printf made >made/in/f; ln -s d l";
const SECOND: &str = "printf second >top; printf more >made/in/g";

/// The part of a tree that holds `path`.
fn part_with(f: &Fixture<'_>, tree: &Tree, path: &str) -> Stratum {
    let strata = f.driver.strata(tree).expect("strata");
    let mut parts = strata.into_iter().filter(|stratum| stratum.id.is_some());
    parts.find(|stratum| stratum.directory.join(path).exists()).expect("a part")
}

#[track_caller]
fn mend(f: &Fixture<'_>, kept: &[Arrival], id: &str) -> Result<(), WorkspaceError> {
    let (landing, parts) = land(f, kept);
    let part = parts.iter().find(|part| part.id.as_deref() == Some(id)).expect("it was kept");
    let mended = f.driver.mend(part);
    let is_empty = fs::read_dir(&part.directory).is_ok_and(|mut found| found.next().is_none());
    let is_left = part.directory.exists() && !is_empty;
    assert_eq!(is_left, mended.is_err(), "the part is moved when it is of use");
    f.driver.clear_landing(&landing).expect("clear");
    mended
}

/// The files that the store has of a part beside its content.
fn described(part: &Stratum) -> Vec<std::path::PathBuf> {
    let above = part.directory.parent().expect("above");
    let id = part.id.as_deref().expect("a name");
    // The files may be mounted elsewhere.
    let beside = part.record.as_deref().and_then(std::path::Path::parent).unwrap_or(above);
    let mut found: Vec<_> = ["manifest", "record", "told"].map(|name| beside.join(name)).into();
    found.push(above.join(format!("{id}.manifest")));
    found.retain(|path| path.exists());
    found
}

/// Whatever happened to a part, it is whole afterwards, and so are all trees with it.
pub fn a_damaged_part_is_whole_again(make: MakeDriver<'_>) {
    type Damage = (&'static str, fn(&Stratum));
    let cases: &[Damage] = &[
        ("nothing", |_| {}),
        ("its files are gone", |part| lose(&part.directory)),
        ("a file is gone", |part| fs::remove_file(part.directory.join("d/a")).expect("remove")),
        ("a file has other content", |part| {
            fs::write(part.directory.join("d/a"), "FIRST").expect("write");
        }),
        ("a file lies in its place", |part| {
            lose(&part.directory);
            let is_there = part.directory.exists();
            let place = if is_there { part.directory.join("x") } else { part.directory.clone() };
            fs::write(place, "x").expect("write");
        }),
        ("its descriptions are gone", |part| {
            for path in described(part) {
                fs::remove_file(path).expect("remove");
            }
        }),
        ("its descriptions are cut short", |part| {
            for path in described(part) {
                let text = fs::read(&path).expect("read");
                fs::write(path, &text[..text.len() - 3]).expect("write");
            }
        }),
        ("all of it is gone", |part| {
            for path in described(part) {
                fs::remove_file(path).expect("remove");
            }
            lose(&part.directory);
        }),
    ];
    for (what, damage) in cases {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let start = f.create();
        let tree = f.step(&start, FIRST);
        let above = f.step(&tree, SECOND);
        let seen = [f.read(&tree), f.read(&above)];
        let changes = f.changes(&start, &tree);
        let kept = keep(&f, &tree, &f.path("kept"));
        let part = part_with(&f, &tree, "d/a");
        let id = part.id.clone().expect("a name");
        let_time_pass();
        damage(&part);
        // Whoever began on it in vain is not in the way.
        if f.driver.begin(OTHER, &tree).is_ok() {
            f.driver.abandon(OTHER).expect("abandon");
        }
        let found = f.driver.verify(&tree, true);
        assert_eq!(found.is_err(), *what != "nothing", "{what}: {found:?}");
        mend(&f, &kept, &id).unwrap_or_else(|e| panic!("{what}: {}", explained(&e)));
        for (tree, seen) in [&tree, &above].into_iter().zip(&seen) {
            let whole = f.driver.verify(tree, true);
            whole.unwrap_or_else(|e| panic!("{what}: {}", explained(&e)));
            f.assert_reads(what, tree, seen);
        }
        assert!(f.driver.holds(&id).expect("look"));
        assert_eq!(f.changes(&start, &tree), changes, "{what}");
        let before = f.live();
        let (commit, _) = f.commit(&above);
        assert_same(what, &seen[1].parted(), &f.live().parted());
        f.revert(commit);
        assert_same(what, &before, &f.live());
        f.step(&above, "printf on >on");
        f.driver.collect(&mut || Some(vec![tree.clone()]), &|| true).expect("collect");
        f.assert_reads(what, &tree, &seen[0]);
    }
}

/// What came back is not what the part was: nothing is replaced, and it is said why.
pub fn what_does_not_fit_mends_nothing(make: MakeDriver<'_>) {
    type Change = (&'static str, fn(&mut Arrival, &Path));
    let cases: &[Change] = &[
        ("no record", |part, _| part.record = None),
        ("rubbish for a record", |part, _| part.record = Some(b"rubbish".to_vec())),
        ("no name", |part, _| part.id = None),
        ("a name that is none", |part, _| part.id = Some("../../etc".to_owned())),
        ("other content", |part, _| {
            fs::write(part.directory.join("d/a"), "longer").expect("write")
        }),
        ("a file more", |part, _| fs::write(part.directory.join("d/z"), "").expect("write")),
        ("a file less", |part, _| fs::remove_file(part.directory.join("d/a")).expect("remove")),
        ("another type", |part, _| {
            fs::remove_file(part.directory.join("d/a")).expect("remove");
            fs::create_dir(part.directory.join("d/a")).expect("mkdir");
        }),
        ("nothing restored", |part, _| fs::remove_dir_all(&part.directory).expect("remove")),
        ("restored elsewhere", |part, elsewhere| part.directory = elsewhere.to_owned()),
        ("another letter", |part, _| part.root = !part.root),
    ];
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let seen = f.read(&tree);
    let kept = keep(&f, &tree, &f.path("kept"));
    for turn in 0..3 {
        let damaged = turn > 0;
        if turn == 1 {
            fs::remove_file(part_with(&f, &tree, "d/a").directory.join("made/in/f"))
                .expect("remove");
        }
        if turn == 2 {
            // Then nothing but what was kept tells what the part was.
            for path in described(&part_with(&f, &tree, "d/a")) {
                fs::remove_file(path).expect("remove");
            }
        }
        for (what, change) in cases {
            let (landing, mut parts) = land(&f, &kept);
            change(&mut parts[0], &kept[0].directory);
            f.driver.mend(&parts[0]).expect_err(what);
            f.driver.clear_landing(&landing).expect("clear");
            assert_eq!(f.driver.verify(&tree, true).is_err(), damaged, "{what}");
            assert!(kept[0].directory.join("d/a").exists(), "{what}");
        }
    }
    mend(&f, &kept, kept[0].id.as_deref().expect("a name")).expect("what fits");
    f.assert_reads("the tree", &tree, &seen);
}

/// A part that another store has, or has no more.
pub fn a_part_that_arrived_is_mended(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let seen = f.read(&tree);
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    let arrived = arrive(&there, &kept);
    let part = part_with(&there, &arrived, "d/a");
    fs::remove_dir_all(&part.directory).expect("remove");
    let id = part.id.as_deref().expect("a name");
    assert!(!there.driver.holds(id).expect("look"));
    // It is not taken in under its name: what is left of it is for whoever mends it.
    let again = arrive(&there, &kept);
    assert!(!there.driver.parts(&again).expect("parts").contains(&id.to_owned()));
    there.assert_reads("the tree", &again, &seen);
    there.driver.verify(&arrived, false).expect_err("it is damaged");
    mend(&there, &kept, id).unwrap_or_else(|error| panic!("{}", explained(&error)));
    there.driver.verify(&arrived, true).expect("whole");
    there.assert_reads("the tree", &arrived, &seen);
    // And where it is the part of trees on several bases.
    let also = f.elsewhere(&there.store, &copy_of_base(&f));
    let other = arrive(&also, &kept);
    fs::remove_file(part_with(&there, &arrived, "d/a").directory.join("d/a")).expect("remove");
    also.driver.verify(&other, true).expect_err("the same files");
    mend(&there, &kept, id).unwrap_or_else(|error| panic!("{}", explained(&error)));
    for tree in [&arrived, &other] {
        there.driver.verify(tree, true).unwrap_or_else(|error| panic!("{}", explained(&error)));
        also.assert_reads("the tree", tree, &seen);
    }
}

/// Every part of a tree can be missing, also one that only tells what a partial commit left.
pub fn each_part_of_a_rest_is_mended(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let operation = f.next_operation();
    let committed = f.try_commit(operation, &tree, &["d"], ConflictStrategy::Fail);
    let rest = f.step(&committed.expect("a part of it").tree, "printf later >d/a");
    let seen = f.read(&rest);
    let kept = keep(&f, &rest, &f.path("kept"));
    for part in f.driver.strata(&rest).expect("strata") {
        let Some(id) = &part.id else { continue };
        for path in described(&part).iter().filter(|path| !path.ends_with("record")) {
            fs::remove_file(path).expect("remove");
        }
        assert_damaged(&f, &rest, id);
        mend(&f, &kept, id).unwrap_or_else(|error| panic!("{id}: {}", explained(&error)));
        f.driver.verify(&rest, true).unwrap_or_else(|e| panic!("{id}: {}", explained(&e)));
        f.assert_reads(id, &rest, &seen);
    }
    f.commit(&rest);
    assert_same("the commit", &seen.parted(), &f.live().parted());
}

#[track_caller]
fn assert_damaged(f: &Fixture<'_>, tree: &Tree, id: &str) {
    let found = f.driver.verify(tree, false);
    assert!(matches!(found, Err(WorkspaceError::Damaged { .. })), "{id}: {found:?}");
    assert!(!f.driver.holds(id).expect("look"), "{id}");
}

/// A long chain shows nothing of the damage, wherever it had got to.
pub fn a_long_chain_is_mended(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let kept = keep(&f, &tree, &f.path("kept"));
    let mut above = tree.clone();
    for turn in 0..52 {
        above = f
            .operate(super::fixture::SANDBOX, &above, |m| _ = m.run(&format!("printf {turn} >n")))
            .0
            .tree;
    }
    let part = part_with(&f, &tree, "d/a");
    fs::write(part.directory.join("d/a"), "wrong").expect("write");
    let wrong = f.run_in(&above, "cat made/in/f; cat d/a");
    assert!(wrong == "madewrong" || wrong == "madefirst", "{wrong}");
    mend(&f, &kept, part.id.as_deref().expect("a name"))
        .unwrap_or_else(|e| panic!("{}", explained(&e)));
    f.driver.verify(&above, true).expect("whole");
    assert_eq!(f.run_in(&above, "cat made/in/f; cat d/a"), "madefirst");
    let on = f.operate(super::fixture::SANDBOX, &above, |m| _ = m.run("printf on >on")).0.tree;
    assert_eq!(f.changes(&above, &on), these(&[("on", Added)]));
    f.driver.collect(&mut || Some(vec![on.clone()]), &|| true).expect("collect");
    assert_eq!(f.run_in(&on, "cat made/in/f; cat d/a"), "madefirst");
}
