use std::io::Write as _;

use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

use super::*;

const ENGINE: [u8; 32] = [1; 32];

fn keeper(place: &TempDir, engine: [u8; 32]) -> (Keeper, OwnedFd) {
    Keeper::of(&place.path().join("compiled"), None, engine).expect("a keeper")
}

fn memory(bytes: &[u8]) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("test", flags).expect("memory"));
    file.write_all(bytes).expect("write");
    file
}

fn settled(bytes: &[u8]) -> File {
    let file = memory(bytes);
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    fcntl_add_seals(&file, all).expect("seals");
    file
}

fn say(socket: &OwnedFd, told: Told, file: &File) {
    send_with(socket.as_fd(), &told.to_bytes(), &[file.as_fd()]).expect("sent");
}

const fn module(fingerprint: u8, for_calls: bool) -> Told {
    Told::Module { fingerprint: [fingerprint; 32], for_calls }
}

/// What a keeper answers to that module: the code, when there is some.
fn ask(keeper: &mut Keeper, socket: &OwnedFd, told: Told, content: &[u8]) -> Option<Vec<u8>> {
    say(socket, told, &settled(content));
    let goes_on = keeper.serve();
    let mut message = [0; Found::MOST];
    let (length, files) = receive_with(socket.as_fd(), &mut message).expect("an answer");
    let found = Found::from_bytes(&message[..length]).expect("well-formed");
    assert_eq!(found == Found::Nothing, goes_on, "{found:?}");
    let file = only(files)?;
    assert_eq!(found, Found::Code);
    let mut code = Vec::new();
    let length = length_of(&file).expect("nobody can change it");
    let read = copy_at(&file, length, |part| {
        code.extend(part);
        Ok(())
    });
    read.expect("read");
    Some(code)
}

#[test]
fn code_is_kept_for_the_module_it_was_made_of_and_no_other() {
    let place = tempfile::tempdir().expect("a folder");
    let (mut first, socket) = keeper(&place, ENGINE);
    assert_eq!(ask(&mut first, &socket, module(2, false), b"module"), None);
    say(&socket, Told::Code, &settled(b"code"));
    assert!(!first.serve(), "it takes more than one");
    let asked = |engine, told, content: &[u8]| {
        let (mut keeper, socket) = keeper(&place, engine);
        ask(&mut keeper, &socket, told, content)
    };
    assert_eq!(asked(ENGINE, module(2, false), b"module").as_deref(), Some(b"code".as_slice()));
    assert_eq!(asked(ENGINE, module(2, false), b"modulf"), None);
    assert_eq!(asked(ENGINE, module(2, true), b"module"), None);
    assert_eq!(asked(ENGINE, module(3, false), b"module"), None);
    assert_eq!(asked([9; 32], module(2, false), b"module"), None);
}

#[test]
fn who_says_something_else_is_not_heard() {
    let place = tempfile::tempdir().expect("a folder");
    let begin = || keeper(&place, ENGINE);
    // Code of nothing.
    let (mut keeper, socket) = begin();
    say(&socket, Told::Code, &settled(b"code"));
    assert!(!keeper.serve());
    // A module that can still be changed.
    let (mut keeper, socket) = begin();
    say(&socket, module(2, false), &memory(b"module"));
    assert!(!keeper.serve());
    // Code that can still be changed.
    let (mut keeper, socket) = begin();
    assert_eq!(ask(&mut keeper, &socket, module(2, false), b"module"), None);
    say(&socket, Told::Code, &memory(b"code"));
    assert!(!keeper.serve());
    // A second module: the first one decides what is kept.
    let (mut keeper, socket) = begin();
    assert_eq!(ask(&mut keeper, &socket, module(2, false), b"module"), None);
    say(&socket, module(2, false), &settled(b"another"));
    assert!(!keeper.serve());
    // No file, two, and no message.
    let file = settled(b"module");
    for files in [vec![], vec![file.as_fd(), file.as_fd()]] {
        let (mut keeper, socket) = begin();
        send_with(socket.as_fd(), &module(2, false).to_bytes(), &files).expect("sent");
        assert!(!keeper.serve());
    }
    let (mut keeper, socket) = begin();
    send_with(socket.as_fd(), b"x", &[file.as_fd()]).expect("sent");
    assert!(!keeper.serve());
    let (mut keeper, socket) = begin();
    assert!(keeper.serve(), "nothing was said yet");
    drop(socket);
    assert!(!keeper.serve());
    // Nothing of that was kept.
    let (mut keeper, socket) = begin();
    assert_eq!(ask(&mut keeper, &socket, module(2, false), b"module"), None);
}
