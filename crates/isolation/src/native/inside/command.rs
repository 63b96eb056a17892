//! Starting the command.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_sys::exec;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::Pid;

use super::{Setup, Step, StepError};
use crate::native::control::{Channel, Report};

/// Where programs are looked for when there is no `PATH`, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Starts the command as a child of process 1. `None` when it could not be executed, which is
/// reported then.
pub(super) fn start(
    setup: &Setup,
    (output, handed): (Option<[OwnedFd; 2]>, Option<OwnedFd>),
    channel: &Channel,
) -> Result<Option<Pid>, StepError> {
    let workdir = &setup.task.workdir;
    rustix::process::chdir(workdir)
        .step(|| format!("enter the working directory {}", workdir.display()))?;
    match spawn(setup, output, handed) {
        Ok(pid) => Ok(Some(pid)),
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
            channel.report(&Report::ExecFailed { errno }).step(|| "report to ctrlz".into())?;
            Ok(None)
        }
    }
}

fn spawn(setup: &Setup, output: Option<[OwnedFd; 2]>, handed: Option<OwnedFd>) -> io::Result<Pid> {
    let task = &setup.task;
    let name = task.argv.first().ok_or(Errno::NOENT)?;
    // Where it is handed something, that is open as 3.
    let program_file =
        setup.program.as_ref().map(|file| fcntl_dupfd_cloexec(file, 4)).transpose()?;
    let program = match &program_file {
        Some(file) => PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
        None => find(name, &task.env)?,
    };
    let program = CString::new(program.into_os_string().into_vec())?;
    let mut arguments = task
        .argv
        .iter()
        .map(|word| Ok(CString::new(word.as_bytes())?))
        .collect::<io::Result<Vec<_>>>()?;
    let environment = task
        .env
        .iter()
        .map(|(key, value)| Ok(CString::new([key.as_bytes(), b"=", value.as_bytes()].concat())?))
        .collect::<io::Result<Vec<_>>>()?;
    let output = output.as_ref().map(|[stdout, stderr]| [stdout.as_fd(), stderr.as_fd()]);
    let handed = handed.as_ref().map(AsFd::as_fd);
    match exec::start(&program, &arguments, &environment, output, handed) {
        // A script without `#!` line, as execvp(3) treats it.
        Err(error)
            if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error())
                && !is_webassembly(Path::new(OsStr::from_bytes(program.as_bytes()))) =>
        {
            arguments.splice(..1, [c"/bin/sh".to_owned(), program]);
            exec::start(c"/bin/sh", &arguments, &environment, output, handed)
        }
        other => other,
    }
}

/// Whether it is a WebAssembly module, of which a shell would only make nonsense.
fn is_webassembly(program: &Path) -> bool {
    let mut begin = [0; 4];
    let read = fs::File::open(program).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *b"\0asm"
}

/// The program that a shell would execute: folders that cannot be entered are passed over.
fn find(name: &OsStr, env: &[(OsString, OsString)]) -> io::Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let mut error = Errno::NOENT;
    for candidate in candidates(name, env)? {
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

/// Where a shell would look for the program, in this order.
pub(super) fn candidates(
    name: &OsStr,
    env: &[(OsString, OsString)],
) -> Result<Vec<PathBuf>, Errno> {
    if name.as_bytes().contains(&b'/') {
        return Ok(vec![PathBuf::from(name)]);
    }
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    let path = env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let folders = path.as_bytes().split(|byte| *byte == b':');
    // An empty element is the working directory.
    let folders = folders.map(|folder| if folder.is_empty() { b".".as_slice() } else { folder });
    Ok(folders.map(|folder| Path::new(OsStr::from_bytes(folder)).join(name)).collect())
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
