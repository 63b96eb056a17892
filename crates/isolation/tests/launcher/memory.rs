//! Memory that is kept while a command runs, and going on from it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::mpsc::channel;

use ctrlz_core::isolation::{IsolationDriver, IsolationError, Launch};
use ctrlz_core::workspace::WorkspaceMount;

use crate::Test;
use crate::place::{Ends, Place, driver, in_full, pipes};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("memory_and_files_are_of_one_moment", one_moment),
        ("memory_of_a_native_command_is_not_kept", native),
    ]
}

/// Counts in memory and in a file that it keeps open, and tells both.
const COUNTS: &str = "
import os, time
f = os.open('count', os.O_CREAT | os.O_RDWR)
n = 0
while True:
    n += 1
    os.pwrite(f, b'%09d' % n, 0)
    print(n, int(os.pread(f, 9, 0)), flush=True)
    time.sleep(0.01)
";

/// Runs `launch`; gives `action` its process 1 and the lines that it writes, and ends it.
fn with_lines<T: Send>(
    mut launch: Launch,
    action: impl FnOnce(u32, &mut dyn FnMut() -> String) -> T + Send,
) -> Result<T, IsolationError> {
    let driver = driver();
    let (streams, ends) = pipes();
    launch.streams = streams;
    let Ends { input: _input, output, error: _error, mut signals } = ends;
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let acting = scope.spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = || {
                let mut text = String::new();
                output.read_line(&mut text).expect("read a line");
                text
            };
            let came = told.recv().ok().map(|process| action(process, &mut line));
            let _ = signals.write_all(&[9]);
            came
        });
        let prepared = driver
            .prepare(launch, &mut |process, _| tell.send(process).map_err(std::io::Error::other));
        drop(tell);
        let ended = prepared.and_then(|mut prepared| {
            prepared.start()?;
            prepared.wait(None)
        });
        let came = acting.join().expect("the action");
        ended.map(|_| came.expect("it began"))
    })
}

fn numbers(line: &str) -> (u64, u64) {
    let (one, other) = line.trim().split_once(' ').expect("two numbers");
    (one.parse().expect("a number"), other.parse().expect("a number"))
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("cp").success());
}

fn one_moment(place: &Place) {
    let Ok(runsc) = std::env::var("CTRLZ_TEST_RUNSC") else {
        println!("SKIPPED(gVisor is not there)");
        return;
    };
    let mut launch = place.launch(&["/usr/bin/python3", "-c", COUNTS]);
    launch.driver = format!("oci:{runsc}").parse().expect("a driver");
    let WorkspaceMount::Overlay { upper_dir: upper, .. } = launch.workspace.clone() else {
        panic!("an overlay")
    };
    let memory = place.directory.join("memory");
    let kept = place.directory.join("kept");
    let unused = place.directory.join("unused");
    fs::create_dir(&unused).expect("a folder");
    fs::create_dir(&memory).expect("a folder");
    let asked = launch.clone();
    let (at, later) = with_lines(asked, |process, line| {
        while numbers(&line()).0 < 20 {}
        let mut calls = 0;
        let mut meanwhile = || {
            calls += 1;
            copy(&upper, &kept);
            let first = fs::read_to_string(upper.join("count")).expect("a count");
            std::thread::sleep(std::time::Duration::from_millis(100));
            let second = fs::read_to_string(upper.join("count")).expect("a count");
            assert_eq!(first, second, "it is not halted");
        };
        let done = driver().keep_memory(process, &memory, &mut meanwhile);
        done.unwrap_or_else(|error| panic!("{}", in_full(&error)));
        assert_eq!(calls, 1);
        let at: u64 = fs::read_to_string(kept.join("count")).expect("kept").parse().expect("one");
        while numbers(&line()).0 < at + 20 {}
        let later = numbers(&line()).0;
        // Whoever asks and dies closes the connection, as this one does.
        let asking = std::panic::AssertUnwindSafe(|| {
            let mut die = || panic!("as asked");
            let _ = driver().keep_memory(process, &unused, &mut die);
        });
        assert!(std::panic::catch_unwind(asking).is_err());
        while numbers(&line()).0 < later + 20 {}
        (at, later)
    })
    .unwrap_or_else(|error| panic!("{}", in_full(&error)));
    assert!(at >= 20 && later > at + 20, "{at} {later}");
    assert_eq!(driver().recall(&memory).expect("it fits").argv[0], "/usr/bin/python3");
    // The files of that moment, and the processes, as often as one likes.
    for _ in 0..2 {
        let mut again = place.launch(&["/usr/bin/python3", "-c", COUNTS]);
        let WorkspaceMount::Overlay { upper_dir, .. } = &again.workspace else {
            panic!("an overlay")
        };
        fs::remove_dir(upper_dir).expect("empty");
        copy(&kept, upper_dir);
        again.driver = launch.driver.clone();
        again.memory = Some(memory.clone());
        let lines = with_lines(again, |_, line| [numbers(&line()), numbers(&line())]);
        let [first, second] = lines.unwrap_or_else(|error| panic!("{}", in_full(&error)));
        assert_eq!(first.0, first.1, "memory and file");
        assert!([at, at + 1].contains(&first.0), "kept at {at}, went on at {first:?}");
        assert_eq!(second, (first.0 + 1, first.0 + 1));
    }
    // Another command is not what ran.
    let mut other = place.launch(&["/usr/bin/python3", "-c", "pass"]);
    other.driver = launch.driver.clone();
    other.memory = Some(memory);
    let error = with_lines(other, |_, _| ()).expect_err("another command");
    assert!(in_full(&error).contains("/process/args is not the same"), "{}", in_full(&error));
}

fn native(place: &Place) {
    let memory = place.directory.join("memory");
    fs::create_dir(&memory).expect("a folder");
    let launch = place.shell("echo 1; sleep 1000");
    let error = with_lines(launch, |process, line| {
        line();
        driver().keep_memory(process, &memory, &mut || panic!("it is not kept")).expect_err("none")
    });
    let error = error.unwrap_or_else(|error| panic!("{}", in_full(&error)));
    assert!(matches!(error, IsolationError::Unenforceable { .. }), "{error:?}");
}
