//! A terminal is a terminal inside, with its keys and its job control.

use crate::support::{Scene, python};

/// A terminal in Python: `Terminal(COMMAND...)` with `expect(TEXT)`, `type(TEXT)`, `end()`.
const PRELUDE: &str = r#"
import fcntl, os, pty, re, select, signal, struct, sys, termios, time
CTRLZ = os.environ['CTRLZ']
class Terminal:
    def __init__(self, *command, rows=33, columns=77):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            os.environ['PS1'] = '$ '
            os.environ['TERM'] = 'xterm'
            os.execvp(command[0], command)
        self.seen = ''
    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            self.seen += data.decode(errors='replace')
            return bool(data)
        return True
    def expect(self, text):
        limit = time.monotonic() + 120
        while text not in self.seen:
            if not self.read(0.2) or time.monotonic() > limit:
                sys.exit('%r does not come; seen: %r' % (text, self.seen))
        before, after = self.seen.split(text, 1)
        self.seen = after
        return before
    def type(self, text):
        os.write(self.fd, text.encode())
    def end(self):
        limit = time.monotonic() + 120
        while self.read(0.2) and time.monotonic() < limit:
            pass
        return os.waitpid(self.pid, 0)[1]
"#;

#[track_caller]
pub(super) fn at_a_terminal(scene: &Scene, program: &str) {
    python(scene, &format!("{PRELUDE}\n{program}")).ok();
}

#[test]
fn all_three_streams_are_the_terminal_with_its_size() {
    let scene = Scene::new();
    at_a_terminal(
        &scene,
        r#"
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'test -t 0 && test -t 1 && test -t 2 && tty && stty size && echo all')
seen = t.expect('all')
assert '33 77' in seen, seen
assert '/dev/' in seen, seen
assert os.WEXITSTATUS(t.end()) == 0
"#,
    );
}

#[test]
fn the_terminal_can_be_opened_by_its_name() {
    let scene = Scene::new();
    at_a_terminal(
        &scene,
        r#"
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'echo by-name > /dev/tty && echo "status $?"')
t.expect('by-name')
t.expect('status 0')
assert os.WEXITSTATUS(t.end()) == 0
"#,
    );
}

#[test]
fn the_interrupt_key_ends_the_command_as_without_ctrlz() {
    let scene = Scene::new();
    at_a_terminal(
        &scene,
        r#"
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'echo kept > f; echo ready; exec sleep 60')
t.expect('ready')
t.type('\x03')
status = t.end()
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, status
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done')
t.expect('ready')
t.type('\x03')
t.expect('caught')
assert 'caught' not in t.seen
assert os.WEXITSTATUS(t.end()) == 9
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'echo ready; exec sleep 60')
t.expect('ready')
t.type('\x1c')
status = t.end()
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGQUIT, status
"#,
    );
    assert_eq!(scene.changes(), ["added f"]);
}

#[test]
fn an_end_of_input_key_ends_input() {
    let scene = Scene::new();
    at_a_terminal(
        &scene,
        r#"
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'cat > typed; echo done')
t.type('words\n\x04')
t.expect('done')
assert os.WEXITSTATUS(t.end()) == 0
"#,
    );
    assert_eq!(scene.inside("cat typed"), "words\n");
}

#[test]
fn the_stop_key_and_the_shells_fg_work() {
    let scene = Scene::new();
    at_a_terminal(
        &scene,
        r#"
t = Terminal('bash', '--norc', '-i')
t.expect('$ ')
t.type(CTRLZ + ' run -- sh -c "echo ready; read line; echo got-\\$line"\n')
t.expect('ready\r\n')
t.type('\x1a')
t.expect('Stopped')
t.type('echo outside-$((40 + 2))\n')
t.expect('outside-42')
t.type('fg\n')
t.expect('run -- sh')
t.type('word\n')
t.expect('got-word')
t.type('exit 6\n')
assert os.WEXITSTATUS(t.end()) == 6
"#,
    );
}

#[test]
fn a_resize_reaches_the_command() {
    let scene = Scene::new();
    at_a_terminal(
        &scene,
        r#"
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done')
t.expect('ready')
fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack('HHHH', 12, 34, 0, 0))
t.expect('12 34')
t.end()
"#,
    );
}

#[test]
fn a_shell_has_job_control_and_leaves_the_terminal_as_it_was() {
    let scene = Scene::new();
    scene.inside("true");
    at_a_terminal(
        &scene,
        r#"
os.environ['SHELL'] = '/bin/bash'
t = Terminal('bash', '--norc', '-i')
t.expect('$ ')
t.type(CTRLZ + ' shell\n')
# The echo of what is typed has the quotes, the prompt does not.
t.type('PS1="in"">" ; echo made > made\n')
t.expect('in>')
t.type('sh -c "echo run""ning; exec sleep 500"\n')
t.expect('running')
t.type('\x1a')
t.expect('Stopped')
t.type('kill -9 %1; while jobs | grep -q Stopped; do sleep 0.1; done; echo wa""ited\n')
t.expect('waited')
t.type('exit 4\n')
t.expect('$ ')
t.type('echo code-$? again-$((1 + 1))\n')
t.expect('code-4 again-2')
t.type('exit\n')
assert os.WEXITSTATUS(t.end()) == 0
"#,
    );
    assert!(scene.changes().contains(&"added made".to_owned()));
}

#[test]
fn colour_and_a_summary_come_on_a_terminal_alone() {
    let scene = Scene::with("echo one > a");
    at_a_terminal(
        &scene,
        r#"
t = Terminal(CTRLZ, 'run', '--', 'sh', '-c', 'echo two > a; echo new > b')
t.expect('1 added, 1 modified')
assert os.WEXITSTATUS(t.end()) == 0
t = Terminal(CTRLZ, 'diff')
t.expect('\x1b[')
t.end()
os.environ['NO_COLOR'] = '1'
t = Terminal(CTRLZ, 'diff')
t.expect('1 modified')
assert '\x1b[' not in t.seen
t.end()
"#,
    );
    assert!(!scene.ok(&["diff"]).contains('\x1b'));
    assert!(!scene.ok(&["diff", "-p"]).contains('\x1b'));
}

#[test]
fn names_cannot_steer_the_terminal() {
    let scene = Scene::new();
    scene.inside("printf x > \"$(printf 'a\\033[2Jb')\"");
    let text = scene.ok(&["diff"]);
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(!scene.ok(&["diff", "-p"]).contains('\x1b'));
    scene.run(&["run", "--summary", "always", "--", "true", "\x1b[2J"]).ok();
    assert!(!scene.ok(&["log"]).contains('\x1b'));
    let last = scene.last();
    assert!(!scene.ok(&["show", &last]).contains('\x1b'));
}
