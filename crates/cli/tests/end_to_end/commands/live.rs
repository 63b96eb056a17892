//! Snapshots while a command runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::serve::Service;
use super::workspaces;
use crate::support::{Outcome, Scene};

/// Writes the same number to one file and then to the other, until a file says that it is enough.
const IN_STEP: &str = "i=0; while ! [ -e enough ]; do i=$((i+1)); printf '%09d\\n' $i 1<>first; printf '%09d\\n' $i 1<>second
    [ $i = 20 ] && rm -r old && mkdir old && echo new >old/new && echo begun; [ -e stop ] && break; done; :";

/// The command at work in a sandbox.
struct Writing {
    running: Child,
    out: BufReader<ChildStdout>,
}

impl Writing {
    #[track_caller]
    fn begin(scene: &Scene, name: &str) -> Self {
        let words = ["exec", name, "--", "sh", "-c", IN_STEP];
        let mut command = scene.ctrlz(words);
        let mut running =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        let out = BufReader::new(running.stdout.take().expect("its output"));
        let mut writing = Self { running, out };
        let mut line = String::new();
        writing.out.read_line(&mut line).expect("a line");
        assert_eq!(line, "begun\n");
        writing
    }

    /// Sees that it goes on.
    #[track_caller]
    fn goes_on(&self, scene: &Scene, name: &str) {
        // Before anybody looks at the sandbox, which would let it go on, too.
        let before = jiffies(self.running.id());
        let went_on = (0..6000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            jiffies(self.running.id()) != before
        });
        assert!(went_on, "it is still stopped");
        let list = scene.json(&["ls"]);
        let all = list["sandboxes"].as_array().expect("an array");
        let one = all.iter().find(|one| one["name"] == name).expect("the sandbox");
        assert_eq!(one["lifecycle"], "running", "{one}");
    }
}

/// What the processes below one have used of the processor.
fn jiffies(root: u32) -> u64 {
    let mut sum = 0;
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<u64> = rest.split(' ').filter_map(|field| field.parse().ok()).collect();
        // utime and stime, behind the state, which is no number: see proc_pid_stat(5).
        sum += fields.get(9..13).map_or(0, |times| times.iter().sum());
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        next.extend(children.unwrap_or_default().split(' ').filter_map(|n| n.parse::<u32>().ok()));
    }
    sum
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

#[track_caller]
fn in_step(text: &str) {
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().expect("a number")).collect();
    let [first, second] = numbers[..] else { panic!("two numbers: {text}") };
    assert!(first >= 20 && (first == second || first == second + 1), "{first} and {second}");
}

/// It holds what the command had written, all of one moment; the command goes on; and the sandbox returns
/// to it like to any other.
#[test]
fn a_snapshot_is_taken_while_a_command_runs() {
    let mut scenes = workspaces::scenes();
    scenes.push((Scene::new(), &["overlay", "copy"]));
    for (scene, drivers) in scenes {
        scene.host("mkdir old; echo x >old/x; echo base >base");
        for name in drivers {
            scene.ok(&["new", name, "--workspace", name]);
            // Nothing runs: it is one like any other.
            let plain = scene.json(&["snapshot", name, "--live"]);
            assert_eq!(plain["snapshot"]["live"], Value::Null, "{plain}");
            let writing = Writing::begin(&scene, name);
            if *name == "copy" {
                let refused = scene.run(&["snapshot", name, "--live"]).code(123);
                refused.says(&["driver copy does not support", "ctrlz doctor"]);
                continue;
            }
            let taken = scene.json(&["snapshot", name, "--live", "-m", "in the middle"]);
            let taken = &taken["snapshot"];
            let by = if *name == "zfs" { "atomic" } else { "frozen" };
            assert_eq!(taken["live"]["by"], by, "{taken}");
            assert_eq!(taken["live"]["frozen_by"].is_string(), by == "frozen", "{taken}");
            let stopped = taken["live"]["stopped"].as_f64().expect("seconds");
            assert_eq!(stopped > 0.0, by == "frozen", "{taken}");
            let id = taken["id"].as_str().expect("an id").to_owned();
            writing.goes_on(&scene, name);
            // It belongs to the command's operation, which is not over.
            let log = scene.json(&["log", name]);
            assert_eq!(log["operations"][0]["id"], taken["operation"]);
            assert_eq!(log["operations"][0]["status"], "open");
            let told = scene.json(&["events", "--type", "snapshot.created", "-n", "1"]);
            assert_eq!(told["events"][0]["data"]["live"]["by"], by, "{told}");
            drop(writing);
            // What a killed command wrote is gone, and the snapshot is not.
            let exec = |script: &str| scene.ok(&["exec", name, "--", "sh", "-ec", script]);
            assert_eq!(exec("ls; cat old/x"), "base\nold\nx\n");
            scene.ok(&["gc"]);
            scene.ok(&["rollback", name, &id, "--verify"]);
            in_step(&exec("cat first second"));
            assert_eq!(exec("ls; ls old; cat base"), "base\nfirst\nold\nsecond\nnew\nbase\n");
            scene.ok(&["undo", name]);
            assert_eq!(exec("ls"), "base\nfirst\nold\nsecond\n", "the listing is undone");
            scene.ok(&["rm", "--force", name]);
        }
    }
}

/// Whoever takes it dies in the middle: the command goes on by itself, nothing is kept, and the next one
/// succeeds.
#[test]
fn a_command_goes_on_when_who_stopped_it_is_killed() {
    let scene = Scene::with("mkdir old; echo x >old/x");
    scene.ok(&["new", "web"]);
    let writing = Writing::begin(&scene, "web");
    for fault in ["captured:1", "captured:1:enospc"] {
        let words = ["snapshot", "web", "--live"];
        let outcome = Outcome::of(scene.ctrlz(words).env("CTRLZ_FAULT", fault));
        assert!(!outcome.status.success(), "{fault}: {}", outcome.err());
        writing.goes_on(&scene, "web");
        assert_eq!(scene.json(&["snapshots", "web"])["snapshots"], json!([]), "{fault}");
    }
    let taken = scene.json(&["snapshot", "web", "--live"]);
    assert_eq!(taken["snapshot"]["live"]["by"], "frozen", "{taken}");
    drop(writing);
    scene.ok(&["recover"]);
    scene.ok(&["gc"]);
    let left = scene.host(&format!("cd '{}'; ls -d layers/*.building || :", scene.store.display()));
    assert!(!left.contains(".building\n"), "{left}");
}

/// A suspended command stays suspended.
#[test]
fn what_is_suspended_stays_so() {
    let scene = Scene::with("mkdir old; echo x >old/x");
    scene.ok(&["new", "web"]);
    let writing = Writing::begin(&scene, "web");
    scene.ok(&["suspend", "web"]);
    let taken = scene.json(&["snapshot", "web", "--live"]);
    let live = &taken["snapshot"]["live"];
    assert_eq!((&live["by"], &live["frozen_by"]), (&json!("frozen"), &Value::Null), "{taken}");
    let list = scene.json(&["ls"]);
    assert_eq!(list["sandboxes"][0]["lifecycle"], "suspended", "{list}");
    scene.ok(&["resume", "web"]);
    drop(writing);
    let id = taken["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.ok(&["rollback", "web", &id]);
    in_step(&scene.ok(&["exec", "web", "--", "cat", "first", "second"]));
}

/// A client of a service takes one of a process that it began.
#[test]
fn a_client_takes_one_while_a_process_runs() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "mkdir old; echo x >old/x");
    let process = client.begin("web", &json!({ "script": IN_STEP }));
    let path = format!("/v1/processes/{process}");
    while client.get(&path).is(200).json()["written"] == 0 {}
    let taken = client.post("/v1/sandboxes/web/snapshots", &json!({ "live": true })).is(201).json();
    assert_eq!(taken["live"]["by"], "frozen", "{taken}");
    assert_eq!(client.get(&path).is(200).json()["status"], "running", "it goes on");
    client.post(&format!("{path}/signal"), &json!({ "signal": 9 })).is(204);
    client.post(&format!("{path}/wait"), &Value::Null).is(200);
    let id = &taken["id"];
    let back = client.post("/v1/sandboxes/web/rollback", &json!({ "snapshot": id }));
    assert!(back.status < 300, "{}", back.json());
    in_step(client.run("web", "cat first second")["stdout"].as_str().expect("text"));
}
