//! Where the project's things lie.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::{Answer, Failure};
use crate::program;

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that started this task, in the project's folder.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    // These tell about the package `xtask` and would mislead what is built next.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text == "CARGO_MANIFEST_DIR" {
            command.env_remove(&name);
        }
    }
    command
}

/// What `cargo metadata` says of the workspace's own packages.
pub(crate) fn metadata() -> Answer<Value> {
    let output = program::capture(cargo().args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
        "--offline",
    ]))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|source| Failure::Output { program: "cargo metadata".to_owned(), source })
}

/// Where cargo puts what it builds; `CARGO_TARGET_DIR` is honoured.
pub(crate) fn target_folder() -> Answer<PathBuf> {
    let metadata = metadata()?;
    let folder = metadata.get("target_directory").and_then(Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| Failure::told("cargo metadata names no target folder"))
}

/// Builds the release of `ctrlz` and answers where the binary lies: one file, with the WebAssembly engine behind the
/// program.
pub(crate) fn build_release() -> Answer<PathBuf> {
    let binary = release_of(&mut cargo())?;
    let folder = binary.with_file_name("whole");
    let whole = folder.join("ctrlz");
    fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    // A new file: the old one may be running.
    let made = folder.join("ctrlz.new");
    fs::copy(&binary, &made).map_err(Failure::io("copy", &binary))?;
    let engine = binary.with_file_name("ctrlz-wasm");
    let join = || -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&made)?;
        io::copy(&mut File::open(&engine)?, &mut file)?;
        fs::rename(&made, &whole)
    };
    join().map_err(Failure::io("join to ctrlz", &engine))?;
    Ok(whole)
}

/// The same by a cargo that was told more.
pub(crate) fn release_of(build: &mut Command) -> Answer<PathBuf> {
    build_by(build, "release")
}

/// Builds `ctrlz` with a profile of cargo's and answers where the binary lies.
pub(crate) fn build(profile: &str) -> Answer<PathBuf> {
    build_by(&mut cargo(), profile)
}

fn build_by(build: &mut Command, profile: &str) -> Answer<PathBuf> {
    build.args(["build", "--profile", profile, "--locked", "--package", "ctrlz", "--bins"]);
    let messages = artifacts(build)?;
    messages
        .iter()
        .filter(|message| text(message, "/target/name") == Some("ctrlz"))
        .find_map(|message| text(message, "/executable"))
        .map(PathBuf::from)
        .ok_or_else(|| Failure::told("cargo built no `ctrlz`"))
}

/// Builds, with progress on standard error, and answers cargo's messages about artifacts.
pub(crate) fn artifacts(build: &mut Command) -> Answer<Vec<Value>> {
    build.arg("--message-format=json-render-diagnostics");
    build.stderr(std::process::Stdio::inherit());
    println!("$ {}", program::words(build));
    let output = program::attempt(build)?;
    if !output.status.success() {
        return Err(Failure::Ended {
            command: program::words(build),
            status: output.status.to_string(),
            output: String::new(),
        });
    }
    let mut messages = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")) {
        let message: Value = serde_json::from_slice(line)
            .map_err(|source| Failure::Output { program: "cargo".to_owned(), source })?;
        if text(&message, "/reason") == Some("compiler-artifact") {
            messages.push(message);
        }
    }
    Ok(messages)
}

/// The text at a JSON pointer.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}
