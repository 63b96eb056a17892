//! What this host offers, and programs that tests need.

use std::io::Write as _;
use std::process::Command;

use super::{Outcome, Scene};

/// Tells that a test, or a part of it, cannot be had here.
pub(crate) fn skipped(reason: &str) {
    // libtest captures what print writes; a skip must be seen.
    let _ = writeln!(std::io::stdout(), "SKIPPED({reason})");
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program can be started; a skip is told when it cannot.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skipped(&format!("{program} is not here"));
    }
    found
}

/// A Python program on the host, in the scene's project.
#[track_caller]
pub(crate) fn python(scene: &Scene, program: &str) -> Outcome {
    python_with(scene, program, &[])
}

/// A Python program on the host with arguments.
#[track_caller]
pub(crate) fn python_with(scene: &Scene, program: &str, arguments: &[&str]) -> Outcome {
    let all = ["-c", program].into_iter().chain(arguments.iter().copied());
    Outcome::of(&mut scene.program(interpreter(), all))
}

/// Defines `ask`, which runs `ctrlz` with words on a terminal of its own, calls `meanwhile`
/// with what was written when it asks for a confirmation, then types the reply; the exit code and
/// all that was written come back. `answer` does that with `ctrlz run`, flags and a command.
const AT_A_TERMINAL: &str = r"
import os, pty, select, time
def answer(reply, flags, command, meanwhile=lambda seen: None):
    return ask(reply, ['run', *flags, '--', *command], meanwhile)
def ask(reply, words, meanwhile=lambda seen: None):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(os.environ['CTRLZ'], ['ctrlz', *words])
    seen, answered = b'', False
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
        if b'[y/N]' in seen and not answered:
            meanwhile(seen)
            os.write(fd, reply)
            answered = True
    assert answered, seen
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen
";

/// A Python program on the host, in the scene's project, for which [`AT_A_TERMINAL`] is defined.
#[track_caller]
pub(crate) fn python_at_a_terminal(scene: &Scene, program: &str) -> Outcome {
    python(scene, &[AT_A_TERMINAL, program].concat())
}

/// The system's own interpreter: one from a version manager may lie in a closed home folder.
pub(crate) fn interpreter() -> &'static str {
    "/usr/bin/python3"
}

/// A shell script in mounts of its own, as root of this host or of a user namespace. `None`, after
/// a skip was told, where the host forbids that.
#[track_caller]
pub(crate) fn unshared(scene: &Scene, script: &str) -> Option<Outcome> {
    let flags: &[&str] = if is_root() { &["-m"] } else { &["-Urm"] };
    let probe = Outcome::of(&mut scene.program("unshare", flags.iter().chain(&["true"])));
    if !probe.status.success() {
        skipped(&format!("no mounts of its own: {}", probe.err().trim()));
        return None;
    }
    let tail = ["--propagation", "private", "sh", "-ec", script];
    Some(Outcome::of(&mut scene.program("unshare", flags.iter().chain(&tail))))
}
