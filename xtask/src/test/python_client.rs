//! The Python client: its style and types, and its tests against the real service, as each user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::outcome::Counts;
use super::python;
use super::reach::Reach;
use super::running::As;
use crate::failure::{Answer, Failure};
use crate::{program, project};

/// The longest that the tests may take, in seconds. They take half a minute.
const LONGEST: &str = "600";

/// A test that hangs is told with the place where it does, after as many seconds.
const HANGS: &str = "faulthandler_timeout=120";

/// The client, and what its checks need.
pub(super) struct Client {
    folder: PathBuf,
    programs: PathBuf,
    target: PathBuf,
}

impl Client {
    /// Installs what the checks need, with the versions that the client's own list has.
    pub(super) fn prepare(target: &Path) -> Answer<Self> {
        let folder = project::root().join("clients/python");
        let list = folder.join("requirements-dev.txt");
        let text = fs::read_to_string(&list).map_err(Failure::io("read", &list))?;
        let packages: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let programs = python::programs(&target.join("tools/python-client"), &packages)?;
        Ok(Self { folder, programs, target: target.to_owned() })
    }

    /// Style and types; writes nothing into the client's folder.
    pub(super) fn check(&self) -> Answer {
        let cache = self.target.join("tools/python-client/mypy-cache");
        let mut calls = [
            (&["ruff", "check", "--no-cache", "."][..], None),
            (&["ruff", "format", "--no-cache", "--check", "."], None),
            (&["mypy", "--cache-dir"], Some(cache)),
        ];
        for (words, last) in &mut calls {
            let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
            let mut command = Command::new(self.programs.join(name));
            command.current_dir(&self.folder).args(arguments).args(last.take());
            let output = program::attempt(&mut command)?;
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stdout).into_owned();
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(Failure::told(format!("{}\n{told}{errors}", program::words(&command))));
            }
        }
        Ok(())
    }

    /// Runs the tests in a folder of the client's.
    pub(super) fn test(&self, ctrlz: &Path, who: &As<'_>, tests: &str) -> Answer<Counts> {
        let mut command = match who {
            As::User(account) => {
                let root = project::root();
                let mut command = match Reach::needed(account, &[&self.target, &root])? {
                    Some(reach) => reach.command(account, &self.folder),
                    None => {
                        let mut command = account.command("env");
                        command.arg("-C").arg(&self.folder);
                        command
                    }
                };
                command.env("TMPDIR", account.folder("tmp")?);
                command
            }
            As::Root | As::Caller => {
                let mut command = program::named("env");
                command.current_dir(&self.folder);
                command
            }
        };
        // Whoever runs this under nohup(1) ignores a signal that tests send.
        command.args(["--default-signal", "timeout", LONGEST]).arg(self.programs.join("python"));
        command.args(["-m", "pytest", "-p", "no:cacheprovider", "-o", HANGS, "--tb=short", tests]);
        command.env("CTRLZ_BINARY", ctrlz).env("PYTHONPATH", self.folder.join("src"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let output = program::attempt(&mut command)?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let counts = counts(&told);
        if output.status.success() && counts.failed == 0 && counts.passed > 0 {
            println!("{counts}");
            return Ok(counts);
        }
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{told}{errors}{counts}, {}", output.status);
        Ok(Counts { failed: counts.failed.max(1), ..counts })
    }
}

/// The numbers in pytest's closing line, such as `1 failed, 105 passed in 31.20s`. An error before or
/// after a test is a failure.
fn counts(output: &str) -> Counts {
    let closing =
        output.lines().rev().find(|line| line.contains(" in ") && line.ends_with(['s', ')', '=']));
    let mut counts = Counts::default();
    for part in closing.unwrap_or_default().split([',', '=']) {
        let mut words = part.split_whitespace();
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        match (number, words.next()) {
            (Some(number), Some("passed")) => counts.passed += number,
            (Some(number), Some("failed" | "error" | "errors")) => counts.failed += number,
            (Some(number), Some("skipped" | "xfailed")) => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_has_the_numbers() {
        let told =
            counts("F..\nFAILED x - in y s\n1 failed, 105 passed, 2 skipped, 3 errors in 31.20s\n");
        assert_eq!((told.passed, told.failed, told.skipped), (105, 4, 2));
        assert_eq!(counts("106 passed in 35.37s (0:00:35)").passed, 106);
        assert_eq!(counts("no tests ran in 0.01s"), Counts::default());
        assert_eq!(counts(""), Counts::default());
    }
}
