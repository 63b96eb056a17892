//! A command that reads an event from its standard input.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::send::{Letter, Refused};

/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How much of what it says is told when it fails.
const SAID: u64 = 400;

pub(crate) fn send(argv: &[String], timeout: Duration, letter: Letter<'_>) -> Result<(), Refused> {
    use std::os::unix::process::CommandExt;
    let (program, arguments) = argv.split_first().ok_or_else(|| Refused::now("no command"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // So that what it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| Refused::now(format!("cannot start {program}: {error}")))?;
    let input = child.stdin.take();
    let text = letter.text.to_owned();
    // In a thread, since a command may never read it.
    let writer = std::thread::spawn(move || {
        if let Some(mut input) = input {
            // A command that does not want to know all of it may still succeed.
            let _ = input.write_all(text.as_bytes()).and_then(|()| input.write_all(b"\n"));
        }
    });
    let output = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut output) = output {
            let _ = (&mut output).take(SAID).read_to_end(&mut said);
            // The rest, so that it is not stopped by a full pipe.
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    });
    let status = wait(&mut child, timeout);
    end(&child);
    let _ = writer.join();
    let said = reader.join().unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Refused::now(format!("{program} failed ({status}): {said}"))),
        None => {
            let _ = child.wait();
            Err(Refused::now(format!("{program} took longer than {timeout:?}")))
        }
    }
}

fn wait(child: &mut Child, timeout: Duration) -> Option<std::process::ExitStatus> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < timeout => std::thread::sleep(LOOK),
            _ => return None,
        }
    }
}

/// Ends whatever is left of it. Its process group is its own.
fn end(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}
