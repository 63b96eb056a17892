//! Getting the agents.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// The versions that the scenarios were seen with.
const PACKAGES: [&str; 2] = ["@anthropic-ai/claude-code@2.1.197", "@openai/codex@0.169.0"];

/// The longest that npm may take, in seconds; it may wait for a network.
const LONGEST: &str = "300";

/// The folder with the agents' programs, in cargo's target folder.
pub(super) fn agents(target: &Path) -> Answer<PathBuf> {
    let folder = target.join("tools/agents");
    let programs = folder.join("node_modules/.bin");
    let noted = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&noted).is_ok_and(|text| text == wanted) {
        return Ok(programs);
    }
    if program::find("npm").is_none() {
        prerequisites::install(&["npm"])?;
    }
    fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    let mut install = program::named("timeout");
    install.arg(LONGEST).arg(program::find("npm").unwrap_or_else(|| "npm".into()));
    install.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&folder);
    program::capture(install.args(PACKAGES))?;
    fs::write(&noted, wanted).map_err(Failure::io("write", &noted))?;
    Ok(programs)
}
