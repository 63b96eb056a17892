//! What a command reads and writes, and its signals.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::process::Stdio;

use ctrlz_core::operation::Exit;
use rustix::process::{Pid, Signal, kill_process};

use crate::Test;
use crate::place::{Place, await_that, begin, finish, launcher, process_1, run, told};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("input_output_and_error_are_apart", apart),
        ("files_are_passed_on", files),
        ("files_of_the_host_are_not_opened_anew", anew),
        ("large_amounts", large),
        ("a_terminal", terminal),
        ("signals_are_passed_on", signals),
        ("a_command_is_frozen_and_thawed", frozen),
    ]
}

fn apart(place: &Place<'_>) {
    let spec = place.shell("read line; echo out $line; echo error >&2; cat; echo end");
    let run = run(&spec, b"one\ntwo\n");
    assert_eq!((run.output.as_str(), run.error.as_str()), ("out one\ntwo\nend\n", "error\n"));
}

fn files(place: &Place<'_>) {
    let spec = place.shell("read line; echo got $line; read line; echo also $line >&2");
    let paths = ["in", "out", "err"].map(|name| place.directory.join(name));
    fs::write(&paths[0], "one\ntwo\nthree\n").expect("write");
    let mut input = File::open(&paths[0]).expect("open");
    let mut command = launcher(&spec);
    command.stdin(input.try_clone().expect("copy"));
    command.stdout(File::create(&paths[1]).expect("make"));
    command.stderr(File::create(&paths[2]).expect("make"));
    assert!(command.status().expect("run").success());
    assert_eq!(fs::read_to_string(&paths[1]).expect("read"), "got one\n");
    assert_eq!(fs::read_to_string(&paths[2]).expect("read"), "also two\n");
    // Whoever shares the file goes on where the command stopped.
    let position = input.stream_position().expect("a position");
    let mut rest = String::new();
    input.read_to_string(&mut rest).expect("read");
    assert_eq!((position, rest.as_str()), (8, "three\n"));
}

fn anew(place: &Place<'_>) {
    let spec = place.shell(
        "echo no > /proc/self/fd/0; for fd in 0 1 2; do readlink /proc/self/fd/$fd; done | wc -l",
    );
    let paths = ["in", "out"].map(|name| place.directory.join(name));
    fs::write(&paths[0], "mine\n").expect("write");
    let mut command = launcher(&spec);
    command.stdin(File::options().read(true).write(true).open(&paths[0]).expect("open"));
    command.stdout(File::create(&paths[1]).expect("make")).stderr(Stdio::null());
    assert!(command.status().expect("run").success());
    assert_eq!(fs::read_to_string(&paths[0]).expect("read"), "mine\n");
    assert_eq!(fs::read_to_string(&paths[1]).expect("read").trim(), "3");
}

fn large(place: &Place<'_>) {
    let spec = place.shell("cat");
    let input = vec![b'x'; 5 << 20];
    let mut child = begin(&spec);
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let run = finish(&spec, child);
    writer.join().expect("joined").expect("all was taken");
    assert!(run.output.as_bytes() == input);
}

fn terminal(place: &Place<'_>) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("a terminal");
    unlockpt(&master).expect("a terminal");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let name = name.to_str().expect("a plain name");
    let open = || File::options().read(true).write(true).open(name).expect("open it");
    let spec = place.shell("[ -t 0 ] && [ -t 1 ] && stty size && read line && echo got $line");
    let mut size = rustix::termios::tcgetwinsize(&master).expect("a size");
    (size.ws_row, size.ws_col) = (33, 99);
    rustix::termios::tcsetwinsize(&master, size).expect("set the size");
    let mut command = launcher(&spec);
    command.stdin(open()).stdout(open()).stderr(open());
    let mut child = command.spawn().expect("start");
    drop(command);
    let mut master = File::from(master);
    process_1(&spec);
    master.write_all(b"typed\n").expect("type");
    assert!(child.wait().expect("wait").success());
    let mut bytes = vec![0; 4096];
    let count = master.read(&mut bytes).expect("read");
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    assert!(text.contains("33 99") && text.contains("got typed"), "{text}");
}

fn signals(place: &Place<'_>) {
    let spec = place
        .shell("trap 'echo caught; exit 3' TERM; echo ready > ready; while :; do sleep 0.05; done");
    let child = begin(&spec);
    let ready = spec.head.join("upper/ready");
    await_that("the command began", || ready.exists());
    kill_process(Pid::from_child(&child), Signal::TERM).expect("kill");
    let run = finish(&spec, child);
    assert_eq!((run.report().exit, run.output.as_str()), (Exit::Code(3), "caught\n"));
}

fn frozen(place: &Place<'_>) {
    use ctrlz_core::isolation::IsolationDriver;
    use ctrlz_isolation::Isolator;
    let spec = place.shell("while :; do echo x >> count; sleep 0.01; done");
    let child = begin(&spec);
    let process = process_1(&spec);
    let count = spec.head.join("upper/count");
    await_that("the command began", || count.exists());
    let driver = Isolator::default();
    assert!(driver.measure(process).expect("a reading").processes >= 1);
    driver.freeze(process).expect("freeze");
    assert!(driver.is_frozen(process));
    let length = || fs::metadata(&count).expect("there").len();
    let before = length();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(length(), before, "it runs");
    driver.thaw(process, &[]).expect("thaw");
    await_that("it goes on", || length() > before);
    let descriptor = rustix::process::pidfd_open(
        Pid::from_raw(process.cast_signed()).expect("an id"),
        rustix::process::PidfdFlags::empty(),
    );
    driver.end(process, std::os::fd::AsFd::as_fd(&descriptor.expect("a process"))).expect("end");
    finish(&spec, child);
    assert!(
        matches!(told(&spec), crate::direct::Told::Ended(report) if report.exit == Exit::Signal(9))
    );
    place.server.await_no_container();
}
