//! The checks that run nothing of ctrlz.

use std::path::PathBuf;

use super::Steps;
use super::skips::Skips;
use crate::architecture;
use crate::failure::{Answer, Failure};
use crate::{program, project};

/// Formatting, architecture, lints, documentation, licences.
pub(super) fn all(steps: &mut Steps, skips: &mut Skips) {
    steps.step("formatting", || program::run(project::cargo().args(["fmt", "--all", "--check"])));
    // All platforms' dependencies: what follows may then work without a network.
    steps.step("fetch", || program::run(project::cargo().args(["fetch", "--locked"])));
    steps.step("architecture", architecture::check);
    steps.step("lints", || {
        let mut clippy = project::cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--"]);
        program::run(clippy.args(["--deny", "warnings"]))
    });
    steps.step("documentation", || {
        let mut doc = project::cargo();
        // Who reads these works on ctrlz: private items are part of the story.
        doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
        doc.args(["--locked", "--quiet"]);
        program::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    steps.step("licences and sources", || deny(skips));
}

/// The version of cargo-deny that deny.toml is written for.
const CARGO_DENY: &str = "^0.20";

/// The longest that one call of cargo-deny may take, in seconds; it may wait for a network.
const DENY_SECONDS: &str = "300";

fn deny(skips: &mut Skips) -> Answer {
    let tool = cargo_deny()?;
    let deny = |words: &[&str]| {
        let mut command = program::named("timeout");
        command.arg(DENY_SECONDS).arg(&tool).arg("--locked").args(words);
        // Where there is no network, nobody is asked for a password.
        command.current_dir(project::root()).env("GIT_TERMINAL_PROMPT", "0");
        command
    };
    let offline = ["--offline", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    program::run(&mut deny(&offline))?;
    if program::capture(&mut deny(&["fetch", "db"])).is_ok() {
        return program::run(&mut deny(&["check", "--disable-fetch", "advisories"]));
    }
    let reason = "advisories: their database cannot be fetched";
    println!("SKIPPED({reason})");
    skips.note("any", "cargo-deny", reason);
    Ok(())
}

/// Where cargo-deny lies. When there is none it is built into the target folder, without
/// optimization: that takes a third of the time.
fn cargo_deny() -> Answer<PathBuf> {
    if let Some(tool) = program::find("cargo-deny") {
        return Ok(tool);
    }
    let tools = project::target_folder()?.join("tools");
    let tool = tools.join("bin/cargo-deny");
    if tool.is_file() {
        return Ok(tool);
    }
    let mut install = project::cargo();
    // Outside the project, so that its .cargo/config.toml does not apply.
    install
        .current_dir("/")
        .env_remove("CARGO_TARGET_DIR")
        .args(["install", "--locked", "--quiet", "--debug"]);
    install.args(["--config", "profile.dev.debug=false", "--version", CARGO_DENY, "cargo-deny"]);
    program::run(install.arg("--root").arg(&tools))?;
    if tool.is_file() {
        return Ok(tool);
    }
    Err(Failure::told(format!("cargo install left no {}", tool.display())))
}
