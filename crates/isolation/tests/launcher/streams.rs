//! Standard streams, terminals and signals.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Barrier};

use ctrlz_core::isolation::{GivenStreams, IsolationDriver, Streams};
use ctrlz_core::operation::{CommandReport, Exit};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::Test;
use crate::place::{Ends, Place, driver, pipes, run, run_with, wait_until};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("the_three_streams_are_apart", apart),
        ("a_command_has_no_terminal_but_the_given_one", no_terminal),
        ("a_terminal_is_one_inside", terminal),
        ("what_is_typed_can_end_the_command", interrupted),
        ("a_shell_has_job_control", jobs),
        ("a_terminal_that_is_none_is_told", no_such_terminal),
        ("signals_reach_the_command", signals),
        ("bytes_that_are_no_signals_are_passed_over", no_signals),
        ("a_stopped_command_goes_on", stopped),
        ("launches_do_not_wait_for_each_other", at_once),
    ]
}

fn apart(place: &Place) {
    let run = run_with(&driver(), place.shell("cat; echo error >&2"), |(mut input, _signals)| {
        input.write_all(b"typed").expect("write");
    });
    assert_eq!(run.report().exit, Exit::Code(0));
    assert_eq!(
        (run.output.as_slice(), run.error.as_slice()),
        (b"typed".as_slice(), b"error\n".as_slice())
    );
}

fn no_terminal(place: &Place) {
    let script = "test -t 0 || echo none; (: </dev/tty) 2>/dev/null || echo nor another";
    assert_eq!(run(&driver(), place.shell(script)).text(), "none\nnor another\n");
}

/// A terminal, and streams for a command that has it.
fn pty() -> (File, Streams) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let outer = openpt(flags).expect("a terminal");
    unlockpt(&outer).expect("unlock");
    let inner: Arc<OwnedFd> = Arc::new(ioctl_tiocgptpeer(&outer, flags).expect("its other side"));
    let given = GivenStreams {
        input: Arc::clone(&inner),
        output: Arc::clone(&inner),
        error: inner,
        terminal: true,
        signals: None,
    };
    (File::from(outer), Streams::Given(given))
}

/// Runs a command on a terminal; `typed` is typed once it has said `ready`. Answers what was shown.
fn on_terminal(place: &Place, script: &str, typed: &[u8]) -> (CommandReport, String) {
    let (mut outer, streams) = pty();
    let mut launch = place.shell(script);
    launch.streams = streams;
    let mut writing = outer.try_clone().expect("copy");
    let driver = driver();
    std::thread::scope(|scope| {
        let shown = scope.spawn(move || {
            let (mut shown, mut part, mut is_typed) = (Vec::new(), [0; 512], false);
            // It ends with an error when nobody has the terminal any more.
            while let Ok(count @ 1..) = outer.read(&mut part) {
                shown.extend_from_slice(&part[..count]);
                if !is_typed && shown.windows(5).any(|word| word == b"ready") {
                    is_typed = true;
                    writing.write_all(typed).expect("type");
                }
            }
            String::from_utf8_lossy(&shown).into_owned()
        });
        let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
        prepared.start().expect("start");
        let report = prepared.wait(None).expect("wait");
        drop(prepared);
        (report, shown.join().expect("read"))
    })
}

fn terminal(place: &Place) {
    let script = "test -t 0 && test -t 1 && test -t 2 && tty && echo to it >/dev/tty; echo ready; \
                  read line; echo got $line";
    let (report, shown) = on_terminal(place, script, b"this\n");
    assert_eq!(report.exit, Exit::Code(0), "{shown}");
    assert!(shown.starts_with("/dev/"), "{shown}");
    assert!(shown.contains("to it") && shown.contains("got this"), "{shown}");
}

fn interrupted(place: &Place) {
    let (report, shown) = on_terminal(place, "echo ready; exec sleep 1000", b"\x03");
    assert_eq!(report.exit, Exit::Signal(2), "{shown}");
    let script = "trap 'echo caught; exit 9' QUIT; echo ready; while :; do sleep 0.02; done";
    let (report, shown) = on_terminal(place, script, b"\x1c");
    assert_eq!(report.exit, Exit::Code(9), "{shown}");
    assert!(shown.contains("caught"), "{shown}");
}

fn jobs(place: &Place) {
    let typed = b"case $- in *m*) echo controlled; esac; sleep 0 & wait; exit 4\n";
    let (report, shown) = on_terminal(place, "echo ready; exec sh -i", typed);
    assert_eq!(report.exit, Exit::Code(4), "{shown}");
    // What is typed is shown, too.
    let mut lines = shown.lines().filter(|line| !line.contains("echo"));
    assert!(lines.any(|line| line.trim_end().ends_with("controlled")), "{shown}");
}

fn no_such_terminal(place: &Place) {
    let (streams, _ends) = pipes();
    let mut launch = place.launch(&["/bin/true"]);
    launch.streams = match streams {
        Streams::Given(given) => Streams::Given(GivenStreams { terminal: true, ..given }),
        Streams::Inherited => Streams::Inherited,
    };
    let error = driver().prepare(launch, &mut |_, _| Ok(())).map(drop).expect_err("refused");
    let text = crate::place::in_full(&error);
    assert!(text.contains("take the standard streams"), "{text}");
}

/// Starts a command that says `ready`, and sends it bytes as signals.
fn signalled(place: &Place, script: &str, numbers: &[u8]) -> (CommandReport, String) {
    let (streams, ends) = pipes();
    let mut launch = place.shell(script);
    launch.streams = streams;
    let Ends { mut output, mut signals, .. } = ends;
    let driver = driver();
    std::thread::scope(|scope| {
        let said = scope.spawn(move || {
            let mut ready = [0; 6];
            output.read_exact(&mut ready).expect("read");
            assert_eq!(&ready, b"ready\n");
            signals.write_all(numbers).expect("signal");
            let mut rest = String::new();
            output.read_to_string(&mut rest).expect("read");
            rest
        });
        let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
        prepared.start().expect("start");
        let report = prepared.wait(None).expect("wait");
        (report, said.join().expect("read"))
    })
}

fn signals(place: &Place) {
    for (number, signal) in [(15, 15), (9, 9), (1, 1)] {
        let (report, _) = signalled(place, "echo ready; exec sleep 1000", &[number]);
        assert_eq!(report.exit, Exit::Signal(signal));
    }
    let script = "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.02; done";
    let (report, said) = signalled(place, script, &[10]);
    assert_eq!((report.exit, said.as_str()), (Exit::Code(5), "caught\n"));
}

fn no_signals(place: &Place) {
    let script = "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.02; done";
    let (report, said) = signalled(place, script, &[0, 32, 64, 200, 255, 10]);
    assert_eq!((report.exit, said.as_str()), (Exit::Code(5), "caught\n"));
}

fn stopped(place: &Place) {
    let (streams, ends) = pipes();
    let mut launch = place.shell("echo ready; read line; echo went on");
    launch.streams = streams;
    let Ends { mut input, mut output, mut signals, .. } = ends;
    let (driver, mut begun) = (driver(), 0);
    let mut prepared = driver
        .prepare(launch, &mut |process_1, _| {
            begun = process_1;
            Ok(())
        })
        .expect("prepare");
    prepared.start().expect("start");
    std::thread::scope(|scope| {
        let said = scope.spawn(|| {
            output.read_exact(&mut [0; 6]).expect("ready");
            signals.write_all(&[19]).expect("stop");
            wait_until("it is stopped", || !driver.stopped(begun).is_empty());
            input.write_all(b"\n").expect("type");
            signals.write_all(&[18]).expect("continue");
            let mut rest = String::new();
            output.read_to_string(&mut rest).expect("read");
            rest
        });
        let report = prepared.wait(None).expect("wait");
        let said = said.join().expect("read");
        assert_eq!((report.exit, said.as_str()), (Exit::Code(0), "went on\n"));
    });
}

/// All of them run at the same time: none goes on before all of them have begun.
fn at_once(place: &Place) {
    const COUNT: usize = 8;
    let (driver, barrier) = (driver(), Barrier::new(COUNT));
    std::thread::scope(|scope| {
        for _ in 0..COUNT {
            scope.spawn(|| {
                let (streams, ends) = pipes();
                let mut launch = place.shell("echo ready; read line; exit $line");
                launch.streams = streams;
                let Ends { mut input, mut output, .. } = ends;
                let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
                prepared.start().expect("start");
                output.read_exact(&mut [0; 6]).expect("ready");
                barrier.wait();
                input.write_all(b"6\n").expect("write");
                assert_eq!(prepared.wait(None).expect("wait").exit, Exit::Code(6));
            });
        }
    });
}
