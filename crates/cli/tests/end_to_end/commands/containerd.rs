//! Commands in containers of containerd, on the daemon itself, by runc's shim: what is asked of it is the
//! same for Kata's.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Outcome, Scene, has, is_root, skipped};

const DRIVER: &str = "containerd:runc";

/// A containerd with data and a socket of its own.
struct Daemon {
    directory: PathBuf,
    process: Child,
}

impl Daemon {
    /// `None` where there is none, which is told.
    fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            skipped("only root may use containerd");
            return None;
        }
        if !has("containerd") {
            return None;
        }
        // Its shims bind sockets deep inside, whose addresses end at 107 bytes.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/tmp/ctrlz-ctd-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).expect("make a folder");
        let place = directory.display();
        let text = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{place}/sock\"\n[ttrpc]\naddress = \"{place}/ttrpc\"\n"
        );
        fs::write(directory.join("config.toml"), text).expect("write");
        let process = spawn(&directory);
        Some(Self { directory, process })
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("sock")
    }

    fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    fn start_again(&mut self) {
        fs::remove_file(self.socket()).expect("remove its socket");
        self.process = spawn(&self.directory);
    }

    fn command(&self, scene: &Scene, options: &[&str]) -> Command {
        let mut command = scene.ctrlz(options);
        command.env("CONTAINERD_ADDRESS", self.socket());
        command
    }

    fn ctrlz(&self, scene: &Scene, options: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(scene, options))
    }

    /// Runs a script in a container.
    fn inside(&self, scene: &Scene, options: &[&str], script: &str) -> Outcome {
        let mut words = vec!["run", "--isolation", DRIVER];
        words.extend(options);
        words.extend(["--", "sh", "-c", script]);
        self.ctrlz(scene, &words)
    }

    /// Starts a script and waits until it has said that it is ready.
    fn started(
        &self,
        scene: &Scene,
        script: &str,
    ) -> (Child, BufReader<std::process::ChildStdout>) {
        let words = ["run", "--isolation", DRIVER, "--", "sh", "-c", script];
        let mut command = self.command(scene, &words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("start");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("read a line");
        assert_eq!(line, "ready\n");
        (child, out)
    }

    fn client(&self, words: &[&str]) -> String {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "ctrlz"]).args(words);
        let output = command.output().expect("run ctr");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Waits until no container, task, mount, folder or control group of a launch is left.
    #[track_caller]
    fn nothing_is_left(&self) {
        let left = || {
            let mut left = self.client(&["containers", "list", "--quiet"]);
            left += &self.client(&["tasks", "list", "--quiet"]);
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            let place = self.directory.display().to_string();
            let is_ours = |line: &&str| line.contains(&place);
            left += &mounts.lines().filter(is_ours).collect::<String>();
            left + &self.folders().concat()
        };
        for _ in 0..100 {
            if left().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("left: {}", left());
    }

    /// The folders of launches by this daemon.
    fn folders(&self) -> Vec<String> {
        let socket = self.socket().display().to_string();
        let entries = fs::read_dir("/run").expect("list").flatten().map(|entry| entry.path());
        let is_ours = |path: &PathBuf| {
            fs::read_to_string(path.join("container.json")).is_ok_and(|note| note.contains(&socket))
        };
        entries.filter(is_ours).map(|path| path.display().to_string()).collect()
    }
}

#[allow(clippy::zombie_processes, reason = "whoever gets it ends it")]
fn spawn(directory: &Path) -> Child {
    let log = fs::File::options().append(true).create(true).open(directory.join("log"));
    let log = log.expect("make a log");
    let mut command = Command::new("containerd");
    command.arg("--config").arg(directory.join("config.toml"));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("copy")).stderr(log);
    let process = command.spawn().expect("start containerd");
    for _ in 0..6000 {
        if UnixStream::connect(directory.join("sock")).is_ok() {
            return process;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("containerd does not listen: {:?}", fs::read_to_string(directory.join("log")));
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(&self.directory)) {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
        remove(&self.directory);
    }
}

/// Removes a folder, but nothing that is in a root of a container: while that is mounted, it is this host's.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = match (is_directory, entry.file_name() == "rootfs") {
            (true, true) => fs::remove_dir(entry.path()),
            (true, false) => {
                remove(&entry.path());
                Ok(())
            }
            (false, _) => fs::remove_file(entry.path()),
        };
    }
    let _ = fs::remove_dir(folder);
}

#[test]
fn what_a_command_does_is_kept_and_taken_back() {
    let Some(daemon) = Daemon::start() else { return };
    let scene = Scene::with("echo old >kept; echo old >gone");
    let script = "echo out; echo err >&2; echo new >kept; rm gone; mkdir d; echo n >d/new";
    let outcome = daemon.inside(&scene, &[], script).ok();
    assert_eq!((outcome.out(), scene.counts()), ("out\n".into(), [2, 1, 1, 0]));
    assert_eq!(scene.read("kept"), "old\n");
    let last = scene.json(&["show", &scene.last()]);
    assert_eq!(last["operation"]["outcome"]["command"]["driver"], DRIVER, "{last}");
    // Another driver sees what it left, and the other way round.
    assert_eq!(scene.inside("cat kept d/new"), "new\nn\n");
    assert_eq!(daemon.inside(&scene, &[], "cat kept").ok().out(), "new\n");
    daemon.nothing_is_left();
}

#[test]
fn the_end_of_a_command_is_told_as_it_was() {
    let Some(daemon) = Daemon::start() else { return };
    let scene = Scene::with("echo text >text");
    daemon.inside(&scene, &[], "exit 7").code(7);
    let ended = daemon.inside(&scene, &[], "kill -TERM $$; sleep 60").status;
    assert_eq!(ended.code(), None, "{ended:?}");
    let run = |program: &str| daemon.ctrlz(&scene, &["run", "--isolation", DRIVER, "--", program]);
    run("no-such-program").code(127).says(&["no such program"]);
    run("./text").code(126).says(&["cannot be executed"]);
    let left = "sleep 1000 & setsid sleep 1000 & echo left; exit 3";
    assert_eq!(daemon.inside(&scene, &[], left).code(3).out(), "left\n");
    // What a command forges, init writes anew.
    let forged = "echo '{\"NotExecuted\":2}' >/dev/.ctrlz/told/report; exit 5";
    daemon.inside(&scene, &[], forged).code(5);
    daemon.nothing_is_left();
}

#[test]
fn streams_and_signals_reach_the_command() {
    let Some(daemon) = Daemon::start() else { return };
    let scene = Scene::new();
    let script = "trap 'echo caught; exit 3' TERM; echo ready; cat | wc -c; echo after
                  while :; do sleep 0.05; done";
    let (mut child, mut out) = daemon.started(&scene, script);
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(&vec![b'x'; 3 << 20]).expect("write");
    drop(input);
    let mut line = || {
        let mut line = String::new();
        out.read_line(&mut line).expect("read");
        line
    };
    assert_eq!((line(), line()), ("3145728\n".into(), "after\n".into()));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("kill");
    assert_eq!(line(), "caught\n");
    assert_eq!(child.wait().expect("wait").code(), Some(3));
}

#[test]
fn limits_are_held() {
    let Some(daemon) = Daemon::start() else { return };
    let scene = Scene::new();
    daemon.inside(&scene, &["--timeout", "1"], "sleep 60").code(124).says(&["timeout"]);
    let many = daemon.inside(&scene, &["--max-output", "1000"], "yes | head -c 100000");
    assert!(many.out().len() < 2000);
    many.says(&["max-output"]);
    let files = daemon.inside(&scene, &["--open-files", "20"], "ulimit -n").ok();
    assert_eq!(files.out(), "20\n");
    let python = "/usr/bin/python3 -c 'b = bytearray(400 << 20); print(len(b))'";
    let outcome = daemon.inside(&scene, &["--memory", "96M"], python);
    assert_eq!(outcome.out(), "");
    outcome.says(&["memory"]);
    let forks = "for n in $(seq 40); do sleep 60 & done; echo all";
    assert_eq!(daemon.inside(&scene, &["--pids", "10"], forks).out(), "");
    daemon.nothing_is_left();
}

#[test]
fn a_container_is_as_strict_as_it_says() {
    let Some(daemon) = Daemon::start() else { return };
    let scene = Scene::new();
    scene.host("mkdir -p ../home/.ssh; echo secret >../home/.ssh/id");
    let script = "grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status | cut -f2 | sort -u
         grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2 | tr -d '\\n'; echo
         tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '
         mkdir /etc/ctrlz-test 2>&1 | grep -c .
         cat \"$HOME/.ssh/id\" /proc/1/environ /proc/kcore 2>/dev/null | head -c 10
         echo 1 2>/dev/null >/proc/sys/kernel/panic && echo written
         ls /run /tmp; ls /proc | grep -c '^[0-9]' | head -c 1; echo
         mount -t tmpfs none /mnt 2>/dev/null && echo mounted; true";
    let outcome = daemon.inside(&scene, &[], script).ok();
    let lines = outcome.out();
    let mut lines = lines.lines();
    assert_eq!(lines.next(), Some("0000000000000000"));
    assert_eq!((lines.next(), lines.next(), lines.next()), (Some("12"), Some("lo"), Some("1")));
    let rest: Vec<&str> = lines.filter(|line| !line.starts_with('/')).collect();
    assert!(rest.iter().all(|line| line.len() <= 1), "{rest:?}");
    let show = scene.ok(&["show", &scene.last()]);
    assert!(show.contains("no-capabilities") && !show.contains("landlock"), "{show}");
}

#[test]
fn kills_leave_nothing_behind() {
    let Some(mut daemon) = Daemon::start() else { return };
    let scene = Scene::with("echo old >file");
    let script = "echo new >file; echo ready; sleep 1000";
    // ctrlz: who speaks for the container has it removed.
    let (mut child, _out) = daemon.started(&scene, script);
    kill_process(Pid::from_child(&child), Signal::KILL).expect("kill");
    child.wait().expect("wait");
    daemon.nothing_is_left();
    assert_eq!(daemon.inside(&scene, &[], "cat file").ok().out(), "old\n");
    // Who speaks for it: ctrlz does.
    let (mut child, _out) = daemon.started(&scene, script);
    kill_process(speaker_of(&child), Signal::KILL).expect("kill");
    assert!(!child.wait().expect("wait").success());
    daemon.nothing_is_left();
    // Both: whoever tidies up next. What a command did that was killed is kept, what was cut short is not.
    let third = "echo third >file; echo ready; sleep 1000";
    let (mut child, _out) = daemon.started(&scene, third);
    kill_process(speaker_of(&child), Signal::STOP).expect("stop");
    let speaker = speaker_of(&child);
    kill_process(Pid::from_child(&child), Signal::KILL).expect("kill");
    kill_process(speaker, Signal::KILL).expect("kill");
    child.wait().expect("wait");
    assert!(!daemon.folders().is_empty());
    // In time, so that nobody waits for what nobody wants any more.
    assert_eq!(daemon.inside(&scene, &[], "cat file").ok().out(), "new\n");
    daemon.ctrlz(&scene, &["gc"]).ok();
    daemon.nothing_is_left();
    // containerd: the command goes on, and is told as it ended.
    let (mut child, mut out) =
        daemon.started(&scene, "echo ready; read line; echo got $line; exit 5");
    daemon.kill();
    let text = "run --isolation containerd:runc -- true";
    let other = Scene::new();
    daemon
        .ctrlz(&other, &text.split(' ').collect::<Vec<_>>())
        .code(125)
        .says(&["systemctl start containerd", "CONTAINERD_ADDRESS"]);
    child.stdin.take().expect("a pipe").write_all(b"it\n").expect("write");
    let mut line = String::new();
    out.read_line(&mut line).expect("read");
    assert_eq!(line, "got it\n");
    daemon.start_again();
    assert_eq!(child.wait().expect("wait").code(), Some(5));
    daemon.ctrlz(&scene, &["gc"]).ok();
    daemon.nothing_is_left();
}

/// The process that speaks for the container of a ctrlz.
fn speaker_of(ctrlz: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", ctrlz.id());
    let children = fs::read_to_string(children).expect("its children");
    let is_speaker = |id: &&str| {
        fs::read(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("--containerd-speaker"))
    };
    let id = children.split_whitespace().find(is_speaker).expect("a speaker");
    Pid::from_raw(id.parse().expect("a number")).expect("an id")
}

#[test]
fn what_runs_in_a_container_can_be_suspended() {
    let Some(daemon) = Daemon::start() else { return };
    let scene = Scene::new();
    let script = "echo ready; while :; do printf x >>written-on; sleep 0.01; done";
    let (mut child, _out) = daemon.started(&scene, script);
    let find = format!("find '{}' -name written-on 2>/dev/null || true", scene.store.display());
    let written = || -> u64 {
        let found = scene.host(&find);
        found.lines().next().map_or(0, |path| fs::metadata(path).map_or(0, |status| status.len()))
    };
    let rises = |from: u64| {
        let grew = (0..2000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            written() > from
        });
        assert!(grew, "it does not go on");
    };
    rises(0);
    scene.ok(&["suspend", "project"]);
    let then = written();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(written(), then, "it is not stopped");
    scene.ok(&["resume", "project"]);
    rises(then);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("end it");
    child.wait().expect("wait");
    daemon.nothing_is_left();
}

#[test]
fn what_is_missing_is_told_with_the_way_out() {
    let scene = Scene::new();
    let doctor = scene.json(&["doctor"]);
    let drivers = doctor["isolation"].as_array().expect("drivers");
    let kata = drivers.iter().find(|one| one["driver"] == "containerd:kata").expect("Kata");
    let lacks = kata["lacks"].as_str().expect("no host of tests has it");
    assert!(
        lacks.contains("containerd-shim-kata-v2") && lacks.contains("katacontainers.io"),
        "{lacks}"
    );
    let kata = ["run", "--isolation", "containerd:kata", "--", "true"];
    scene.run(&kata).code(125).says(&["cannot be enforced here", "containerd-shim-kata-v2"]);
}
