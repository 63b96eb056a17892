//! Signals reach the command, and its end by one is seen outside.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Outcome, Scene, python};

/// Starts ctrlz and waits for the command's first line.
fn started(scene: &Scene, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = scene.ctrlz(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("read a line");
    assert_eq!(line, "ready\n");
    (child, out)
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("send a signal");
}

/// A line of /proc/PID/status without its name.
fn status(pid: u32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim().to_owned()
}

/// How often a test looks whether it is so far.
const MOMENT: Duration = Duration::from_millis(5);

/// Ends its input and waits for its end.
fn finish(mut child: Child, mut out: BufReader<std::process::ChildStdout>) -> Outcome {
    drop(child.stdin.take());
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).expect("read");
    let mut output = child.wait_with_output().expect("wait");
    output.stdout = rest;
    Outcome::new(&std::process::Command::new("ctrlz"), output)
}

#[test]
fn a_death_by_signal_is_seen_as_one() {
    let scene = Scene::new();
    for signal in [1, 2, 3, 6, 9, 10, 13, 14, 15] {
        let script = format!("kill -{signal} $$");
        scene.run(&["run", "--", "sh", "-c", &script]).signal(signal).says_nothing();
    }
    let out = scene.host("\"$CTRLZ\" run -- sh -c 'kill -TERM $$' || echo $?");
    assert_eq!(out, "143\n");
}

#[test]
fn a_program_error_is_seen_as_its_signal() {
    let scene = Scene::new();
    scene
        .run(&["run", "--", "/usr/bin/python3", "-c", "import ctypes; ctypes.string_at(0)"])
        .signal(11);
    scene.run(&["run", "--", "sh", "-c", "kill -SEGV $$"]).signal(11);
}

#[test]
fn a_command_that_leaves_its_process_group_ends_all_the_same() {
    let scene = Scene::new();
    scene.run(&["run", "--timeout", "20", "--", "setsid", "sh", "-c", "exit 6"]).code(6);
    let program = "import os; os.setpgid(0, 0); os._exit(5)";
    scene.run(&["run", "--timeout", "20", "--", "/usr/bin/python3", "-c", program]).code(5);
}

#[test]
fn signals_to_ctrlz_reach_the_command() {
    let scene = Scene::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2]
    {
        let script = format!(
            "trap 'echo got; exit 7' {}; echo ready; while :; do sleep 0.05; done",
            signal.as_raw()
        );
        let (child, out) = started(&scene, &["run", "--", "sh", "-c", &script]);
        send(&child, signal);
        assert_eq!(finish(child, out).code(7).out(), "got\n");
    }
}

#[test]
fn a_signal_that_the_command_does_not_handle_ends_it_as_without_ctrlz() {
    let scene = Scene::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
        let (child, out) =
            started(&scene, &["run", "--", "sh", "-c", "echo x > f; echo ready; exec sleep 60"]);
        send(&child, signal);
        finish(child, out).signal(signal.as_raw());
        assert_eq!(scene.changes(), ["added f"]);
    }
}

#[test]
fn a_signal_that_the_command_ignores_does_not_end_it() {
    let scene = Scene::new();
    let script = "trap '' TERM HUP; echo ready; read line; echo done";
    let (child, out) = started(&scene, &["run", "--", "sh", "-c", script]);
    send(&child, Signal::TERM);
    send(&child, Signal::HUP);
    // Until ctrlz has taken both.
    while status(child.id(), "ShdPnd:") != "0000000000000000" {
        sleep(MOMENT);
    }
    assert_eq!(finish(child, out).ok().out(), "done\n");
}

/// A ctrlz that a busy machine lets run only when all is over finds the signal and the end at once.
#[test]
fn a_signal_that_comes_just_before_the_end_does_not_cost_the_outcome() {
    let scene = Scene::new();
    let script = "trap '' TERM; echo ready; read line; echo kept > f; exit 5";
    let (mut child, out) = started(&scene, &["run", "--", "sh", "-c", script]);
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let children = std::fs::read_to_string(children).expect("the children of ctrlz");
    let process_1: u32 = children.trim().parse().expect("one child");
    send(&child, Signal::STOP);
    while status(child.id(), "State:") != "T (stopped)" {
        sleep(MOMENT);
    }
    send(&child, Signal::TERM);
    drop(child.stdin.take());
    while status(process_1, "State:") != "Z (zombie)" {
        sleep(MOMENT);
    }
    send(&child, Signal::CONT);
    finish(child, out).code(5);
    assert_eq!(scene.changes(), ["added f"]);
}

#[test]
fn ignored_signals_are_inherited_as_nohup_wants() {
    let scene = Scene::new();
    let out =
        scene.host("trap '' HUP; \"$CTRLZ\" run -- sh -c 'kill -HUP $$; echo survived' | cat");
    assert_eq!(out, "survived\n");
}

#[test]
fn the_signal_mask_and_dispositions_are_not_changed() {
    let scene = Scene::new();
    let program = r#"
import os, signal, subprocess
def state(prefix):
    out = subprocess.run(prefix + ['grep', '-E', '^Sig(Blk|Ign|Cgt):', '/proc/self/status'],
                         stdout=subprocess.PIPE, check=True).stdout
    # 32 and 33 are the C library's own, which posix_spawn ignores.
    return [int(word, 16) & ~(3 << 31) for word in out.decode().split()[1::2]]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
plain, inside = state([]), state([os.environ['CTRLZ'], 'run', '--'])
assert plain == inside, (plain, inside)
"#;
    python(&scene, program).ok();
}

#[test]
fn a_stopped_command_stops_ctrlz_and_goes_on_with_it() {
    let scene = Scene::new();
    let program = r#"
import os, signal, subprocess, sys, time
p = subprocess.Popen([os.environ['CTRLZ'], 'run', '--', 'sh', '-c',
                      'echo one; kill -STOP $$; echo two > f; echo two; exit 3'],
                     stdout=subprocess.PIPE)
assert p.stdout.readline() == b'one\n'
pid, status = os.waitpid(p.pid, os.WUNTRACED)
assert os.WIFSTOPPED(status), status
os.kill(p.pid, signal.SIGCONT)
assert p.stdout.readline() == b'two\n'
assert p.wait() == 3
"#;
    python(&scene, program).ok();
    assert_eq!(scene.changes(), ["added f"]);
}

#[test]
fn a_terminal_stop_sent_to_ctrlz_stops_both() {
    let scene = Scene::new();
    let program = r#"
import os, signal, subprocess, time
p = subprocess.Popen([os.environ['CTRLZ'], 'run', '--', 'sh', '-c',
                      'echo ready; read line; echo got $line'],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert p.stdout.readline() == b'ready\n'
os.kill(p.pid, signal.SIGTSTP)
pid, status = os.waitpid(p.pid, os.WUNTRACED)
assert os.WIFSTOPPED(status), status
os.kill(p.pid, signal.SIGCONT)
p.stdin.write(b'it\n')
p.stdin.close()
assert p.stdout.readline() == b'got it\n'
assert p.wait() == 0
"#;
    python(&scene, program).ok();
}
