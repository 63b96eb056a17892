//! Starting the command.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::Pid;

use super::{Setup, Step, StepError};
use crate::native::control::{Channel, Report};

/// Where programs are looked for when there is no `PATH`, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Starts the command as a child of process 1. `None` when it could not be executed, which is
/// reported then.
pub(super) fn start(
    setup: &Setup,
    output: Option<[OwnedFd; 2]>,
    channel: &Channel,
) -> Result<Option<Pid>, StepError> {
    let workdir = &setup.launch.workdir;
    rustix::process::chdir(workdir)
        .step(|| format!("enter the working directory {}", workdir.display()))?;
    match spawn(setup, output) {
        Ok(pid) => Ok(Some(pid)),
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
            channel.report(&Report::ExecFailed { errno }).step(|| "report to ctrlz".into())?;
            Ok(None)
        }
    }
}

fn spawn(setup: &Setup, output: Option<[OwnedFd; 2]>) -> io::Result<Pid> {
    let launch = &setup.launch;
    let (name, arguments) = launch.argv.split_first().ok_or(Errno::NOENT)?;
    let program = find(name, &launch.env)?;
    let (stdout, stderr) = match output {
        Some([stdout, stderr]) => (Stdio::from(stdout), Stdio::from(stderr)),
        None => (Stdio::inherit(), Stdio::inherit()),
    };
    let mut command = Command::new(&program);
    command.arg0(name).args(arguments).stdout(stdout).stderr(stderr);
    // With a path to the program and nothing to do between fork and exec, the standard library
    // uses posix_spawn, which copies no memory.
    command.env_clear().envs(launch.env.iter().map(|(key, value)| (key, value)));
    let child = match command.spawn() {
        // A script without `#!` line, as execvp(3) treats it.
        Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg(&program).args(arguments).env_clear();
            shell.envs(launch.env.iter().map(|(key, value)| (key, value))).spawn()?
        }
        other => other?,
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| Errno::SRCH.into())
}

/// The program that a shell would execute: folders that cannot be entered are passed over.
fn find(name: &OsStr, env: &[(OsString, OsString)]) -> io::Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    if name.is_empty() {
        return Err(Errno::NOENT.into());
    }
    let path = env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut error = Errno::NOENT;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        // An empty element is the working directory.
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        let candidate = Path::new(OsStr::from_bytes(folder)).join(name);
        match fs::metadata(&candidate) {
            Ok(status) if status.is_file() => {
                match rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK) {
                    Ok(()) => return Ok(candidate),
                    Err(_) => error = Errno::ACCESS,
                }
            }
            _ => {}
        }
    }
    Err(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(path: &str) -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), path.into())]
    }

    #[test]
    fn looks_along_the_path() {
        assert_eq!(
            find(OsStr::new("sh"), &env("/nowhere:/bin")).expect("found"),
            Path::new("/bin/sh")
        );
        assert_eq!(find(OsStr::new("./x"), &env("/bin")).expect("as it is"), Path::new("./x"));
        assert_eq!(find(OsStr::new("sh"), &[]).expect("found"), Path::new("/bin/sh"));
    }

    #[test]
    fn tells_absent_from_not_executable() {
        let errno = |name: &str, path: &str| {
            find(OsStr::new(name), &env(path)).expect_err("refused").raw_os_error()
        };
        assert_eq!(errno("no-such-program", "/bin"), Some(Errno::NOENT.raw_os_error()));
        assert_eq!(errno("passwd", "/nowhere:/etc"), Some(Errno::ACCESS.raw_os_error()));
        assert_eq!(errno("", "/bin"), Some(Errno::NOENT.raw_os_error()));
    }
}
