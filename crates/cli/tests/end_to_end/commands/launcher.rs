//! The launcher is for services, not for people.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::{GivenStreams, IsolationDriver, Launch, Network, RootView, Streams};
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::Exit;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::launcher::{ARGUMENT, LauncherDriver};

use crate::support::{CTRLZ, Outcome, Scene};

#[test]
fn the_launcher_is_not_started_by_hand() {
    let scene = Scene::new();
    let (socket, _other) = UnixStream::pair().expect("a pair");
    for stdin in [Stdio::null(), Stdio::piped(), Stdio::from(OwnedFd::from(socket))] {
        let outcome = Outcome::of(scene.ctrlz(["__launcher"]).stdin(stdin)).code(125);
        assert!(outcome.stdout.is_empty(), "{outcome}");
        let told = String::from_utf8_lossy(&outcome.stderr);
        assert!(told.contains("__launcher is no command: a service of ctrlz starts it"), "{told}");
        assert!(told.contains("standard input is not the socket of a service"), "{told}");
    }
    assert!(!scene.ok(&["--help"]).contains("__launcher"));
}

/// A service is any process that starts it with a socket: here, this one.
#[test]
fn a_service_launches_by_it() {
    let scene = Scene::new();
    let mut command = Command::new(CTRLZ);
    command.arg(ARGUMENT);
    let driver = LauncherDriver::start(command).expect("a launcher");
    for number in 0..3 {
        let (mut output, stdout) = std::io::pipe().expect("pipe");
        let stdout = Arc::new(OwnedFd::from(stdout));
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        let streams = GivenStreams {
            input: Arc::new(null.into()),
            output: Arc::clone(&stdout),
            error: stdout,
            terminal: false,
            signals: None,
        };
        let script = format!("echo {number}; echo {number} > written; exit {number}");
        let launch = Launch {
            driver: Driver::default(),
            root: RootView::Host { workspace_at: "/var/lib".into() },
            workspace: WorkspaceMount::Bind { source: scene.project.clone() },
            written: scene.project.clone(),
            hidden: Vec::new(),
            workdir: "/var/lib".into(),
            argv: ["/bin/sh", "-c", &script].map(Into::into).to_vec(),
            env: Vec::new(),
            network: Network::None,
            limits: Limits::default(),
            least_free: None,
            keep_capabilities: Vec::new(),
            streams: Streams::Given(streams),
            memory: None,
            compiled: None,
        };
        let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
        prepared.start().expect("start");
        let report = prepared.wait(None).expect("wait");
        assert_eq!(report.exit, Exit::Code(number));
        assert!(report.enforced.iter().any(|what| what == "seccomp"), "{report:?}");
        drop(prepared);
        let mut text = String::new();
        output.read_to_string(&mut text).expect("read");
        assert_eq!(text, format!("{number}\n"));
        assert_eq!(scene.read("written"), text);
    }
}
