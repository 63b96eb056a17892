//! A daemon to be looked at, and killed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::Scene;

/// Two sinks that work and one that takes nothing, and a profile that looks every second.
const SINKS: &str = "sinks:
  a: { file: a.jsonl }
  b: { file: b.jsonl }
  dead: { command: ['false'], attempts: 1, types: [rollback] }
";
pub(super) const CONFIGURATION: &str =
    "development: {monitoring_config: {collection_interval: 1, health_check_interval: 1}}\n";

/// A scene for daemons.
pub(super) fn scene() -> Scene {
    let scene = Scene::new();
    scene.host("mkdir -p \"$HOME/.config/ctrlz\"");
    configure(&scene, "sinks.yaml", SINKS);
    configure(&scene, "ctrlz.yaml", CONFIGURATION);
    // The sinks begin here.
    scene.ok(&["sinks", "deliver"]);
    scene
}

/// Writes a file of the user's configuration.
pub(super) fn configure(scene: &Scene, name: &str, text: &str) {
    std::fs::write(scene.home.join(".config/ctrlz").join(name), text).expect("write");
}

/// Waits until `script` succeeds on the host.
#[track_caller]
pub(super) fn until(scene: &Scene, script: &str) {
    let limit = "[ $n -lt 3000 ] || { echo \"it never comes\" >&2; exit 1; }; n=$((n + 1))";
    scene.host(&format!("n=0; until {script}; do {limit}; sleep 0.02; done"));
}

/// One that ends with the test.
pub(super) struct Daemon {
    child: Child,
    pub(super) tasks: Vec<String>,
}

impl Daemon {
    #[track_caller]
    pub(super) fn start(scene: &Scene, environment: &[(&str, &str)]) -> Self {
        let log = File::options().create(true).append(true).open(scene.root.join("daemon.log"));
        let mut command = scene.ctrlz(["--json", "daemon"]);
        command.envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(log.expect("a log"));
        let mut child = command.spawn().expect("start");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("read");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("the daemon said {line:?}, {}", said(scene));
        });
        let tasks = told["tasks"].as_array().expect("an array").iter();
        let tasks = tasks.map(|task| task.as_str().expect("a name").to_owned()).collect();
        Self { child, tasks }
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub(super) fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("kill");
        assert!(self.child.wait().expect("wait").success());
    }

    /// As a kernel does that is out of memory.
    pub(super) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Waits until it ends by itself.
    pub(super) fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("wait")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What daemons said on standard error.
pub(super) fn said(scene: &Scene) -> String {
    std::fs::read_to_string(scene.root.join("daemon.log")).unwrap_or_default()
}

/// The data of all events of a type.
#[track_caller]
pub(super) fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let told = scene.json(&["events", "-n", "100000", "--type", kind]);
    let events = told["events"].as_array().expect("an array");
    events.iter().map(|event| event["data"].clone()).collect()
}

/// What was told of a check, each as `severity: evidence`.
#[track_caller]
pub(super) fn told(scene: &Scene, check: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let events = events(scene, "health.changed");
    let of_check = events.iter().filter(|data| data["check"] == check);
    of_check
        .map(|data| format!("{}: {}", text(&data["severity"]), text(&data["evidence"])))
        .collect()
}

/// Waits until something of a check was told that begins so.
#[track_caller]
pub(super) fn until_told(scene: &Scene, check: &str, beginning: &str) {
    for _ in 0..1500 {
        if told(scene, check).iter().any(|one| one.starts_with(beginning)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    panic!("`{beginning}` of {check} is never told: {:?}\n{}", told(scene, check), said(scene));
}

/// The file of a sink has every event up to the newest: each once, in order.
#[track_caller]
pub(super) fn is_complete(scene: &Scene, sink: &str) {
    let path = scene.home.join(format!(".config/ctrlz/{sink}.jsonl"));
    let numbers = || -> Vec<i64> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let number = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            event["id"].as_str()?.parse().ok()
        };
        text.lines().filter_map(number).collect()
    };
    for _ in 0..1500 {
        let last = scene.json(&["events", "-n", "1"])["last"].as_i64().expect("a number");
        let numbers = numbers();
        if numbers.last().is_some_and(|newest| *newest >= last) {
            let first = numbers[0];
            let expected: Vec<i64> = (first..first + numbers.len() as i64).collect();
            assert_eq!(numbers, expected, "each once, in order");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    panic!("{sink} never has all: {:?}\n{}", numbers(), said(scene));
}

/// Lets every task have something to do, and waits until each but `without` has done it.
#[track_caller]
pub(super) fn signs_of_life(scene: &Scene, without: &str) {
    let count = |kind: &str| events(scene, kind).len();
    let (samples, changes) = (samples(scene), count("configuration.changed"));
    let text = format!("{CONFIGURATION}# {}\n", std::process::id() as usize + changes);
    configure(scene, "ctrlz.yaml", &text);
    let mut running = scene
        .ctrlz(["run", "--", "sh", "-c", "echo life > life; read -r line; true"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("start");
    if without != "tracker" {
        wait(scene, "samples", || self::samples(scene) > samples);
    }
    drop(running.stdin.take());
    assert!(running.wait().expect("wait").success());
    if without != "configuration" {
        wait(scene, "the change", || count("configuration.changed") > changes);
    }
    if without != "checkpoints" {
        until(scene, "ls \"$CTRLZ_HOME\"/audit/*.note > /dev/null 2>&1");
    }
    for sink in ["a", "b"] {
        if without != format!("sink {sink}") {
            is_complete(scene, sink);
        }
    }
    if without != "health" && without != "sink dead" {
        // What the dead sink is to get: its dead letter is a finding.
        if told(scene, "sinks").is_empty() {
            scene.ok(&["snapshot", "-m", "back here"]);
            scene
                .run(&[
                    "recover",
                    "--emergency",
                    "project",
                    "--reason",
                    "a test",
                    "--to",
                    &newest(scene),
                ])
                .ok();
        }
        until_told(scene, "sinks", "warning: `dead`: ");
    }
}

fn newest(scene: &Scene) -> String {
    let told = scene.json(&["snapshots"]);
    told["snapshots"][0]["id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn wait(scene: &Scene, what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    panic!("{what} never come\n{}", said(scene));
}

pub(super) fn samples(scene: &Scene) -> u64 {
    let outcome = scene.run(&["--json", "stats"]);
    if outcome.status.success() {
        outcome.json()["totals"]["samples"].as_u64().unwrap_or(0)
    } else {
        0
    }
}
