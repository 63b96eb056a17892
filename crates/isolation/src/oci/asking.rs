//! Asking a runtime about itself: short commands, whose answers are bounded in time and size.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read of an answer.
const MOST: usize = 1 << 20;

/// What `program` prints when it is called with `words`; `None` when it fails.
///
/// # Errors
/// When it cannot be started, or does not answer.
pub(super) fn answer(program: &Path, words: &[&str]) -> io::Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    // One that belongs to the user keeps its things there, and asks for it.
    for name in ["HOME", "XDG_RUNTIME_DIR"] {
        command.envs(std::env::var_os(name).map(|value| (OsStr::new(name), value)));
    }
    let (mut from, to) = io::pipe()?;
    // gVisor tells its flags on standard error.
    command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to).current_dir("/");
    let mut child = command.spawn()?;
    // Its copies of the pipe would hide the end of the answer.
    drop(command);
    let deadline = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let read = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || text.len() > MOST {
            break Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} {} gives no answer", program.display(), words.join(" ")),
            ));
        }
        let left = left.try_into().map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => break Err(errno.into()),
        }
        let mut part = [0; 1 << 13];
        match from.read(&mut part) {
            Ok(0) => break Ok(()),
            Ok(count) => text.extend(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    if read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    read?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(status.success().then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end() {
        let said = |script: &str| answer(Path::new("/bin/sh"), &["-c", script]).expect("an answer");
        assert_eq!(said("echo one; echo two >&2").as_deref(), Some("one\ntwo\n"));
        assert_eq!(said("echo no; exit 1"), None);
    }

    #[test]
    fn one_that_talks_without_end_is_stopped() {
        let error = answer(Path::new("/usr/bin/yes"), &[]).expect_err("no answer");
        assert!(error.to_string().contains("gives no answer"), "{error}");
    }
}
