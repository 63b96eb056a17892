//! Suspending, resuming, and what destroying leaves.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::support::{Scene, skipped};

/// A command that counts in a file while it runs.
struct Counting {
    running: Child,
    out: BufReader<ChildStdout>,
}

impl Counting {
    #[track_caller]
    fn begin(scene: &Scene, more: &[&str]) -> Self {
        let script = "i=0; while :; do i=$((i+1)); echo $i > count; echo $i; sleep 0.02; done";
        let words = [&["run"], more, &["--", "sh", "-c", script]].concat();
        let mut running = scene
            .ctrlz(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        let out = BufReader::new(running.stdout.take().expect("its output"));
        let mut counting = Self { running, out };
        counting.next();
        counting
    }

    #[track_caller]
    fn next(&mut self) -> u64 {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim().parse().unwrap_or_else(|_| panic!("no number: `{line}`"))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

fn state(scene: &Scene, name: &str) -> String {
    let list = scene.json(&["ls"]);
    let all = list["sandboxes"].as_array().expect("an array").clone();
    let one = all.iter().find(|one| one["name"] == name).expect("the sandbox");
    one["lifecycle"].as_str().expect("text").to_owned()
}

fn told(scene: &Scene) -> Vec<(String, String)> {
    let object = scene.json(&["events", "--type", "sandbox.lifecycle", "-n", "100"]);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let events = object["events"].as_array().expect("an array");
    events.iter().map(|one| (text(&one["data"]["from"]), text(&one["data"]["to"]))).collect()
}

/// Processes in the state of /proc/PID/stat, below `root`.
fn states_below(root: u32) -> Vec<char> {
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        found.extend(stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()));
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        next.extend(children.unwrap_or_default().split(' ').filter_map(|n| n.parse::<u32>().ok()));
    }
    found
}

#[test]
fn what_runs_is_frozen_and_goes_on() {
    let scene = Scene::new();
    let mut counting = Counting::begin(&scene, &[]);
    assert_eq!(state(&scene, "project"), "running");
    let moved = scene.json(&["suspend", "project", "--reason", "it looks odd"]);
    let left = scene.ok(&["recover"]);
    assert!(left.contains("waits") && left.contains("ctrlz resume project"), "{left}");
    assert!(!left.contains("nothing"), "{left}");
    assert_eq!(scene.json(&["recover"])["suspended"][0]["sandbox"], "project");
    assert_eq!((&moved["from"], &moved["to"]), (&"running".into(), &"suspended".into()));
    assert!(moved["by"].is_string(), "{moved}");
    let pid = u32::try_from(moved["process"].as_u64().expect("a process")).expect("an id");
    // The status outlives the command that made it.
    assert_eq!(state(&scene, "project"), "suspended");
    assert!(scene.ok(&["ls"]).contains("suspended"));
    let shown = scene.ok(&["show", &scene.last()]);
    assert!(shown.contains("suspended since") && shown.contains("it looks odd"), "{shown}");
    // Nothing counts any more: what was written before is all that comes.
    let running = |pid| states_below(pid).contains(&'R');
    assert!(!running(pid));
    for words in [
        vec!["exec", "project", "--", "true"],
        vec!["run", "--", "true"],
        vec!["undo", "project"],
        vec!["snapshot", "project"],
        vec!["commit", "project"],
    ] {
        scene.run(&words).code(123).says(&["suspended", "it looks odd", "ctrlz resume project"]);
    }
    scene.run(&["suspend", "project"]).code(123).says(&["is suspended", "can be resumed"]);
    // Reading is no operation.
    scene.ok(&["log", "project"]);
    let moved = scene.json(&["resume", "project"]);
    assert_eq!((&moved["from"], &moved["to"]), (&"suspended".into(), &"resumed".into()));
    for _ in 0..20 {
        counting.next();
    }
    assert_eq!(state(&scene, "project"), "resumed");
    scene.run(&["resume", "project"]).code(123).says(&["is resumed", "be suspended"]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(told(&scene), [pair("running", "suspended"), pair("suspended", "resumed")]);
    drop(counting);
}

#[test]
fn an_idle_sandbox_lets_nothing_begin_until_it_is_resumed() {
    let scene = Scene::new();
    scene.inside("echo 1 > f");
    scene.run(&["resume", "project"]).code(123).says(&["is ready", "cannot be resumed"]);
    let moved = scene.json(&["suspend", "project"]);
    assert_eq!((&moved["from"], &moved["process"]), (&"ready".into(), &Value::Null));
    scene.run(&["exec", "project", "--", "true"]).code(123).says(&["ctrlz resume project"]);
    assert_eq!(scene.counts(), [1, 0, 0, 0], "looking is allowed");
    scene.ok(&["resume", "project"]);
    assert_eq!(state(&scene, "project"), "resumed");
    assert_eq!(scene.inside("cat f"), "1\n");
    assert_eq!(state(&scene, "project"), "ready");
}

#[test]
fn a_limit_of_time_waits_for_the_resumption() {
    let scene = Scene::new();
    let counting = Counting::begin(&scene, &["--timeout", "1s"]);
    scene.ok(&["suspend", "project"]);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(state(&scene, "project"), "suspended");
    let log = scene.log();
    assert_eq!(log[0]["status"], "open", "it is not over: {}", log[0]);
    scene.ok(&["resume", "project"]);
    let mut counting = counting;
    let code = counting.running.wait().expect("its end").code();
    assert_eq!(code, Some(124));
}

/// Waits until the kernel has ended what a killed ctrlz started: until then, that runs.
fn settled(scene: &Scene) {
    let begun = std::time::Instant::now();
    while state(scene, "project") == "running" && begun.elapsed().as_secs() < 20 {}
}

#[test]
fn a_crash_under_a_suspension_is_taken_back_when_it_is_resumed() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    let mut running = scene
        .ctrlz(["run", "--", "sh", "-c", "echo bad > f; echo here; sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut out = BufReader::new(running.stdout.take().expect("its output"));
    out.read_line(&mut String::new()).expect("it runs");
    let moved = scene.json(&["suspend", "project"]);
    running.kill().expect("kill");
    running.wait().expect("its end");
    // By version 1 of cgroups, what is frozen dies when it is thawed; else it is gone as soon as the
    // kernel has ended it. The status is true either way: nothing runs, and nothing begins.
    settled(&scene);
    assert_eq!(state(&scene, "project"), "suspended");
    scene.run(&["run", "--", "true"]).code(123).says(&["ctrlz resume"]);
    scene.ok(&["recover"]);
    assert_eq!(state(&scene, "project"), "suspended");
    let again = scene.json(&["resume", "project"]);
    assert!(again["process"].is_null() == again["recovered"].as_bool().expect("a word"), "{moved}");
    assert_eq!(scene.inside("cat f"), "good\n");
}

#[test]
fn a_crash_without_a_suspension_is_a_failure_until_it_is_recovered() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    let mut counting = Counting::begin(&scene, &[]);
    counting.running.kill().expect("kill");
    counting.running.wait().expect("its end");
    settled(&scene);
    assert_eq!(state(&scene, "project"), "failed");
    scene.run(&["suspend", "project"]).code(123).says(&["is failed", "be recovered"]);
    scene.ok(&["recover"]);
    assert_eq!(state(&scene, "project"), "ready");
}

#[test]
fn what_somebody_else_thawed_runs() {
    let scene = Scene::new();
    let mut counting = Counting::begin(&scene, &[]);
    let moved = scene.json(&["suspend", "project"]);
    let pid = moved["process"].as_u64().expect("a process");
    let by = moved["by"].as_str().expect("text");
    if by != "cgroup v2" {
        skipped("no cgroup v2 to thaw by hand");
        return;
    }
    let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    let path = group.lines().find_map(|line| line.strip_prefix("0::")).expect("version 2");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("mounted");
    let mount = mount.split(' ').nth(4).expect("a place");
    std::fs::write(format!("{mount}{path}/cgroup.freeze"), "0").expect("thaw");
    counting.next();
    assert_eq!(state(&scene, "project"), "running", "what is seen counts");
    scene.ok(&["suspend", "project"]);
    assert_eq!(state(&scene, "project"), "suspended");
    scene.ok(&["resume", "project"]);
    counting.next();
}

/// What a sandbox could leave on the host.
fn litter(scene: &Scene, processes: &[u32]) -> Vec<String> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let place = scene.root.to_string_lossy().into_owned();
    let mounts = text("/proc/self/mountinfo");
    let mut all: Vec<String> =
        mounts.lines().filter(|line| line.contains(&place)).map(str::to_owned).collect();
    // Other tests run at the same time: only groups of this one's processes count.
    let own = scene.host("find /sys/fs/cgroup -name 'ctrlz-*' 2>/dev/null || true");
    let of_these = |line: &&str| processes.iter().any(|pid| line.ends_with(&format!("-{pid}")));
    all.extend(own.lines().filter(of_these).map(str::to_owned));
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let path = entry.path();
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        let marker = format!("CTRLZ_HOME={}", scene.store.display());
        let is_ours = environment.windows(marker.len()).any(|part| part == marker.as_bytes());
        if is_ours {
            all.push(format!("process {}", path.display()));
        }
    }
    all
}

#[test]
fn removing_leaves_nothing() {
    for suspended in [false, true] {
        let scene = Scene::with("echo x > there");
        scene.ok(&["new", "other"]);
        scene.ok(&["exec", "other", "--", "touch", "mine"]);
        scene.ok(&["gc"]);
        let files = || {
            let list = scene.host(
                "cd \"$CTRLZ_HOME\" && find . -not -name 'store.db*' -not -path './heads/*' | sort",
            );
            list.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let before = (files(), litter(&scene, &[]));
        scene.ok(&["new", "one"]);
        scene.ok(&["exec", "one", "--", "sh", "-c", "echo 1 > f; rm there; mkdir d"]);
        let mut running = scene
            .ctrlz(["exec", "one", "--memory", "200M", "--", "sh", "-c", "echo here; sleep 600"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let mut out = BufReader::new(running.stdout.take().expect("its output"));
        out.read_line(&mut String::new()).expect("it runs");
        let mut processes = vec![running.id()];
        assert!(!litter(&scene, &processes).is_empty(), "it is there while it runs");
        if suspended {
            let moved = scene.json(&["suspend", "one"]);
            processes.extend(moved["process"].as_u64().and_then(|pid| u32::try_from(pid).ok()));
            scene.run(&["rm", "one"]).code(123).says(&["uncommitted"]);
            assert_eq!(state(&scene, "one"), "suspended", "a refusal changes nothing");
        } else {
            running.kill().expect("kill");
            running.wait().expect("its end");
        }
        scene.ok(&["rm", "--force", "one"]);
        running.wait().expect("its end");
        let after = (files(), litter(&scene, &processes));
        assert_eq!(before, after, "suspended: {suspended}");
        let removed = scene.json(&["events", "--type", "sandbox.removed"]);
        assert_eq!(removed["events"].as_array().expect("an array").len(), 1);
    }
}

#[test]
fn an_emergency_ends_what_is_suspended() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    let counting = Counting::begin(&scene, &[]);
    let moved = scene.json(&["suspend", "project"]);
    let report = scene.json(&["recover", "--emergency", "project", "--reason", "runs wild"]);
    assert_eq!(report["frozen"]["process"], moved["process"]);
    drop(counting);
    assert_eq!(scene.inside("cat f"), "good\n");
}

#[test]
fn what_a_suspended_command_wrote_is_kept_when_it_is_ended() {
    let scene = Scene::new();
    let mut counting = Counting::begin(&scene, &[]);
    scene.ok(&["suspend", "project"]);
    let ctrlz = rustix::process::Pid::from_child(&counting.running);
    rustix::process::kill_process(ctrlz, rustix::process::Signal::TERM).expect("send");
    let status = counting.running.wait().expect("its end");
    assert!(!status.success());
    scene.ok(&["resume", "project"]);
    assert_eq!(scene.log()[0]["status"], "done");
    assert_eq!(scene.counts()[0], 1, "what it wrote is there");
    scene.ok(&["undo"]);
    assert_eq!(scene.counts()[0], 0);
}

#[test]
fn a_zombie_keeps_nobody_from_suspending() {
    let scene = Scene::new();
    let script =
        "import os,time\nif os.fork()==0: os._exit(0)\nprint('ready',flush=True)\ntime.sleep(600)";
    let mut running = scene
        .ctrlz(["run", "--", "python3", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start");
    let mut out = BufReader::new(running.stdout.take().expect("its output"));
    out.read_line(&mut String::new()).expect("it runs");
    scene.ok(&["suspend", "project"]);
    assert_eq!(state(&scene, "project"), "suspended");
    scene.ok(&["rm", "--force", "project"]);
    running.wait().expect("its end");
}
