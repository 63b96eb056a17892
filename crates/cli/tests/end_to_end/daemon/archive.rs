//! The daemon archives what archive.yaml names.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{Daemon, configure, scene, told, until, until_told};
use crate::support::Scene;

fn archived(scene: &Scene) -> Vec<String> {
    let listed = scene.run(&["--json", "archive", "ls"]);
    if !listed.status.success() {
        return Vec::new();
    }
    let listed = listed.json();
    let snapshots = listed["snapshots"].as_array().expect("an array").iter();
    snapshots.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
}

#[track_caller]
fn until_archived(scene: &Scene, snapshot: &Value) {
    let name = format!("project.{}", snapshot.as_str().expect("an id"));
    for _ in 0..1500 {
        if archived(scene).contains(&name) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    panic!("{name} is never archived: {:?}\n{}", archived(scene), super::support::said(scene));
}

fn taken(scene: &Scene) -> Value {
    scene.json(&["snapshot"])["snapshot"]["id"].clone()
}

#[test]
fn what_is_named_is_archived_and_drilled_by_itself() {
    let scene = scene();
    scene.inside("echo one > one");
    let first = taken(&scene);
    let daemon = Daemon::start(&scene, &[]);
    assert!(daemon.tasks.contains(&"archive".to_owned()), "{:?}", daemon.tasks);
    // Read each time, so that nobody has to start it anew.
    configure(&scene, "archive.yaml", "snapshots: manual\ndrill_every: 7d\n");
    until_archived(&scene, &first);
    scene.inside("echo two > two");
    let second = taken(&scene);
    until_archived(&scene, &second);
    let drilled = "grep -q '\"drilled\":{\"at\"' \"$CTRLZ_HOME\"/archived/*/checks.json";
    until(&scene, drilled);
    daemon.end();
    scene.ok(&["verify"]);
    assert_eq!(told(&scene, "task archive"), [""; 0]);
}

#[test]
fn what_fails_is_told_once_and_left_alone_for_a_while() {
    let scene = scene();
    scene.inside("echo one > one");
    let snapshot = taken(&scene);
    configure(&scene, "archive.yaml", "snapshots: some\n");
    let daemon = Daemon::start(&scene, &[]);
    until_told(&scene, "task archive", "warning: it fails: ");
    configure(&scene, "archive.yaml", "snapshots: manual\ncopies: [/dev/null/copy]\n");
    until_archived(&scene, &snapshot);
    until_told(&scene, "task archive", "ok: it works again");
    until_told(&scene, "unarchived", "warning: ");
    // Two more looks.
    std::thread::sleep(std::time::Duration::from_secs(11));
    let tried = "grep -q '\"tries\":1,' \"$CTRLZ_HOME\"/archived/*/checks.json";
    scene.host(tried);
    assert_eq!(told(&scene, "task archive").len(), 2, "{:?}", told(&scene, "task archive"));
    daemon.end();
}

/// The processes that archive for this scene.
fn archivers(scene: &Scene) -> Vec<i32> {
    let store = format!("CTRLZ_HOME={}", scene.store.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("proc") {
        let path = entry.expect("an entry").path();
        let Some(pid) = path.file_name().and_then(|pid| pid.to_str()?.parse().ok()) else {
            continue;
        };
        let read = |name: &str| std::fs::read(path.join(name)).unwrap_or_default();
        let has =
            |bytes: &[u8], text: &str| bytes.split(|b| *b == 0).any(|one| one == text.as_bytes());
        if has(&read("cmdline"), "--of-daemon") && has(&read("environ"), &store) {
            found.push(pid);
        }
    }
    found
}

#[test]
fn the_archiver_ends_with_the_daemon_however_that_ends() {
    let scene = scene();
    scene.inside("echo one > one");
    let snapshot = taken(&scene);
    configure(&scene, "archive.yaml", "snapshots: manual\n");
    let hold = scene.root.join("hold");
    std::fs::write(&hold, "").expect("write");
    let environment = [("CTRLZ_ARCHIVE_HOLD", hold.to_str().expect("text"))];
    let started = |scene: &Scene| {
        let daemon = Daemon::start(scene, &environment);
        until(scene, "[ -e ../hold.reached ]");
        scene.host("rm ../hold.reached");
        assert_eq!(archivers(scene).len(), 1);
        daemon
    };
    let daemon = started(&scene);
    let archiver = archivers(&scene)[0];
    let stat = std::fs::read_to_string(format!("/proc/{archiver}/stat")).expect("read");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    assert_eq!(fields[16], "19", "the lowest priority: {stat}");
    daemon.end();
    assert_eq!(archivers(&scene), [0; 0], "asked to end, it waits for it");
    let daemon = started(&scene);
    daemon.kill();
    for _ in 0..1500 {
        if archivers(&scene).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    assert_eq!(archivers(&scene), [0; 0]);
    let daemon = started(&scene);
    let archiver = Pid::from_raw(archivers(&scene)[0]).expect("a process");
    kill_process(archiver, Signal::KILL).expect("kill");
    until_told(&scene, "task archive", "warning: it fails: signal: 9");
    std::fs::remove_file(&hold).expect("remove");
    until_archived(&scene, &snapshot);
    until_told(&scene, "task archive", "ok: it works again");
    daemon.end();
    scene.ok(&["verify"]);
}

#[test]
fn what_cannot_be_noted_is_not_done_again_and_again_and_is_told() {
    let scene = scene();
    scene.inside("echo one > one");
    let first = taken(&scene);
    configure(&scene, "archive.yaml", "snapshots: manual\n");
    scene.ok(&["archive", "apply"]);
    // Where it is written down, something is in the way: for root as for anybody else.
    let memory = "cd \"$CTRLZ_HOME\"/archived/*/";
    scene.host(&format!("{memory}; mkdir checks.new"));
    configure(&scene, "archive.yaml", "snapshots: manual\ndrill_every: 7d\n");
    scene.inside("echo two > two");
    let second = taken(&scene);
    scene.run(&["archive", "apply"]).code(125).says(&["could not be noted", "checks.json"]);
    let daemon = Daemon::start(&scene, &[]);
    until_told(&scene, "task archive", "warning: it fails: ");
    let why = &told(&scene, "task archive")[0];
    assert!(why.contains("could not be noted"), "{why}");
    assert_eq!(archived(&scene).len(), 1, "neither archived nor drilled");
    scene.host(&format!("{memory}; ! grep -q '\"drilled\":{{' checks.json; rmdir checks.new"));
    until_archived(&scene, &second);
    until(&scene, "grep -q '\"drilled\":{\"at\"' \"$CTRLZ_HOME\"/archived/*/checks.json");
    until_told(&scene, "task archive", "ok: it works again");
    daemon.end();
    until_archived(&scene, &first);
    scene.ok(&["verify"]);
}
