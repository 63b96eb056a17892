//! A command that reads an event from its standard input.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::discreet::{Redact, discreet};
use crate::send::{Letter, Refused};

/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How much of what it says is told when it fails, in bytes.
const SAID: usize = 400;
/// How much of it is read for that: what is taken out of it makes it shorter.
const READ: usize = 4096;
/// How long its last words are waited for: what left its process group may keep them open.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub(crate) fn send(
    argv: &[String],
    timeout: Duration,
    letter: Letter<'_>,
    redact: &Redact<'_>,
) -> Result<(), Refused> {
    use std::os::unix::process::CommandExt;
    let (path, arguments) = argv.split_first().ok_or_else(|| Refused::now("no command"))?;
    let program = shown(path);
    let mut child = Command::new(path)
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
    // In a thread that nobody waits for, since what the command leaves behind may never read it.
    std::thread::spawn(move || {
        if let Some(mut input) = input {
            // A command that does not want to know all of it may still succeed.
            let _ = input.write_all(text.as_bytes()).and_then(|()| input.write_all(b"\n"));
        }
    });
    let words = child.stderr.take().map(listen);
    let status = wait(&mut child, timeout)
        .map_err(|error| Refused::now(format!("cannot wait for {program}: {error}")))?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let said = words.map(last_words).unwrap_or_default();
            let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = cut(discreet(&said, &given, redact));
            Err(Refused::now(format!("{program} failed ({status}): {said}")))
        }
        None => Err(Refused::now(format!("{program} took longer than {timeout:?}"))),
    }
}

/// Its name. Whoever wrote the whole command as one word wrote its arguments there, too.
fn shown(program: &str) -> Cow<'_, str> {
    match program.split_once(char::is_whitespace) {
        None => Cow::Borrowed(program),
        Some((first, _)) => Cow::Owned(format!("{first} …")),
    }
}

/// Reads what it says piece by piece, in a thread: the end may never come.
fn listen(mut output: ChildStderr) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut piece = [0; SAID];
        let mut left = READ;
        // To the end, so that it is not stopped by a full pipe.
        while let Ok(length @ 1..) = output.read(&mut piece) {
            let said = piece.get(..length.min(left)).unwrap_or_default();
            left -= said.len();
            if !said.is_empty() {
                let _ = sender.send(said.to_vec());
            }
        }
    });
    receiver
}

fn last_words(words: Receiver<Vec<u8>>) -> String {
    let until = Instant::now() + LAST_WORDS;
    let mut said = Vec::new();
    while said.len() < READ
        && let Ok(piece) = words.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        said.extend(piece);
    }
    if said.len() >= READ {
        // Half a word may be half a secret, which nobody recognises.
        let end = said.iter().rposition(u8::is_ascii_whitespace).unwrap_or(0);
        said.truncate(end);
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Its beginning.
fn cut(mut said: String) -> String {
    said.truncate(said.floor_char_boundary(SAID));
    said
}

/// Its status, or nothing when it took too long. Nothing of its process group is left then.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("it has no process id"))?;
    // It stays a zombie until its group is ended: until then, the group's number is nobody else's.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let begun = Instant::now();
    let ended = loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(Some(_)) => break true,
            Ok(None) | Err(rustix::io::Errno::INTR) if begun.elapsed() < timeout => {
                std::thread::sleep(LOOK);
            }
            _ => break false,
        }
    };
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child.wait()?;
    Ok(ended.then_some(status))
}
