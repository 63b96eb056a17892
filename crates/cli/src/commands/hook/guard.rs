//! Judging in a process that is watched: should it crash, run out of memory or take too long, then
//! what the agent asked for is blocked all the same.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Agents wait ten seconds as the settings have it, and let things happen afterwards.
const LONGEST: Duration = Duration::from_secs(8);

/// What the watched process answers; `None` when it failed and said so.
pub(super) fn watched() -> Result<Option<Vec<u8>>, String> {
    let end = Instant::now() + LONGEST;
    let mut child = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .arg("--unguarded")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the judging process: {error}"))?;
    let result = read_all(&mut child, end);
    if result.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (reply, status) = result?;
    match status.code() {
        Some(0) => Ok(Some(reply)),
        // It has said why on standard error.
        Some(code) if code == i32::from(super::BLOCKS) => Ok(None),
        Some(code) => Err(format!("the judging process ended with code {code}")),
        None => Err(format!("the judging process crashed ({status})")),
    }
}

fn read_all(child: &mut Child, end: Instant) -> Result<(Vec<u8>, ExitStatus), String> {
    let too_slow = || format!("no verdict within {} seconds", LONGEST.as_secs());
    let failed = |error: std::io::Error| format!("cannot read the verdict: {error}");
    let mut output = child.stdout.take().ok_or("the judging process has no output")?;
    let mut reply = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        if !is_ready(&output, end.saturating_duration_since(Instant::now())) {
            return Err(too_slow());
        }
        match output.read(&mut part) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // It closed its output, so it is ending.
    while Instant::now() < end {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok((reply, status));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Err(too_slow())
}

fn is_ready(output: &ChildStdout, left: Duration) -> bool {
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
        tv_nsec: left.subsec_nanos().into(),
    };
    loop {
        let mut fds = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}
