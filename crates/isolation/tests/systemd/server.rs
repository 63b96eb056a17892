//! A systemd of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::arena::Arena;
use crate::direct::{HEAD, Told};

/// What has not happened by then will not, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running manager, and a base that commands change.
pub(crate) struct Server {
    pub(crate) base: PathBuf,
    arena: Arena,
    /// `unshare`, which takes systemd along.
    process: Child,
    /// systemd.
    id: String,
    group: PathBuf,
    launches: AtomicU32,
}

/// A launch that goes on.
pub(crate) struct Begun {
    pub(crate) head: PathBuf,
    process: Child,
}

/// What came of a launch.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) told: Told,
    pub(crate) output: String,
    pub(crate) head: PathBuf,
}

impl Server {
    /// Starts it; answers why it cannot be had.
    pub(crate) fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start a system manager".to_owned());
        }
        for program in ["/lib/systemd/systemd", "/usr/bin/systemd-run", "/usr/bin/nsenter"] {
            if !Path::new(program).is_file() {
                return Err(format!("{program} is needed"));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let unified = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            right.starts_with("cgroup2 ").then(|| left.split(' ').nth(4))?
        });
        let Some(unified) = unified else {
            return Err("no control groups of version 2".to_owned());
        };
        let group = Path::new(unified).join(format!("ctrlz-systemd-{}", std::process::id()));
        if fs::create_dir(&group).is_err() {
            return Err("only root of the host can make control groups".to_owned());
        }
        let arena = Arena::make()?;
        for folder in ["root", "base/below", "shared"] {
            fs::create_dir_all(arena.directory.join(folder)).expect("make a folder");
        }
        let base = arena.directory.join("base");
        fs::write(base.join("file"), "base\n").expect("write");
        fs::write(base.join("below/deep"), "deep\n").expect("write");
        let own = std::env::current_exe().expect("a program");
        // It has to be where the manager finds it.
        fs::copy(own, arena.directory.join("program")).expect("copy");
        let log = fs::File::create(arena.directory.join("log")).expect("make a log");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systemd/root.sh");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&group);
        command.args(["unshare", "-mpiunC", "--fork", "--kill-child", "sh", script]);
        command.arg(arena.directory.join("root")).arg(&arena.directory);
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("copy")).stdout(log);
        let process = command.spawn().expect("start systemd");
        let children = format!("/proc/{0}/task/{0}/children", process.id());
        let launches = AtomicU32::new(0);
        let mut server = Self { base, arena, process, id: String::new(), group, launches };
        await_that("a child is there", || {
            fs::read_to_string(&children).is_ok_and(|text| !text.trim().is_empty())
        });
        server.id = fs::read_to_string(&children).expect("a child").trim().to_owned();
        await_that("systemd runs", || {
            let answer = server.inside().args(["systemctl", "is-system-running"]).output();
            answer.is_ok_and(|answer| {
                ["running", "degraded"].contains(&String::from_utf8_lossy(&answer.stdout).trim())
            })
        });
        let made = server.inside().args(["touch", "/root/secret", "/home/secret"]).status();
        assert!(made.expect("run").success());
        Ok(server)
    }

    /// A command in its namespaces.
    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.id, "--"]);
        command
    }

    /// The units of ctrlz that there are.
    pub(crate) fn units(&self) -> String {
        let mut command = self.inside();
        command.args(["systemctl", "list-units", "--all", "--no-legend", "--plain", "ctrlz-*"]);
        let told = command.output().expect("run systemctl");
        assert!(told.status.success(), "{told:?}");
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// The command lines of all processes there.
    pub(crate) fn processes(&self) -> String {
        let told = self.inside().args(["sh", "-c", "cat /proc/[0-9]*/cmdline"]).output();
        String::from_utf8_lossy(&told.expect("run cat").stdout).into_owned()
    }

    /// Whether the manager's control groups have it.
    pub(crate) fn has_controller(&self, name: &str) -> bool {
        let text = fs::read_to_string(self.group.join("cgroup.controllers")).unwrap_or_default();
        text.split_whitespace().any(|one| one == name)
    }

    /// Begins a shell script in an overlay of its own.
    pub(crate) fn begin(&self, script: &str, limits: &[&str]) -> Begun {
        let number = self.launches.fetch_add(1, Ordering::Relaxed);
        let head = self.arena.directory.join(format!("head-{number}"));
        for name in ["upper", "work"] {
            fs::create_dir_all(head.join(name)).expect("make a head");
        }
        let output = fs::File::create(head.join("output")).expect("make a file");
        let errors = fs::File::create(head.join("errors")).expect("make a file");
        let mut command = self.inside();
        command.arg(self.arena.directory.join("program")).arg(&self.base).arg(script).args(limits);
        command.env(HEAD, &head).stdin(Stdio::null()).stdout(output).stderr(errors);
        Begun { process: command.spawn().expect("launch"), head }
    }

    pub(crate) fn run(&self, script: &str, limits: &[&str]) -> Run {
        self.begin(script, limits).finish()
    }
}

impl Begun {
    /// Sends a signal to the launching process.
    pub(crate) fn signal(&mut self, signal: Signal) {
        // nsenter has forked for the pid namespace, or is that process itself.
        let own = self.process.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let id =
            children.unwrap_or_default().split_whitespace().next().and_then(|id| id.parse().ok());
        let id = id.and_then(Pid::from_raw).unwrap_or_else(|| Pid::from_child(&self.process));
        kill_process(id, signal).expect("send a signal");
    }

    pub(crate) fn wait(&mut self) {
        let _ = self.process.wait();
    }

    pub(crate) fn finish(mut self) -> Run {
        self.wait();
        let read = |name: &str| fs::read_to_string(self.head.join(name)).unwrap_or_default();
        let told = serde_json::from_str(&read("told"))
            .unwrap_or_else(|error| Told::Failed(format!("{error}: {}", read("errors"))));
        Run { told, output: read("output"), head: self.head.clone() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let process = PathBuf::from(format!("/proc/{}", self.id));
        let until = Instant::now() + PATIENCE;
        while !self.id.is_empty() && process.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        remove_groups(&self.group);
    }
}

/// Removes empty groups, the inner ones first.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
