//! Starting programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::{Answer, Failure};

/// Prints the command, runs it with this process's streams, and expects success.
pub(crate) fn run(command: &mut Command) -> Answer {
    println!("$ {}", words(command));
    let status = command.status().map_err(|source| not_started(command, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Ended {
        command: words(command),
        status: status.to_string(),
        output: String::new(),
    })
}

/// Runs the command without input, keeps its output, and expects success.
pub(crate) fn capture(command: &mut Command) -> Answer<Output> {
    let output = attempt(command)?;
    if output.status.success() {
        return Ok(output);
    }
    let mut text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if text.is_empty() {
        text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    Err(Failure::Ended {
        command: words(command),
        status: output.status.to_string(),
        output: if text.is_empty() { text } else { format!(":\n{text}") },
    })
}

/// Runs the command without input and keeps its output, whatever its end.
pub(crate) fn attempt(command: &mut Command) -> Answer<Output> {
    command.stdin(Stdio::null()).output().map_err(|source| not_started(command, source))
}

/// The command's standard output as text without the last line end.
pub(crate) fn answer(command: &mut Command) -> Answer<String> {
    let output = capture(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Where a program lies, also in the folders for administrators, which an ordinary user's `PATH`
/// may lack.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// A program by its name, found as [`find`] does.
pub(crate) fn named(name: &str) -> Command {
    Command::new(find(name).unwrap_or_else(|| PathBuf::from(name)))
}

fn not_started(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

/// The command as one would type it, about.
pub(crate) fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .map(
            |word| if word.contains([' ', '\n']) { format!("'{word}'") } else { word.into_owned() },
        )
        .collect::<Vec<_>>()
        .join(" ")
}
