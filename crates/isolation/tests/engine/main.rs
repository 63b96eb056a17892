//! The drivers of container engines, against podman and docker themselves. The engines are started once,
//! each on a socket and with data of its own, and ended by their ids. A launch needs a process
//! with one thread, so this program is no libtest harness: it starts itself again for each. It takes a filter,
//! `--exact`, `--skip TEXT` and `--list`, as libtest does.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end by panicking"
)]

#[path = "../escape/arena.rs"]
mod arena;
mod attacks;
mod crashes;
mod direct;
mod image;
mod images;
mod place;
mod runs;
mod servers;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use ctrlz_isolation::engine;

use crate::place::Place;
use crate::servers::Server;

/// A test, and its name.
type Test = (&'static str, fn(&Place<'_>));

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == engine::ARGUMENT) {
        return ExitCode::from(u8::from(engine::run().is_err()));
    }
    match std::env::var_os(direct::SPEC) {
        Some(spec) => direct::main(&spec),
        None => run(),
    }
}

fn wanted() -> (Vec<Test>, usize) {
    let (mut filters, mut skips, mut exact) = (Vec::new(), Vec::new(), false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--exact" => exact = true,
            "--skip" => skips.extend(words.next()),
            "--format" | "--color" | "--logfile" | "-Z" | "--test-threads" => drop(words.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(word),
        }
    }
    // The last ones kill the engine.
    let all: Vec<Test> =
        [runs::tests(), streams::tests(), attacks::tests(), images::tests(), crashes::tests()]
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
    (tests, left_out)
}

fn run() -> ExitCode {
    let (tests, left_out) = wanted();
    if std::env::args().any(|word| word == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let arena = match arena::Arena::make() {
        Ok(arena) => arena,
        Err(reason) => {
            println!("test engine ... SKIPPED({reason})");
            return ExitCode::SUCCESS;
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for kind in engine::Engine::ALL {
        let server = match Server::start(kind, &arena.directory.join(kind.word())) {
            Ok(server) => server,
            Err(reason) => {
                println!("test engine:{kind} ... SKIPPED({reason})");
                continue;
            }
        };
        println!("\nrunning {} tests with {kind}", tests.len());
        for (name, test) in &tests {
            let place = Place::make(&server, name);
            let outcome = catch_unwind(AssertUnwindSafe(|| test(&place)));
            match outcome {
                Ok(()) => passed += 1,
                Err(_) => failed += 1,
            }
            println!("test {kind}_{name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} \
         filtered out"
    );
    ExitCode::from(u8::from(failed > 0))
}
