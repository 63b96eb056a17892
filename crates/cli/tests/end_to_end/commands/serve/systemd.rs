//! The service under a service manager, which is the test itself.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::Service;
use crate::support::{Scene, has};

/// What a service manager hears, one message after the other.
struct Heard(UnixDatagram);

impl Heard {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        Self(socket)
    }

    /// Waits for a message with that line; what comes before must be the watchdog's.
    #[track_caller]
    fn waits_for(&self, line: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let length = self.0.recv(&mut bytes).expect("a message in time");
            let text = String::from_utf8(bytes[..length].to_vec()).expect("text");
            if text.lines().any(|found| found == line) {
                return text;
            }
            assert_eq!(text, "WATCHDOG=1\n", "before {line}");
        }
    }
}

/// The service with these sockets as its third and fourth descriptor, as a service manager starts it.
fn with_sockets(scene: &Scene, sockets: [OwnedFd; 2], arguments: &str) -> Command {
    let program = scene.ctrlz([""; 0]).get_program().to_owned();
    let script = format!(
        "exec 3<&0 4<&2 0</dev/null 2>/dev/null; \
         LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=local:net exec \"$0\" serve --json {arguments}"
    );
    let [local, net] = sockets;
    let mut command = scene.program("sh", ["-c", &script]);
    command.arg(program).stdin(Stdio::from(local)).stderr(Stdio::from(net));
    command
}

#[test]
fn it_takes_the_sockets_of_a_service_manager_and_tells_it_how_it_is() {
    let scene = Scene::new();
    let (path, notify) = (scene.root.join("local.sock"), scene.root.join("notify.sock"));
    let local = UnixListener::bind(&path).expect("a socket");
    let net = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", net.local_addr().expect("an address"));
    let heard = Heard::at(&notify);
    let mut begin = with_sockets(&scene, [local.into(), net.into()], "");
    begin.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "200000");
    let service = Service::begin(begin);
    assert_eq!(service.address, address);
    let ready = heard.waits_for("READY=1");
    assert!(ready.contains(&format!("STATUS=serves at unix://{}", path.display())), "{ready}");
    service.admin().sandbox("web");
    // What it starts knows nothing of it, and holds none of its sockets.
    let seen = service.admin().run("web", "env; ls -l /proc/self/fd");
    let seen = seen["stdout"].as_str().expect("text");
    assert!(!seen.contains("NOTIFY") && !seen.contains("LISTEN_"), "{seen}");
    assert!(!seen.contains("socket:"), "{seen}");
    assert!(!scene.store.join("service.sock").exists());
    let version = scene.host(&format!(
        "curl --silent --unix-socket '{}' http://x/health/live || echo none",
        path.display()
    ));
    assert!(version.contains("healthy") || !has("curl"), "{version}");
    for _ in 0..3 {
        heard.waits_for("WATCHDOG=1");
    }
    service.signal(Signal::HUP);
    let reloading = heard.waits_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    heard.waits_for("READY=1");
    service.admin().get("/v1/sandboxes").is(200);
    service.signal(Signal::TERM);
    heard.waits_for("STOPPING=1");
    service.stop_quietly();
    // It is the service manager's, which listens on.
    assert!(path.exists());
}

#[test]
fn sockets_that_cannot_be_served_are_refused() {
    let scene = Scene::new();
    let local = || UnixListener::bind_addr(&unnamed()).expect("a socket");
    let open = TcpListener::bind("0.0.0.0:0").expect("a port");
    let refused = with_sockets(&scene, [local().into(), open.into()], "").output();
    let told = String::from_utf8(refused.expect("it ran").stdout).expect("text");
    assert!(told.contains("can be reached from other machines"), "{told}");
    let datagram = UnixDatagram::unbound().expect("a socket");
    let refused = with_sockets(&scene, [local().into(), datagram.into()], "").output();
    let told = String::from_utf8(refused.expect("it ran").stdout).expect("text");
    assert!(told.contains("`net` that was passed: it is no stream socket"), "{told}");
    // Those of another process are nobody's business here.
    let mut other = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    other.env("LISTEN_PID", "1").env("LISTEN_FDS", "7");
    Service::begin(other).stop();
}

fn unnamed() -> std::os::unix::net::SocketAddr {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("ctrlz-test-{}-{:?}", std::process::id(), std::time::Instant::now());
    std::os::unix::net::SocketAddr::from_abstract_name(name).expect("a name")
}

#[test]
fn systemd_takes_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let scene = Scene::new();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let folder = scene.root.join("units");
    std::fs::create_dir(&folder).expect("a folder");
    let program = scene.ctrlz([""; 0]).get_program().to_string_lossy().into_owned();
    for name in ["ctrlz.service", "ctrlz.socket"] {
        let text = std::fs::read_to_string(units.join(name)).expect("a unit");
        // The program is where it is built, and its page is not installed.
        let text =
            text.replace("/usr/bin/ctrlz", &program).replace("man:ctrlz-serve(1)", "man:sh(1)");
        std::fs::write(folder.join(name), text).expect("written");
    }
    let verified = scene
        .program("systemd-analyze", ["verify", "--man=no"])
        .args([folder.join("ctrlz.service"), folder.join("ctrlz.socket")])
        .output()
        .expect("it ran");
    let told = String::from_utf8_lossy(&verified.stderr);
    let about_ours: Vec<_> = told.lines().filter(|line| line.contains("ctrlz.")).collect();
    assert!(verified.status.success() && about_ours.is_empty(), "{told}");
}
