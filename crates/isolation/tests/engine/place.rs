//! Where a test launches.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::CommandReport;
use ctrlz_isolation::engine::Engine;

use crate::direct::{SPEC, Spec, Told};
use crate::image::IMAGE;
use crate::servers::{PATIENCE, Server};

/// A folder with a workspace, and an engine.
pub(crate) struct Place<'s> {
    pub(crate) server: &'s Server,
    pub(crate) directory: PathBuf,
    pub(crate) base: PathBuf,
    launches: AtomicU32,
}

impl<'s> Place<'s> {
    pub(crate) fn make(server: &'s Server, name: &str) -> Self {
        let directory = server.directory.join("tests").join(name);
        let base = directory.join("base");
        fs::create_dir_all(&base).expect("make a workspace");
        fs::write(base.join("file"), "base\n").expect("write");
        Self { server, directory, base, launches: AtomicU32::new(0) }
    }

    /// A shell script in an overlay of its own.
    pub(crate) fn shell(&self, script: &str) -> Spec {
        let number = self.launches.fetch_add(1, Ordering::Relaxed);
        let head = self.directory.join(format!("head-{number}"));
        for name in ["upper", "work"] {
            fs::create_dir_all(head.join(name)).expect("make a head");
        }
        Spec {
            engine: self.server.kind,
            socket: self.server.socket.clone(),
            image: IMAGE.to_owned(),
            workspace_at: self.base.clone(),
            bound: None,
            lower_dirs: vec![self.base.clone()],
            told: head.join("told"),
            head,
            hidden: Vec::new(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            network: Network::None,
            limits: Limits::default(),
            keep: Vec::new(),
            tidies: false,
        }
    }

    /// Runs a script; answers its output.
    pub(crate) fn output(&self, script: &str) -> String {
        let run = run(&self.shell(script), b"");
        run.report();
        run.output
    }
}

/// What came of a launch.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) told: Told,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl Run {
    pub(crate) fn report(&self) -> &CommandReport {
        match &self.told {
            Told::Ended(report) => report,
            other => panic!("{other:?} {}", self.error),
        }
    }
}

/// The program that launches, with its streams yet to be chosen.
pub(crate) fn launcher(spec: &Spec) -> Command {
    let path = spec.head.join("spec");
    fs::write(&path, serde_json::to_vec(spec).expect("json")).expect("write");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let variable = match spec.engine {
        Engine::Podman => "CONTAINER_HOST",
        Engine::Docker => "DOCKER_HOST",
    };
    command.env(variable, format!("unix://{}", spec.socket.display()));
    command.env(SPEC, path);
    command
}

/// Begins a launch with pipes as streams.
pub(crate) fn begin(spec: &Spec) -> Child {
    let mut command = launcher(spec);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("start a launcher")
}

/// What a launch that has ended told.
pub(crate) fn told(spec: &Spec) -> Told {
    let bytes = fs::read(&spec.told).expect("it told");
    serde_json::from_slice(&bytes).expect("json")
}

/// Waits for the end of a launch.
pub(crate) fn finish(spec: &Spec, child: Child) -> Run {
    let output = child.wait_with_output().expect("wait");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let error = text(output.stderr);
    assert!(spec.told.exists(), "{error}");
    Run { told: told(spec), output: text(output.stdout), error }
}

/// Launches.
pub(crate) fn run(spec: &Spec, input: &[u8]) -> Run {
    let mut child = begin(spec);
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(input);
    drop(stdin);
    finish(spec, child)
}

/// Waits for process 1 of a launch.
pub(crate) fn process_1(spec: &Spec) -> u32 {
    let path = spec.told.with_extension("process");
    await_that("process 1 was told", || path.exists());
    let mut text = String::new();
    File::open(path).expect("open").read_to_string(&mut text).expect("read");
    text.parse().expect("an id")
}

/// Waits until something is so.
pub(crate) fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there.
pub(crate) fn lives(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}
