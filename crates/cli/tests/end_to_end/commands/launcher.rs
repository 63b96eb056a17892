//! The launcher is for services, not for people.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::support::{Outcome, Scene};

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
