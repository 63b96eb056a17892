//! What was archived comes back: to its sandbox, to another store, as files.

use super::{push, scene};
use crate::support::{Scene, Tree, is_root, skipped};

/// The same scene with a store that has nothing.
fn elsewhere(scene: &Scene) -> (String, String) {
    let store = scene.root.join("other store");
    let from = scene.store.join("archive");
    (store.to_string_lossy().into_owned(), from.to_string_lossy().into_owned())
}

#[test]
fn a_snapshot_comes_back_to_the_sandbox_that_moved_on() {
    let scene = scene();
    let then = scene.changes();
    let name = push(&scene);
    scene.inside("rm -rf new a d; echo other > other");
    let pulled = scene.json(&["pull", &name]);
    let id = pulled["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.ok(&["rollback", &id, "--verify"]);
    assert_eq!(scene.changes(), then);
    assert_eq!(scene.inside("cat a; cat new/x; ls d/sub"), "changed\nx\nhard\n");
    scene.ok(&["commit"]);
    assert_eq!(scene.read("a"), "changed\n");
}

#[test]
fn a_removed_sandbox_comes_back_with_its_state_and_can_be_committed() {
    let scene = scene();
    scene.ok(&["state", "put", "phase", "1"]);
    scene.ok(&["state", "put", "phase", "2"]);
    let name = push(&scene);
    scene.ok(&["state", "put", "phase", "3"]);
    let then = scene.changes();
    scene.ok(&["rm", "-f", "project"]);
    scene.ok(&["gc"]);
    scene.ok(&["pull", &name]);
    assert_eq!(scene.changes(), then);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "2");
    scene.ok(&["commit"]);
    assert_eq!(scene.read("new/x"), "x\n");
    scene.ok(&["undo"]);
    assert!(!scene.exists("new") && scene.read("a") == "one\n");
}

#[test]
fn another_store_takes_it_and_knows_what_changed_outside_since() {
    let scene = scene();
    let name = push(&scene);
    let (store, from) = elsewhere(&scene);
    let there = |arguments: &[&str]| {
        let mut command = scene.ctrlz(arguments);
        command.env("CTRLZ_HOME", &store);
        crate::support::Outcome::of(&mut command)
    };
    there(&["pull", &name, "--from", &from]).ok();
    scene.write("a", "somebody else\n");
    there(&["commit"]).code(123).says(&["changed by someone else", "a"]);
    assert_eq!(scene.read("a"), "somebody else\n");
    there(&["commit", "--conflict", "ours"]).ok();
    assert_eq!(scene.read("a"), "changed\n");
}

#[test]
fn another_folder_can_be_its_base() {
    let scene = scene();
    let name = push(&scene);
    scene.host("cp -a . ../copy");
    let (store, from) = elsewhere(&scene);
    let mut command = scene.ctrlz(["pull", &name, "--from", &from, "--base", "../copy"]);
    crate::support::Outcome::of(command.env("CTRLZ_HOME", &store)).ok();
    let copy = scene.root.join("copy");
    let mut command = scene.ctrlz(["commit"]);
    crate::support::Outcome::of(command.env("CTRLZ_HOME", &store).current_dir(&copy)).ok();
    assert_eq!(std::fs::read_to_string(copy.join("a")).expect("a"), "changed\n");
    assert_eq!(scene.read("a"), "one\n", "the first folder is as it was");
}

#[test]
fn a_folder_that_is_not_here_is_asked_for() {
    let scene = scene();
    let name = push(&scene);
    let (store, from) = elsewhere(&scene);
    scene.host("cd ..; mv project elsewhere; mkdir away");
    let mut command = scene.ctrlz(["pull", &name, "--from", &from]);
    command.env("CTRLZ_HOME", &store).current_dir(scene.root.join("away"));
    crate::support::Outcome::of(&mut command).code(123).says(&[
        "project is not here",
        "--base FOLDER",
        "--to FOLDER",
    ]);
}

#[test]
fn files_alone_come_back_as_they_were() {
    let scene = scene();
    let name = push(&scene);
    scene.ok(&["commit"]);
    scene.ok(&["pull", &name, "--to", "../out"]);
    let mut was = Tree::of(&scene.project);
    let out = Tree::of(&scene.root.join("out"));
    was.assert_same(&out);
    scene.run(&["pull", &name, "--to", "../out"]).code(125).says(&["out"]);
    was = Tree::of(&scene.root.join("out"));
    was.assert_same(&out);
}

#[test]
fn some_paths_alone_come_back() {
    let scene = scene();
    let name = push(&scene);
    scene.ok(&["pull", &name, "--to", "../out", "--path", "new/x", "--path", "./d/sub"]);
    let found = scene.host("cd ../out && find . | sort");
    assert_eq!(found, ".\n./d\n./d/sub\n./d/sub/hard\n./new\n./new/x\n");
    let nothing = scene.run(&["pull", &name, "--to", "../none", "--path", "nothing"]);
    nothing.code(123).says(&["nothing at some of these paths"]);
    assert!(!scene.exists("../none"));
    let outside = scene.run(&["pull", &name, "--to", "../none2", "--path", "../../etc"]);
    outside.code(125).says(&["is no path of a snapshot"]);
}

#[test]
fn an_incremental_one_returns_to_its_folder_and_nowhere_else() {
    let scene = scene();
    let then = scene.changes();
    let pushed = scene.json(&["push", "--scope", "incremental"]);
    if pushed["snapshots"][0]["scope"] == "full" {
        skipped("this workspace driver keeps whole trees");
        return;
    }
    let name = pushed["snapshots"][0]["name"].as_str().expect("a name");
    scene.run(&["pull", name, "--to", "../out"]).code(123).says(&["incremental"]);
    assert!(!scene.root.join("out").exists());
    scene.ok(&["rm", "-f", "project"]);
    scene.ok(&["pull", name]);
    assert_eq!(scene.changes(), then);
}

#[test]
fn the_state_alone_touches_no_file() {
    let scene = scene();
    scene.ok(&["state", "put", "phase", "1"]);
    let snapshot = scene.json(&["snapshot", "--scope", "state-only"]);
    let id = snapshot["snapshot"]["id"].as_str().expect("an id");
    let pushed = scene.json(&["push", id]);
    assert_eq!(pushed["snapshots"][0]["scope"], "state-only");
    let name = pushed["snapshots"][0]["name"].as_str().expect("a name");
    scene.ok(&["state", "put", "phase", "2"]);
    let then = scene.changes();
    let pulled = scene.json(&["pull", name]);
    let id = pulled["snapshot"]["id"].as_str().expect("an id");
    scene.ok(&["rollback", id]);
    assert_eq!(scene.changes(), then);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "1");
}

#[test]
fn a_state_with_another_history_is_not_mixed() {
    let scene = scene();
    scene.ok(&["state", "put", "phase", "1"]);
    let name = push(&scene);
    scene.ok(&["rm", "-f", "project"]);
    scene.inside("echo anew > anew");
    scene.ok(&["state", "put", "phase", "other"]);
    scene.run(&["pull", &name]).code(123).says(&["another history", "--sandbox NAME"]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "other");
    scene.ok(&["pull", &name, "--sandbox", "web"]);
    assert_eq!(scene.ok(&["state", "get", "phase", "--sandbox", "web"]), "1");
}

#[test]
fn a_snapshot_from_before_a_commit_is_archived_as_it_was() {
    let scene = scene();
    let id = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.ok(&["commit"]);
    scene.inside("echo later > a");
    scene.ok(&["commit"]);
    let pushed = scene.json(&["push", &id]);
    let name = pushed["snapshots"][0]["name"].as_str().expect("a name");
    scene.ok(&["drill", name]);
    scene.ok(&["pull", name, "--to", "../out"]);
    assert_eq!(scene.host("cat ../out/a"), "changed\n");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    if is_root() {
        skipped("root reads every file");
        return;
    }
    let scene = Scene::with("echo x > closed; chmod 000 closed; echo y > open");
    scene.inside("echo z > z");
    scene.run(&["push"]).code(125).says(&["closed", "--skip-unreadable"]);
    let id = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    for file in ["../x.tar", "../x.oci"] {
        scene.run(&["export", &id, "-o", file]).code(125).says(&["closed", "--skip-unreadable"]);
    }
    assert!(scene.ok(&["archive", "ls"]).contains("no snapshots"));
    let told = scene.ok(&["push", "--skip-unreadable"]);
    assert!(told.contains("not kept: closed"), "{told}");
    scene.ok(&["drill"]);
}

#[test]
fn an_option_is_named_only_where_it_helps() {
    let scene = scene();
    let name = push(&scene);
    // Where not even root may write.
    let closed = "/sys/ctrlz-test";
    let no_hint = |words: &[&str]| {
        let told = scene.run(words).code(125);
        assert!(!told.err().contains("--skip-unreadable"), "{told}");
    };
    no_hint(&["pull", &name, "--to", closed]);
    scene.host("mkdir -p ../home/.config/ctrlz");
    scene.write("../home/.config/ctrlz/archive.yaml", format!("place: {closed}\n"));
    no_hint(&["push"]);
}
