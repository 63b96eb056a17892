//! A server that speaks S3, for the tests of archives in object stores.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// The version that the tests were seen with; S3 alone, and what its server stands on.
const PACKAGES: &[&str] = &["moto[s3]==5.2.5", "flask", "flask-cors"];

/// Debian's, which every user may run: another one may lie in root's home.
const PYTHON: &str = "/usr/bin/python3";

/// The longest that pip may take, in seconds; it may wait for a network.
const LONGEST: &str = "300";

/// The server's program, in cargo's target folder. Debian has none.
pub(super) fn server(target: &Path) -> Answer<PathBuf> {
    let folder = target.join("tools/moto");
    let (server, noted) = (folder.join("bin/moto_server"), folder.join("installed"));
    if fs::read_to_string(&noted).is_ok_and(|text| text == PACKAGES.join(" ")) {
        return Ok(server);
    }
    let make = || program::capture(program::named(PYTHON).args(["-m", "venv"]).arg(&folder));
    make().or_else(|_| {
        prerequisites::install(&["python3-venv"])?;
        make()
    })?;
    let mut install = program::named("timeout");
    install.arg(LONGEST).arg(folder.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    program::capture(&mut install)?;
    fs::write(&noted, PACKAGES.join(" ")).map_err(Failure::io("write", &noted))?;
    Ok(server)
}
