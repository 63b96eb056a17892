//! Snapshots and the return to them.

use crate::support::Scene;

#[track_caller]
fn snapshot(scene: &Scene, message: &str) -> String {
    let object = scene.json(&["snapshot", "-m", message]);
    object["snapshot"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn rollback_returns_to_a_snapshot_and_keeps_what_it_left() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a; echo b > b");
    let here = snapshot(&scene, "before migration");
    let listed = scene.ok(&["snapshots"]);
    assert!(listed.contains("before migration") && listed.contains("manual"), "{listed}");
    scene.inside("rm a b; mkdir c; echo x > c/x");
    let plan = scene.ok(&["rollback", &here, "--dry-run"]);
    assert!(plan.contains("would change"), "{plan}");
    assert_eq!(scene.inside("ls"), "c\n");
    let text = scene.ok(&["rollback", &here]);
    assert!(text.contains("rolled back: 2 added, 2 deleted"), "{text}");
    assert_eq!(scene.inside("cat a b"), "two\nb\n");
    let left = scene.json(&["snapshots"])["snapshots"]
        .as_array()
        .expect("an array")
        .iter()
        .find(|snapshot| snapshot["kind"] == "pre-rollback")
        .expect("a snapshot of what was left")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    scene.ok(&["rollback", &left, "--verify"]);
    assert_eq!(scene.inside("ls"), "c\n");
}

#[test]
fn a_rollback_is_taken_back() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let here = snapshot(&scene, "");
    scene.inside("echo 2 > two");
    scene.ok(&["rollback", &here]);
    assert_eq!(scene.changes(), ["added one"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.changes(), ["added one", "added two"]);
    scene.ok(&["redo"]);
    assert_eq!(scene.changes(), ["added one"]);
}

#[test]
fn rollback_of_some_paths_leaves_the_others() {
    let scene = Scene::with("mkdir -p d/sub; echo 1 > d/sub/f; echo 1 > d/g; echo 1 > h");
    scene.inside("echo 2 > d/sub/f; echo 2 > d/g; echo 2 > h");
    let here = snapshot(&scene, "");
    scene.inside("rm -r d/sub; echo 3 > d/g; echo 3 > h; echo new > d/new; mkdir other");
    let plan = scene.ok(&["rollback", &here, "--path", "d/sub", "--path", "h", "--dry-run"]);
    assert!(plan.contains("2 added, 1 modified"), "{plan}");
    scene.ok(&["rollback", &here, "--path", "d/sub", "--path", "h"]);
    assert_eq!(scene.inside("cat d/sub/f d/g h d/new; ls"), "2\n3\n2\nnew\nd\nh\nother\n");
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.inside("cat h; ls d"), "3\ng\nnew\n");
    scene.run(&["rollback", &here, "--path", "../elsewhere"]).code(125).says(&["elsewhere"]);
}

/// The snapshot saw the folder with the commit in it, which the undo took out again.
#[test]
fn a_snapshot_survives_the_undo_of_a_commit_before_it() {
    let scene = Scene::with("echo 1 > kept; mkdir d; echo 1 > d/f");
    scene.inside("echo 2 > kept; mkdir -p a/b; echo x > a/b/x; rm -r d");
    scene.ok(&["commit"]);
    let commit = scene.last();
    let here = snapshot(&scene, "");
    scene.ok(&["undo"]);
    let undo = scene.last();
    let told = scene.ok(&["show", &undo]);
    assert!(told.contains("2 added, 1 modified, 3 deleted"), "what it did in the folder: {told}");
    scene.ok(&["rollback", &here]);
    assert_eq!(scene.inside("cat kept a/b/x; ls"), "2\nx\na\nkept\n");
    assert_eq!(scene.host("cat kept d/f; ls"), "1\n1\nd\nkept\n", "the folder is left alone");

    // With another commit on top, and the first one brought back and taken back again.
    scene.ok(&["undo"]);
    scene.ok(&["redo"]);
    scene.ok(&["undo"]);
    scene.inside("echo 3 > kept; echo more > more; rm -rf a d");
    scene.ok(&["commit"]);
    scene.ok(&["rollback", &here]);
    assert_eq!(scene.inside("cat kept a/b/x; ls"), "2\nx\na\nkept\n");
    let told = scene.ok(&["show", &commit]);
    assert!(told.contains("3 added, 1 modified, 2 deleted"), "what it did at its time: {told}");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat kept a/b/x; ls"), "2\nx\na\nkept\n");
}

#[test]
fn an_operation_names_the_point_before_it() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    scene.inside("echo 2 > two");
    let second = scene.last();
    scene.inside("echo 3 > three");
    scene.ok(&["rollback", &second]);
    assert_eq!(scene.changes(), ["added one"]);
}

#[test]
fn snapshots_bring_the_state_along() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    scene.ok(&["state", "put", "phase", "first"]);
    let here = snapshot(&scene, "");
    scene.ok(&["state", "put", "phase", "second"]);
    scene.ok(&["state", "put", "extra", "x"]);
    scene.ok(&["rollback", &here]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "first");
    scene.run(&["state", "get", "extra"]).code(123);
    scene.ok(&["undo"]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "second");
    assert_eq!(scene.ok(&["state", "get", "extra"]), "x");
}

#[test]
fn state_is_versioned_and_compared() {
    let scene = Scene::new();
    scene.inside("true");
    scene.ok(&["state", "put", "k", "one"]);
    let version = scene.json(&["state", "get", "k"])["entry"]["version"].as_u64().expect("version");
    scene.ok(&["state", "put", "k", "two", "--expect", &version.to_string()]);
    scene.run(&["state", "put", "k", "three", "--expect", &version.to_string()]).code(123);
    scene.run(&["state", "put", "k", "three", "--expect", "0"]).code(123);
    assert_eq!(scene.ok(&["state", "get", "k"]), "two");
    assert_eq!(scene.ok(&["state", "get", "k", "--version", &version.to_string()]), "one");
    assert_eq!(scene.json(&["state", "history", "k"])["entries"].as_array().map(Vec::len), Some(2));
    scene.ok(&["state", "delete", "k"]);
    scene.run(&["state", "get", "k"]).code(123).says(&["`k`"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.ok(&["state", "get", "k"]), "two");
    let listed = scene.ok(&["state", "list"]);
    assert!(listed.contains('k'), "{listed}");
    // A value of any bytes comes back as it was, the largest one too.
    let mut command = scene.program("sh", ["-c", "head -c 16777216 /dev/urandom > ../big; \"$CTRLZ\" state put big < ../big && \"$CTRLZ\" state get big | cmp - ../big; head -c 16777217 /dev/zero | \"$CTRLZ\" state put big"]);
    let outcome = crate::support::Outcome::of(&mut command);
    assert_eq!(outcome.status.code(), Some(125), "{outcome}");
}

#[test]
fn a_snapshot_of_another_sandbox_is_refused() {
    let scene = Scene::new();
    scene.inside("true");
    let here = snapshot(&scene, "");
    scene.ok(&["new", "other"]);
    scene.run(&["rollback", "other", &here]).code(125).says(&[&here, "other"]);
    scene.run(&["rollback", "other", "snap-9999"]).code(125).says(&["snap-9999"]);
    scene.run(&["rollback", "other", "nonsense"]).code(125).says(&["nonsense"]);
}

#[test]
fn a_damaged_snapshot_is_refused_before_anything_is_touched() {
    let scene = Scene::new();
    scene.inside("echo precious > one");
    let here = snapshot(&scene, "");
    scene.inside("echo 2 > two");
    // Someone meddles with the store.
    scene.host(
        "for f in $(grep -rl precious \"$CTRLZ_HOME\" | grep /one$); do chmod u+w $f; echo spoiled >> $f; done",
    );
    let before = scene.changes();
    scene.run(&["rollback", &here, "--verify"]).code(125).says(&["damaged"]);
    assert_eq!(scene.changes(), before);
}
