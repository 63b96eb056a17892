//! A layer that is missing or damaged here comes from the archive by itself.

use std::path::PathBuf;

use super::{push, scene};
use crate::support::Scene;

/// The directories of the sandbox's layers, or of its trees.
fn parts(scene: &Scene) -> Vec<PathBuf> {
    let folders = [scene.store.join("layers"), scene.store.join("copies/trees")];
    let inside = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut parts: Vec<PathBuf> =
        inside.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    parts.sort();
    parts
}

/// A scene with a snapshot in the archive, and its id.
fn archived() -> (Scene, String, Vec<String>) {
    let scene = scene();
    let changes = scene.changes();
    push(&scene);
    let id = scene.json(&["snapshots"])["snapshots"][0]["id"].as_str().expect("an id").to_owned();
    (scene, id, changes)
}

#[test]
fn a_rollback_fetches_what_is_missing() {
    let (scene, id, changes) = archived();
    scene.inside("echo later > later; echo later > a");
    for part in parts(&scene).iter().take(1) {
        scene.host(&format!("chmod -R u+rwX '{0}'; rm -rf '{0}'", part.display()));
    }
    let told = scene.ok(&["rollback", &id, "--verify"]);
    assert!(told.contains("was fetched from the archive"), "{told}");
    assert_eq!(scene.changes(), changes);
    assert_eq!(scene.inside("cat a new/x; ls d/sub"), "changed\nx\nhard\n");
    scene.ok(&["commit"]);
    assert_eq!(scene.read("a"), "changed\n");
}

#[test]
fn a_thorough_rollback_fetches_what_is_damaged() {
    let (scene, id, changes) = archived();
    let part = parts(&scene).remove(0);
    let file = [part.join("a"), part.join("tree/a"), part.join("root/a")];
    let file = file.iter().find(|file| file.exists()).expect("the changed file").clone();
    std::fs::write(file, "rotten!\n").expect("write");
    let told = scene.ok(&["rollback", &id, "--verify"]);
    assert!(told.contains("was fetched from the archive"), "{told}");
    assert_eq!(scene.changes(), changes);
    assert_eq!(scene.inside("cat a"), "changed\n");
}

#[test]
fn recover_mends_where_a_sandbox_stands() {
    let (scene, _, changes) = archived();
    for part in parts(&scene) {
        scene.host(&format!("chmod -R u+rwX '{0}'; rm -rf '{0}'", part.display()));
    }
    scene.run(&["run", "--", "true"]).code(125).says(&["damaged"]);
    let told = scene.ok(&["recover"]);
    assert!(told.contains("was fetched from the archive"), "{told}");
    assert_eq!(scene.changes(), changes);
    scene.inside("test -e new/x");
}

#[test]
fn what_no_archive_has_is_told_and_an_older_point_is_reached() {
    let scene = scene();
    let id = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    let changes = scene.changes();
    scene.inside("echo later > later");
    let newest = parts(&scene)
        .into_iter()
        .max_by_key(|path| std::fs::metadata(path).expect("a part").modified().expect("its time"))
        .expect("a part");
    scene.host(&format!("chmod -R u+rwX '{0}'; rm -rf '{0}'", newest.display()));
    let told = scene.run(&["recover"]).code(1).out();
    assert!(told.contains("DAMAGED") && told.contains("ctrlz rollback project"), "{told}");
    scene.ok(&["rollback", &id]);
    assert_eq!(scene.changes(), changes);
}

#[test]
fn a_damaged_archive_mends_nothing() {
    let (scene, id, _) = archived();
    let part = parts(&scene).remove(0);
    scene.host(&format!("chmod -R u+rwX '{0}'; rm -rf '{0}'", part.display()));
    for blob in super::blobs(&scene) {
        let mut bytes = std::fs::read(&blob).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&blob, bytes).expect("write");
    }
    scene.run(&["rollback", &id]).code(125);
    assert!(!part.exists());
}
