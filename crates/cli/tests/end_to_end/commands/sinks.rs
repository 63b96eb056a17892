//! Events that are sent on, by the daemon and without it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Outcome, Scene, has, interpreter, skipped};

/// A scene whose user has these sinks.
fn with_sinks(text: &str) -> Scene {
    let scene = Scene::new();
    scene.host("mkdir -p \"$HOME/.config/ctrlz\"");
    configure(&scene, text);
    scene
}

fn configure(scene: &Scene, text: &str) {
    scene.host(&format!("cat > \"$HOME/.config/ctrlz/sinks.yaml\" <<'END'\n{text}\nEND"));
}

/// Waits until `script` succeeds.
fn until(scene: &Scene, script: &str) {
    let limit = "[ $n -lt 3000 ] || exit 1; n=$((n + 1))";
    scene.host(&format!("n=0; until {script}; do {limit}; sleep 0.02; done"));
}

/// The daemon, once it has said that it runs.
fn daemon(scene: &Scene) -> Child {
    let mut daemon =
        scene.ctrlz(["--json", "daemon"]).stdout(Stdio::piped()).spawn().expect("start");
    let mut line = String::new();
    let out = daemon.stdout.as_mut().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("read");
    let told: Value = serde_json::from_str(&line).expect("an object");
    assert_eq!(told["ok"], true, "{line}");
    daemon
}

/// Ends it as a service manager does.
fn end(mut daemon: Child) {
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
    assert!(daemon.wait().expect("wait").success());
}

const FILE: &str = "sinks: { log: { file: log/events.jsonl } }";
const LOG: &str = "\"$HOME/.config/ctrlz/log/events.jsonl\"";

#[test]
fn without_a_daemon_commands_deliver_behind_them() {
    let scene = with_sinks(FILE);
    scene.ok(&["sinks", "deliver"]);
    scene.inside("echo 1 > one");
    until(&scene, &format!("grep -qs operation.finished {LOG}"));
    let status = scene.json(&["sinks"]);
    let log = &status["sinks"][0];
    assert_eq!((&log["name"], &log["kind"]), (&Value::from("log"), &Value::from("file")));
    assert_eq!(log["error"], "");
    scene.ok(&["sinks", "test", "log"]);
    until(&scene, &format!("grep -q sink.tested {LOG}"));
    // Each event once, in order, however many processes deliver.
    for _ in 0..4 {
        scene.inside("echo more >> one");
    }
    scene.ok(&["sinks", "test", "log"]);
    let numbers = scene.host(&format!("sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/' {LOG}"));
    let numbers: Vec<i64> = numbers.lines().map(|line| line.parse().expect("a number")).collect();
    let expected: Vec<i64> = (1..=numbers.len().try_into().expect("few")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn a_dead_sink_holds_up_nothing_and_its_letters_are_sent_again() {
    let scene = with_sinks("sinks: { hook: { command: [\"false\"], attempts: 1 } }");
    scene.ok(&["sinks", "deliver"]);
    scene.inside("echo 1 > one");
    scene.run(&["sinks", "test", "hook"]).code(125).says(&["did not take", "false failed"]);
    scene.ok(&["sinks", "deliver"]);
    let dead = scene.json(&["sinks"])["sinks"][0]["dead"].as_u64().expect("a number");
    assert!(dead >= 2, "{dead}");
    scene.run(&["sinks", "retry", "hook"]).code(125).says(&["are left", "false failed"]);
    configure(&scene, "sinks: { hook: { command: [sh, -c, 'cat >> \"$HOME/got\"'] } }");
    scene.ok(&["sinks", "retry", "hook"]);
    assert!(scene.host("cat \"$HOME/got\"").contains("operation.finished"));
    scene.run(&["sinks", "retry", "other"]).code(123).says(&["there are: hook"]);
    configure(&scene, "sinks: { hook: { comand: [x] } }");
    scene.run(&["sinks"]).code(125).says(&["sinks.yaml:1", "did you mean `command`?"]);
    scene.inside("echo a broken configuration of sinks is in nobody\\'s way");
}

#[test]
fn a_slow_sink_holds_up_no_operation_and_gets_all_later() {
    // It takes no event before the file is gone.
    let scene = with_sinks(
        "sinks: { slow: { types: [operation.finished], timeout: 10m, command: [sh, -c, \
         ': > \"$HOME/began\"; while [ -e \"$HOME/hold\" ]; do sleep 0.02; done; cat >> \"$HOME/got\"'] } }",
    );
    scene.ok(&["sinks", "deliver"]);
    scene.host(": > \"$HOME/hold\"");
    scene.inside("echo 1 > one");
    until(&scene, "test -e \"$HOME/began\"");
    // While it has the first event in hand, and nothing else may be sent to it.
    for number in 2..6 {
        scene.inside(&format!("echo {number} > one"));
    }
    scene.ok(&["undo"]);
    let status = scene.json(&["sinks"])["sinks"][0].clone();
    assert_eq!((&status["delivered"], &status["lost"]), (&Value::from(0), &Value::from(0)));
    assert!(!scene.host("ls -A \"$HOME\"").contains("got"));
    scene.host("rm \"$HOME/hold\"");
    // Each once, in order.
    until(&scene, "[ \"$(grep -c operation.finished \"$HOME/got\")\" = 6 ]");
    let ids = scene.host("sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/' \"$HOME/got\"");
    let ids: Vec<i64> = ids.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

#[test]
fn what_a_sink_says_of_its_failure_is_told_without_secrets() {
    let hook = "sinks: { hook: { attempts: 1, command: [sh, -c, \
         'echo \"$0: $1\" >&2; cat \"$HOME/said\" >&2; exit 7', my-hook, opensesame] } }";
    let scene = with_sinks(hook);
    // What only looks like a secret, and what is one by the configuration.
    scene.host("echo '> Authorization: Bearer Tr0ub4dor-3-Tr0ub4dor-3' > \"$HOME/said\"");
    scene.ok(&["sinks", "deliver"]);
    scene.inside("echo 1 > one");
    scene.run(&["sinks", "deliver"]);
    // What it inherits and repeats.
    configure(
        &scene,
        "sinks: { other: { command: [sh, -c, 'echo \"it is $MY_KEY.\" >&2; exit 7'] } }",
    );
    let mut command = scene.ctrlz(["sinks", "test", "other"]);
    let repeated = Outcome::of(command.env("MY_KEY", "plainword")).code(125);
    assert!(repeated.err().contains("it is ‹redacted›."), "{repeated}");
    configure(&scene, hook);
    until(&scene, "grep -qs attempts \"$CTRLZ_HOME/sinks/hook/dead-letters.jsonl\"");
    let tested = scene.run(&["sinks", "test", "hook"]).code(125);
    let retried = scene.run(&["sinks", "retry", "hook"]).code(125);
    let health = scene.run(&["--json", "health"]);
    let kept = scene.host("cat \"$CTRLZ_HOME\"/sinks/hook/*");
    for told in [
        tested.err(),
        retried.err(),
        health.out(),
        scene.ok(&["sinks"]),
        scene.json(&["sinks"]).to_string(),
        scene.json(&["events", "-n", "1000"]).to_string(),
        kept,
    ] {
        assert!(!told.contains("Tr0ub4dor") && !told.contains("opensesame"), "{told}");
    }
    assert!(tested.err().contains("sh failed (exit status: 7)"), "{tested}");
}

#[test]
fn a_daemon_delivers_signs_notices_changes_and_ends() {
    let scene = with_sinks(FILE);
    let daemon = daemon(&scene);
    scene.run(&["daemon"]).code(123).says(&["runs already"]);
    scene.inside("echo 1 > one");
    until(&scene, &format!("grep -qs operation.finished {LOG}"));
    until(&scene, "ls \"$CTRLZ_HOME\"/audit/*.note > /dev/null 2>&1");
    configure(&scene, "sinks: {}");
    until(&scene, &format!("grep -qs 'changed under the running daemon.*sinks.yaml' {LOG}"));
    end(daemon);
    scene.ok(&["audit", "verify"]);
}

#[test]
fn a_killed_daemon_leaves_nothing_undone() {
    let scene = with_sinks(FILE);
    let mut first = daemon(&scene);
    scene.inside("echo 1 > one");
    first.kill().expect("kill");
    first.wait().expect("wait");
    scene.inside("echo 2 > two");
    let second = daemon(&scene);
    let last = scene.json(&["events", "-n", "1"])["last"].as_i64().expect("a number");
    until(&scene, &format!("grep -qs '\"id\":\"{last}\"' {LOG}"));
    end(second);
    let count = scene.host(&format!("grep -c . {LOG}; cut -d, -f2 {LOG} | sort -u | grep -c ."));
    let counts: Vec<&str> = count.lines().collect();
    assert_eq!(counts[0], counts[1], "each once");
}

#[test]
fn a_webhook_over_tls_trusts_whom_it_was_told_to_trust() {
    if !has("openssl") {
        return skipped("openssl is not installed");
    }
    let scene = with_sinks("sinks: {}");
    scene.host(
        "cd \"$HOME/.config/ctrlz\"
         openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem \
           -subj /CN=authority 2>/dev/null
         openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem \
           -subj /CN=localhost 2>/dev/null
         echo subjectAltName=DNS:localhost > names
         openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
           -extfile names -out server.pem 2>/dev/null",
    );
    let program = "
import http.server, os, ssl, sys, threading
folder = os.path.join(os.environ['HOME'], '.config/ctrlz')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        with open(os.path.join(folder, 'got'), 'ab') as got:
            got.write(body + b'\\n')
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(folder, 'server.pem'), os.path.join(folder, 'key.pem'))
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
";
    let mut server = scene
        .program(interpreter(), ["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start");
    let mut port = String::new();
    BufReader::new(server.stdout.as_mut().expect("piped")).read_line(&mut port).expect("read");
    let url = format!("https://localhost:{}/hook", port.trim());
    configure(&scene, &format!("sinks: {{ hook: {{ webhook: '{url}' }} }}"));
    scene.run(&["sinks", "test", "hook"]).code(125).says(&["did not take", "certificate"]);
    configure(&scene, &format!("sinks: {{ trusted: {{ webhook: '{url}', ca: ca.pem }} }}"));
    scene.ok(&["sinks", "test", "trusted"]);
    // It ends when nobody holds its standard input, whatever becomes of this test.
    drop(server.stdin.take());
    server.wait().expect("wait");
    let got = scene.host("cat \"$HOME/.config/ctrlz/got\"");
    assert!(got.contains("sink.tested"), "{got}");
}

#[test]
fn handlers_of_webhooks_and_commands_hear_of_what_they_are_named_after() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let scene = with_sinks(&format!(
        "sinks:\n  alerts: {{ types: [on_safety_violation, on_rollback_required], \
         webhook: 'http://{address}/hook' }}\n  \
         begun: {{ types: [on_operation_start], command: [sh, -c, 'cat >> \"$HOME/begun\"'] }}"
    ));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a request");
            let mut reader = BufReader::new(stream.try_clone().expect("the same"));
            let mut length = 0;
            for line in reader.by_ref().lines() {
                let line = line.expect("a line").to_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("answered");
            let event = serde_json::from_slice::<Value>(&body).expect("an event");
            // Nobody waits for it when the test is over.
            let _ = sender.send(event);
        }
    });
    scene.ok(&["sinks", "deliver"]);
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\n");
    scene.inside("echo good > good");
    scene.run(&["run", "--", "rm", "-rf", "/"]).code(123);
    scene.run(&["run", "--", "touch", "broken"]).ok();
    scene.ok(&["sinks", "deliver"]);
    let event = || receiver.recv_timeout(std::time::Duration::from_secs(60)).expect("an event");
    let heard = [event(), event()];
    let types = heard.iter().map(|event| event["type"].as_str().expect("a type"));
    let expected = ["safety.violation", "rollback.required"];
    assert_eq!(types.collect::<Vec<_>>(), expected.map(|kind| format!("io.github.ctrlz.{kind}")));
    assert_eq!(heard[0]["data"]["verdict"]["risk"], "critical", "{}", heard[0]);
    until(&scene, "grep -q broken \"$HOME/begun\"");
    for line in scene.host("cat \"$HOME/begun\"").lines() {
        let event: Value = serde_json::from_str(line).expect("an event");
        assert_eq!(event["type"], "io.github.ctrlz.operation.started", "{line}");
    }
}
