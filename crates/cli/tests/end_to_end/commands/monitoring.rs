//! What operations use, and what is unusual.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::terminal::at_a_terminal;
use crate::support::{Outcome, Scene, python, unshared};

/// A scene in which it is looked every second, with more of ctrlz.yaml.
fn scene(more: &str) -> Scene {
    let scene = Scene::new();
    scene.host("mkdir -p \"$HOME/.config/ctrlz\"");
    let text = format!("development: {{monitoring_config: {{collection_interval: 1}}}}\n{more}\n");
    std::fs::write(scene.home.join(".config/ctrlz/ctrlz.yaml"), text).expect("write");
    scene
}

/// A command that has begun, and goes on until [`finish`].
fn start(scene: &Scene, arguments: &[&str]) -> Child {
    let mut command = scene.ctrlz(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("read");
    assert_eq!(line, "ready\n");
    child
}

fn finish(mut child: Child) -> Outcome {
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("wait");
    Outcome::new(&std::process::Command::new("ctrlz"), output)
}

/// A process that does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks until `holds` is true of what `ctrlz --json` prints.
#[track_caller]
fn until(scene: &Scene, arguments: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..3000 {
        let answer = scene.json(arguments);
        if holds(&answer) {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it never comes: {}", scene.json(arguments));
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

const WAITING: &[&str] = &[
    "run",
    "--",
    "sh",
    "-c",
    "sleep 1000 & head -c 3000000 /dev/zero > f; echo ready; read -r line; true",
];

#[test]
fn a_short_command_is_not_looked_at() {
    let scene = scene("");
    scene.inside("true");
    assert!(!scene.store.join("monitor.db").exists());
    let stats = scene.json(&["stats"]);
    assert_eq!(stats["totals"]["samples"], 0);
    assert_eq!(stats["operations"]["statuses"]["done"], 2);
    let run =
        stats["latency"].as_array().expect("an array").iter().find(|one| one["kind"] == "run");
    let buckets = run.expect("a histogram")["buckets"].as_array().expect("an array").clone();
    assert_eq!(buckets.last().expect("a bucket"), &serde_json::json!({"le": null, "count": 1}));
    assert!(scene.ok(&["stats"]).contains("no sample was taken"));
    assert_eq!(scene.json(&["stats", "--since", "2200-01-01"])["operations"]["count"], 0);
    scene.run(&["stats", "nobody"]).code(125).says(&["nobody"]);
    scene.run(&["stats", "--since", "yesterday"]).code(125).says(&["yesterday"]);
    assert_eq!(scene.ok(&["top"]), "nothing runs\n");
}

#[test]
fn what_runs_is_seen_by_stats_and_top() {
    let scene = scene("");
    let child = start(&scene, WAITING);
    let top = scene.json(&["top"]);
    let running = &top["running"][0];
    assert_eq!((&running["sandbox"], &running["operation"]), (&"project".into(), &"op-2".into()));
    assert_eq!(running["usage"]["processes"], 2, "{running}");
    assert!(
        number(&running["usage"]["memory"]) > 0.0 && number(&running["usage"]["open_files"]) >= 6.0
    );
    assert_eq!(running["usage"]["network_attempts"], 0);
    let text = scene.ok(&["top", "--once", "--sort", "memory"]);
    assert!(text.starts_with("SANDBOX") && text.contains("sh -c sleep 1000"), "{text}");
    let stats = until(&scene, &["stats"], |stats| stats["totals"]["samples"] != 0);
    assert_eq!(stats["sampled"][0]["operation"], "op-2");
    assert_eq!(stats["totals"]["processes_peak"], 2, "{stats}");
    finish(child).ok();
    assert_eq!(scene.json(&["top"])["running"], Value::Array(Vec::new()));
    let stats = scene.json(&["stats"]);
    assert_eq!(stats["usage"][0]["resolution"], "raw");
    // What stands in the rows is what was seen of the operation: nothing twice.
    for amount in ["samples", "elapsed", "cpu", "written", "memory_sum", "memory_peak"] {
        let (all, one) = (number(&stats["totals"][amount]), number(&stats["sampled"][0][amount]));
        assert!((all - one).abs() <= 1e-6 * one.abs(), "{amount}: {all} and {one}");
    }
    assert!(scene.ok(&["stats"]).contains("op-2"));
}

#[test]
fn the_history_is_kept_for_as_long_as_the_configuration_says() {
    for (ages, resolution) in [("samples: 1h", "raw"), ("samples: 1s", "minute")] {
        let scene = scene(&format!("monitoring: {{history: {{{ages}}}}}"));
        let child = start(&scene, WAITING);
        until(&scene, &["stats"], |stats| number(&stats["totals"]["samples"]) >= 1.0);
        finish(child);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        scene.ok(&["gc"]);
        assert_eq!(scene.json(&["stats"])["usage"][0]["resolution"], resolution);
    }
}

#[test]
fn the_daemon_looks_at_what_runs() {
    let scene = scene("");
    let daemon = scene.ctrlz(["--json", "daemon"]).stdout(Stdio::piped()).spawn().expect("start");
    let mut daemon = Killed(daemon);
    let mut line = String::new();
    BufReader::new(daemon.0.stdout.as_mut().expect("piped")).read_line(&mut line).expect("read");
    assert!(line.contains("\"tracker\""), "{line}");
    let child = start(&scene, WAITING);
    // A stopped launcher notes nothing.
    kill_process(Pid::from_child(&child), Signal::STOP).expect("stop");
    let stats = until(&scene, &["stats"], |stats| number(&stats["totals"]["samples"]) >= 2.0);
    assert_eq!(stats["totals"]["elapsed"], stats["sampled"][0]["elapsed"]);
    kill_process(Pid::from_child(&child), Signal::CONT).expect("continue");
    finish(child).ok();
    kill_process(Pid::from_child(&daemon.0), Signal::TERM).expect("end");
    assert!(daemon.0.wait().expect("wait").success());
}

#[test]
fn top_on_a_terminal_sorts_and_ends() {
    let scene = scene("");
    let child = start(&scene, WAITING);
    at_a_terminal(
        &scene,
        r"
t = Terminal(CTRLZ, 'top', '-d', '100ms', rows=5, columns=60)
t.expect('\x1b[?1049h')
t.expect('1 running, by cpu')
t.type('m')
t.expect('by memory')
t.type('n')
t.expect('by name')
t.expect('op-2')
t.type('q')
t.expect('\x1b[?1049l')
assert os.WEXITSTATUS(t.end()) == 0
t = Terminal(CTRLZ, 'top')
t.expect('by cpu')
t.type('\x03')
t.expect('\x1b[?25h')
assert os.WEXITSTATUS(t.end()) == 0
",
    );
    finish(child).ok();
}

/// Lets the sandbox have a history in which deleting much is unusual.
fn quiet_life(scene: &Scene) {
    scene.host("mkdir d; for i in $(seq 40); do echo $i > d/$i; done");
    (0..9).for_each(|_| drop(scene.inside("echo x > x")));
}

fn exceeded(scene: &Scene) -> Vec<Value> {
    let object = scene.json(&["events", "--type", "resource.exceeded", "-n", "1000"]);
    object["events"].as_array().expect("an array").clone()
}

#[test]
fn what_is_unusual_is_told_with_the_reason() {
    let scene = scene("");
    quiet_life(&scene);
    assert!(exceeded(&scene).is_empty());
    scene.run(&["run", "--", "rm", "-r", "d"]).ok().says(&[
        "unusual: 41 files deleted, usually 0: 41 times as many (the median of 9 operations)",
    ]);
    let events = exceeded(&scene);
    assert_eq!(events.len(), 1, "{events:?}");
    let data = &events[0]["data"];
    assert_eq!((&data["resource"], &data["unit"]), (&"deletes".into(), &"files".into()));
    assert_eq!(
        (number(&data["used"]), number(&data["expected"]), number(&data["factor"])),
        (41.0, 0.0, 41.0)
    );
    assert_eq!((&data["action"], &data["operation"]), (&"report".into(), &scene.last().into()));
    let journaled = &scene.log()[0]["outcome"]["anomalies"][0];
    assert_eq!((&journaled["signal"], number(&journaled["value"])), (&"deletes".into(), 41.0));
    let stats = scene.json(&["stats"]);
    assert_eq!(stats["anomalies"][0]["operation"], scene.last());
    assert!(scene.ok(&["stats"]).contains("41 files deleted"));
    scene.ok(&["undo"]);
    let object = scene.run(&["--json", "run", "--", "rm", "-r", "d"]).ok().json();
    assert!(
        object["anomalies"][0]["reason"].as_str().expect("text").contains("usually"),
        "{object}"
    );
}

#[test]
fn nobody_looks_where_it_is_off() {
    let scene = scene("monitoring: {anomaly: off}");
    quiet_life(&scene);
    scene.run(&["run", "--", "rm", "-r", "d"]).ok().says_nothing();
    assert!(exceeded(&scene).is_empty());
}

#[test]
fn what_is_unusual_is_rolled_back_and_not_committed() {
    let scene = scene("monitoring: {anomaly: rollback}");
    quiet_life(&scene);
    let held_back = scene.run(&["run", "--commit", "--", "rm", "-r", "d"]).code(123);
    held_back.says(&["unusual", "rolled back"]);
    assert_eq!(scene.counts()[2], 0, "it is there again");
    assert!(scene.exists("d/1"));
    let kinds: Vec<Value> =
        scene.log().iter().take(3).map(|one| one["request"]["kind"].clone()).collect();
    assert_eq!(kinds, ["rollback", "run", "run"]);
    let events = scene.json(&["events", "--type", "rollback", "-n", "10"]);
    let types: Vec<&str> = events["events"]
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|e| e["type"].as_str())
        .collect();
    assert_eq!(types, ["io.github.ctrlz.rollback.required", "io.github.ctrlz.rollback.done"]);
    // The rollback can be undone like any other.
    scene.ok(&["undo"]);
    assert_eq!(scene.inside("test ! -e d && echo gone"), "gone\n");
}

#[test]
fn what_is_unusual_leaves_a_frozen_sandbox_contained() {
    let scene = scene("monitoring: {anomaly: freeze}");
    quiet_life(&scene);
    let held_back = scene.run(&["run", "--commit", "--", "rm", "-r", "d"]).code(123);
    held_back.says(&["unusual", "contained"]);
    assert!(scene.exists("d/1"), "it was not committed");
    assert_eq!(scene.counts()[2], 41, "but it is kept");
    scene.run(&["run", "--net", "host", "--", "true"]).code(123).says(&["release"]);
    scene.ok(&["release", "project"]);
    scene.run(&["run", "--net", "host", "--", "true"]).ok();
}

const MANY: &str =
    "for i in $(seq 70); do sleep 1000 & done; echo ready; read -r line; echo x > after";

#[test]
fn what_is_unusual_while_it_runs_is_frozen_until_somebody_decides() {
    let scene = scene("monitoring: {anomaly: freeze}");
    quiet_life(&scene);
    for resumed in [true, false] {
        let child = start(&scene, &["run", "--", "sh", "-c", MANY]);
        for round in 0.. {
            assert!(round < 3000, "it is never frozen");
            if scene.ok(&["ls"]).contains("suspended") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if resumed {
            scene.ok(&["resume", "project"]);
            finish(child).ok().says(&["is frozen", "ctrlz resume", "processes begun", "contained"]);
            assert_eq!(scene.counts()[0], 2, "it went on to its end");
        } else {
            kill_process(Pid::from_child(&child), Signal::TERM).expect("send");
            let outcome = finish(child);
            assert!(!outcome.status.success(), "{outcome}");
            scene.run(&["run", "--", "true"]).code(123).says(&["is suspended", "ctrlz resume"]);
        }
    }
    let events = exceeded(&scene);
    assert_eq!(events.len(), 2, "each is told once: {events:?}");
    assert_eq!(events[0]["data"]["action"], "freeze");
}

#[test]
fn what_is_unusual_while_it_runs_is_ended_and_rolled_back() {
    let scene = scene("monitoring: {anomaly: rollback}");
    quiet_life(&scene);
    let script = format!("echo x > before; {MANY}");
    for more in [&[][..], &["--commit"]] {
        let outcome = finish_without_input(&scene, more, &script);
        outcome.says(&["stopped: it was unusual", "rolled back"]);
        assert_eq!(scene.log()[1]["outcome"]["command"]["stopped"], "unusual");
        assert_eq!(scene.inside("test ! -e before && echo gone"), "gone\n");
        assert!(!scene.exists("before"), "and not committed");
        // What it wrote is not lost.
        scene.ok(&["undo"]);
        scene.ok(&["undo"]);
        assert_eq!(scene.inside("cat before"), "x\n");
        scene.ok(&["discard"]);
    }
}

#[test]
fn what_is_unusual_starts_an_emergency_where_the_configuration_says_so() {
    let scene = scene("recovery: {emergency: auto, watched: 3}");
    quiet_life(&scene);
    scene.run(&["run", "--commit", "--", "rm", "-r", "d"]).code(123).says(&[
        "unusual: 41 files deleted",
        "returned",
        "the next 3 operations",
    ]);
    assert!(scene.exists("d/1"), "it was not committed");
    assert_eq!(scene.counts()[2], 0, "it is there again");
    // While it runs: nobody is asked first.
    let outcome = finish_without_input(&scene, &[], &format!("echo x > before; {MANY}"));
    outcome.says(&["stopped: it was unusual", "returned"]);
    assert_eq!(scene.inside("test ! -e before && echo gone"), "gone\n");
    let done = scene.json(&["events", "--type", "rollback.done", "-n", "10"]);
    assert_eq!(done["events"].as_array().expect("an array").len(), 2);
    // The look, then the return.
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.inside("cat before"), "x\n", "what was there is kept");
}

/// Runs a script that would wait for ever.
fn finish_without_input(scene: &Scene, more: &[&str], script: &str) -> Outcome {
    let mut child = start(scene, &[&["run"], more, &["--", "sh", "-c", script]].concat());
    let input = child.stdin.take();
    let output = child.wait_with_output().expect("wait");
    drop(input);
    Outcome::new(&std::process::Command::new("ctrlz"), output)
}

#[test]
fn a_damaged_history_harms_nothing_and_is_told() {
    let scene = scene("");
    scene.inside("true");
    std::fs::write(scene.store.join("monitor.db"), vec![b'x'; 8192]).expect("write");
    let script = "echo kept > kept; echo ready; sleep 2; read -r line; true";
    finish(start(&scene, &["run", "--", "sh", "-c", script])).ok().says(&[
        "not all that the command used was noted",
        "monitor.db",
        "not affected",
    ]);
    assert_eq!(scene.inside("cat kept"), "kept\n");
    scene.run(&["stats"]).code(125).says(&["monitor.db"]);
    scene.run(&["gc"]).ok().says(&["the history of usage was left alone"]);
    let told = scene.run(&["health"]).out();
    assert!(told.contains("! usage") && told.contains("remove `monitor.db`"), "{told}");
    scene.host("rm \"$CTRLZ_HOME/monitor.db\"");
    scene.ok(&["stats"]);
}

#[test]
fn a_full_disk_under_the_history_harms_nothing_and_is_told() {
    let scene = scene("");
    let script = "mkdir ../full; mount -t tmpfs -o size=1m t ../full || exit 77; \
        \"$CTRLZ\" run -- true; ln -s ../full/monitor.db \"$CTRLZ_HOME/monitor.db\"; \
        cat /dev/zero > ../full/ballast 2>/dev/null || true; \
        \"$CTRLZ\" run -- sh -c 'echo kept > kept; sleep 2.5; exit 7' || test $? = 7; \
        \"$CTRLZ\" run -- cat kept; rm ../full/ballast; \
        \"$CTRLZ\" run -- sleep 2.5; \"$CTRLZ\" stats";
    let Some(outcome) = unshared(&scene, script) else { return };
    let outcome = outcome.ok().says(&["not all that the command used was noted", "monitor.db"]);
    assert!(outcome.out().contains("kept\n") && outcome.out().contains("samples of"), "{outcome}");
}

#[test]
fn a_clock_that_was_set_loses_no_sample() {
    let scene = scene("");
    finish(start(&scene, &["run", "--", "sh", "-c", "echo ready; sleep 2.5; read -r line; true"]))
        .ok();
    let before = scene.json(&["stats"])["totals"].clone();
    // As if the samples had been taken by a clock that was a day ahead.
    let program = "
import os, sqlite3
db = sqlite3.connect(os.path.join(os.environ['CTRLZ_HOME'], 'monitor.db'))
db.execute('UPDATE usage SET start = start + 86400 * 1000000000')
db.commit()
";
    python(&scene, program).ok();
    scene.ok(&["gc"]);
    let after = scene.json(&["stats"]);
    assert_eq!(after["totals"], before);
    assert_eq!(after["usage"][0]["resolution"], "minute");
}
