//! What could not be kept is told by whoever looks at the snapshot later, too.

use serde_json::Value;

use super::encrypted::{any_has, identity};
use super::scene;
use crate::support::{Scene, python};

/// A project with a socket, of which an archive keeps nothing.
fn with_socket(name: &str) -> Scene {
    let scene = scene();
    let bind = format!("import socket\nsocket.socket(socket.AF_UNIX).bind('{name}')\n");
    python(&scene, &bind).ok();
    scene
}

fn push(scene: &Scene) -> Value {
    scene.json(&["push"])["snapshots"][0].clone()
}

#[track_caller]
fn names_it(losses: &Value) {
    let first = losses["first"][0].as_str().unwrap_or_default();
    assert!(losses["total"] == 1 && first.contains("talk: a socket is not kept"), "{losses}");
}

#[test]
fn what_is_not_in_a_snapshot_is_told_whenever_one_looks() {
    let scene = with_socket("talk");
    let first = push(&scene);
    names_it(&first["losses"]);
    let name = first["name"].as_str().expect("a name");
    let again = scene.json(&["push", first["snapshot"].as_str().expect("an id")]);
    let again = again["snapshots"][0].clone();
    assert_eq!(again["was_there"], true);
    names_it(&again["losses"]);
    // Another snapshot whose folder was written by the first.
    scene.inside("echo more > more");
    names_it(&push(&scene)["losses"]);

    let listed = scene.json(&["archive", "ls"]);
    assert!(
        listed["snapshots"]
            .as_array()
            .expect("an array")
            .iter()
            .all(|one| one["not_archived"] == 1)
    );
    assert!(scene.ok(&["archive", "ls"]).contains("1 could not be archived"));
    let verified = scene.json(&["verify", name]);
    assert_eq!(verified["not_archived"][0]["name"], name);
    names_it(&verified["not_archived"][0]["losses"]);
    assert!(scene.ok(&["verify"]).contains("not archived: talk"));
    names_it(&scene.json(&["pull", name, "--to", "../out"])["not_archived"]);
    names_it(&scene.json(&["pull", name, "--sandbox", "other"])["not_archived"]);

    // What is gone is not lost any more, and what took its place is kept.
    scene.host("rm talk; echo file > talk");
    assert_eq!(push(&scene)["losses"]["total"], 0);
    scene.host("rm talk");
    let last = push(&scene);
    assert_eq!(last["losses"]["total"], 0);
    let name = last["name"].as_str().expect("a name");
    let verified = scene.json(&["verify", name]);
    assert_eq!(verified["not_archived"].as_array().map(Vec::len), Some(0), "{verified}");
}

#[test]
fn what_a_layer_could_not_keep_is_told_by_all_that_have_it() {
    let scene = scene();
    scene.inside("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('talk')\"");
    let is_kept_whole = scene.json(&["ls"])["sandboxes"][0]["driver"] == "copy";
    names_it(&push(&scene)["losses"]);
    for _ in 0..2 {
        scene.inside("date +%N > now");
        let pushed = push(&scene);
        assert!(is_kept_whole || pushed["reused_layers"].as_u64() > Some(1), "{pushed}");
        names_it(&pushed["losses"]);
    }
}

#[test]
fn nobody_without_a_key_reads_what_was_lost() {
    let scene = with_socket("a-very-secret-name");
    let identity = identity(&scene);
    scene.ok(&["archive", "keys", "init", "--recipient", super::encrypted::FIRST.0]);
    scene.ok(&["push", "--identity", &identity]);
    for word in ["a-very-secret", "dev.ctrlz.losses"] {
        assert!(!any_has(&scene, word.as_bytes()), "{word} is readable");
    }
    let listed = scene.json(&["archive", "ls"])["snapshots"][0].clone();
    assert_eq!(listed["not_archived"], Value::Null, "{listed}");
    let listed = scene.json(&["archive", "ls", "--identity", &identity])["snapshots"][0].clone();
    assert_eq!(listed["not_archived"], 1, "{listed}");
    let told = scene.ok(&["verify", "--identity", &identity]);
    assert!(told.contains("not archived: a-very-secret-name"), "{told}");
}
