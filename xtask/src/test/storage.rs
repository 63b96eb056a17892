//! Servers for the tests of archives in object stores.

use std::path::{Path, PathBuf};

use super::skips::Skips;
use super::{npm, python};

/// The versions that the tests were seen with; S3 alone, and what its server stands on.
const PACKAGES: &[&str] = &["moto[s3]==5.2.5", "flask", "flask-cors"];

/// Microsoft's emulator of Azure's blob service.
const AZURITE: &[&str] = &["azurite@3.35.0"];

/// The servers' programs, each with the variable by which the tests are told. What cannot be
/// installed is told.
pub(super) fn servers(target: &Path, skips: &mut Skips) -> Vec<(&'static str, PathBuf)> {
    let azurite = || {
        npm::programs(&target.join("tools/azurite"), AZURITE).map(|bin| bin.join("azurite-blob"))
    };
    // moto's server speaks S3. Debian has none.
    let moto = || {
        python::programs(&target.join("tools/moto"), PACKAGES).map(|bin| bin.join("moto_server"))
    };
    let wanted = [("CTRLZ_MOTO_SERVER", moto()), ("CTRLZ_AZURITE", azurite())];
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
