//! A clock that jumps back and ahead.

use std::process::Stdio;

use serde_json::Value;

use super::support::{
    Daemon, configure, is_complete, samples, scene, signs_of_life, told, until, until_told,
};
use crate::support::{Outcome, Scene};

const YEAR: i64 = 365 * 86_400;

/// Sets the clock that all ctrlz of the scene have, by so many seconds from now.
fn set(scene: &Scene, seconds: i64) {
    std::fs::write(scene.root.join("clock"), seconds.to_string()).expect("write");
}

fn clock(scene: &Scene) -> String {
    scene.root.join("clock").display().to_string()
}

/// Runs ctrlz by that clock.
#[track_caller]
fn run(scene: &Scene, arguments: &[&str]) -> Outcome {
    Outcome::of(scene.ctrlz(arguments).env("CTRLZ_CLOCK", clock(scene)))
}

fn times(scene: &Scene) -> Vec<String> {
    let told = scene.json(&["events", "-n", "100000"]);
    let events = told["events"].as_array().expect("an array").iter();
    events.map(|event| event["time"].as_str().expect("a time")[..4].to_owned()).collect()
}

#[test]
fn the_daemon_goes_on_when_the_clock_jumps_and_events_stay_in_order() {
    let scene = scene();
    let clock = clock(&scene);
    let daemon = Daemon::start(&scene, &[("CTRLZ_CLOCK", &clock)]);
    for (shift, what) in [(0, "now"), (3 * YEAR, "ahead"), (-20 * YEAR, "back"), (0, "again")] {
        set(&scene, shift);
        let mut running = scene
            .ctrlz(["run", "--", "sh", "-c", &format!("echo {what} >> f; read -r line; true")])
            .env("CTRLZ_CLOCK", &clock)
            .stdin(Stdio::piped())
            .spawn()
            .expect("start");
        let before = samples(&scene);
        let mut looks = 0;
        while samples(&scene) <= before {
            std::thread::sleep(std::time::Duration::from_millis(50));
            looks += 1;
            assert!(looks < 1200, "no samples {what}");
        }
        drop(running.stdin.take());
        assert!(running.wait().expect("wait").success(), "{what}");
        is_complete(&scene, "a");
    }
    daemon.end();
    // By the clock of the moment: that it jumped is not hidden, and the chain tells the order.
    let years: Vec<String> = times(&scene);
    let mut distinct = years.clone();
    distinct.dedup();
    assert!(distinct.len() >= 4, "{distinct:?}");
    scene.ok(&["audit", "sign"]);
    scene.ok(&["audit", "verify"]);
    assert_eq!(scene.inside("cat f"), "now\nahead\nback\nagain\n");
    assert!(samples(&scene) >= 4, "no sample is lost");
}

#[test]
fn a_sink_that_failed_by_a_clock_that_was_ahead_is_tried_again() {
    let scene = scene();
    let clock = clock(&scene);
    configure(
        &scene,
        "sinks.yaml",
        "sinks: { hook: { types: [operation.finished], command: [sh, -c, 'test -e \"$HOME/well\" && cat >> \"$HOME/got\"'] } }\n",
    );
    scene.ok(&["sinks", "deliver"]);
    set(&scene, 10 * YEAR);
    let daemon = Daemon::start(&scene, &[("CTRLZ_CLOCK", &clock)]);
    run(&scene, &["run", "--", "touch", "x"]).ok();
    until(&scene, "\"$CTRLZ\" --json sinks | grep -q '\"failures\":[1-9]'");
    set(&scene, 0);
    scene.host(": > \"$HOME/well\"");
    until(&scene, "grep -qs operation.finished \"$HOME/got\"");
    daemon.end();
}

fn snapshots(scene: &Scene) -> usize {
    scene.json(&["snapshots", "--all"])["snapshots"].as_array().expect("an array").len()
}

#[test]
fn retention_does_not_believe_a_clock_that_jumped_ahead() {
    let scene = scene();
    set(&scene, 0);
    for number in 0..15 {
        scene.inside(&format!("echo {number} > f"));
    }
    run(&scene, &["gc", "--max-snapshots", "1000"]).ok();
    let before = snapshots(&scene);
    set(&scene, YEAR);
    let outcome = run(&scene, &["gc", "--max-snapshots", "1000"]).ok();
    assert!(
        outcome.err().contains("ahead of the time that has passed")
            && outcome.err().contains("--trust-clock"),
        "{outcome}"
    );
    assert_eq!(snapshots(&scene), before, "nothing is older than before");
    // Nor do those that do it in passing, or the daemon.
    let daemon = Daemon::start(&scene, &[("CTRLZ_CLOCK", &clock(&scene))]);
    for _ in 0..33 {
        let mut command = scene.ctrlz(["run", "--no-snapshot", "--", "true"]);
        command.env("CTRLZ_CLOCK", clock(&scene)).env("CTRLZ_UPKEEP_SECONDS", "0");
        Outcome::of(&mut command).ok();
    }
    daemon.end();
    let left = |scene: &Scene| -> Vec<Value> {
        let told = scene.json(&["events", "-n", "100000", "--type", "snapshot.removed"]);
        told["events"].as_array().expect("an array").clone()
    };
    assert!(
        left(&scene).iter().all(|event| !event["data"]["reason"].to_string().contains("older")),
        "{:?}",
        left(&scene)
    );
    assert_eq!(told(&scene, "clock").len(), 1, "told once: {:?}", told(&scene, "clock"));
    // Whoever knows better says so.
    run(&scene, &["gc", "--trust-clock"]).ok().says_nothing();
    assert!(snapshots(&scene) < before);
    // What stays can be returned to.
    scene.ok(&["undo"]);
    scene.ok(&["audit", "verify"]);
}

#[test]
fn a_clock_that_is_set_back_lets_nothing_go_and_automatic_snapshots_go_on() {
    let scene = scene();
    scene.write("ctrlz.yaml", "snapshots: {every: 1h}\n");
    let automatic = |scene: &Scene| {
        let told = scene.json(&["snapshots", "--kind", "automatic"]);
        told["snapshots"].as_array().expect("an array").len()
    };
    set(&scene, 2 * YEAR);
    run(&scene, &["run", "--", "touch", "a"]).ok();
    set(&scene, 2 * YEAR + 7200);
    run(&scene, &["run", "--", "touch", "b"]).ok();
    assert_eq!(automatic(&scene), 1);
    set(&scene, 0);
    let before = snapshots(&scene);
    run(&scene, &["gc"]).ok();
    assert_eq!(snapshots(&scene), before);
    run(&scene, &["run", "--", "touch", "c"]).ok();
    assert_eq!(automatic(&scene), 2, "the last one lies in the future and says nothing");
    run(&scene, &["run", "--", "touch", "d"]).ok();
    assert_eq!(automatic(&scene), 2);
}

#[test]
fn checkpoints_and_the_tasks_go_on_after_a_jump() {
    let scene = scene();
    set(&scene, -30 * YEAR);
    let daemon = Daemon::start(&scene, &[("CTRLZ_CLOCK", &clock(&scene))]);
    until(&scene, "[ -e \"$CTRLZ_HOME/configuration.json\" ]");
    set(&scene, 0);
    signs_of_life(&scene, "");
    until_told(&scene, "sinks", "warning");
    daemon.end();
    scene.ok(&["audit", "verify"]);
}
