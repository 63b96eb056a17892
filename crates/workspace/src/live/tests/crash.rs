//! Death at every fault point, and errors at every one.
//!
//! The test binary runs itself as the process that dies, with the scene's directory in
//! `CTRLZ_LIVE_SCENE` and what to do in `CTRLZ_LIVE_DO`.

use std::collections::BTreeSet;
use std::process::{Command, ExitStatus};

use super::*;

#[test]
fn child() {
    let Some(root) = std::env::var_os("CTRLZ_LIVE_SCENE").map(PathBuf::from) else { return };
    let transaction = root.join("transaction");
    let outcome = if std::env::var("CTRLZ_LIVE_DO").is_ok_and(|what| what == "recover") {
        super::super::recover(&transaction).map(drop)
    } else {
        let steps = fs::read(root.join("steps.json")).expect("steps");
        let steps: Vec<Step> = serde_json::from_slice(&steps).expect("steps");
        let strategy = ConflictStrategy::Fail;
        super::super::execute(&root.join("live"), &transaction, OPERATION, steps, strategy)
            .map(drop)
    };
    std::process::exit(if outcome.is_ok() { 0 } else { 3 });
}

fn run(scene: &Scene, what: &str, fault: &str) -> ExitStatus {
    Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "live::tests::crash::child", "--test-threads=1"])
        .env("CTRLZ_LIVE_SCENE", &scene.root)
        .env("CTRLZ_LIVE_DO", what)
        .env("CTRLZ_FAULT", fault)
        .output()
        .expect("run")
        .status
}

fn died(status: ExitStatus) -> bool {
    status.code().is_none()
}

/// The scene with one file that is changed in place, since it has a name outside.
fn scene() -> (Scene, Tree, Tree) {
    let scene = busy();
    fs::hard_link(scene.at("mode"), scene.root.join("outside")).expect("link");
    let steps = serde_json::to_vec(&scene.steps()).expect("json");
    fs::write(scene.root.join("steps.json"), steps).expect("write");
    let before = scene.tree();
    let wanted = tree(&scene.root.join("wanted"));
    (scene, before, wanted)
}

/// The names of links that reach outside count only inside.
fn normal(mut tree: Tree) -> Tree {
    if let Some(entry) = tree.get_mut(&RelPath::parse("mode").expect("path")) {
        entry.linked = None;
    }
    tree
}

fn points() -> usize {
    let (scene, ..) = scene();
    let file = scene.root.join("points");
    assert!(run(&scene, "execute", &format!("count:{}", file.display())).success());
    fs::read_to_string(file).expect("points").lines().count()
}

/// Whether the tree is the one before or the one after.
#[track_caller]
fn assert_whole(scene: &Scene, before: &Tree, wanted: &Tree, what: &str) -> bool {
    let now = normal(scene.tree());
    let finished = match recovered(scene) {
        Recovered::Finished(_) => true,
        Recovered::TakenBack | Recovered::NotBegun => false,
    };
    assert_same(&now, &normal(if finished { wanted } else { before }.clone()), what);
    assert_same(&normal(scene.tree()), &now, "recovering once more changed something");
    assert_clean(scene);
    finished
}

#[test]
fn a_kill_at_any_point_leaves_one_of_the_two_states() {
    let mut ends = BTreeSet::new();
    let count = points();
    assert!(count > 50, "only {count} points");
    for passing in 1..=count {
        let what = format!("killed at {passing} of {count}");
        let (scene, before, wanted) = scene();
        assert!(died(run(&scene, "execute", &format!("any:{passing}"))), "{what}: lived");
        recovered(&scene);
        let finished = assert_whole(&scene, &before, &wanted, &what);
        ends.insert(finished);
        if finished {
            scene.revert().expect("revert");
            assert_same(&normal(scene.tree()), &normal(before), &format!("{what}, reverted"));
        }
    }
    assert_eq!(ends.len(), 2, "recovery always goes the same way");
}

#[test]
fn recovery_itself_can_be_killed_at_any_point() {
    let count = points();
    // Not each point, so that the whole stays within seconds; each is followed by as many deaths
    // as recovery takes.
    for passing in (1..=count).step_by(7) {
        let (scene, before, wanted) = scene();
        assert!(died(run(&scene, "execute", &format!("any:{passing}"))));
        let mut deaths = 0;
        // Further in each time, or it would die at the same place for ever.
        while died(run(&scene, "recover", &format!("any:{}", 1 + deaths * 2))) {
            deaths += 1;
        }
        assert_whole(&scene, &before, &wanted, &format!("{passing}, then {deaths} deaths"));
    }
}

#[test]
fn an_error_at_any_point_changes_nothing() {
    let count = points();
    for (passing, errno) in (1..=count).flat_map(|at| [(at, "eio"), (at, "enospc")]).step_by(3) {
        let what = format!("{errno} at {passing} of {count}");
        let (scene, before, wanted) = scene();
        let status = run(&scene, "execute", &format!("any:{passing}:{errno}"));
        if status.code() == Some(3) && !scene.transaction("transaction/applied.json").exists() {
            assert_same(&normal(scene.tree()), &normal(before.clone()), &what);
            assert_clean(&scene);
        }
        recovered(&scene);
        assert_whole(&scene, &before, &wanted, &what);
    }
}

/// Every content in the live directory, the staging directory left out.
fn contents(tree: &Tree) -> BTreeSet<Vec<u8>> {
    let live = tree.iter().filter(|(path, _)| !path.as_bytes().starts_with(b".ctrlz"));
    live.map(|(_, entry)| entry.content.clone()).collect()
}

#[test]
fn a_strangers_work_between_crash_and_recovery_survives() {
    type Stranger = fn(&Scene);
    let strangers: [(&str, Stranger); 6] = [
        ("edits what is changed", |scene| {
            fs::write(scene.at("edit"), "a stranger's").expect("write");
        }),
        ("replaces what is changed", |scene| {
            fs::write(scene.at("save"), "a stranger's").expect("write");
            fs::rename(scene.at("save"), scene.at("kept/inner")).expect("rename");
        }),
        ("works in a new folder", |scene| {
            let _ = fs::create_dir(scene.at("added"));
            fs::write(scene.at("added/stranger"), "a stranger's").expect("write");
        }),
        ("works where a file was removed", |scene| {
            let _ = fs::remove_file(scene.at("gone"));
            fs::write(scene.at("gone"), "a stranger's").expect("write");
        }),
        ("works in a folder that becomes a file", |scene| {
            if scene.at("to-file").is_dir() {
                fs::write(scene.at("to-file/y/stranger"), "a stranger's").expect("write");
            } else {
                fs::write(scene.at("to-file"), "a stranger's").expect("write");
            }
        }),
        ("edits what is changed in place", |scene| {
            fs::write(scene.at("mode"), "a stranger's").expect("write");
        }),
    ];
    let count = points();
    for (name, stranger) in strangers {
        for passing in (1..=count).step_by(5) {
            let what = format!("{name}, {passing} of {count}");
            let (scene, before, _) = scene();
            assert!(died(run(&scene, "execute", &format!("any:{passing}"))));
            now(&scene.live());
            let edited = scene.tree();
            stranger(&scene);
            let stranger_saw = scene.tree();
            let outcome = recovered(&scene);
            let after = scene.tree();
            assert!(contents(&after).contains(b"a stranger's".as_slice()), "{what}: lost");
            assert_clean(&scene);
            if outcome == Recovered::TakenBack {
                // What was overwritten by the stranger's own hand is the stranger's business.
                let by_hand = contents(&edited);
                let kept = contents(&stranger_saw);
                for old in contents(&before) {
                    let overwritten = by_hand.contains(&old) && !kept.contains(&old);
                    let there = contents(&after).contains(&old);
                    assert!(there || overwritten, "{what}: {:?}", String::from_utf8_lossy(&old));
                }
            }
            assert_eq!(recovered(&scene), outcome, "{what}");
        }
    }
}

#[test]
fn taking_back_can_be_killed_at_any_point() {
    let count = points();
    let mut taken_back = 0;
    for passing in (1..=count).step_by(6) {
        for first in 1..=8 {
            let what = format!("{passing} of {count}, then from {first}");
            let (scene, before, _) = scene();
            assert!(died(run(&scene, "execute", &format!("any:{passing}"))));
            now(&scene.live());
            // The stranger is at the last path that is applied, so that there is most to undo.
            fs::write(scene.at("to-file/stranger"), "a stranger's").unwrap_or_else(|_| {
                fs::write(scene.at("to-folder"), "a stranger's").unwrap_or_default();
            });
            let mut deaths = 0;
            while died(run(&scene, "recover", &format!("any:{}", first + deaths * 5))) {
                deaths += 1;
            }
            let outcome = recovered(&scene);
            assert_eq!(recovered(&scene), outcome, "{what}");
            assert_clean(&scene);
            let mut after = normal(scene.tree());
            assert!(
                outcome != Recovered::TakenBack
                    || contents(&after).contains(b"a stranger's".as_slice())
                    || contents(&before).is_subset(&contents(&after)),
                "{what}: lost"
            );
            if outcome == Recovered::TakenBack {
                taken_back += 1;
                let stranger = RelPath::parse("to-file/stranger").expect("path");
                let mut wanted = normal(before);
                match after.remove(&stranger) {
                    Some(_) => {}
                    // The stranger wrote over the file itself.
                    None => {
                        let file = RelPath::parse("to-folder").expect("path");
                        after.remove(&file);
                        wanted.remove(&file);
                    }
                }
                assert_same(&after, &wanted, &what);
            }
        }
    }
    assert!(taken_back > 20, "only {taken_back} were taken back");
}

#[test]
fn work_in_what_is_taken_back_stays_and_the_old_version_comes_beside() {
    let (scene, before, _) = scene();
    // `added`, `closing/y` and `edit` are in place, `folder` and what follows is not.
    assert!(died(run(&scene, "execute", "renamed:3")));
    now(&scene.live());
    fs::write(scene.at("added/deep/er/stranger"), "a stranger's").expect("write");
    fs::write(scene.at("added/one"), "edited by a stranger").expect("write");
    fs::write(scene.at("closing/y"), "edited by a stranger, too").expect("write");
    fs::write(scene.at("edit"), "and this").expect("write");
    fs::write(scene.at("gone"), "which stands in the way").expect("write");
    assert_eq!(recovered(&scene), Recovered::TakenBack);
    assert_clean(&scene);

    let mut after = normal(scene.tree());
    let mut wanted = normal(before);
    let mut take = |path: &str| {
        let path = RelPath::parse(path).expect("path");
        wanted.remove(&path);
        after.remove(&path).map(|entry| String::from_utf8(entry.content).expect("utf8"))
    };
    for (path, content) in [
        ("added", ""),
        ("added/deep", ""),
        ("added/deep/er", ""),
        ("added/deep/er/stranger", "a stranger's"),
        ("added/one", "edited by a stranger"),
        // Another name of the same file.
        ("added/one-again", "edited by a stranger"),
        ("closing/y", "edited by a stranger, too"),
        ("edit", "and this"),
        ("edit.ctrlz-op-7", "old"),
        ("gone", "which stands in the way"),
    ] {
        assert_eq!(take(path).as_deref(), Some(content), "{path}");
    }
    assert_same(&after, &wanted, "the rest is as before");
}

#[test]
fn a_record_that_came_to_the_disk_though_its_writing_failed_does_not_mislead() {
    let (counted, ..) = scene();
    let file = counted.root.join("points");
    assert!(run(&counted, "execute", &format!("count:{}", file.display())).success());
    let points = fs::read_to_string(file).expect("points");
    let syncs = points.lines().filter(|point| *point == "record-sync").count();
    for sync in 1..=syncs {
        for death in ["take-back:2", "take-back:5", "staging-remove:1", "record-rename:9"] {
            let what = format!("record {sync}, then {death}");
            let (scene, before, wanted) = scene();
            run(&scene, "execute", &format!("record-sync:{sync}:eio,{death}"));
            recovered(&scene);
            assert_whole(&scene, &before, &wanted, &what);
        }
    }
}
