//! What is wrong, and what is done about it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[cfg(feature = "faults")]
use crate::support::Outcome;
use crate::support::{Scene, python, skipped, unshared};

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

#[test]
fn a_control_group_that_is_left_over_is_removed() {
    let scene = Scene::new();
    let survey = scene.json(&["doctor"]);
    let mut lines = survey["enforcement"].as_array().expect("an array").iter();
    let memory = lines.find(|line| line["what"] == "limit memory").expect("a line");
    if !memory["by"].to_string().contains("cgroup") {
        return skipped("no control group to leave behind");
    }
    // Others remove what this leaves, too, whenever they recover something.
    for _ in 0..20 {
        let mut running = scene
            .ctrlz(["run", "--memory", "200M", "--", "sh", "-c", "echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let mut out = BufReader::new(running.stdout.take().expect("piped"));
        out.read_line(&mut String::new()).expect("it runs");
        running.kill().expect("kill");
        running.wait().expect("its end");
        // Waits for its last process, and takes back what it wrote, which recovery of all would do
        // together with what is looked for here.
        scene.inside("true");
        let group = format!("ctrlz-{}", running.id());
        let evidence = check(&scene, "leftovers")["evidence"].to_string();
        let fixed = scene.run(&["health", "--fix"]).out();
        let left = scene.host("find /sys/fs/cgroup -name 'ctrlz-*' 2>/dev/null || true");
        assert!(!left.lines().any(|line| line.ends_with(&group)), "{left}\n{fixed}");
        let is_told = fixed.contains("removed the control group") && fixed.contains(&group);
        if is_told && !evidence.contains("no control groups") {
            let told = scene.json(&["events", "--type", "health.changed"])["events"].to_string();
            assert!(told.contains("removed the control group"), "{told}");
            return;
        }
        scene.ok(&["recover"]);
    }
    panic!("it is never left for this one");
}

#[test]
fn on_a_small_disk_retention_is_applied_at_once() {
    let scene = Scene::with(
        "mkdir -p ../store \"$HOME/.config/ctrlz\"; \
         echo 'retention: {max_snapshots: 1}' > \"$HOME/.config/ctrlz/ctrlz.yaml\"",
    );
    let script = "mount -t tmpfs -o size=96m,mode=700 t ../store || exit 77
        for n in 1 2 3 4; do \"$CTRLZ\" run -- sh -c \"echo $n > f\"; done
        \"$CTRLZ\" snapshots --all > ../before
        \"$CTRLZ\" health --fix || true
        \"$CTRLZ\" snapshots --all > ../after; cat ../before ../after >&2
        [ $(grep -c pre-operation ../before) = 4 ] && [ $(grep -c pre-operation ../after) = 1 ]
        \"$CTRLZ\" events --type snapshot.removed
        \"$CTRLZ\" undo; \"$CTRLZ\" diff -p";
    let Some(outcome) = unshared(&scene, script) else { return };
    let text = outcome.ok().out();
    assert!(text.contains("let 3 snapshots go"), "{text}");
    assert!(text.contains("there are 1 newer ones of kind pre-operation"), "{text}");
    assert!(text.contains("+3"), "what can be undone stays: {text}");
}

#[test]
fn layers_of_a_long_chain_are_merged_ahead() {
    if std::env::var_os("CTRLZ_WORKSPACE").is_some_and(|driver| driver == "copy") {
        return skipped("a copy has no layers");
    }
    let scene = Scene::new();
    for n in 0..41 {
        scene.inside(&format!("echo {n} >> log"));
    }
    let found = check(&scene, "layers");
    assert_eq!(found["severity"], "warning", "{found}");
    assert!(found["evidence"].as_str().expect("text").contains("41 layers"), "{found}");
    let fixed = scene.run(&["health", "--fix"]).out();
    assert!(fixed.contains("merged the layers of 1 sandboxes: project"), "{fixed}");
    assert_eq!(check(&scene, "layers")["severity"], "ok");
    let told = scene.json(&["events", "--type", "health.changed"])["events"].to_string();
    assert!(told.contains("merged the layers"), "{told}");
    for n in 41..52 {
        scene.inside(&format!("echo {n} >> log"));
    }
    assert_eq!(scene.inside("wc -l < log"), "52\n");
    // The last one only looked.
    (0..53).for_each(|_| drop(scene.ok(&["undo"])));
    assert!(scene.changes().is_empty());
}

#[cfg(feature = "faults")]
#[test]
fn chains_of_files_with_many_owners_are_merged_by_their_own_commands_only() {
    if std::env::var_os("CTRLZ_WORKSPACE").is_some_and(|driver| driver == "copy") {
        return skipped("a copy has no layers");
    }
    let scene = Scene::new();
    scene.host("mkdir -p ../root/bin ../root/etc ../root/tmp; cp \"$CTRLZ\" ../root/bin/ctrlz");
    let root = scene.root.join("root");
    scene.ok(&["new", "own", "--root", root.to_str().expect("UTF-8")]);
    for n in 0..41 {
        scene.ok(&["exec", "own", "--", "/bin/ctrlz", "man", "/etc"]);
        scene.inside(&format!("echo {n} >> log"));
    }
    let found = check(&scene, "layers");
    let evidence = found["evidence"].as_str().expect("text");
    assert!(evidence.contains("`project`") && !evidence.contains("`own`"), "{evidence}");
    // Commands elsewhere do what is to be done now and then.
    for _ in 0..10 {
        if check(&scene, "layers")["severity"] == "ok" {
            break;
        }
        for _ in 0..32 {
            let mut command = scene.ctrlz(["run", "--no-snapshot", "--", "true"]);
            Outcome::of(command.env("CTRLZ_UPKEEP_SECONDS", "0")).ok();
        }
    }
    assert_eq!(check(&scene, "layers")["severity"], "ok");
    let fixed = scene.run(&["health", "--fix"]).out();
    assert!(!fixed.contains("merged the layers"), "{fixed}");
    // It was left to one that may handle its files.
    assert_eq!(scene.json(&["gc"])["merged"], serde_json::json!(["own"]));
    scene.ok(&["exec", "own", "--", "/bin/ctrlz", "--version"]);
}

#[test]
fn an_operation_that_does_not_end_is_ended_and_kept() {
    let scene = Scene::new();
    scene.host("mkdir -p \"$HOME/.config/ctrlz\"");
    let text = "monitoring: {stuck_after: 1s}\n";
    std::fs::write(scene.home.join(".config/ctrlz/ctrlz.yaml"), text).expect("write");
    let script = "echo kept > kept; echo ready; exec sleep 1000";
    let mut running = scene
        .ctrlz(["run", "--timeout", "1s", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut line = String::new();
    let mut out = BufReader::new(running.stdout.take().expect("piped"));
    out.read_line(&mut line).expect("it runs");
    // Who should hold its limit cannot.
    let pid = Pid::from_child(&running);
    kill_process(pid, Signal::STOP).expect("stop");
    let found = (0..3000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        Some(check(&scene, "journal")).filter(|found| found["severity"] == "critical")
    });
    let found = found.expect("it is stuck");
    assert!(found["evidence"].as_str().expect("text").contains("its limit is"), "{found}");
    // Its ctrlz goes on, to keep what was written.
    let fixed = scene.run(&["health", "--fix"]).out();
    assert!(fixed.contains("ended op-2 in `project`, and what it wrote is kept"), "{fixed}");
    running.wait().expect("it ended");
    assert_eq!(check(&scene, "journal")["severity"], "ok");
    assert_eq!(scene.changes(), ["added kept"]);
    // Not by its own limit once it was woken, which ends it more gently.
    let ended = &scene.log()[0]["outcome"]["command"];
    assert_eq!(ended["exit"]["signal"], 9, "{ended}");
}

#[cfg(feature = "faults")]
#[test]
fn a_clock_that_jumps_makes_nothing_stuck() {
    let scene = Scene::new();
    let script = "echo ready; exec sleep 1000";
    let mut running = scene
        .ctrlz(["run", "--timeout", "10m", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut out = BufReader::new(running.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("it runs");
    let clock = scene.store.join("clock");
    std::fs::write(&clock, "86400").expect("write");
    let mut health = scene.ctrlz(["--json", "health", "--fix"]);
    let told = Outcome::of(health.env("CTRLZ_CLOCK", &clock)).json();
    let findings = told["findings"].as_array().expect("an array");
    let journal = findings.iter().find(|one| one["check"] == "journal").expect("a check");
    assert_eq!(journal["severity"], "ok", "{journal}");
    assert!(running.try_wait().expect("look").is_none(), "it goes on");
    kill_process(Pid::from_child(&running), Signal::TERM).expect("end");
    running.wait().expect("it ended");
}

#[test]
fn what_waits_suspended_is_not_stuck() {
    let scene = Scene::new();
    scene.host("mkdir -p \"$HOME/.config/ctrlz\"");
    let text = "monitoring: {stuck_after: 1s}\n";
    std::fs::write(scene.home.join(".config/ctrlz/ctrlz.yaml"), text).expect("write");
    let mut running = scene
        .ctrlz(["run", "--timeout", "1s", "--", "sh", "-c", "echo ready; sleep 0.9; echo end"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut out = BufReader::new(running.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("it runs");
    scene.ok(&["suspend", "project"]);
    std::thread::sleep(std::time::Duration::from_millis(2200));
    assert_eq!(check(&scene, "journal")["severity"], "ok");
    scene.ok(&["resume", "project"]);
    running.wait().expect("it ended");
}
