//! Attacks through sockets.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ctrlz_core::isolation::Network;
use ctrlz_isolation::native::Protection::{
    HiddenSecrets, IpcNamespace, Landlock, NetworkNamespace, NoCapabilities, PrivateTemporary,
    Seccomp,
};

use crate::attack::{Attack, Failure, Shown, Test, table};
use crate::control::landlock_version;
use crate::launcher::is_another;
use crate::place::Place;
use crate::trial::{PATIENCE, wait_until};

const TABLE: &[Attack] = &[
    Attack::new(
        "open_raw_socket",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); through()",
        Shown::AsOwner(&[NoCapabilities]),
    ),
    Attack::new(
        "open_packet_socket",
        "socket.socket(17, socket.SOCK_RAW, 0x0300); through()",
        Shown::AsOwner(&[NoCapabilities, Seccomp]),
    )
    .holds_without(&[&[NoCapabilities], &[Seccomp]]),
    Attack::new(
        "open_vsock",
        "socket.socket(40, socket.SOCK_STREAM, 0); through()",
        Shown::Without(&[Seccomp]),
    )
    .refused_by("EAFNOSUPPORT"),
    Attack::new(
        "see_interfaces_of_host",
        "
names = [name for _, name in socket.if_nameindex()]
refused(names) if names == ['lo'] else through(names)
",
        Shown::Without(&[NetworkNamespace]),
    ),
];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = table(TABLE);
    tests.push(Test::new("open_rare_socket_families", rare_families));
    tests.push(Test::new("connect_to_loopback_server_of_host", loopback));
    tests.push(Test::new("connect_to_abstract_socket_of_host", abstract_socket));
    tests.push(Test::new("connect_to_socket_file_in_tmp", socket_file_in_tmp));
    tests.push(Test::new("connect_to_socket_file_outside_of_workspace", socket_file_outside));
    tests.push(Test::new("connect_to_socket_file_below_the_workspace", socket_file_in_base));
    tests.push(Test::new("use_system_v_memory_of_host", system_v_memory));
    tests
}

/// Parts of the kernel that few programs use and that have had their holes.
fn rare_families(place: &Place) -> Result<(), Failure> {
    let script = "
opened = []
for family in [4, 5, 9, 11, 15, 21, 29, 30, 31, 38, 39, 41, 43, 44]:
    for kind in [1, 2, 3, 5]:
        try:
            socket.socket(family, kind, 0)
            opened.append(family)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT: opened.append(-family)
through(opened) if opened else refused('EAFNOSUPPORT')
";
    let run = place.python(script).run()?;
    run.must_be_refused()?;
    let open = place.python(script).without(&[Seccomp]).run()?;
    match open.got_through()? {
        true => Ok(()),
        false => Err(Failure::Skipped("this kernel has none of these families".to_owned())),
    }
}

fn loopback(place: &Place) -> Result<(), Failure> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    let script = format!("socket.create_connection(('127.0.0.1', {port}), 5); through()");
    let run = place.python(&script).run()?;
    run.must_be_refused()?;
    run.must_enforce(&[NetworkNamespace])?;
    place.python(&script).without(&[NetworkNamespace]).run()?.must_get_through()?;
    // What a user asks for is not called enforced.
    let mut trial = place.python(&script);
    trial.spec.network = Network::Host;
    let run = trial.run()?;
    run.must_get_through()?;
    match run.is_enforced(NetworkNamespace) {
        true => Err(Failure::Failed("the report claims a network of its own".to_owned())),
        false => Ok(()),
    }
}

fn abstract_socket(place: &Place) -> Result<(), Failure> {
    let address = SocketAddr::from_abstract_name(place.marker.as_bytes())?;
    let _server = UnixListener::bind_addr(&address)?;
    let script = "
client = socket.socket(socket.AF_UNIX)
client.connect(bytes(1) + MARKER.encode())
through()
";
    place.python(script).run()?.must_be_refused()?;
    // With the host's network, Landlock holds it alone.
    if landlock_version() >= 6 && !is_another() {
        let mut trial = place.python(script);
        trial.spec.network = Network::Host;
        trial.run()?.must_be_refused()?;
    }
    place.python(script).without(&[NetworkNamespace, Landlock]).run()?.must_get_through()
}

const CONNECT: &str = "
client = socket.socket(socket.AF_UNIX)
client.connect(PATH)
through(PATH)
";

fn connect_to(path: &Path) -> String {
    format!("PATH = {:?}\n{CONNECT}", path.display().to_string())
}

/// Where ssh-agent and the like listen.
fn socket_file_in_tmp(place: &Place) -> Result<(), Failure> {
    let path = Path::new("/tmp").join(&place.marker);
    let _server = UnixListener::bind(&path)?;
    let script = connect_to(&path);
    let tried = (|| {
        place.python(&script).run()?.must_be_refused()?;
        let run =
            place.python(&script).without(&[PrivateTemporary, HiddenSecrets, Landlock]).run()?;
        run.must_get_through()
    })();
    std::fs::remove_file(path)?;
    tried
}

/// A read-only mount does not keep from connecting, and Landlock does from its version 9 on, so
/// socket files are hidden.
fn socket_file_outside(place: &Place) -> Result<(), Failure> {
    let path = place.outside.join("s");
    let _server = UnixListener::bind(&path)?;
    let script = connect_to(&path);
    place.python(&script).run()?.must_be_refused()?;
    place.python(&script).without(&[Landlock]).run()?.must_be_refused()?;
    if landlock_version() >= 9 {
        place.python(&script).without(&[HiddenSecrets]).run()?.must_be_refused()?;
    }
    place.python(&script).without(&[HiddenSecrets, Landlock]).run()?.must_get_through()
}

/// A development server may listen on a socket in the project itself.
fn socket_file_in_base(place: &Place) -> Result<(), Failure> {
    let path = place.workspace.join("s");
    let _server = UnixListener::bind(&path)?;
    let script = connect_to(&path);
    place.python(&script).run()?.must_be_refused()?;
    let mut bound = place.python(&script);
    bound.spec.head = None;
    bound.run()?.must_get_through()
}

/// A process of the host that keeps a shared segment.
struct Segment(Child);

impl Drop for Segment {
    fn drop(&mut self) {
        // At the end of its input it removes the segment.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn system_v_memory(place: &Place) -> Result<(), Failure> {
    let key = (std::process::id() & 0x7fff) | 0x6374_0000;
    let keeper = format!(
        "
import ctypes, sys
libc = ctypes.CDLL(None)
segment = libc.shmget({key}, 4096, 0o1666)
queue = libc.msgget({key}, 0o1666)
open(sys.argv[1], 'w').close()
sys.stdin.read()
libc.shmctl(segment, 0, None)
libc.msgctl(queue, 0, None)
"
    );
    let ready = place.directory.join("ready");
    let keeper = Segment(
        Command::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", &keeper])
            .arg(&ready)
            .stdin(Stdio::piped())
            .spawn()?,
    );
    if !wait_until(PATIENCE, || ready.exists()) {
        return Err(Failure::Failed("the host's segment was not made".to_owned()));
    }
    let script = format!(
        "
if libc.shmget({key}, 4096, 0) != -1 or libc.msgget({key}, 0) != -1: through()
refused(errno.errorcode[ctypes.get_errno()])
"
    );
    place.python(&script).run()?.must_be_refused()?;
    place.python(&script).without(&[IpcNamespace]).run()?.must_get_through()?;
    drop(keeper);
    Ok(())
}
