//! `cargo xtask fuzz`: the fuzz targets that there are.

use std::fs;

use crate::failure::{Answer, Failure};
use crate::{program, project};

/// How long each target runs, in seconds.
const SECONDS: &str = "60";

/// Runs every target below `fuzz/fuzz_targets` for a minute; says so when there are none.
pub(crate) fn fuzz() -> Answer {
    let folder = project::root().join("fuzz/fuzz_targets");
    if !folder.is_dir() {
        println!(
            "There are no fuzz targets. What reads other people's bytes (paths, sizes, ids, \
             configuration files, images) is tested with random input by proptest, in \
             `cargo xtask test`."
        );
        return Ok(());
    }
    if program::find("cargo-fuzz").is_none() {
        return Err(Failure::told("cargo-fuzz is missing: cargo install --locked cargo-fuzz"));
    }
    for entry in fs::read_dir(&folder).map_err(Failure::io("list", &folder))? {
        let path = entry.map_err(Failure::io("list", &folder))?.path();
        let Some(name) = path.file_stem() else { continue };
        let mut fuzz = project::cargo();
        fuzz.args(["fuzz", "run"]).arg(name).args(["--", "-max_total_time", SECONDS]);
        program::run(&mut fuzz)?;
    }
    Ok(())
}
