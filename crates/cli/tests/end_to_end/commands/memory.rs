//! Snapshots that have the memory of what runs: files, state and memory return to one moment.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use super::runtimes::gvisor;
use crate::support::{Outcome, Scene, skipped};

/// Counts in memory alone, and writes what it has come to to a file and to its output. It ends when it is
/// told to by a file.
const COUNTER: &str = "
import os, sys, time
count = 0
while not os.path.exists('enough'):
    count += 1
    with open('new', 'w') as file:
        file.write(f'{count}\\n')
    os.replace('new', 'count')
    print(count, flush=True)
    time.sleep(0.02)
print('enough', flush=True)
";

/// The counter at work.
struct Counter {
    running: Child,
    out: BufReader<ChildStdout>,
}

impl Counter {
    fn begin(scene: &Scene, words: &[&str]) -> Self {
        let mut command = scene.ctrlz(words);
        let mut running =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        let out = BufReader::new(running.stdout.take().expect("its output"));
        Self { running, out }
    }

    /// The next line.
    fn next(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The number that comes next.
    #[track_caller]
    fn count(&mut self) -> u64 {
        let line = self.next();
        match line.parse() {
            Ok(count) => count,
            Err(_) => {
                let mut told = String::new();
                let mut errors = self.running.stderr.take().expect("its errors");
                let _ = std::io::Read::read_to_string(&mut errors, &mut told);
                panic!("no number: `{line}`; {told}");
            }
        }
    }

    /// Waits until it has come this far.
    #[track_caller]
    fn until(&mut self, count: u64) {
        while self.count() < count {}
    }

    fn kill(mut self) {
        self.running.kill().expect("kill");
        self.running.wait().expect("wait");
    }
}

fn value(scene: &Scene) -> String {
    scene.ok(&["state", "get", "count", "--sandbox", "one"]).trim().to_owned()
}

/// A counter in Python, killed and brought back twice: its memory, its file and the state are of the
/// same moment.
#[test]
fn memory_files_and_state_return_together() {
    let Some(runsc) = gvisor() else { return skipped("gVisor is not there") };
    let scene = Scene::new();
    scene.write("counter.py", COUNTER);
    scene.ok(&["new", "one"]);
    scene.ok(&["state", "put", "count", "early", "--sandbox", "one"]);
    let run = ["exec", "--isolation", &runsc, "one", "--", "/usr/bin/python3", "counter.py"];
    let mut counter = Counter::begin(&scene, &run);
    counter.until(5);
    let taken = scene.json(&["snapshot", "one", "--memory", "-m", "counting"]);
    let memory = &taken["snapshot"]["live"]["memory"];
    assert!(memory["size"].as_u64().is_some_and(|size| size > 0), "{taken}");
    let id = taken["snapshot"]["id"].as_str().expect("an id").to_owned();
    // It goes on.
    let here = counter.count();
    counter.until(here + 5);
    counter.kill();
    scene.ok(&["state", "put", "count", "late", "--sandbox", "one"]);
    let file = |scene: &Scene| -> u64 {
        let text = scene.ok(&["exec", "one", "--", "cat", "count"]);
        text.trim().parse().expect("a number")
    };
    for round in 0..2 {
        scene.ok(&["rollback", "one", &id]);
        let then = file(&scene);
        assert!(then >= 5, "{then}");
        assert_eq!(value(&scene), "early");
        scene.ok(&["state", "put", "count", "late", "--sandbox", "one"]);
        let mut counter = Counter::begin(&scene, &["rollback", "--memory", "one", &id]);
        // It may have printed the last one, or not yet.
        let first = counter.count();
        assert!(first == then || first == then + 1, "round {round}: {first} follows {then}");
        assert_eq!(counter.count(), first + 1, "it counts on");
        assert_eq!(value(&scene), "early", "round {round}");
        counter.kill();
    }
    let log = scene.json(&["log", "one"]);
    let log = log["operations"].as_array().expect("operations");
    let is_run = |one: &&Value| {
        one["request"]["kind"] == "run" && one["request"]["title"].to_string().contains("counter")
    };
    assert_eq!(log.iter().filter(is_run).count(), 3, "{log:?}");
    // What is damaged, or gone with its snapshot, does not go on.
    let place = scene.store.join("memories").join(memory["folder"].as_str().expect("a name"));
    let image = std::fs::read_dir(&place).expect("the memory").flatten().next().expect("a file");
    let mut bytes = std::fs::read(image.path()).expect("read");
    bytes.push(0);
    std::fs::write(image.path(), bytes).expect("write");
    scene
        .run(&["rollback", "--memory", "one", &id])
        .code(123)
        .says(&["is damaged", "not what was"]);
    scene.ok(&["snapshot", "rm", &id, "--force"]);
    assert!(!place.exists(), "it goes with its snapshot");
}

/// Whoever takes it is killed at any moment: the counter counts on, every snapshot that there is can be
/// returned to, and collection takes what belongs to none.
#[test]
fn a_taker_that_is_killed_harms_nothing() {
    let Some(runsc) = gvisor() else { return skipped("gVisor is not there") };
    let scene = Scene::new();
    scene.write("counter.py", COUNTER);
    scene.ok(&["new", "one"]);
    let run = ["exec", "--isolation", &runsc, "one", "--", "/usr/bin/python3", "counter.py"];
    let mut counter = Counter::begin(&scene, &run);
    counter.until(2);
    for delay in [5, 20, 40, 80, 120, 160] {
        let mut taker = scene.ctrlz(["snapshot", "one", "--memory"]);
        let mut taker = taker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
        std::thread::sleep(std::time::Duration::from_millis(delay));
        taker.kill().expect("kill");
        taker.wait().expect("wait");
        let here = counter.count();
        counter.until(here + 3);
    }
    // Nobody whom they left behind is in the way of the next one.
    scene.ok(&["snapshot", "one", "--memory"]);
    let here = counter.count();
    counter.until(here + 3);
    counter.kill();
    scene.ok(&["gc"]);
    let object = scene.json(&["snapshots", "one", "--all"]);
    let snapshots = object["snapshots"].as_array().expect("snapshots");
    let named: Vec<&str> =
        snapshots.iter().filter_map(|one| one["live"]["memory"]["folder"].as_str()).collect();
    let place = std::fs::read_dir(scene.store.join("memories")).expect("the place").flatten();
    let there: Vec<String> =
        place.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(there.iter().all(|name| named.contains(&name.as_str())), "{there:?} {named:?}");
    assert_eq!(there.len(), named.len(), "{there:?} {named:?}");
    for one in snapshots.iter().filter(|one| one["live"]["memory"].is_object()) {
        let id = one["id"].as_str().expect("an id");
        let mut counter = Counter::begin(&scene, &["rollback", "--memory", "one", id]);
        let here = counter.count();
        assert_eq!(counter.count(), here + 1, "{id}");
        counter.kill();
    }
}

/// Where there is no memory to keep, or none that was kept, that is told.
#[test]
fn without_memory_nothing_is_claimed() {
    let scene = Scene::new();
    scene.ok(&["new", "one"]);
    scene.run(&["snapshot", "one", "--memory"]).code(123).says(&["nothing runs"]);
    let taken = scene.json(&["snapshot", "one"]);
    let id = taken["snapshot"]["id"].as_str().expect("an id");
    scene.run(&["rollback", "--memory", "one", id]).code(123).says(&["has no memory"]);
    scene.run(&["rollback", "--memory", "one", "op-1"]).code(125).says(&["name one"]);
    let mut command = scene.ctrlz(["exec", "one", "--", "sh", "-c", "echo begun; sleep 60"]);
    let mut running = command.stdout(Stdio::piped()).spawn().expect("start");
    let mut line = String::new();
    let out = running.stdout.take().expect("its output");
    BufReader::new(out).read_line(&mut line).expect("a line");
    let refused: Outcome = scene.run(&["snapshot", "one", "--memory"]).code(125);
    refused.says(&["keeps no memory", "oci:runsc"]);
    running.kill().expect("kill");
    running.wait().expect("wait");
    let left = std::fs::read_dir(scene.store.join("memories"));
    assert_eq!(left.map_or(0, Iterator::count), 0, "nothing of it is left");
}
