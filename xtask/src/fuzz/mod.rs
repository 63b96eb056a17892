//! `cargo xtask fuzz`: the fuzz targets that there are.

mod seeds;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Answer, Failure};
use crate::{program, project};

/// How long all targets run together, in minutes, unless told.
const MINUTES: f64 = 3.0;
/// The longest input, in bytes.
const LONGEST: &str = "-max_len=8192";
/// How long one input may take, in seconds: instrumented code is slow, and so are shared machines.
const SLOWEST: &str = "-timeout=10";
/// How much memory the process, and one allocation, may take, in MiB.
const MEMORY: [&str; 2] = ["-rss_limit_mb=2048", "-malloc_limit_mb=256"];

/// Runs the targets below `fuzz/fuzz_targets` one after the other, those named or all.
pub(crate) fn fuzz(arguments: &[String]) -> Answer {
    let root = project::root();
    let there = targets(&root.join("fuzz/fuzz_targets"))?;
    let mut minutes = MINUTES;
    let mut chosen = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--minutes" {
            let value = words.next().map(String::as_str).unwrap_or_default();
            let bad = || Failure::told(format!("--minutes {value}: not a number"));
            minutes = value.parse().map_err(|_| bad())?;
        } else if there.contains(word) {
            chosen.push(word.clone());
        } else {
            let all = there.join(", ");
            return Err(Failure::told(format!("fuzz does not know {word}; its targets: {all}")));
        }
    }
    prerequisites()?;
    seeds::write(&root)?;
    let targets = if chosen.is_empty() { there } else { chosen };
    #[expect(clippy::cast_precision_loss, reason = "a handful of targets")]
    let seconds = (minutes * 60.0 / targets.len() as f64).max(1.0).round();
    for target in &targets {
        let mut fuzz = nightly();
        fuzz.current_dir(&root).args(["cargo", "fuzz", "run", target, "--"]);
        fuzz.arg(format!("-max_total_time={seconds}")).args([LONGEST, SLOWEST]).args(MEMORY);
        fuzz.arg("-print_final_stats=1");
        let words = root.join("fuzz/dictionaries").join(format!("{target}.dict"));
        if words.is_file() {
            fuzz.arg(format!("-dict={}", words.display()));
        }
        program::run(&mut fuzz)?;
    }
    Ok(())
}

/// The names of the targets, in order.
fn targets(folder: &Path) -> Answer<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let path = entry.map_err(Failure::io("list", folder))?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Says what is missing and how to get it.
fn prerequisites() -> Answer {
    if program::find("rustup").is_none() {
        return Err(Failure::told("rustup is missing: see https://rustup.rs"));
    }
    if program::attempt(nightly().args(["rustc", "--version"]))?.status.success() {
        if program::find("cargo-fuzz").is_some() {
            return Ok(());
        }
        return Err(Failure::told("cargo-fuzz is missing: cargo install --locked cargo-fuzz"));
    }
    Err(Failure::told(
        "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile minimal",
    ))
}

/// What runs a program of the nightly toolchain.
fn nightly() -> Command {
    let mut command = program::named("rustup");
    // The cargo that runs this task is the stable one, and would start the stable compiler.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command.args(["run", "nightly"]);
    command
}
