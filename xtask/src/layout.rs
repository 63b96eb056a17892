//! `cargo xtask layout`: which functions a start runs, for the linker to put them side by side.
//!
//! The release is run step by step, so this takes minutes. The names in `crates/cli/layout.txt` hold
//! until dependencies or the compiler change; what is no longer found is passed over, and costs some of
//! the gain only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::{Answer, Failure};
use crate::{prerequisites, program, project};

const HEADER: &str = "\
# The functions that `ctrlz run -- true` runs, in the order in which they are reached: the order in which
# the linker puts them. Written by `cargo xtask layout`.
";

/// Starts of the command before the one that is looked at, which finds everything made.
const BEFORE: usize = 3;

/// Writes the file.
pub(crate) fn layout() -> Answer {
    if program::find("cc").is_none() || program::find("nm").is_none() {
        prerequisites::install(&["gcc", "libc6-dev", "binutils"])?;
    }
    let mut build = project::cargo();
    build.env("CARGO_PROFILE_RELEASE_STRIP", "none");
    let binary = project::release_of(&mut build)?;
    let folder = tempfile::tempdir().map_err(Failure::io("make a folder in", Path::new("/tmp")))?;
    let step = folder.path().join("step");
    let source = project::root().join("xtask/layout/step.c");
    program::run(program::named("cc").args(["-O2", "-o"]).arg(&step).arg(source))?;

    let work = folder.path().join("project");
    fs::create_dir(&work).map_err(Failure::io("make", &work))?;
    let store = folder.path().join("store");
    let at_home = |command: &mut Command| -> Answer {
        program::run(
            command.args(["run", "--", "true"]).current_dir(&work).env("CTRLZ_HOME", &store),
        )
    };
    for _ in 0..BEFORE {
        at_home(&mut Command::new(&binary))?;
    }
    let places = folder.path().join("places");
    at_home(Command::new(&step).arg(&places).arg(&binary))?;

    let reached = fs::read_to_string(&places).map_err(Failure::io("read", &places))?;
    let symbols = program::answer(program::named("nm").arg("--defined-only").arg(&binary))?;
    let names = in_order(&reached, &symbols);
    if names.is_empty() {
        return Err(Failure::told("no step led through a function that has a name"));
    }
    let file = project::root().join("crates/cli/layout.txt");
    let text = format!("{HEADER}{}\n", names.join("\n"));
    fs::write(&file, text).map_err(Failure::io("write", &file))?;
    println!("{} functions: {}", names.len(), file.display());
    Ok(())
}

/// The names of the functions in which the places lie, each once.
fn in_order<'s>(places: &str, symbols: &'s str) -> Vec<&'s str> {
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let functions: BTreeMap<u64, &str> = symbols
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (address, kind, name) = (number(words.next()?)?, words.next()?, words.next()?);
            matches!(kind, "t" | "T" | "w" | "W").then_some((address, name))
        })
        .collect();
    // A place stands for 8 bytes, in which a function may begin.
    let of_place = |place| functions.range(..=place + 7).next_back().map(|(_, name)| *name);
    let mut names = Vec::new();
    let mut known = std::collections::HashSet::new();
    for name in places.lines().filter_map(number).filter_map(of_place) {
        if known.insert(name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_of_the_places() {
        let symbols = "0000000000001000 T first\n0000000000001044 t second\n\
                       0000000000002000 D data\n0000000000003000 W third";
        assert_eq!(in_order("1040\n1008\n3010\n1048\n", symbols), ["second", "first", "third"]);
        assert!(in_order("8\n", symbols).is_empty(), "before all functions");
    }
}
