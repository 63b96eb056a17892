//! Building the test binaries, and what cargo tells about them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::outcome::{Counts, counts};
use crate::failure::{Answer, Failure};
use crate::{program, project};

/// Features that only tests turn on: points at which a suite kills the process.
const TEST_FEATURES: &str = "ctrlz/faults";

/// One test binary.
pub(super) struct TestBinary {
    /// The crate and the target: `store/journal`.
    pub(super) name: String,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// The package's folder, in which cargo would start it.
    pub(super) package: PathBuf,
}

/// All test binaries, and the programs that they may start.
pub(super) struct Built {
    pub(super) tests: Vec<TestBinary>,
    /// Programs by name: what `CARGO_BIN_EXE_NAME` says.
    pub(super) programs: BTreeMap<String, PathBuf>,
    /// Cargo's target folder.
    pub(super) target: PathBuf,
}

/// Builds all tests of the workspace.
pub(super) fn build() -> Answer<Built> {
    let mut build = project::cargo();
    build.args(["test", "--workspace", "--no-run", "--locked", "--features", TEST_FEATURES]);
    let messages = project::artifacts(&mut build)?;
    let target = project::target_folder()?;
    let mut built = Built { tests: Vec::new(), programs: BTreeMap::new(), target };
    for message in &messages {
        let Some(path) = project::text(message, "/executable").map(PathBuf::from) else { continue };
        let target = project::text(message, "/target/name").unwrap_or_default();
        let kind = project::text(message, "/target/kind/0").unwrap_or_default();
        if message.pointer("/profile/test") == Some(&Value::Bool(true)) {
            let manifest = Path::new(project::text(message, "/manifest_path").unwrap_or_default());
            let package = manifest.parent().unwrap_or(manifest).to_owned();
            let folder = package.file_name().unwrap_or_default().to_string_lossy();
            let target = if matches!(kind, "lib" | "bin") { "unit" } else { target };
            built.tests.push(TestBinary { name: format!("{folder}/{target}"), path, package });
        } else if kind == "bin" {
            built.programs.insert(target.to_owned(), path);
        }
    }
    built.tests.sort_by(|a, b| a.name.cmp(&b.name));
    println!("{} test binaries", built.tests.len());
    Ok(built)
}

/// Runs the examples in the documentation.
pub(super) fn documentation() -> Answer<Counts> {
    let mut test = project::cargo();
    test.args(["test", "--workspace", "--doc", "--locked", "--features", TEST_FEATURES]);
    let output = program::attempt(&mut test)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = counts(&text).unwrap_or_default();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::told(format!("{text}\n{errors}")));
    }
    println!("{counts}");
    Ok(counts)
}
