//! gVisor from Debian's backports: what is in the release itself is too old for systrap.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::skips::Skips;
use crate::failure::{Answer, Failure};
use crate::program;

/// The release whose backports have it.
const RELEASE: &str = "bookworm";

/// The runtime, with the variable by which the tests are told. What cannot be had is told.
pub(super) fn runtime(target: &Path, skips: &mut Skips) -> Option<(&'static str, PathBuf)> {
    match fetched(&target.join("tools/gvisor")) {
        Ok(program) => Some(("CTRLZ_TEST_RUNSC", program)),
        Err(failure) => {
            println!("{failure}");
            skips.note("any", "xtask", "gVisor: not to be installed here");
            None
        }
    }
}

/// Unpacks the package in `folder`, with lists and a cache of its own: nothing of the machine's changes.
fn fetched(folder: &Path) -> Answer<PathBuf> {
    let program = folder.join("unpacked/usr/bin/runsc");
    if program.exists() {
        return Ok(program);
    }
    for part in ["lists/partial", "cache/archives/partial"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).map_err(Failure::io("make", &part))?;
    }
    let source = folder.join("sources.list");
    let text = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {RELEASE}-backports main\n",
        mirror()?
    );
    fs::write(&source, text).map_err(Failure::io("write", &source))?;
    let apt_get = || -> Command {
        let mut apt_get = program::named("apt-get");
        for (key, value) in [
            ("Dir::Etc::SourceList", source.clone()),
            ("Dir::Etc::SourceParts", PathBuf::from("-")),
            ("Dir::State::Lists", folder.join("lists")),
            ("Dir::Cache", folder.join("cache")),
        ] {
            apt_get.arg("-o").arg(format!("{key}={}", value.display()));
        }
        apt_get.current_dir(folder);
        apt_get
    };
    program::capture(apt_get().args(["--quiet", "update"]))?;
    program::capture(apt_get().args(["--quiet", "download", "runsc"]))?;
    let package = fs::read_dir(folder)
        .map_err(Failure::io("read", folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::told("apt-get left no package of runsc"))?;
    let unpacked = folder.join("unpacked");
    program::capture(program::named("dpkg-deb").arg("-x").arg(&package).arg(&unpacked))?;
    fs::remove_file(&package).map_err(Failure::io("remove", &package))?;
    Ok(program)
}

/// Where this machine gets the release's packages from; its backports lie beside them.
fn mirror() -> Answer<String> {
    let mut targets = program::named("apt-get");
    targets.args(["indextargets", "--format", "$(SITE) $(RELEASE)", "Identifier: Packages"]);
    let sources = program::answer(&mut targets)?;
    let of_release = |line: &str| {
        let (site, release) = line.split_once(' ')?;
        (release.trim() == RELEASE).then(|| site.to_owned())
    };
    let found = sources.lines().find_map(of_release);
    found.ok_or_else(|| Failure::told(format!("no source of this machine is Debian's {RELEASE}")))
}
