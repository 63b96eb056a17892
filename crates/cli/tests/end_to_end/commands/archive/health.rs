//! What checks of the archive came to, `ctrlz health` tells.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{blobs, push, scene};
use crate::support::Scene;

/// The finding of that check, if there is one.
fn finding(scene: &Scene, check: &str) -> Option<Value> {
    let findings = scene.run(&["health", "--json"]).json()["findings"].clone();
    let findings = findings.as_array().cloned().expect("findings");
    findings.into_iter().find(|finding| finding["check"] == check)
}

#[track_caller]
pub(super) fn is(scene: &Scene, check: &str, severity: &str, evidence: &str) {
    let finding = finding(scene, check).expect("a finding");
    assert_eq!(finding["severity"], severity, "{finding}");
    assert!(finding["evidence"].as_str().expect("text").contains(evidence), "{finding}");
}

fn checks(scene: &Scene) -> PathBuf {
    let folders = fs::read_dir(scene.store.join("archived")).expect("a folder");
    let files = folders.map(|folder| folder.expect("an entry").path().join("checks.json"));
    files.into_iter().find(|file| file.exists()).expect("the file")
}

#[test]
fn an_archive_that_was_not_drilled_is_told() {
    let scene = scene();
    assert_eq!(finding(&scene, "undrilled"), None, "there is no archive");
    assert_eq!(finding(&scene, "archive-damaged"), None);
    let first = push(&scene);
    is(&scene, "undrilled", "warning", &first);
    is(&scene, "archive-damaged", "ok", "1 snapshots");
    scene.ok(&["verify"]);
    is(&scene, "undrilled", "warning", &first);
    scene.ok(&["drill"]);
    is(&scene, "undrilled", "ok", "was drilled");
    scene.inside("echo more > more");
    let second = push(&scene);
    // The first one speaks for it.
    is(&scene, "undrilled", "ok", "");
    scene.ok(&["drill", &second]);
    let file = checks(&scene);
    let mut noted: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    for name in [&first, &second] {
        let at = &mut noted["snapshots"][name.as_str()]["drilled"]["at"];
        *at = (at.as_i64().expect("a time") - 31 * 86_400 * 1_000_000_000).into();
    }
    fs::write(&file, noted.to_string()).expect("write");
    is(&scene, "undrilled", "warning", "31 days ago");
    scene.ok(&["drill"]);
    is(&scene, "undrilled", "ok", "");
}

#[test]
fn damage_is_told_until_the_check_that_found_it_finds_none() {
    let scene = scene();
    let name = push(&scene);
    scene.ok(&["drill"]);
    let largest = blobs(&scene)
        .into_iter()
        .max_by_key(|path| fs::metadata(path).map(|about| about.len()).unwrap_or(0));
    let largest = largest.expect("a blob");
    let good = fs::read(&largest).expect("read");
    fs::write(&largest, &good[..good.len() - 1]).expect("write");
    // Nobody looked, and health does not read what is archived.
    is(&scene, "archive-damaged", "ok", "");
    scene.run(&["verify"]).code(1);
    is(&scene, "archive-damaged", "critical", &name);
    scene.run(&["health"]).code(2);
    scene.run(&["drill"]).code(1);
    fs::write(&largest, &good).expect("write");
    scene.ok(&["verify"]);
    is(&scene, "archive-damaged", "critical", "cannot be restored");
    scene.ok(&["drill"]);
    is(&scene, "archive-damaged", "ok", "");
    // What is taken out is not told any more.
    fs::write(&largest, "rotten").expect("write");
    scene.run(&["verify", &name]).code(1);
    is(&scene, "archive-damaged", "critical", &name);
    scene.ok(&["archive", "rm", &name]);
    assert_eq!(finding(&scene, "archive-damaged"), None);
    fs::write(scene.store.join("archive/index.json"), "{").expect("write");
    is(&scene, "archive-damaged", "critical", "cannot be looked at");
}

#[test]
fn a_check_of_another_place_says_nothing_of_this_one() {
    let scene = scene();
    let copy = scene.root.join("copy").display().to_string();
    scene.ok(&["push", "--to", &copy]);
    scene.ok(&["drill", "--from", &copy]);
    is(&scene, "undrilled", "warning", "never tried");
}
