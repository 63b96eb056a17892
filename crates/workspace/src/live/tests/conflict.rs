use super::*;
use ConflictReason::{Changed, Created, Deleted, InsideChanged};

/// A sandbox that changes some paths, and a stranger who is quicker at them.
fn contested() -> (Scene, Vec<Step>) {
    let scene = Scene::new();
    for path in ["edited", "chmodded", "deleted", "removed", "folder/inner", "swapped/inner"] {
        write(&scene.at(path), "old");
    }
    fs::create_dir(scene.at("folder/sub")).expect("mkdir");
    scene.fork();
    for path in ["edited", "chmodded", "deleted", "swapped/inner"] {
        write(&scene.wanted(path), "the sandbox's");
    }
    fs::remove_file(scene.wanted("removed")).expect("remove");
    fs::remove_dir_all(scene.wanted("folder")).expect("remove");
    write(&scene.wanted("created"), "the sandbox's");
    write(&scene.wanted("calm"), "nobody else's business");
    let steps = scene.steps();

    write(&scene.at("edited"), "a stranger's");
    chmod(&scene.at("chmodded"), 0o600);
    fs::remove_file(scene.at("deleted")).expect("remove");
    write(&scene.at("removed"), "a stranger's");
    write(&scene.at("folder/sub/new"), "a stranger's");
    write(&scene.at("created"), "a stranger's");
    fs::rename(scene.at("swapped"), scene.root.join("elsewhere")).expect("rename");
    symlink(scene.root.join("elsewhere"), scene.at("swapped")).expect("symlink");
    (scene, steps)
}

#[test]
fn each_reason_is_named_and_nothing_is_written() {
    let (scene, steps) = contested();
    let now = scene.tree();
    let wanted = [
        ("chmodded".to_owned(), Changed),
        ("created".to_owned(), Created),
        ("deleted".to_owned(), Deleted),
        ("edited".to_owned(), Changed),
        ("folder".to_owned(), InsideChanged),
        ("removed".to_owned(), Changed),
        ("swapped/inner".to_owned(), Changed),
    ];
    assert_eq!(list(&super::super::plan(&scene.live(), &steps).expect("plan")), wanted);
    assert_eq!(reasons(scene.execute(&steps)), wanted);
    assert_same(&scene.tree(), &now, "after the refusal");
    assert_eq!(recovered(&scene), Recovered::NotBegun);
}

#[test]
fn theirs_leaves_what_others_did() {
    let (scene, steps) = contested();
    let before = scene.tree();
    let applied = scene.execute_by(&steps, ConflictStrategy::Theirs).expect("execute");
    let mut wanted = before.clone();
    let calm = RelPath::parse("calm").expect("path");
    wanted.insert(calm.clone(), scene.tree().remove(&calm).expect("written"));
    assert_same(&scene.tree(), &wanted, "after");
    assert_eq!(applied.skipped.len(), 7);
    assert_eq!(applied.counts.added, 1);
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
}

#[test]
fn ours_replaces_and_keeps_what_others_did_for_undo() {
    let (scene, steps) = contested();
    let before = scene.tree();
    let applied = scene.execute_by(&steps, ConflictStrategy::Ours).expect("execute");
    assert_eq!(applied.skipped, []);
    assert_same(&scene.tree(), &tree(&scene.root.join("wanted")), "after");
    let outside = fs::read(scene.root.join("elsewhere/inner")).expect("read");
    assert_eq!(outside, b"old", "a link was followed");
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
}

#[test]
fn keep_both_writes_beside() {
    let (scene, steps) = contested();
    let before = scene.tree();
    let applied = scene.execute_by(&steps, ConflictStrategy::KeepBoth).expect("execute");
    let after = scene.tree();
    for (path, entry) in &before {
        assert_eq!(after.get(path), Some(entry), "{path}");
    }
    for name in ["chmodded", "created", "deleted", "edited"] {
        let beside = scene.at(&format!("{name}.ctrlz-op-7"));
        assert_eq!(fs::read(&beside).expect(name), b"the sandbox's");
    }
    let inner = scene.at("swapped.ctrlz-op-7/inner");
    assert_eq!(fs::read(inner).expect("inner"), b"the sandbox's");
    assert_eq!(after.len(), before.len() + 7);
    let skipped: Vec<String> = applied.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(skipped, ["folder", "removed"]);
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
}

#[test]
fn keep_both_finds_a_free_name() {
    let scene = Scene::new();
    let long = "n".repeat(255);
    for name in ["x", "x.ctrlz-op-7", long.as_str()] {
        write(&scene.at(name), "live");
    }
    scene.fork();
    write(&scene.wanted("x"), "sandbox");
    write(&scene.wanted(&long), "sandbox");
    let steps = scene.steps();
    write(&scene.at("x"), "stranger");
    write(&scene.at(&long), "stranger");
    scene.execute_by(&steps, ConflictStrategy::KeepBoth).expect("execute");
    assert_eq!(fs::read(scene.at("x.ctrlz-op-7-2")).expect("read"), b"sandbox");
    assert_eq!(fs::read(scene.at("x.ctrlz-op-7")).expect("read"), b"live");
    let cut = format!("{}.ctrlz-op-7", "n".repeat(244));
    assert_eq!(fs::read(scene.at(&cut)).expect("read"), b"sandbox");
}

#[test]
fn what_is_already_so_is_no_conflict() {
    let scene = Scene::new();
    write(&scene.at("edit"), "old");
    write(&scene.at("gone"), "old");
    scene.fork();
    write(&scene.wanted("edit"), "same");
    write(&scene.wanted("new/file"), "same");
    fs::remove_file(scene.wanted("gone")).expect("remove");
    let mut steps = scene.steps();
    write(&scene.at("edit"), "same");
    write(&scene.at("new/file"), "same");
    fs::remove_file(scene.at("gone")).expect("remove");
    for step in &mut steps {
        if let Expect::Unchanged { version, .. } = step.expect
            && step.path.to_string() == "edit"
        {
            step.expect = Expect::ChangedDuringOperation { version };
        }
    }
    let before = scene.tree();
    let applied = scene.execute(&steps).expect("execute");
    assert_eq!(applied, Applied::default());
    assert_same(&scene.tree(), &before, "after");
}

#[test]
fn what_changed_during_the_operation_is_a_conflict_though_it_is_as_seen() {
    let scene = Scene::new();
    write(&scene.at("edit"), "old");
    scene.fork();
    write(&scene.wanted("edit"), "new");
    let mut steps = scene.steps();
    for step in &mut steps {
        if let Expect::Unchanged { version, .. } = step.expect {
            step.expect = Expect::ChangedDuringOperation { version };
        }
    }
    assert_eq!(reasons(scene.execute(&steps)), [("edit".to_owned(), Changed)]);
}

#[test]
fn a_new_name_elsewhere_is_no_change_but_a_forged_time_is() {
    let scene = Scene::new();
    for name in ["linked", "forged"] {
        write(&scene.at(name), "old");
    }
    scene.fork();
    for name in ["linked", "forged"] {
        write(&scene.wanted(name), "new");
    }
    let steps = scene.steps();
    now(&scene.live());
    fs::hard_link(scene.at("linked"), scene.root.join("another")).expect("link");
    let then = fs::metadata(scene.at("forged")).expect("stat").modified().expect("mtime");
    fs::write(scene.at("forged"), "bad").expect("write");
    let file = fs::File::options().write(true).open(scene.at("forged")).expect("open");
    file.set_modified(then).expect("forge");
    assert_eq!(reasons(scene.execute(&steps)), [("forged".to_owned(), Changed)]);
}

#[test]
fn steps_that_contradict_each_other_are_refused() {
    let scene = Scene::new();
    write(&scene.at("d/x"), "old");
    scene.fork();
    let entry = || Replacement::Entry { source: scene.wanted("d/x") };
    let step = |path: &str, replace| Step {
        path: RelPath::parse(path).expect("path"),
        expect: Expect::Absent,
        replace,
    };
    let bad = [
        vec![step("b", entry()), step("a", entry())],
        vec![step("a", entry()), step("a", entry())],
        vec![step("d", Replacement::Nothing), step("d/x", entry())],
        vec![step("", Replacement::Nothing)],
        vec![step("a", Replacement::Entry { source: scene.wanted("none") })],
    ];
    let before = scene.tree();
    for steps in bad {
        assert!(scene.execute(&steps).is_err(), "{steps:?}");
        assert_same(&scene.tree(), &before, "after the refusal");
    }
}
