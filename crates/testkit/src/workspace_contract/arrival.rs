//! Parts of trees that were kept elsewhere and come back.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ctrlz_core::archive::Arrival;
use ctrlz_core::changeset::Change;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{ConflictReason, ConflictStrategy, WorkspaceError};

use super::fixture::{Fixture, MakeDriver, OTHER, explained, sh, these};
use super::view::assert_same;

const BASE: &str = "mkdir -p d/in gone/deep stays; printf 1 >d/in/a; printf 2 >d/b; printf 3 >top;
    printf 4 >gone/deep/f; printf 5 >gone/g; printf 6 >stays/s; printf 7 >untouched; ln -s top link;
    touch -d '2001-02-03 04:05:06.789' d/b";
const FIRST: &str =
    "printf new >d/in/a; printf 9 >d/c; rm top; mkdir -p made/by; printf x >made/by/it;
    touch -d '2002-02-03 04:05:06.123456789' made/by/it; rm -r gone";
const SECOND: &str =
    "mkdir gone; printf again >gone/h; rm d/b; ln -sfn d link; printf y >>made/by/it;
    chmod 711 stays";

/// Copies what a tree is made of, but for the live base, to `at`, as an archive would keep it.
#[track_caller]
pub(super) fn keep(f: &Fixture<'_>, tree: &Tree, at: &Path) -> Vec<Arrival> {
    fs::create_dir_all(at).expect("mkdir");
    let strata = f.driver.strata(tree).expect("what it is made of");
    let parts = strata.into_iter().filter(|stratum| stratum.directory != f.base);
    let copied = parts.enumerate().map(|(turn, stratum)| {
        let directory = at.join(turn.to_string());
        copied(&stratum.directory, &directory);
        let record = stratum.record.map(|path| fs::read(path).expect("the record"));
        Arrival { id: stratum.id, directory, root: stratum.root, record }
    });
    copied.collect()
}

/// Copies a tree with all that its inodes carry, as an archive gives it back. What its mode closes
/// to an ordinary user is open meanwhile.
#[track_caller]
fn copied(from: &Path, to: &Path) {
    let mut closed = Vec::new();
    if !rustix::process::geteuid().is_root() {
        open(from, Path::new(""), &mut closed);
    }
    sh(Path::new("/"), &format!("cp -a -T '{}' '{}'", from.display(), to.display()));
    for (path, mode) in closed.iter().rev() {
        for root in [from, to] {
            fs::set_permissions(root.join(path), mode.clone()).expect("close it again");
        }
    }
}

fn open(root: &Path, path: &Path, closed: &mut Vec<(PathBuf, Permissions)>) {
    let at = root.join(path);
    let stat = fs::symlink_metadata(&at).expect("look");
    let wanted = if stat.is_dir() { 0o700 } else { 0o400 };
    let mode = stat.permissions().mode();
    if (stat.is_dir() || stat.is_file()) && mode & wanted != wanted {
        fs::set_permissions(&at, Permissions::from_mode(mode | wanted)).expect("open it");
        closed.push((path.to_owned(), stat.permissions()));
    }
    if stat.is_dir() {
        for entry in fs::read_dir(&at).expect("list") {
            open(root, &path.join(entry.expect("entry").file_name()), closed);
        }
    }
}

/// Copies kept parts to a landing.
#[track_caller]
pub(super) fn land(f: &Fixture<'_>, kept: &[Arrival]) -> (PathBuf, Vec<Arrival>) {
    let landing = f.driver.landing().expect("a landing");
    assert!(landing.starts_with(&f.store) && landing.is_absolute(), "{}", landing.display());
    assert_eq!(fs::read_dir(&landing).expect("list").count(), 0, "it is empty");
    let parts = kept.iter().enumerate().map(|(turn, part)| {
        let directory = landing.join(format!("part-{turn}"));
        copied(&part.directory, &directory);
        Arrival { directory, ..part.clone() }
    });
    let parts = parts.collect();
    (landing, parts)
}

/// The tree of kept parts on the fixture's base.
#[track_caller]
pub(super) fn arrive(f: &Fixture<'_>, kept: &[Arrival]) -> Tree {
    let (landing, parts) = land(f, kept);
    let tree = f.driver.adopt(&f.base, &parts).unwrap_or_else(|e| panic!("{}", explained(&e)));
    f.driver.clear_landing(&landing).expect("clear the landing");
    assert!(!landing.exists(), "a landing that was cleared is gone");
    f.driver.verify(&tree, true).unwrap_or_else(|error| panic!("{}", explained(&error)));
    tree
}

/// What `to` has that `from` has not, wherever the contents lie.
#[track_caller]
fn said(f: &Fixture<'_>, from: &Tree, to: &Tree) -> Vec<Change> {
    let apart = |change| Change { old_content: None, new_content: None, ..change };
    f.changeset(from, to).changes.into_iter().map(apart).collect()
}

pub(super) fn copy_of_base(f: &Fixture<'_>) -> PathBuf {
    let base = f.path("base-elsewhere");
    copied(&f.base, &base);
    base
}

/// What a tree can do after it arrived: be committed and taken back, gone on with, and forked.
#[track_caller]
fn assert_usable(f: &Fixture<'_>, tree: &Tree, expected: &super::view::View) {
    f.assert_reads("the tree that arrived", tree, expected);
    let before = f.live();
    let (commit, _) = f.commit(tree);
    assert_same("the commit", &expected.parted(), &f.live().parted());
    f.revert(commit);
    assert_same("its undo", &before, &f.live());
    f.assert_reads("the tree after it", tree, expected);
    let on = f.step(tree, "printf more >>d/c; rm -r made; printf z >untouched");
    let fork = f.operate(OTHER, tree, |mounted| _ = mounted.run("printf fork >fork")).0.tree;
    f.driver.verify(&on, true).expect("what was sealed on it");
    f.driver.verify(&fork, true).expect("a fork");
    f.assert_reads("the tree below", tree, expected);
    f.commit(&on);
    assert_eq!(fs::read_to_string(f.base.join("untouched")).expect("read"), "z");
    assert!(!f.base.join("made").exists() && !f.base.join("top").exists());
}

/// A tree that went to another store stands there on the very directory that it was made on.
pub fn a_tree_comes_back_on_its_own_base(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let tree = f.step(&f.step(&start, FIRST), SECOND);
    let (seen, changes) = (f.read(&tree), said(&f, &start, &tree));
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    let arrived = arrive(&there, &kept);
    let bare = there.driver.base_tree(&arrived).expect("base_tree");
    assert_eq!(bare, there.create(), "it is on this base");
    assert_eq!(said(&there, &bare, &arrived), changes);
    assert_usable(&there, &arrived, &seen);
    f.driver.verify(&tree, true).expect("the tree that it was made of");
}

/// The same on a copy of the directory, whose entries are other inodes.
pub fn a_tree_comes_to_a_copy_of_its_base(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    let tree = f.step(&f.step(&start, FIRST), SECOND);
    let (seen, changes) = (f.read(&tree), said(&f, &start, &tree));
    let kept = keep(&f, &tree, &f.path("kept"));
    let base = copy_of_base(&f);
    // To another store, and to the one that has all of it already.
    for store in [f.path("store-elsewhere"), f.store.clone()] {
        let there = f.elsewhere(&store, &base);
        let before = there.live();
        let arrived = arrive(&there, &kept);
        assert_eq!(said(&there, &there.create(), &arrived), changes);
        there.assert_reads("the tree", &arrived, &seen);
        let (commit, _) = there.commit(&arrived);
        there.revert(commit);
        assert_same("the undo", &before, &there.live());
    }
    let there = f.elsewhere(&f.path("a-third-store"), &base);
    let arrived = arrive(&there, &kept);
    assert_usable(&there, &arrived, &seen);
    f.assert_reads("the tree that it was made of", &tree, &seen);
    let (commit, _) = f.commit(&tree);
    f.revert(commit);
}

/// What someone changed after the tree was made is a conflict, before and after it arrived.
pub fn what_changed_before_the_arrival_is_a_conflict(make: MakeDriver<'_>) {
    for copy in [false, true] {
        for early in [false, true] {
            let Some(f) = Fixture::new(make, BASE) else { return };
            let tree = f.step(&f.create(), FIRST);
            let kept = keep(&f, &tree, &f.path("kept"));
            let base = if copy { copy_of_base(&f) } else { f.base.clone() };
            let there = f.elsewhere(&f.path("store-elsewhere"), &base);
            let change = "printf theirs >d/in/a; printf theirs >d/c; printf theirs >untouched";
            if early {
                there.outside(change);
            }
            let arrived = arrive(&there, &kept);
            if !early {
                there.outside(change);
            }
            let expected = [("d/c", ConflictReason::Created), ("d/in/a", ConflictReason::Changed)];
            assert_eq!(there.conflicts(&arrived), these(&expected), "{copy} {early}");
        }
    }
    // Where it can be told: the very directory that the tree was made on.
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    there.outside("printf 0 >new; touch -r d/in/a new; mv new d/in/a");
    let arrived = arrive(&there, &kept);
    assert_eq!(there.conflicts(&arrived), these(&[("d/in/a", ConflictReason::Changed)]));
    // In a folder that the tree removes.
    for copy in [false, true] {
        let Some(f) = Fixture::new(make, BASE) else { return };
        let tree = f.step(&f.create(), FIRST);
        let kept = keep(&f, &tree, &f.path("kept"));
        let base = if copy { copy_of_base(&f) } else { f.base.clone() };
        let there = f.elsewhere(&f.path("store-elsewhere"), &base);
        let arrived = arrive(&there, &kept);
        there.outside("printf theirs >gone/deep/new");
        let found = there.conflicts(&arrived);
        assert!(found.contains(&("gone".to_owned(), ConflictReason::InsideChanged)), "{found:?}");
    }
}

/// What the store has is used as it is there; nothing has to be restored for it, and the rest
/// keeps its name.
pub fn what_is_held_need_not_come_again(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let seen = f.read(&tree);
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    for part in &kept {
        let id = part.id.as_deref().expect("a name");
        assert!(f.driver.holds(id).expect("look"), "{id}");
        assert!(!there.driver.holds(id).expect("look"), "{id}");
    }
    let nowhere = |part: &Arrival| Arrival { directory: f.path("nowhere"), ..part.clone() };
    let nowhere: Vec<Arrival> = kept.iter().map(nowhere).collect();
    let again = f.driver.adopt(&f.base, &nowhere).expect("all of it is there");
    f.assert_reads("the tree once more", &again, &seen);
    there.driver.adopt(&f.base, &nowhere).expect_err("nothing of it is there");
    let arrived = arrive(&there, &kept);
    for part in &kept {
        assert!(there.driver.holds(part.id.as_deref().expect("a name")).expect("look"));
    }
    let twice = there.driver.adopt(&f.base, &nowhere).expect("all of it is there");
    there.assert_reads("the tree", &twice, &seen);
    there.assert_reads("the tree", &arrived, &seen);
    let (one, _) = there.commit(&twice);
    there.revert(one);
}

/// All that an inode carries comes back, modes that close it to an ordinary user among it.
pub fn all_of_an_entry_comes_back(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(
        &f.create(),
        "chmod 750 .; touch -d '1999-01-01 00:00:00.000000001' d/b; printf s >set; chmod 4755 set;
         mkfifo pipe; printf h >h1; ln h1 h2; mkdir -p sticky/deep; chmod 1777 sticky;
         touch -h -d '2003-01-01 00:00:00.5' link; printf shut >shut; chmod 200 shut;
         mkdir -p closed/in; printf c >closed/in/c; rm stays/s; rm -r gone; mkdir gone",
    );
    // What its owner cannot look into is taken in all the same.
    let tree = f.step(&tree, "chmod 0 closed/in; mkdir empty; chmod 500 empty");
    let seen = f.read(&tree);
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    let arrived = arrive(&there, &kept);
    there.assert_reads("the tree", &arrived, &seen);
    let (landing, parts) = land(&f, &kept);
    for part in &parts {
        f.driver.mend(part).unwrap_or_else(|error| panic!("{}", explained(&error)));
    }
    f.driver.clear_landing(&landing).expect("clear the landing");
    f.driver.verify(&tree, true).unwrap_or_else(|error| panic!("{}", explained(&error)));
    f.assert_reads("the tree", &tree, &seen);
}

/// A part without a name, or with one that is none, gets a new one; so does one whose record is of
/// no use, which then expects the base as it is.
pub fn a_part_without_a_name_or_record_gets_one(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let seen = f.read(&tree);
    let kept = keep(&f, &tree, &f.path("kept"));
    let long = "l-".repeat(150);
    let mut turn = 0;
    for id in [None, Some("../../etc"), Some(""), Some("op-1"), Some("m-0-1-2"), Some(&long)] {
        for record in [None, Some(&b"rubbish\n"[..]), kept[0].record.as_deref()] {
            let base = copy_of_base(&f);
            turn += 1;
            let there = f.elsewhere(&f.path(&format!("store-{turn}")), &base);
            let id = id.map(ToOwned::to_owned);
            let part = Arrival { id, record: record.map(<[u8]>::to_vec), ..kept[0].clone() };
            let arrived = arrive(&there, &[part]);
            there.assert_reads("the tree", &arrived, &seen);
            let (commit, _) = there.commit(&arrived);
            there.revert(commit);
            there.outside("printf '%s' \"$(cat d/in/a) \" >d/in/a");
            let found = there.conflicts(&arrived);
            assert_eq!(found, these(&[("d/in/a", ConflictReason::Changed)]));
            fs::remove_dir_all(&base).expect("remove the base");
        }
    }
}

/// What was committed and taken back before a tree was kept is no conflict where nobody knows of it.
pub fn what_was_taken_back_before_is_no_conflict(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.step(&f.create(), FIRST), SECOND);
    let (commit, _) = f.commit(&tree);
    f.revert(commit);
    let kept = keep(&f, &tree, &f.path("kept"));
    let (seen, base) = (f.read(&tree), copy_of_base(&f));
    for base in [&f.base, &base] {
        let there = f.elsewhere(&f.path("store-elsewhere"), base);
        let arrived = arrive(&there, &kept);
        there.assert_reads("the tree", &arrived, &seen);
        let (commit, _) = there.commit(&arrived);
        there.revert(commit);
    }
}

/// What is left of a tree after a part of it was committed knows that, and so does what is kept.
pub fn the_rest_after_a_partial_commit_comes_back(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let operation = f.next_operation();
    let committed = f.try_commit(operation, &tree, &["d/in"], ConflictStrategy::Fail);
    let rest = committed.expect("a part of it").tree;
    let rest = f.step(&rest, "printf later >d/in/a");
    let (seen, base) = (f.read(&rest), copy_of_base(&f));
    let kept = keep(&f, &rest, &f.path("kept"));
    for base in [&base, &f.base] {
        let there = f.elsewhere(&f.path("store-elsewhere"), base);
        let arrived = arrive(&there, &kept);
        there.assert_reads("the tree", &arrived, &seen);
        let parts = f.driver.parts(&rest).expect("parts");
        for part in parts.iter().filter(|part| kept.iter().any(|k| k.id.as_ref() == Some(*part))) {
            assert!(there.driver.holds(part).expect("look"), "{part}");
        }
        let (commit, _) = there.commit(&arrived);
        assert_same("the commit", &seen.parted(), &there.live().parted());
        there.revert(commit);
        // And on, from there.
        let third = f.elsewhere(&there.path("third"), base);
        let arrived = arrive(&third, &keep(&there, &arrived, &there.path("undone")));
        third.commit(&arrived);
    }
}

/// What a commit replaced is a part without a name, on which an older tree stands.
pub fn a_tree_from_before_a_commit_comes_back(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.step(&f.create(), "printf kept >kept");
    let later = f.step(&start, "printf new >d/in/a; rm top; printf c >d/c");
    let seen = f.read(&start);
    let (commit, _) = f.commit(&later);
    let rebased = f.driver.rebase(&start, &[commit]).expect("rebase");
    f.assert_reads("the tree from before", &rebased, &seen);
    let kept = keep(&f, &rebased, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    let arrived = arrive(&there, &kept);
    there.assert_reads("the tree from before", &arrived, &seen);
    there.commit(&arrived);
    assert_same("the commit", &seen.parted(), &there.live().parted());
}

/// Any text can be asked for, and none leads out of the store.
pub fn what_is_no_name_is_not_held(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    for part in f.driver.parts(&tree).expect("parts") {
        assert!(f.driver.holds(&part).expect("look"), "{part}");
        for other in [format!("{part}.manifest"), format!("../layers/{part}"), format!("{part}/d")]
        {
            assert!(!f.driver.holds(&other).expect("look"), "{other}");
        }
    }
    let long = "l-0-1-".repeat(50);
    let names =
        ["../../etc", "", ".", "..", "/", "op-1", "names-op-1", "l-0-1-2", "c-1-2", "\0", &long];
    for name in names {
        assert!(!f.driver.holds(name).expect("look"), "{name:?}");
        let (landing, mut parts) =
            land(&f, &keep(&f, &tree, &f.path(&format!("kept-{}", name.len()))));
        parts[0].id = Some(name.to_owned());
        parts[0].record = None;
        f.driver.mend(&parts[0]).expect_err("nothing to mend");
        f.driver.clear_landing(&landing).expect("clear");
        fs::remove_dir_all(f.path(&format!("kept-{}", name.len()))).expect("remove");
    }
}

/// Only what was restored where it should be is taken in, and each part once.
pub fn what_did_not_land_is_refused(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    let refused = |parts: &[Arrival], what: &str| {
        there.driver.adopt(&f.base, parts).expect_err(what);
        assert!(kept[0].directory.exists() && f.base.exists(), "{what}: something was moved");
    };
    refused(&kept, "beside the store");
    let (landing, parts) = land(&there, &kept);
    let at = |directory: PathBuf| [Arrival { directory, ..parts[0].clone() }];
    refused(&at(landing.clone()), "the landing itself");
    refused(&at(landing.join("..")), "above it");
    refused(&at(landing.join("nothing")), "nothing");
    refused(&at(parts[0].directory.join("d/in/a")), "a file");
    std::os::unix::fs::symlink(&kept[0].directory, landing.join("link")).expect("link");
    refused(&at(landing.join("link")), "a link");
    std::os::unix::fs::symlink(f.path("kept"), landing.join("way")).expect("link");
    refused(&at(landing.join("way/0")), "beyond a link");
    refused(&[parts[0].clone(), parts[0].clone()], "twice");
    for base in [f.path("nowhere"), PathBuf::from("relative"), there.store.clone()] {
        let error = there.driver.adopt(&base, &parts).expect_err("no base");
        assert!(matches!(error, WorkspaceError::Base { .. }), "{}", explained(&error));
    }
    there.driver.clear_landing(&f.base).expect_err("no landing");
    there.driver.clear_landing(&there.store).expect_err("no landing");
    let bare = there.driver.adopt(&f.base, &[]).expect("a tree of nothing");
    assert_eq!(bare, there.create());
    there.driver.adopt(&f.base, &parts).expect("it is still there");
}

/// A landing stays as long as it is used, whoever collects.
pub fn a_landing_stays_while_its_driver_lives(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), FIRST);
    let seen = f.read(&tree);
    let kept = keep(&f, &tree, &f.path("kept"));
    let there = f.elsewhere(&f.path("store-elsewhere"), &f.base);
    let (landing, parts) = land(&there, &kept);
    fs::create_dir(landing.join("part-0.partial")).expect("beside a part");
    let other = there.another_driver();
    for driver in [&other, &there.driver] {
        driver.collect(&mut || Some(Vec::new()), &|| true).expect("collect");
        assert!(landing.join("part-0.partial").exists());
    }
    drop(other);
    there.driver.collect(&mut || Some(Vec::new()), &|| true).expect("collect");
    let arrived = there.driver.adopt(&f.base, &parts).expect("adopt");
    // Nobody recorded it yet.
    there.another_driver().collect(&mut || Some(Vec::new()), &|| true).expect("collect");
    there.assert_reads("the tree", &arrived, &seen);
    there.driver.collect(&mut || Some(vec![arrived.clone()]), &|| true).expect("collect");
    there.assert_reads("the tree", &arrived, &seen);
    there.driver.clear_landing(&landing).expect("clear");
    there.driver.clear_landing(&landing).expect("it is gone already");
}
