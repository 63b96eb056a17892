//! The engines that are tested.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ctrlz_isolation::engine::{self, Engine};

use crate::image::{self, IMAGE};

/// What has not happened by then will not, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running engine.
pub(crate) struct Server {
    pub(crate) kind: Engine,
    pub(crate) directory: PathBuf,
    pub(crate) socket: PathBuf,
    /// Where it takes a registry without TLS.
    pub(crate) registry_port: u16,
    process: Mutex<Child>,
}

impl Server {
    /// Starts it with data of its own, and gives it the image; answers why it cannot be had.
    pub(crate) fn start(kind: Engine, directory: &Path) -> Result<Self, String> {
        let is_root = rustix::process::geteuid().is_root();
        if kind == Engine::Docker && !is_root {
            return Err("dockerd runs as root here".to_owned());
        }
        let program = if kind == Engine::Docker { "dockerd" } else { "podman" };
        for name in [program, kind.word(), "runc", "busybox", "docker-registry"] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .chain(["/usr/sbin".into(), "/sbin".into()])
                .any(|folder| folder.join(name).is_file());
            if !found {
                return Err(format!("{name} is needed"));
            }
        }
        fs::create_dir_all(directory).expect("make a folder");
        let directory = directory.canonicalize().expect("a path");
        let socket = directory.join("engine.sock");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let registry_port = free.local_addr().expect("an address").port();
        drop(free);
        configure(&directory, registry_port);
        let process = Mutex::new(spawn(kind, &directory, &socket));
        let server = Self { kind, directory: directory.clone(), socket, registry_port, process };
        server.await_ready();
        let archive = directory.join("image.tar");
        image::archive(&archive);
        let said = engine::load(kind, std::slice::from_ref(&server.socket), &archive)
            .unwrap_or_else(|error| panic!("load the image: {error:?}\n{}", server.log()));
        assert!(said.contains(IMAGE), "{said}");
        Ok(server)
    }

    fn await_ready(&self) {
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(&self.socket).is_err() {
            let ended = self.process.lock().expect("alone").try_wait().expect("wait");
            assert!(ended.is_none(), "{} ended: {}", self.kind, self.log());
            assert!(Instant::now() < until, "{} does not listen: {}", self.kind, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().expect("alone");
        // Without root, podman starts itself anew in a user namespace, and waits for that.
        let tasks = fs::read_dir(format!("/proc/{}/task", process.id()));
        let children: String = tasks
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .collect();
        let podman = children.split_whitespace().filter(|_| self.kind == Engine::Podman);
        for child in podman.filter_map(|id| rustix::process::Pid::from_raw(id.parse().ok()?)) {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        process.kill().expect("kill");
        process.wait().expect("wait");
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(&self.socket).is_ok() {
            assert!(Instant::now() < until, "{} still listens", self.kind);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it anew with the same data.
    pub(crate) fn start_again(&self) {
        // The containerd of a dockerd that was killed ends a little later. A new dockerd would take it
        // for one to be used.
        let note = run_root(self.kind).join("containerd/containerd.pid");
        let containerd = fs::read_to_string(&note).unwrap_or_default();
        let runs = || {
            let state = fs::read_to_string(format!("/proc/{}/stat", containerd.trim()));
            state.is_ok_and(|state| !state.contains(") Z "))
        };
        let until = Instant::now() + PATIENCE;
        while !containerd.is_empty() && runs() {
            assert!(Instant::now() < until, "containerd does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        for left in [self.socket.clone(), self.directory.join("dockerd.pid"), note] {
            let _ = fs::remove_file(left);
        }
        *self.process.lock().expect("alone") = spawn(self.kind, &self.directory, &self.socket);
        self.await_ready();
    }

    /// A command of its command line.
    pub(crate) fn client(&self, words: &[&str]) -> String {
        let mut command = match self.kind {
            Engine::Docker => {
                let mut command = Command::new("docker");
                command.arg("-H").arg(format!("unix://{}", self.socket.display()));
                command
            }
            Engine::Podman => podman(&self.directory),
        };
        let output = command.args(words).output().expect("run the engine's client");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{words:?}: {output:?}\n{}", self.log());
        text
    }

    /// The containers that it has, running or not.
    pub(crate) fn containers(&self) -> String {
        self.client(&["ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.Status}}"])
    }

    /// Waits until it has none.
    pub(crate) fn await_no_container(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = self.containers();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left: {left}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Writes what podman is told by files.
fn configure(directory: &Path, registry_port: u16) {
    // Limits of this machine may not be raised, and its cgroups are of both versions.
    let text = "[containers]\ndefault_ulimits=[\"nofile=4096:4096\",\"nproc=4096:4096\"]\n\
                [engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\n\
                events_logger=\"file\"\n";
    fs::write(directory.join("containers.conf"), text).expect("write");
    let text = format!("[[registry]]\nlocation = \"127.0.0.1:{registry_port}\"\ninsecure = true\n");
    fs::write(directory.join("registries.conf"), text).expect("write");
}

/// An engine's folder for what lives as long as the machine runs. podman takes no path of more than 50
/// characters for it, and dockerd binds sockets deep inside, whose addresses end at 107.
fn run_root(kind: Engine) -> PathBuf {
    PathBuf::from(format!("/tmp/ctrlz-{kind}-{}", std::process::id()))
}

fn podman(directory: &Path) -> Command {
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", directory.join("containers.conf"));
    command.env("CONTAINERS_REGISTRIES_CONF", directory.join("registries.conf"));
    command
        .arg("--root")
        .arg(directory.join("root"))
        .arg("--runroot")
        .arg(run_root(Engine::Podman));
    command.args(["--storage-driver", "overlay"]);
    command
}

fn spawn(kind: Engine, directory: &Path, socket: &Path) -> Child {
    let log = fs::File::options()
        .append(true)
        .create(true)
        .open(directory.join("log"))
        .expect("make a log");
    let mut command = match kind {
        Engine::Podman => {
            let mut command = podman(directory);
            command.args(["system", "service", "--time", "0"]);
            command.arg(format!("unix://{}", socket.display()));
            command
        }
        Engine::Docker => {
            let mut command = Command::new("dockerd");
            command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
            command.args(["--storage-driver=overlay2", "--insecure-registry=127.0.0.1"]);
            command.arg("--data-root").arg(directory.join("root"));
            command.arg("--exec-root").arg(run_root(kind));
            command.arg("-H").arg(format!("unix://{}", socket.display()));
            command.arg("-p").arg(directory.join("dockerd.pid"));
            command
        }
    };
    let errors = log.try_clone().expect("copy a descriptor");
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().expect("start the engine")
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut process = self.process.lock().expect("alone");
        // By its own end it takes its helpers along.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&process),
            rustix::process::Signal::TERM,
        );
        let _ = process.wait();
        for line in fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().rev() {
            let Some(point) = line.split(' ').nth(4) else { continue };
            let point = Path::new(point);
            if point.starts_with(&self.directory) || point.starts_with(run_root(self.kind)) {
                let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
            }
        }
        let _ = fs::remove_dir_all(run_root(self.kind));
    }
}
