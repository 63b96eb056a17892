//! Servers for the tests of archives in object stores.

use std::fs;
use std::path::{Path, PathBuf};

use super::npm;
use super::skips::Skips;
use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// The versions that the tests were seen with; S3 alone, and what its server stands on.
const PACKAGES: &[&str] = &["moto[s3]==5.2.5", "flask", "flask-cors"];

/// Microsoft's emulator of Azure's blob service.
const AZURITE: &[&str] = &["azurite@3.35.0"];

/// Debian's, which every user may run: another one may lie in root's home.
const PYTHON: &str = "/usr/bin/python3";

/// The longest that pip may take, in seconds; it may wait for a network.
const LONGEST: &str = "300";

/// The servers' programs, each with the variable by which the tests are told. What cannot be
/// installed is told.
pub(super) fn servers(target: &Path, skips: &mut Skips) -> Vec<(&'static str, PathBuf)> {
    let azurite = || {
        npm::programs(&target.join("tools/azurite"), AZURITE).map(|bin| bin.join("azurite-blob"))
    };
    let wanted = [("CTRLZ_MOTO_SERVER", moto(target)), ("CTRLZ_AZURITE", azurite())];
    let mut servers = Vec::new();
    for (variable, program) in wanted {
        match program {
            Ok(program) => servers.push((variable, program)),
            Err(failure) => {
                println!("{failure}");
                skips.note("any", "xtask", "an object store: not to be installed here");
            }
        }
    }
    servers
}

/// moto's server, which speaks S3, in cargo's target folder. Debian has none.
fn moto(target: &Path) -> Answer<PathBuf> {
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
