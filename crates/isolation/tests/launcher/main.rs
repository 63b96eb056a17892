//! Launching through a launcher, from a process with many threads: this one. The same program, started
//! again, is the launcher, a service that is killed, and a direct run to compare with; so it is no
//! libtest harness. It takes a filter, `--exact`, `--skip TEXT`, `--list` and `--test-threads N`, as
//! libtest does.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end by panicking"
)]

#[path = "../escape/arena.rs"]
mod arena;
mod ends;
mod limits;
mod memory;
mod place;
mod ready;
mod roles;
mod runs;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use ctrlz_isolation::launcher;

use crate::place::Place;

/// A test, and its name.
type Test = (&'static str, fn(&Place));

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        launcher::ARGUMENT => match launcher::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        roles::DIRECT => roles::direct(),
        roles::SERVICE => roles::service(),
        roles::SEVERAL => roles::several(),
        _ => run(),
    }
}

fn wanted() -> (Vec<Test>, usize, usize) {
    let (mut filters, mut skips, mut exact, mut threads) = (Vec::new(), Vec::new(), false, 4);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--exact" => exact = true,
            "--skip" => skips.extend(words.next()),
            "--test-threads" => threads = words.next().and_then(|n| n.parse().ok()).unwrap_or(1),
            "--format" | "--color" | "--logfile" | "-Z" => drop(words.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(word),
        }
    }
    let all: Vec<Test> = [
        runs::tests(),
        streams::tests(),
        limits::tests(),
        ready::tests(),
        ends::tests(),
        memory::tests(),
    ]
    .concat();
    let count = all.len();
    let matches =
        |name: &str, text: &String| if exact { name == text } else { name.contains(text) };
    let tests: Vec<Test> = all
        .into_iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|text| matches(name, text)))
        .filter(|(name, _)| !skips.iter().any(|text| matches(name, text)))
        .collect();
    let left_out = count - tests.len();
    (tests, left_out, threads)
}

fn run() -> ExitCode {
    let (tests, left_out, threads) = wanted();
    if std::env::args().any(|word| word == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let arena = match arena::Arena::make() {
        Ok(arena) => arena,
        Err(reason) => {
            println!("test launcher ... SKIPPED({reason})");
            return ExitCode::SUCCESS;
        }
    };
    println!("\nrunning {} tests", tests.len());
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, 8) {
            scope.spawn(|| {
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let place = Place::make(arena.directory.join(name));
                    match catch_unwind(AssertUnwindSafe(|| test(&place))) {
                        Ok(()) => println!("test {name} ... ok"),
                        Err(_) => {
                            println!("test {name} ... FAILED");
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let passed = tests.len() - failed;
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} \
         filtered out"
    );
    ExitCode::from(u8::from(failed > 0))
}
