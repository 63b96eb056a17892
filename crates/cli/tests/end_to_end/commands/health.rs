//! What is wrong, and what is done about it.

use serde_json::Value;

use crate::support::{Scene, python, unshared};

/// One check of `ctrlz health`. How bad all of it is depends on the machine, too.
#[track_caller]
fn check(scene: &Scene, name: &str) -> Value {
    let outcome = scene.run(&["--json", "health"]);
    let told = outcome.json();
    let code = match told["severity"].as_str() {
        Some("ok") => 0,
        Some("warning") => 1,
        _ => 2,
    };
    outcome.code(code);
    let findings = told["findings"].as_array().expect("an array");
    findings.iter().find(|finding| finding["check"] == name).expect("such a check").clone()
}

#[test]
fn what_a_crash_left_is_told_and_mended() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let text = scene.run(&["health"]).out();
    assert!(
        text.contains("nothing is under way") && text.contains("the database is whole"),
        "{text}"
    );
    let mut running = scene
        .ctrlz(["run", "--", "sh", "-c", "echo begun > begun; sleep 600"])
        .spawn()
        .expect("start");
    scene.host("until \"$CTRLZ\" --json health | grep -q 'operations are under way'; do :; done");
    assert_eq!(check(&scene, "journal")["severity"], "ok", "somebody works on it");
    running.kill().expect("kill");
    running.wait().expect("wait");
    let found = check(&scene, "journal");
    assert_eq!(found["severity"], "warning");
    assert!(found["evidence"].as_str().expect("text").contains("was cut short"), "{found}");
    let fixed = scene.run(&["health", "--fix"]).out();
    assert!(fixed.contains("recovered 1 operations"), "{fixed}");
    assert_eq!(check(&scene, "journal")["severity"], "ok");
    assert_eq!(scene.changes(), ["added one"]);
}

#[test]
fn a_damaged_layer_and_a_damaged_database_are_critical() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    scene.ok(&["snapshot"]);
    scene.host("rm -r \"$CTRLZ_HOME\"/layers/*");
    let found = check(&scene, "snapshots");
    assert_eq!(found["severity"], "critical");
    assert!(!found["advice"].as_str().expect("text").is_empty());

    let other = Scene::new();
    other.inside("true");
    let program = "
import os, sqlite3
path = os.path.join(os.environ['CTRLZ_HOME'], 'store.db')
# What is in the log would hide the damage.
sqlite3.connect(path).execute('PRAGMA wal_checkpoint(TRUNCATE)')
with open(path, 'r+b') as file:
    file.seek(-4096, os.SEEK_END)
    file.write(b'\\xff' * 4096)
";
    python(&other, program).ok();
    let found = check(&other, "store");
    assert_eq!(found["severity"], "critical", "{found}");
}

#[test]
fn a_mount_that_is_left_over_is_detached() {
    let scene = Scene::new();
    scene.inside("true");
    let script = "cd \"$CTRLZ_HOME/heads\" && mkdir -p left lower ../layers \
        && mount -t overlay -o lowerdir=lower:/etc none left && mount -t tmpfs none ../layers \
        || exit 77
        \"$CTRLZ\" health || true
        \"$CTRLZ\" health --fix || true
        ! grep -q heads/left /proc/self/mountinfo && grep -q /layers /proc/self/mountinfo";
    let Some(outcome) = unshared(&scene, script) else { return };
    let text = outcome.ok().out();
    assert!(text.contains("1 mounts") && text.contains("detached"), "{text}");
}
