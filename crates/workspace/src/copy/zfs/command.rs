//! The program `zfs`: ctrlz asks for what it needs in the words of zfs(8), as a person would.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use ctrlz_core::workspace::WorkspaceError;

use crate::node::failed;

/// Where it lies when the search path does not have it: systems keep it from ordinary users' paths.
const ELSEWHERE: &[&str] = &["/usr/sbin/zfs", "/sbin/zfs", "/usr/local/sbin/zfs"];

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Refused {
    /// The arguments, for whoever wants to try it.
    command: String,
    /// What it said, or why it did not start.
    pub(super) said: String,
    /// Whether there is no such program.
    pub(super) is_missing: bool,
}

impl Refused {
    /// Whether somebody has the dataset in use, or had a moment ago.
    pub(super) fn is_busy(&self) -> bool {
        self.said.contains("busy")
    }

    /// Whether there is no dataset of that name.
    pub(super) fn is_gone(&self) -> bool {
        self.said.contains("does not exist")
    }

    /// An error that says what was tried for `path`, and what came of it.
    pub(super) fn during(self, action: &'static str, path: &Path) -> WorkspaceError {
        failed(action, path)(io::Error::other(format!("`{}`: {}", self.command, self.said)))
    }
}

/// What a command prints.
pub(super) fn zfs<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<String, Refused> {
    let arguments: Vec<OsString> =
        arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    let words = arguments.iter().map(|argument| argument.to_string_lossy());
    let command = words.fold("zfs".to_owned(), |command, word| format!("{command} {word}"));
    let refused = |said: String, is_missing| Refused { command, said, is_missing };
    let mut programs = std::iter::once("zfs").chain(ELSEWHERE.iter().copied());
    let output = loop {
        let Some(program) = programs.next() else {
            return Err(refused("there is no program `zfs`".to_owned(), true));
        };
        let started = Command::new(program)
            .args(&arguments)
            // What it says is read by us, too.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        match started {
            Ok(output) => break output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(error.to_string(), false)),
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', "; ");
    Err(refused(if said.is_empty() { output.status.to_string() } else { said }, false))
}
