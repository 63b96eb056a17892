//! Programs from the npm registry.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// The longest that npm may take, in seconds; it may wait for a network.
const LONGEST: &str = "300";

/// The folder with the programs of `packages`, which are installed in `folder` unless they are.
pub(super) fn programs(folder: &Path, packages: &[&str]) -> Answer<PathBuf> {
    let programs = folder.join("node_modules/.bin");
    let noted = folder.join("installed");
    let wanted = packages.join("\n");
    if fs::read_to_string(&noted).is_ok_and(|text| text == wanted) {
        return Ok(programs);
    }
    if program::find("npm").is_none() {
        prerequisites::install(&["npm"])?;
    }
    fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
    let mut install = program::named("timeout");
    install.arg(LONGEST).arg(program::find("npm").unwrap_or_else(|| "npm".into()));
    install.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(folder);
    program::capture(install.args(packages))?;
    fs::write(&noted, wanted).map_err(Failure::io("write", &noted))?;
    Ok(programs)
}
