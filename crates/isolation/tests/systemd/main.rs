//! The driver of transient units, against a systemd of its own: process 1 of a pid namespace, with a root
//! in memory. A launch needs a process with one thread, so this program is no libtest harness: it
//! starts itself again for each, inside of those namespaces.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end by panicking"
)]

#[path = "../escape/arena.rs"]
mod arena;
mod direct;
mod server;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use ctrlz_core::driver::Driver;
use ctrlz_core::operation::{Exit, Stopped};
use ctrlz_isolation::systemd;

use crate::direct::Told;
use crate::server::{Server, await_that};

/// A test, and its name.
type Test = (&'static str, fn(&Server));

const TESTS: [Test; 5] = [
    ("a_command_runs_in_a_unit", runs),
    ("the_host_is_out_of_sight", hidden),
    ("limits_are_held_or_refused", limits),
    ("signals_are_passed_on", signals),
    ("a_unit_dies_with_ctrlz", killed),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == systemd::ARGUMENT) {
        return ExitCode::from(u8::from(systemd::run().is_err()));
    }
    if std::env::var_os(direct::HEAD).is_some() {
        return direct::main();
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let tests: Vec<Test> = TESTS.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    if std::env::args().any(|word| word == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let server = match Server::start() {
        Ok(server) => server,
        Err(reason) => {
            println!("test systemd ... SKIPPED({reason})");
            return ExitCode::SUCCESS;
        }
    };
    println!("\nrunning {} tests", tests.len());
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in &tests {
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&server)));
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => failed += 1,
        }
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let left_out = TESTS.len() - tests.len();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} \
         filtered out"
    );
    ExitCode::from(u8::from(failed > 0))
}

fn runs(server: &Server) {
    let run = server.run("cat file; echo new > made; echo err >&2; mv below above; exit 7", &[]);
    let Told::Ended(report) = &run.told else { panic!("{run:?}") };
    assert_eq!((report.exit, run.output.as_str()), (Exit::Code(7), "base\n"), "{run:?}");
    assert_eq!(report.driver, Driver::Systemd);
    let probe = fs::read_to_string(run.head.join("probe")).expect("told");
    assert!(probe.contains("\"manager\":\"system\""), "{probe}");
    assert_eq!(probe.contains("\"memory\""), server.has_controller("memory"), "{probe}");
    let words = ["NoNewPrivileges=yes", "PrivateDevices=yes", "ProtectSystem=strict"];
    for word in words.map(|word| format!("systemd:{word}")).into_iter().chain(
        ["systemd:ProtectHome=tmpfs", "pid-namespace", "seccomp", "no-capabilities"]
            .map(str::to_owned),
    ) {
        assert!(report.enforced.contains(&word), "{word}: {:?}", report.enforced);
    }
    assert_eq!(fs::read_to_string(run.head.join("upper/made")).expect("kept"), "new\n");
    assert!(run.head.join("upper/above/deep").exists(), "renamed");
    assert!(!server.base.join("made").exists(), "the base is untouched");
    await_that("the unit is forgotten", || server.units().is_empty());
}

fn hidden(server: &Server) {
    // `/root` and `/home` of the manager's root have files that a unit is not to see.
    let run = server.run("ls /root /home; ls /dev | grep kmsg; touch /usr/x /x; cat file", &[]);
    assert!(matches!(&run.told, Told::Ended(report) if report.exit == Exit::Code(0)), "{run:?}");
    assert_eq!(run.output, "/home:\n\n/root:\nbase\n", "{run:?}");
}

fn limits(server: &Server) {
    let run = server.run("sleep 1000", &["timeout"]);
    let Told::Ended(report) = &run.told else { panic!("{run:?}") };
    assert!(matches!(report.stopped, Some(Stopped::Limit(_))), "{run:?}");
    for (limit, controller) in [("memory", "memory"), ("cpus", "cpu"), ("pids", "pids")] {
        let run = server.run("exit 3", &[limit]);
        match &run.told {
            // This machine's control groups of version 2 have it.
            Told::Ended(report) => {
                assert!(server.has_controller(controller), "held by nothing: {run:?}");
                assert_eq!(report.exit, Exit::Code(3));
                assert!(report.enforced.iter().any(|word| word.starts_with("systemd:")));
            }
            Told::Failed(text) => {
                assert!(!server.has_controller(controller), "{text}");
                let why = format!("the manager has no {controller} controller");
                assert!(text.starts_with(&format!("--{limit} ")) && text.contains(&why), "{text}");
            }
        }
    }
}

fn signals(server: &Server) {
    let script = "trap 'echo caught; exit 9' TERM; echo > began; while :; do sleep 0.1; done";
    let mut begun = server.begin(script, &[]);
    let began = begun.head.join("upper/began");
    await_that("the command began", || began.exists());
    begun.signal(rustix::process::Signal::TERM);
    let run = begun.finish();
    assert!(matches!(&run.told, Told::Ended(report) if report.exit == Exit::Code(9)), "{run:?}");
    assert_eq!(run.output, "caught\n");
}

fn killed(server: &Server) {
    let mut begun = server.begin("echo > began; sleep 1000", &[]);
    let began = begun.head.join("upper/began");
    await_that("the command began", || began.exists());
    assert_eq!(server.units().lines().count(), 1);
    begun.signal(rustix::process::Signal::KILL);
    begun.wait();
    await_that("the unit is gone", || server.units().is_empty());
    await_that("its processes are gone", || !server.processes().contains("sleep\u{0}1000"));
}
