//! Starting the command.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Pid;

use super::{Setup, Step, StepError};
use crate::native::control::{Channel, Report};

/// Starts the command as a child of process 1. `None` when there is no command.
pub(super) fn start(
    setup: &Setup,
    output: Option<[OwnedFd; 2]>,
    channel: &Channel,
) -> Result<Option<Pid>, StepError> {
    let Some((program, arguments)) = setup.launch.argv.split_first() else { return Ok(None) };
    let workdir = &setup.launch.workdir;
    rustix::process::chdir(workdir)
        .step(|| format!("enter the working directory {}", workdir.display()))?;
    let child = || {
        let error = match redirect(output.as_ref()) {
            Err(error) => error,
            // Rust's exec resets the signal mask and gives SIGPIPE its default action back.
            Ok(()) => Command::new(program)
                .args(arguments)
                .env_clear()
                .envs(setup.launch.env.iter().map(|(key, value)| (key, value)))
                .exec(),
        };
        let _ = channel.report(&Report::ExecFailed { errno: error.raw_os_error().unwrap_or(0) });
        127
    };
    ctrlz_sys::clone::fork(child).map(Some).step(|| "start the command's process".into())
}

fn redirect(output: Option<&[OwnedFd; 2]>) -> io::Result<()> {
    if let Some([stdout, stderr]) = output {
        rustix::stdio::dup2_stdout(stdout)?;
        rustix::stdio::dup2_stderr(stderr)?;
    }
    Ok(())
}
