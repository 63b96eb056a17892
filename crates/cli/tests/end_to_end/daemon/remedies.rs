//! What the daemon does by itself about what is wrong.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use super::support::Daemon;
use crate::support::Scene;

/// Leaves an operation unfinished, as a crash does.
#[track_caller]
fn crash(scene: &Scene) {
    let mut running = scene
        .ctrlz(["run", "--", "sh", "-c", "echo ready; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut out = BufReader::new(running.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("it runs");
    running.kill().expect("kill");
    running.wait().expect("wait");
}

/// Events of the check of the journal, each with how bad it is.
fn told(scene: &Scene) -> Vec<(String, String)> {
    let events = scene.json(&["events", "--type", "health.changed", "-n", "1000"]);
    let events = events["events"].as_array().expect("an array").clone();
    let of_journal = events.into_iter().filter(|event| event["data"]["check"] == "journal");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    of_journal.map(|one| (text(&one["data"]["severity"]), text(&one["data"]["remedy"]))).collect()
}

fn status(scene: &Scene) -> String {
    scene.log()[0]["status"].as_str().expect("text").to_owned()
}

#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..1500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    panic!("it never is");
}

/// How often the check of the journal became worse.
fn warnings(scene: &Scene) -> usize {
    told(scene).iter().filter(|(severity, by)| severity == "warning" && by != DONE).count()
}

const DONE: &str = "done by ctrlz";

#[test]
fn remedies_are_applied_seldom_and_can_be_turned_off() {
    for (settings, first, second) in [
        ("remedy_interval: 1s", true, true),
        ("remedy_interval: 10m", true, false),
        ("remedies: false", false, false),
    ] {
        let scene = Scene::new();
        scene.inside("echo 1 > f");
        scene.host("mkdir -p \"$HOME/.config/ctrlz\"");
        let text = format!(
            "monitoring: {{{settings}}}\ndevelopment: {{monitoring_config: {{health_check_interval: 1}}}}\n"
        );
        std::fs::write(scene.home.join(".config/ctrlz/ctrlz.yaml"), text).expect("write");
        let daemon = Daemon::start(&scene, &[]);
        for (before, is_mended) in [first, second].into_iter().enumerate() {
            crash(&scene);
            until(|| warnings(&scene) > before);
            if is_mended {
                until(|| status(&scene) == "recovered");
                // It is told that all is well before the next thing goes wrong.
                until(|| told(&scene).last().is_some_and(|(severity, _)| severity == "ok"));
            } else {
                // Two more looks.
                std::thread::sleep(Duration::from_millis(2500));
                assert_eq!(status(&scene), "open", "{settings}");
                scene.ok(&["recover"]);
                until(|| told(&scene).last().is_some_and(|(severity, _)| severity == "ok"));
            }
        }
        let applied = told(&scene).iter().filter(|(_, by)| by == DONE).count();
        assert_eq!(applied, usize::from(first) + usize::from(second), "{:?}", told(&scene));
        drop(daemon);
    }
}
