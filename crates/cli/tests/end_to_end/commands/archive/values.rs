//! Values of the state that the store lost come from archived snapshots.

use super::{push, scene};
use crate::commands::state::behind;
use crate::support::Scene;

const DAMAGE: &str = "UPDATE blobs SET bytes = x'00'";

/// Two values, and a snapshot in the archive after each; the names of the snapshots.
fn archived(scene: &Scene) -> [String; 2] {
    ["one", "two"].map(|value| {
        scene.ok(&["state", "put", "phase", value]);
        push(scene)
    })
}

fn is_whole(scene: &Scene) {
    scene.ok(&["state", "verify"]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "two");
    assert_eq!(scene.ok(&["state", "get", "phase", "--version", "1"]), "one");
}

#[test]
fn the_newest_snapshot_mends_and_an_older_one_what_it_can() {
    let scene = scene();
    let [older, newest] = archived(&scene);
    behind(&scene, DAMAGE);
    scene.run(&["state", "verify"]).code(1);
    let told = scene.ok(&["state", "repair"]);
    assert!(told.contains(&format!("2 values came from {newest} in ")), "{told}");
    is_whole(&scene);
    scene.ok(&["archive", "rm", &newest]);
    behind(&scene, DAMAGE);
    let outcome = scene.run(&["state", "repair"]).code(1);
    assert!(outcome.out().contains(&format!("1 value came from {older} in ")), "{outcome}");
    outcome.says(&["`phase` at version 2", "neither the archive nor its copies"]);
    assert_eq!(scene.ok(&["state", "get", "phase", "--version", "1"]), "one");
}

#[test]
fn a_copy_elsewhere_has_what_the_archive_here_lacks() {
    let scene = scene();
    scene.host("mkdir -p ../home/.config/ctrlz");
    let copy = scene.root.join("copy").display().to_string();
    scene.write("../home/.config/ctrlz/archive.yaml", format!("copies: [{copy}]\n"));
    let [_, newest] = archived(&scene);
    for blob in super::blobs(&scene) {
        std::fs::write(&blob, "rotten").expect("write");
    }
    behind(&scene, DAMAGE);
    let object = scene.run(&["state", "repair", "--json"]).says(&["could not be looked at"]);
    let archived = &object.ok().json()["archived"][0];
    assert_eq!(archived["snapshot"], newest);
    assert_eq!(archived["place"], copy);
    assert_eq!(archived["values"], 2);
    is_whole(&scene);
    // With no archive here at all.
    scene.host("rm -r \"$CTRLZ_HOME/archive\"");
    behind(&scene, DAMAGE);
    let told = scene.ok(&["state", "repair"]);
    assert!(told.contains(&format!("2 values came from {newest} in {copy}")), "{told}");
    is_whole(&scene);
}
