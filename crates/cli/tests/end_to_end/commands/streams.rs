//! Standard input, output and error are the caller's own.

use std::io::Write as _;
use std::process::Stdio;
use std::thread;

use crate::support::{Outcome, Scene, python};

/// Every byte, more than a pipe holds.
fn noise() -> Vec<u8> {
    (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn feed(command: &mut std::process::Command, input: Vec<u8>) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start ctrlz");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("wait for ctrlz");
    writer.join().expect("the writer");
    Outcome::new(command, output)
}

#[test]
fn input_passes_byte_for_byte() {
    let scene = Scene::new();
    let outcome = feed(&mut scene.ctrlz(["run", "--", "cat"]), noise()).ok().says_nothing();
    assert!(outcome.stdout == noise());
    let outcome = feed(&mut scene.ctrlz(["run", "--", "sh", "-c", "cat > f"]), noise());
    outcome.ok();
    assert!(Outcome::of(&mut scene.ctrlz(["run", "--", "cat", "f"])).ok().stdout == noise());
}

#[test]
fn error_output_passes_byte_for_byte_and_apart() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["run", "--", "sh", "-c", "tee /dev/stderr"]);
    let outcome = feed(&mut command, noise()).ok();
    assert!(outcome.stdout == noise());
    assert!(outcome.stderr == noise());
}

#[test]
fn output_passes_byte_for_byte_under_a_limit() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["run", "--max-output", "1M", "--", "cat"]);
    let outcome = feed(&mut command, noise()).ok().says_nothing();
    assert!(outcome.stdout == noise());
}

#[test]
fn input_that_nobody_reads_is_left_for_the_next() {
    let scene = Scene::with("printf 'first\\nsecond\\n' > lines");
    let out = scene.host("(\"$CTRLZ\" run -- sh -c 'read a; echo got $a'; cat) < lines");
    assert_eq!(out, "got first\nsecond\n");
}

#[test]
fn with_json_the_commands_output_goes_to_standard_error() {
    let scene = Scene::new();
    let outcome = scene.run(&["--json", "run", "--", "sh", "-c", "echo out; echo err >&2; exit 5"]);
    let outcome = outcome.code(5);
    assert_eq!(outcome.err(), "out\nerr\n");
    assert_eq!(outcome.json()["command"]["exit"]["code"], 5);
}

#[test]
fn a_reader_that_went_away_ends_the_command_as_without_ctrlz() {
    let scene = Scene::new();
    let program = r#"
import os, signal, subprocess, sys
def ends(command):
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, restore_signals=True)
    line = p.stdout.readline()
    p.stdout.close()
    err = p.stderr.read()
    return line, p.wait(), err
plain = ends(['yes'])
inside = ends([os.environ['CTRLZ'], 'run', '--', 'yes'])
assert plain == inside == (b'y\n', -signal.SIGPIPE, b''), (plain, inside)
limited = ends([os.environ['CTRLZ'], 'run', '--max-output', '10M', '--', 'yes'])
assert limited[0] == b'y\n', limited
"#;
    python(&scene, program).ok();
}

#[test]
fn own_output_into_a_closed_pipe_is_no_panic() {
    let scene = Scene::new();
    scene.inside("for i in $(seq 3000); do echo x > file$i; done");
    let program = r#"
import os, subprocess
for command in (['diff'], ['log'], ['diff', '-p'], ['--json', 'diff'], ['config', 'show']):
    p = subprocess.Popen([os.environ['CTRLZ']] + command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    err = p.stderr.read()
    code = p.wait()
    assert b'panic' not in err, (command, err)
    assert code in (0, -13), (command, code, err)
"#;
    python(&scene, program).ok();
}

#[test]
fn closed_streams_are_no_obstacle() {
    let scene = Scene::new();
    let out = scene.host("\"$CTRLZ\" run -- sh -c 'read a; echo end of input $?' <&-");
    assert_eq!(out, "end of input 1\n");
    let out = scene.host("\"$CTRLZ\" run -- sh -c 'echo lost; echo kept >&2' 2>&1 >&-");
    assert_eq!(out, "kept\n");
    scene.host("\"$CTRLZ\" run -- sh -c 'echo x > made' <&- >&- 2>&-");
    assert!(scene.changes().contains(&"added made".to_owned()));
}

#[test]
fn descriptors_of_the_caller_do_not_leak_inside() {
    let scene = Scene::with("echo secret > ../outside");
    let out = scene
        .host("exec 7< ../outside; \"$CTRLZ\" run -- sh -c 'cat <&7 || echo none' 2>/dev/null");
    assert_eq!(out, "none\n");
}
