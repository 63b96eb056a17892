//! A store whose database was lost is made anew from the archive.

use super::{push, scene};
use crate::support::{Scene, skipped};

fn lose_the_database(scene: &Scene) {
    scene.host("rm \"$CTRLZ_HOME\"/store.db*");
}

#[test]
fn sandboxes_snapshots_and_state_come_back() {
    let scene = scene();
    scene.ok(&["state", "put", "phase", "1"]);
    push(&scene);
    let first = scene.changes();
    scene.ok(&["commit"]);
    scene.inside("echo second > second");
    scene.ok(&["state", "put", "phase", "2"]);
    push(&scene);
    scene.ok(&["new", "web"]);
    scene.ok(&["exec", "web", "--", "sh", "-c", "echo web > web"]);
    scene.ok(&["push", "--sandbox", "web"]);
    lose_the_database(&scene);
    let told = scene.ok(&["recover", "--from-archive"]);
    assert!(told.contains("project is here again") && told.contains("web is here"), "{told}");
    assert_eq!(scene.changes(), ["added second"]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "2");
    assert_eq!(scene.ok(&["exec", "web", "--", "cat", "web"]), "web\n");
    // The older one, from before the commit.
    let snapshots = scene.json(&["snapshots"])["snapshots"].clone();
    let oldest = snapshots.as_array().expect("snapshots").iter().find(|snapshot| {
        snapshot["message"].as_str().is_some_and(|text| text.contains("project.snap-2"))
    });
    let id = oldest.expect("the first one")["id"].as_str().expect("an id").to_owned();
    scene.ok(&["rollback", &id]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "1");
    assert_eq!(scene.inside("cat a new/x"), "changed\nx\n");
    assert!(first.len() >= 3);
    // What is archived now has a name that none of them has.
    scene.inside("echo third > third");
    push(&scene);
    let again = scene.ok(&["recover", "--from-archive"]);
    assert!(again.contains("was left as it is"), "{again}");
}

#[test]
fn what_old_commits_kept_is_not_taken_for_something_new() {
    let scene = scene();
    push(&scene);
    scene.ok(&["commit"]);
    let before: i64 = last_operation(&scene);
    lose_the_database(&scene);
    scene.inside("echo other > other");
    assert!(last_operation(&scene) > before, "an id was given twice");
    scene.ok(&["commit"]);
    assert_eq!(scene.read("other"), "other\n");
    scene.ok(&["undo"]);
    assert!(!scene.exists("other"));
    assert_eq!(scene.read("a"), "changed\n");
}

fn last_operation(scene: &Scene) -> i64 {
    let id = scene.last();
    id.trim_start_matches("op-").parse().expect("a number")
}

#[test]
fn from_another_place_and_with_what_is_damaged_told() {
    let scene = scene();
    push(&scene);
    scene.ok(&["new", "web"]);
    scene.ok(&["exec", "web", "--", "sh", "-c", "echo web > web"]);
    let pushed = scene.json(&["push", "--sandbox", "web"])["snapshots"][0].clone();
    let manifest = pushed["manifest"].as_str().expect("a digest").replace("sha256:", "");
    scene.host("mv \"$CTRLZ_HOME\" ../old");
    std::fs::write(scene.root.join("old/archive/blobs/sha256").join(manifest), "{}")
        .expect("write");
    let told = scene.run(&["recover", "--from-archive", "../old/archive"]).code(1).out();
    assert!(told.contains("project is here again"), "{told}");
    assert!(told.contains("web.snap-") && told.contains("CANNOT BE READ"), "{told}");
    scene.inside("test -e new/x");
}

#[test]
fn what_a_setup_left_is_no_change_of_what_comes_back() {
    let scene = Scene::with("echo one > a");
    scene.write("ctrlz.yaml", "setup: [\"mkdir deps; echo lib > deps/lib\", \"echo two > a\"]\n");
    scene.inside("echo mine > mine");
    if scene.json(&["ls"])["sandboxes"][0]["driver"] == "copy" {
        skipped("this workspace driver keeps whole trees");
        return;
    }
    push(&scene);
    lose_the_database(&scene);
    // Where the layers are there still, and where they are not.
    for from in [&[][..], &["../old/archive"]] {
        let told = scene.run(&[&["recover", "--from-archive"], from].concat()).ok();
        assert!(!told.err().contains("setup"), "{told}");
        assert_eq!(scene.changes(), ["added mine"]);
        assert_eq!(scene.inside("cat a deps/lib"), "two\nlib\n");
        if from.is_empty() {
            scene.host("mv \"$CTRLZ_HOME\" ../old");
        }
    }
    scene.inside("echo more > more");
    scene.ok(&["commit"]);
    assert!(scene.exists("mine") && scene.exists("more") && !scene.exists("deps"));
    assert_eq!(scene.read("a"), "one\n");
}
