//! `--workspace`: which driver keeps a sandbox's trees.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::serve::Service;
use crate::support::{Scene, skipped};

/// A file system on which no driver can share blocks or make subvolumes.
const PLAIN: &str = "/dev/shm";

/// A scene on each file system that the tests were given, with the drivers for it.
pub(super) fn scenes() -> Vec<(Scene, &'static [&'static str])> {
    let wanted: [(&str, &[&str]); 3] = [
        ("CTRLZ_TEST_XFS", &["reflink", "overlay", "copy"]),
        ("CTRLZ_TEST_BTRFS", &["btrfs", "reflink", "overlay", "copy"]),
        ("CTRLZ_TEST_ZFS", &["zfs", "overlay", "copy"]),
    ];
    let mut scenes = Vec::new();
    // zfs-fuse was seen to stop answering under several at once. Who gives one builds this with faults.
    #[cfg(feature = "faults")]
    if std::env::var_os("CTRLZ_TEST_ZFS").is_some() {
        ctrlz_testkit::workspace_contract::alone();
    }
    for (variable, drivers) in wanted {
        match std::env::var_os(variable).map(PathBuf::from) {
            Some(place) => scenes.push((Scene::below(&place), drivers)),
            None => skipped(&format!("{variable} names no directory to test in")),
        }
    }
    scenes
}

fn driver(object: &Value) -> &str {
    object["sandbox"]["driver"].as_str().expect("a driver")
}

/// Run, look, undo, return, fork and commit mean the same, whoever keeps the trees.
#[test]
fn every_driver_that_a_file_system_has_keeps_sandboxes() {
    for (scene, drivers) in scenes() {
        for name in drivers {
            scene.host("rm -rf kept changed; mkdir kept; echo base >kept/f; echo base >changed");
            let made = scene.json(&["new", name, "--workspace", name]);
            assert_eq!(driver(&made), *name);
            let exec = |script: &str| scene.ok(&["exec", name, "--", "sh", "-ec", script]);
            exec("echo one >changed; echo new >added");
            let snapshot = scene.json(&["snapshot", name]);
            let id = snapshot["snapshot"]["id"].as_str().expect("an id").to_owned();
            exec("rm -r kept; echo two >changed");
            scene.ok(&["rollback", name, &id]);
            assert_eq!(exec("cat kept/f changed added"), "base\none\nnew\n");
            let copy = format!("{name}-copy");
            scene.ok(&["fork", name, &copy]);
            exec("echo three >changed");
            assert_eq!(scene.ok(&["exec", &copy, "--", "cat", "changed"]), "one\n");
            assert_eq!(scene.host("cat changed kept/f"), "base\nbase\n", "nothing is written yet");
            scene.ok(&["commit", name]);
            assert_eq!(scene.host("cat changed kept/f added"), "three\nbase\nnew\n");
            scene.host("rm added");
            scene.ok(&["rm", "--force", name]);
            scene.ok(&["rm", "--force", &copy]);
        }
        scene.ok(&["gc"]);
    }
}

/// `run` finds the sandbox of the driver that is asked for, and says who keeps it.
#[test]
fn a_run_is_in_the_sandbox_of_the_driver_that_is_asked_for() {
    let scene = Scene::with("echo base >f");
    scene.ok(&["run", "--", "sh", "-c", "echo layer >f"]);
    let copied = ["run", "--workspace", "copy", "--", "sh", "-c", "cat f; echo copied >f"];
    assert_eq!(scene.ok(&copied), "base\n", "it is another sandbox");
    assert_eq!(scene.ok(&["run", "--workspace", "copy", "--", "cat", "f"]), "copied\n");
    assert_eq!(scene.ok(&["run", "--workspace", "overlay", "--", "cat", "f"]), "layer\n");
    assert!(scene.ok(&["new", "third", "--workspace", "copy"]).contains("kept by driver copy"));
}

/// A client of a service chooses, too.
#[test]
fn a_client_chooses() {
    let scene = Scene::below(Path::new(PLAIN));
    let service = Service::start(&scene);
    let client = service.admin();
    let new = |name: &str, driver: &str| {
        client.post("/v1/sandboxes", &json!({ "name": name, "workspace": driver }))
    };
    new("one", "copy").is(201);
    new("two", "auto").is(201);
    let refused = new("three", "btrfs").is(422);
    assert!(refused.text.contains("does not lie on btrfs"), "{}", refused.text);
    assert!(new("four", "tape").is(422).text.contains("no workspace driver"));
    drop(service);
    let all = scene.json(&["ls"]);
    let all = all["sandboxes"].as_array().expect("sandboxes");
    let drivers: Vec<_> = all.iter().map(|one| one["driver"].as_str().expect("text")).collect();
    assert_eq!(drivers, ["copy", "overlay"]);
}

/// The configuration chooses, and the command line is stronger.
#[test]
fn the_configuration_chooses() {
    let scene = Scene::with("echo 'run: {workspace: copy}' >ctrlz.yaml");
    assert_eq!(driver(&scene.json(&["new", "one"])), "copy");
    assert_eq!(driver(&scene.json(&["new", "two", "--workspace", "overlay"])), "overlay");
    scene.host("echo 'run: {workspace: tape}' >ctrlz.yaml");
    scene.run(&["new", "three"]).code(125).says(&["`tape` is no workspace driver", "reflink"]);
}

/// What was asked for and cannot be had is refused with the reason, and nothing takes its place.
#[test]
fn what_cannot_be_had_is_refused() {
    let scene = Scene::below(Path::new(PLAIN));
    for (name, why) in [("btrfs", "does not lie on btrfs"), ("reflink", "cannot share blocks")] {
        let refused = scene.run(&["new", "one", "--workspace", name]).code(125);
        refused.says(&[why, "CTRLZ_HOME"]);
        let refused = scene.run(&["run", "--workspace", name, "--", "true"]).code(125);
        refused.says(&[why]);
    }
    assert_eq!(scene.json(&["ls"])["sandboxes"], Value::Array(Vec::new()));
}

/// `doctor` names the drivers, and why one cannot be used here.
#[test]
fn the_doctor_knows_which_can_be_had() {
    let scene = Scene::below(Path::new(PLAIN));
    let lacks = |scene: &Scene, name: &str| {
        let object = scene.json(&["doctor"]);
        let all = object["workspaces"].as_array().expect("drivers").clone();
        assert_eq!(all.iter().filter(|one| one["first"] == true).count(), 1);
        let one = all.into_iter().find(|one| one["driver"] == name).expect("the driver");
        one["lacks"].as_str().map(str::to_owned)
    };
    assert!(lacks(&scene, "btrfs").expect("a reason").contains("does not lie on btrfs"));
    assert!(lacks(&scene, "reflink").expect("a reason").contains("cannot share blocks"));
    assert_eq!(lacks(&scene, "copy"), None);
    for (scene, drivers) in scenes() {
        assert_eq!(lacks(&scene, drivers[0]), None, "{}", drivers[0]);
    }
}

/// Where subvolumes are kept, removing the sandboxes leaves none.
#[test]
fn removed_sandboxes_leave_no_subvolumes() {
    let Some(place) = std::env::var_os("CTRLZ_TEST_BTRFS") else {
        return skipped("CTRLZ_TEST_BTRFS names no directory to test in");
    };
    let scene = Scene::below(Path::new(&place));
    scene.host("echo base >f");
    scene.ok(&["new", "one", "--workspace", "btrfs"]);
    scene.ok(&["exec", "one", "--", "sh", "-c", "echo new >f"]);
    scene.ok(&["rm", "--force", "one"]);
    scene.ok(&["gc"]);
    let trees = scene.store.join("subvolumes/trees");
    let left: Vec<_> = fs::read_dir(trees).expect("list").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
