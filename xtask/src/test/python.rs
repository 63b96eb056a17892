//! Programs and libraries from PyPI.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// Debian's, which every user may run: another one may lie in root's home.
const PYTHON: &str = "/usr/bin/python3";

/// The longest that pip may take, in seconds; it may wait for a network.
const LONGEST: &str = "300";

/// The folder with the programs of `packages`, which are installed in `folder` unless they are.
pub(super) fn programs(folder: &Path, packages: &[&str]) -> Answer<PathBuf> {
    let (programs, noted) = (folder.join("bin"), folder.join("installed"));
    if fs::read_to_string(&noted).is_ok_and(|text| text == packages.join(" ")) {
        return Ok(programs);
    }
    let make = || program::capture(program::named(PYTHON).args(["-m", "venv"]).arg(folder));
    make().or_else(|_| {
        prerequisites::install(&["python3-venv"])?;
        make()
    })?;
    let mut install = program::named("timeout");
    install.arg(LONGEST).arg(folder.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
    program::capture(&mut install)?;
    fs::write(&noted, packages.join(" ")).map_err(Failure::io("write", &noted))?;
    Ok(programs)
}
