//! What surrounds the code of ctrlz: checks, tests, benchmarks, packaging.
#![forbid(unsafe_code)]

mod account;
mod architecture;
mod bench;
mod corpus;
mod demo;
mod dist;
mod failure;
mod filesystems;
mod fuzz;
mod layout;
mod prerequisites;
mod program;
mod project;
mod service;
mod soak;
mod test;
mod tree;

use std::process::ExitCode;

use failure::{Answer, Failure};

const USAGE: &str = "\
cargo xtask TASK

  demo                 break a copy of this project with a script, and take it back
  test [FILTER…]       install what is needed, then run all checks and tests (FILTER: a part of a
                       test's name; then the static checks are left out)
  ci                   the same as test
  check                the static checks alone: formatting, architecture, lints, docs, licences
  bench [--write] [--quick] [NAME…]
                       compare with other tools and print tables; --write puts them into
                       docs/benchmarks.md (NAME: start, trees, engine, memory, work, wasm,
                       drivers, workspaces, archive, service)
  corpus [--misses N | --all] [--strict] [--checker PROGRAM] DIR…
                       measure `ctrlz check` on files of labelled commands and print a table;
                       --strict: fail when a goal is missed
  soak [--minutes N] [--seed N]
                       random operations and random kills against the real binary
  soak --operations N [--sandboxes N] [--minutes N] [--seed N] [--profile NAME | --binary PATH]
                       operations of all kinds over many sandboxes beside a daemon that is killed,
                       within bounds of memory, descriptors and disk; prints the numbers
  soak service [--minutes N] [--sandboxes N] [--kills N] [--seed N] [--profile NAME | --binary PATH]
                       many sandboxes of one `ctrlz serve`, a tenth of them busy: no error, nothing
                       grows, p99 within 20 times p50, nothing is left; and kills under load, after
                       which every client's view agrees with the journal; prints the numbers
  fuzz [--minutes N] [TARGET…]
                       run the fuzz targets below fuzz/ on bytes that nobody thought of; needs a
                       nightly compiler and cargo-fuzz
  dist                 build the release, shell completions and man pages into target/dist
  layout               write crates/cli/layout.txt: which functions a start runs, so that they are put
                       side by side; takes minutes
  architecture         check the rules of docs/architecture.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match carry_out(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: &[String]) -> Answer {
    let Some((task, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    match task.as_str() {
        "test" | "ci" => test::test(rest),
        "check" => test::check(),
        "bench" => bench::bench(rest),
        // What `bench` starts, as the user whose commands are timed.
        "measure" => bench::serve(),
        "soak" => soak::soak(rest),
        "corpus" => corpus::corpus(rest),
        "demo" => demo::demo(),
        "dist" => dist::dist(),
        "fuzz" => fuzz::fuzz(rest),
        "layout" => layout::layout(),
        "architecture" => architecture::check(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(Failure::told(format!("there is no task `{other}`\n\n{USAGE}"))),
    }
}
