//! Commands in containers of OCI runtimes: the same meaning as without.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use ctrlz_core::driver::Driver;
use ctrlz_isolation::oci;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Outcome, Scene, has, skipped};

/// The drivers that this host has. gVisor is told by the one who runs the tests.
fn drivers() -> Vec<String> {
    let mut drivers = Vec::new();
    for runtime in ["runc", "crun"] {
        match has(runtime) {
            true => drivers.push(format!("oci:{runtime}")),
            false => skipped(&format!("{runtime} is not installed")),
        }
    }
    match gvisor() {
        Some(driver) => drivers.push(driver),
        None => skipped("gVisor is not there"),
    }
    drivers
}

/// The driver of gVisor, when whoever runs the tests has it.
pub(super) fn gvisor() -> Option<String> {
    std::env::var("CTRLZ_TEST_RUNSC").ok().map(|path| format!("oci:{path}"))
}

fn inside(scene: &Scene, driver: &str, options: &[&str], script: &str) -> Outcome {
    let mut arguments = vec!["run", "--isolation", driver];
    arguments.extend(options);
    arguments.extend(["--", "sh", "-c", script]);
    scene.run(&arguments)
}

#[test]
fn what_a_runtime_can_do_is_asked() {
    for driver in drivers() {
        let Ok(Driver::Oci(runtime)) = driver.parse() else { panic!("{driver}") };
        let abilities = oci::probe(&runtime).expect("it answers");
        assert!(abilities.runs.has && abilities.rootless.has && abilities.pause.has, "{driver}");
        assert!(abilities.version.starts_with(|c: char| c.is_ascii_digit()), "{abilities:?}");
        assert!(abilities.specification.is_some(), "{abilities:?}");
        assert!(abilities.commands.contains("exec"), "{abilities:?}");
        let is_gvisor = abilities.kind == oci::Kind::Gvisor;
        assert_eq!(abilities.seccomp.has, !is_gvisor, "{abilities:?}");
        assert!(abilities.checkpoint.has || !is_gvisor, "{abilities:?}");
    }
}

#[test]
fn what_a_command_does_is_kept_and_taken_back() {
    for driver in drivers() {
        let scene = Scene::with("echo old >kept; echo old >gone");
        let script = "echo out; echo err >&2; echo new >kept; rm gone; mkdir d; echo n >d/new";
        let outcome = inside(&scene, &driver, &[], script).ok();
        assert_eq!(outcome.out(), "out\n", "{driver}");
        assert_eq!(scene.counts(), [2, 1, 1, 0], "{driver}");
        assert_eq!(scene.read("kept"), "old\n", "{driver}");
        let last = scene.json(&["show", &scene.last()]);
        let command = &last["operation"]["outcome"]["command"];
        assert_eq!(command["driver"], driver.as_str(), "{last}");
        // Another driver sees what it left, and the other way round.
        assert_eq!(scene.inside("cat kept d/new"), "new\nn\n", "{driver}");
        assert_eq!(inside(&scene, &driver, &[], "cat kept").ok().out(), "new\n", "{driver}");
        scene.ok(&["commit"]);
        assert_eq!((scene.read("kept"), scene.exists("gone")), ("new\n".into(), false));
        scene.ok(&["undo"]);
        assert_eq!((scene.read("kept"), scene.exists("gone")), ("old\n".into(), true));
    }
}

#[test]
fn the_end_of_a_command_is_told_as_it_was() {
    for driver in drivers() {
        let scene = Scene::with("echo text >text");
        inside(&scene, &driver, &[], "exit 7").code(7);
        let by_signal = inside(&scene, &driver, &[], "kill -TERM $$; sleep 60").status;
        let is_gvisor = driver.contains("runsc");
        let code = by_signal.code().unwrap_or(128 + 15);
        assert_eq!(code, 143, "{driver}: {by_signal:?}");
        // Whoever waits for the command itself sees the signal.
        assert_eq!(by_signal.code().is_none(), !is_gvisor, "{driver}: {by_signal:?}");
        scene
            .run(&["run", "--isolation", &driver, "--", "no-such-program"])
            .code(127)
            .says(&["no such program"]);
        scene
            .run(&["run", "--isolation", &driver, "--", "./text"])
            .code(126)
            .says(&["cannot be executed"]);
        let left = "sleep 1000 & setsid sleep 1000 & echo left; exit 3";
        assert_eq!(inside(&scene, &driver, &[], left).code(3).out(), "left\n", "{driver}");
    }
}

#[test]
fn limits_are_held() {
    for driver in drivers() {
        let scene = Scene::new();
        inside(&scene, &driver, &["--timeout", "1"], "sleep 60").code(124).says(&["timeout"]);
        let many = inside(&scene, &driver, &["--max-output", "1000"], "yes | head -c 100000");
        assert!(many.out().len() < 2000, "{driver}");
        many.says(&["max-output"]);
        let files = inside(&scene, &driver, &["--open-files", "20"], "ulimit -n").ok();
        assert_eq!(files.out(), "20\n", "{driver}");
        let python = "/usr/bin/python3 -c 'b = bytearray(400 << 20); print(len(b))'";
        let outcome = inside(&scene, &driver, &["--memory", "96M"], python);
        assert_eq!(outcome.out(), "", "{driver}");
        assert!(!outcome.status.success(), "{driver}");
        let disk = "head -c 8000000 /dev/zero >big; sleep 2; echo on";
        let outcome = inside(&scene, &driver, &["--disk", "1M"], disk);
        assert!(!outcome.status.success(), "{driver}");
    }
}

#[test]
fn a_container_is_as_strict_as_it_says() {
    for driver in drivers() {
        let scene = Scene::new();
        let script = "grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status | cut -f2 | sort -u
             tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '
             mkdir /etc/ctrlz-test 2>&1 | grep -c .
             cat \"$HOME/.ssh/id\" 2>/dev/null
             mount -t tmpfs none /mnt 2>/dev/null && echo mounted; true";
        scene.host("mkdir -p ../home/.ssh; echo secret >../home/.ssh/id");
        let outcome = inside(&scene, &driver, &[], script).ok();
        assert_eq!(outcome.out(), "0000000000000000\nlo\n1\n", "{driver}");
        let show = scene.ok(&["show", &scene.last()]);
        assert!(show.contains(&format!("isolation {driver}")), "{show}");
        assert!(show.contains("no-capabilities") && !show.contains("landlock"), "{show}");
    }
}

/// Starts a command and waits until it runs.
fn started(scene: &Scene, driver: &str, script: &str) -> Child {
    let mut command = scene.ctrlz(["run", "--isolation", driver, "--", "sh", "-c", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("start");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("read a line");
    assert_eq!(line, "ready\n", "{driver}");
    child
}

/// Processes with a word in their command line.
fn living(marker: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").expect("proc");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let processes = names.filter(|name| name.bytes().all(|b| b.is_ascii_digit()) && *name != own);
    let line = |name: &String| std::fs::read(format!("/proc/{name}/cmdline")).unwrap_or_default();
    processes.filter(|name| String::from_utf8_lossy(&line(name)).contains(marker)).collect()
}

#[track_caller]
fn all_end(marker: &str, what: &str) {
    for _ in 0..2000 {
        if living(marker).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{what}: {:?} live on", living(marker));
}

#[test]
fn killing_ctrlz_or_the_runtime_leaves_nothing_behind() {
    for driver in drivers() {
        let scene = Scene::with("echo old >file");
        let marker = format!("ctrlz-marker-{}-", std::process::id());
        let script = format!("echo new >file; echo ready; sleep 1000; : {marker}");
        // The command's own words, in ctrlz, in the shell and, with gVisor, in its kernel.
        let mut child = started(&scene, &driver, &script);
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let before = mounts();
        kill_process(Pid::from_child(&child), Signal::KILL).expect("kill");
        child.wait().expect("wait");
        all_end(&marker, &driver);
        assert_eq!(before, mounts(), "{driver}");
        // The next command finds the state from before, and works.
        assert_eq!(inside(&scene, &driver, &[], "cat file").ok().out(), "old\n", "{driver}");
        // The runtime, where it waits for the command; else whoever is its parent.
        let mut child = started(&scene, &driver, &script);
        let own = child.id();
        for process in living(&marker) {
            let number: i32 = process.parse().expect("a number");
            if number.unsigned_abs() != own {
                let _ = kill_process(Pid::from_raw(number).expect("a process"), Signal::KILL);
            }
        }
        assert!(!child.wait().expect("wait").success(), "{driver}");
        all_end(&marker, &driver);
        let groups = scene.host("find /sys/fs/cgroup -maxdepth 4 -name \"ctrlz-$PPID-*\"");
        assert_eq!(groups, "", "{driver}");
    }
}

#[test]
fn what_runs_in_a_container_can_be_suspended() {
    for driver in drivers() {
        let scene = Scene::new();
        let script = "echo ready; while :; do printf x >>written-on; sleep 0.01; done";
        let mut child = started(&scene, &driver, script);
        // The kernel's own folders of an overlay cannot be looked into by an ordinary user.
        let find = format!(
            "find '{}' -name written-on -size +0 2>/dev/null || true",
            scene.store.display()
        );
        let written = || -> u64 {
            let found = scene.host(&find);
            let length = |path: &str| std::fs::metadata(path).expect("a file").len();
            found.lines().next().map_or(0, length)
        };
        let rises = |from: u64| {
            let grew = (0..2000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                written() > from
            });
            assert!(grew, "{driver}: it does not go on");
        };
        rises(0);
        scene.ok(&["suspend", "project"]);
        let then = written();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(written(), then, "{driver}: it is not stopped");
        scene.ok(&["resume", "project"]);
        rises(then);
        kill_process(Pid::from_child(&child), Signal::TERM).expect("end it");
        child.wait().expect("wait");
    }
}

#[test]
fn what_is_not_there_is_told_with_the_way_out() {
    let scene = Scene::new();
    scene
        .run(&["run", "--isolation", "oci:/no/such/runtime", "--", "true"])
        .code(125)
        .says(&["/no/such/runtime", "cannot be enforced here"]);
    scene
        .run(&["run", "--isolation", "turbo", "--", "true"])
        .code(125)
        .says(&["oci:RUNTIME", "strict"]);
    // A level falls back where the profile lets it, and tells that.
    scene
        .run(&["run", "--isolation", "standard", "--", "true"])
        .ok()
        .says(&["isolation level `standard`", "oci:kata-runtime"]);
    scene
        .run(&["run", "--profile", "production", "--isolation", "standard", "--", "true"])
        .code(125)
        .says(&["cannot be had here", "kata-runtime", "production"]);
}

/// Production would rather have a virtual machine or gVisor, and says what it makes do with; the
/// strictest profile does not make do.
#[test]
fn a_profile_chooses_the_level() {
    let scene = Scene::new();
    let run = |path: &str, words: &[&str]| {
        let mut command =
            scene.ctrlz([&["run", "--cpus", "1"][..], words, &["--", "uname", "-v"]].concat());
        command.env("PATH", path);
        Outcome::of(&mut command)
    };
    let plain = "/usr/bin:/bin";
    let kernel = run(plain, &[]).ok();
    assert!(!kernel.err().contains("isolation level"), "{kernel}");
    let fallen = run(plain, &["--profile", "production"]);
    if fallen.status.code() == Some(125) {
        // Limits that this host cannot hold; the choice is told first.
        fallen.says(&["isolation level `standard`", "cannot be enforced"]);
    } else {
        assert_eq!(
            fallen.ok().says(&["isolation level `standard`", "native takes"]).out(),
            kernel.out()
        );
    }
    run(plain, &["--profile", "high-security"]).code(125).says(&[
        "`strict` cannot be had here",
        "oci:runsc",
        "high-security",
        "--isolation",
    ]);
    let Some(driver) = gvisor() else { return skipped("gVisor is not there") };
    let folder = scene.root.join("programs");
    std::fs::create_dir_all(&folder).expect("a folder");
    let runsc = driver.strip_prefix("oci:").expect("an OCI runtime");
    std::os::unix::fs::symlink(runsc, folder.join("runsc")).expect("a link");
    let path = format!("{}:{plain}", folder.display());
    let inside = run(&path, &["--profile", "high-security"]);
    if inside.status.code() != Some(125) {
        assert_ne!(inside.ok().out(), kernel.out(), "gVisor has a kernel of its own");
    }
}

#[test]
fn a_projects_file_does_not_choose() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "run:\n  isolation: oci:runc\n");
    scene.run(&["run", "--", "true"]).code(125).says(&["run.isolation", "--isolation"]);
    scene.run(&["run", "--isolation", "native", "--", "true"]).ok();
}
