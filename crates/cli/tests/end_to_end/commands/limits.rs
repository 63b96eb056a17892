//! Limits stop what they should, and a limit that cannot be held is refused.

use crate::support::{Scene, interpreter};

#[test]
fn time_is_up_with_124_also_for_a_command_that_ignores_it() {
    let scene = Scene::new();
    // Long enough for a busy machine to begin with it.
    let outcome = scene.run(&["run", "--timeout", "10", "--", "sh", "-c", "echo x > f; sleep 600"]);
    outcome.code(124).says(&["timeout"]);
    assert_eq!(scene.changes(), ["added f"]);
    let script = "trap '' TERM INT HUP; while :; do sleep 1; done";
    scene.run(&["run", "--timeout", "1", "--", "sh", "-c", script]).code(124);
    let script = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    scene.run(&["run", "--timeout", "1", "--", "sh", "-c", script]).code(124);
    scene.run(&["run", "--timeout", "60", "--", "true"]).ok().says_nothing();
}

#[test]
fn json_names_the_limit() {
    let scene = Scene::new();
    let outcome = scene.run(&["--json", "run", "--timeout", "1", "--", "sleep", "60"]).code(124);
    assert_eq!(outcome.json()["command"]["stopped"]["limit"], "timeout", "{outcome}");
}

#[test]
fn memory() {
    let scene = Scene::new();
    let take = |megabytes: u32| {
        let program = format!("a = bytearray({megabytes} << 20); print(len(a))");
        scene.run(&["run", "--memory", "100M", "--", interpreter(), "-c", &program])
    };
    let ended = take(400);
    assert!(!ended.status.success(), "{ended}");
    assert_eq!(ended.out(), "", "{ended}");
    take(10).ok().says_nothing();
    // All processes together.
    let program = "import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n    \
                   a = bytearray(30 << 20)\n    time.sleep(120)\n    os._exit(0)\n\
                   for _ in range(8): assert os.wait()[1] == 0";
    let ended = scene.run(&["run", "--memory", "100M", "--", interpreter(), "-c", program]);
    assert!(!ended.status.success(), "{ended}");
}

#[test]
fn processes() {
    let scene = Scene::new();
    let program = "import os, time\nchildren = 0\ntry:\n  while children < 60:\n    \
                   if os.fork() == 0:\n      time.sleep(600)\n    children += 1\n\
                   except OSError as e: print(e.errno, children)";
    let outcome = scene.run(&["run", "--pids", "20", "--", interpreter(), "-c", program]).ok();
    let out = outcome.out();
    let words: Vec<u32> = out.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    assert_eq!(words.first(), Some(&11), "{outcome}");
    assert!((15..20).contains(&words[1]), "{outcome}");
    scene.run(&["run", "--pids", "20", "--", "sh", "-c", "true | true | true"]).ok();
}

#[test]
fn disk() {
    let scene = Scene::new();
    let script = "for i in 1 2 3 4 5 6 7 8; do head -c 1000000 /dev/urandom > f$i || exit 9; \
                  sleep 0.2; done; sleep 600";
    let outcome = scene.run(&["run", "--disk", "2M", "--", "sh", "-c", script]);
    assert!(!outcome.status.success(), "{outcome}");
    outcome.says(&["disk"]);
    let outcome = scene.run(&[
        "run",
        "--fresh",
        "--disk",
        "2M",
        "--",
        "sh",
        "-c",
        "head -c 50000000 /dev/zero > big",
    ]);
    assert!(!outcome.status.success(), "{outcome}");
    let size = scene.json(&["diff"])["changes"][0]["after"]["size"].as_u64();
    assert!(size <= Some(4 << 20), "{size:?}");
    scene
        .run(&["run", "--fresh", "--disk", "2M", "--", "sh", "-c", "head -c 100000 /dev/zero > f"])
        .ok();
}

#[test]
fn what_a_limit_stopped_can_be_undone() {
    let scene = Scene::with("echo one > a");
    scene.run(&["run", "--timeout", "1", "--", "sh", "-c", "echo two > a; sleep 60"]).code(124);
    scene.ok(&["undo"]);
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn open_files() {
    let scene = Scene::new();
    let out = scene.ok(&["run", "--open-files", "32", "--", "sh", "-c", "ulimit -n"]);
    assert_eq!(out, "32\n");
    let program = "import errno\nfiles = []\ntry:\n  while len(files) < 100: files.append(open('/dev/null'))\n\
                   except OSError as e: print(errno.errorcode[e.errno])";
    let out = scene.ok(&["run", "--open-files", "32", "--", interpreter(), "-c", program]);
    assert_eq!(out, "EMFILE\n");
}

#[test]
fn output() {
    let scene = Scene::new();
    let outcome = scene.run(&["run", "--max-output", "1000", "--", "yes"]);
    assert_eq!(outcome.stdout.len(), 1000);
    assert!(!outcome.status.success(), "{outcome}");
    outcome.says(&["max-output"]);
    let outcome = scene.run(&["run", "--max-output", "1000", "--", "sh", "-c", "yes >&2"]);
    assert!(!outcome.status.success());
    assert!(outcome.stderr.len() < 2000, "{}", outcome.stderr.len());
    scene.run(&["run", "--max-output", "1000", "--", "seq", "100"]).ok().says_nothing();
}

#[test]
fn processors() {
    let scene = Scene::new();
    // Whole processors can be held everywhere.
    scene.run(&["run", "--cpus", "1", "--", "true"]).ok();
    let half = scene.run(&["run", "--cpus", "0.5", "--", "true"]);
    let survey = scene.json(&["doctor"]);
    let by = survey["enforcement"]
        .as_array()
        .expect("an array")
        .iter()
        .find(|line| line["what"] == "limit cpus")
        .expect("a line")["by"]
        .to_string();
    if by.contains("cgroup") {
        half.ok();
    } else {
        // Rounding in silence would enforce something else than was demanded.
        half.code(125).says(&["cpus", "doctor"]);
    }
}

#[test]
fn a_limit_that_cannot_be_held_is_refused_before_anything_runs() {
    let scene = Scene::new();
    for (flag, value) in [
        ("--cpus", "0"),
        ("--cpus", "nan"),
        ("--pids", "0"),
        ("--memory", "-1"),
        ("--timeout", "-1"),
    ] {
        let flag = format!("{flag}={value}");
        scene.run(&["run", &flag, "--", "sh", "-c", "echo ran; echo x > f"]).code(125);
    }
    assert!(!scene.store.exists() || scene.ok(&["ls"]).contains("no sandboxes"));
}
