//! Real sinks behind a real log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use ctrlz_core::event::{ConfigurationChanged, Event, Happening, RollbackRequired};
use ctrlz_core::sink::{SecretSource, SinkConfig, SinkTarget};
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::store::Store;
use ctrlz_sinks::{Delivered, Office, Probed, dead_letters, deliver, probe, retry, status};
use ctrlz_store::SqliteStore;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Span = Span(Duration::from_secs(5));

struct Scene {
    dir: tempfile::TempDir,
    store: SqliteStore,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sinks(&self) -> PathBuf {
        self.at("store/sinks")
    }

    /// Lets something happen, with that reason.
    fn happen(&self, reason: &str) -> i64 {
        let happening = RollbackRequired { reason: reason.to_owned(), to: None };
        self.store.emit(None, Happening::RollbackRequired(happening)).unwrap()
    }

    fn deliver(&self, sink: &SinkConfig) -> Delivered {
        deliver(office(&self.store, &self.sinks()), sink, LONG).unwrap()
    }

    /// Lets time pass for a sink that pauses.
    fn end_pause(&self, sink: &SinkConfig) {
        let path = self.sinks().join(&sink.name).join("position");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut position: serde_json::Value = serde_json::from_str(&text).unwrap();
        position["not_before"] = 0.into();
        std::fs::write(path, position.to_string()).unwrap();
    }
}

/// Nothing here looks like a secret.
fn office<'o>(store: &'o dyn Store, sinks: &'o Path) -> Office<'o> {
    Office { store, sinks, redact: &str::to_owned }
}

fn sink(target: SinkTarget) -> SinkConfig {
    SinkConfig { name: "test".to_owned(), types: Vec::new(), attempts: 3, target }
}

fn file(path: PathBuf, max_size: u64, keep: u32) -> SinkConfig {
    sink(SinkTarget::File { path, max_size: ByteSize(max_size), keep })
}

fn command(script: &str) -> SinkConfig {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    sink(SinkTarget::Command { argv, timeout: SHORT })
}

/// The reasons of the events in some JSON lines.
fn reasons(text: &str) -> Vec<String> {
    let reason = |line: &str| match serde_json::from_str::<Event>(line).unwrap().happening {
        Happening::RollbackRequired(required) => required.reason,
        other => format!("{other:?}"),
    };
    text.lines().map(reason).collect()
}

fn read(path: &Path) -> Vec<String> {
    reasons(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn a_new_sink_begins_now_and_a_file_gets_each_event_once() {
    let scene = Scene::new();
    scene.happen("before");
    let sink = file(scene.at("logs/events.jsonl"), 1 << 20, 2);
    assert_eq!(status(&scene.store, &scene.sinks(), &sink).unwrap().pending, 0);
    assert_eq!(scene.deliver(&sink).taken, 0);
    for reason in ["one", "two", "three"] {
        scene.happen(reason);
    }
    assert_eq!(status(&scene.store, &scene.sinks(), &sink).unwrap().pending, 3);
    let done = scene.deliver(&sink);
    assert_eq!((done.taken, done.pending, done.position.delivered), (3, 0, 3));
    assert_eq!(read(&scene.at("logs/events.jsonl")), ["one", "two", "three"]);
    assert_eq!(scene.deliver(&sink).taken, 0);
}

#[test]
fn a_crash_neither_loses_nor_doubles_a_line() {
    let scene = Scene::new();
    let path = scene.at("events.jsonl");
    let sink = file(path.clone(), 1 << 20, 2);
    scene.deliver(&sink);
    scene.happen("one");
    let position = scene.sinks().join("test/position");
    let before = std::fs::read(&position).unwrap();
    scene.deliver(&sink);
    // It was written, but that it was is not known.
    std::fs::write(&position, &before).unwrap();
    scene.happen("two");
    scene.deliver(&sink);
    assert_eq!(read(&path), ["one", "two"]);
    // A disk that was full in the middle of a line.
    let half = std::fs::read(&position).unwrap();
    scene.happen("three");
    scene.deliver(&sink);
    std::fs::write(&position, half).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 40]).unwrap();
    scene.deliver(&sink);
    assert_eq!(read(&path), ["one", "two", "three"]);
}

#[test]
fn a_file_is_rotated_and_nothing_is_lost_in_between() {
    let scene = Scene::new();
    let path = scene.at("events.jsonl");
    let sink = file(path.clone(), 1500, 2);
    scene.deliver(&sink);
    for number in 0..10 {
        scene.happen(&format!("event {number}"));
        scene.deliver(&sink);
    }
    let rotated = |number: u32| path.with_extension(format!("jsonl.{number}"));
    let mut all = read(&rotated(2));
    all.extend(read(&rotated(1)));
    all.extend(read(&path));
    let newest: Vec<String> = (10 - all.len()..10).map(|n| format!("event {n}")).collect();
    assert_eq!(all, newest);
    assert!(all.len() >= 6, "{all:?}");
    assert!(!rotated(3).exists());
    assert!(path.metadata().unwrap().len() <= 1500);
}

#[test]
fn only_the_types_that_are_wanted_are_sent() {
    let scene = Scene::new();
    let mut sink = file(scene.at("events.jsonl"), 1 << 20, 1);
    sink.types = vec!["rollback".to_owned()];
    scene.deliver(&sink);
    let changed = ConfigurationChanged { files: Vec::new() };
    scene.store.emit(None, Happening::ConfigurationChanged(changed)).unwrap();
    scene.happen("wanted");
    assert_eq!(scene.deliver(&sink).taken, 1);
    assert_eq!(read(&scene.at("events.jsonl")), ["wanted"]);
}

#[test]
fn a_command_reads_the_event_and_one_that_fails_is_asked_again() {
    let scene = Scene::new();
    let out = scene.at("out");
    let script =
        format!("[ -e {0}.ready ] && cat >> {0} || {{ echo no >&2; exit 3; }}", out.display());
    let sink = command(&script);
    scene.deliver(&sink);
    scene.happen("one");
    let done = scene.deliver(&sink);
    assert_eq!((done.taken, done.died, done.pending, done.position.failures), (0, 0, 1, 1));
    assert!(done.position.error.contains("exit status: 3): no"), "{}", done.position.error);
    let again = scene.deliver(&sink);
    assert_eq!(again.position.failures, 1, "it pauses");
    std::fs::write(scene.at("out.ready"), "").unwrap();
    scene.end_pause(&sink);
    let done = scene.deliver(&sink);
    assert_eq!((done.taken, done.pending, done.position.failures), (1, 0, 0));
    assert_eq!(read(&out), ["one"]);
}

#[test]
fn what_fails_too_often_is_a_dead_letter_and_the_next_has_its_turn() {
    let scene = Scene::new();
    let out = scene.at("out");
    let sink = command(&format!(
        "read -r line; case $line in *poison*) exit 1;; *) echo \"$line\" >> {};; esac",
        out.display()
    ));
    scene.deliver(&sink);
    for reason in ["one", "poison", "two"] {
        scene.happen(reason);
    }
    for _ in 0..2 {
        assert_eq!(scene.deliver(&sink).died, 0);
        scene.end_pause(&sink);
    }
    let done = scene.deliver(&sink);
    assert_eq!((done.died, done.pending, done.position.dead), (1, 0, 1));
    assert_eq!(read(&out), ["one", "two"]);
    let dead = dead_letters(&scene.sinks(), "test").unwrap();
    assert_eq!((dead.len(), dead[0].attempts), (1, 3));
    assert_eq!(reasons(&dead[0].event), ["poison"]);

    let still = retry(office(&scene.store, &scene.sinks()), &sink).unwrap().unwrap();
    assert_eq!((still.sent, still.left), (0, 1));
    let cured = command(&format!("cat >> {}", out.display()));
    let sent = retry(office(&scene.store, &scene.sinks()), &cured).unwrap().unwrap();
    assert_eq!((sent.sent, sent.left, sent.error.as_str()), (1, 0, ""));
    assert_eq!(status(&scene.store, &scene.sinks(), &sink).unwrap().position.dead, 0);
    assert_eq!(scene.deliver(&sink).position.dead, 0);
    assert_eq!(dead_letters(&scene.sinks(), "test").unwrap(), []);
    assert_eq!(read(&out), ["one", "two", "poison"]);
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let scene = Scene::new();
    let pid = scene.at("pid");
    let mut sink = command(&format!("sleep 600 & echo $! > {}; wait", pid.display()));
    if let SinkTarget::Command { timeout, .. } = &mut sink.target {
        *timeout = Span(Duration::from_millis(300));
    }
    scene.deliver(&sink);
    scene.happen("one");
    let done = scene.deliver(&sink);
    assert!(done.position.error.contains("took longer than 300ms"), "{}", done.position.error);
    let left = std::fs::read_to_string(&pid).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", left.trim()));
    assert!(stat.is_err() || stat.unwrap().contains(") Z"), "it still runs");
}

#[test]
fn a_socket_gets_lines_and_nobody_listening_is_a_pause() {
    let scene = Scene::new();
    let path = scene.at("socket");
    let sink = sink(SinkTarget::Socket { path: path.clone(), timeout: SHORT });
    scene.deliver(&sink);
    scene.happen("one");
    let done = scene.deliver(&sink);
    assert_eq!((done.taken, done.position.failures), (0, 1));
    let listener = UnixListener::bind(&path).unwrap();
    let reader = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream).lines().take(2);
        lines.map(|line| line.unwrap() + "\n").collect::<String>()
    });
    scene.end_pause(&sink);
    scene.happen("two");
    assert_eq!(scene.deliver(&sink).taken, 2);
    assert_eq!(reasons(&reader.join().unwrap()), ["one", "two"]);
}

/// Answers one request after the other with these status lines; hands over what was asked.
fn server(answers: &'static [&'static str]) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut request, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                request += &line;
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request += &String::from_utf8(body).unwrap();
            write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            sender.send(request).unwrap();
        }
    });
    (url, receiver)
}

#[test]
fn a_webhook_is_signed_retried_and_not_redirected() {
    let scene = Scene::new();
    let secret = scene.at("secret");
    std::fs::write(&secret, "topsecret\n").unwrap();
    let answers = &["503 Busy", "302 Found\r\nlocation: /elsewhere", "204 No Content", "410 Gone"];
    let (url, requests) = server(answers);
    let mut sink = sink(SinkTarget::Webhook {
        url,
        secret: Some(SecretSource::File(secret)),
        ca: None,
        timeout: SHORT,
    });
    sink.attempts = 9;
    scene.deliver(&sink);
    let number = scene.happen("one");
    for answered in ["503", "302"] {
        let done = scene.deliver(&sink);
        assert_eq!(done.taken, 0);
        assert!(done.position.error.contains(answered), "{}", done.position.error);
        assert!(!done.position.error.contains("hook"), "{}", done.position.error);
        requests.recv_timeout(LONG).unwrap();
        scene.end_pause(&sink);
    }
    assert_eq!(scene.deliver(&sink).taken, 1);
    let request = requests.recv_timeout(LONG).unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    let header = |name: &str| {
        let lines = request.lines();
        let found = lines.filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("no {name} in {request}")).1.to_owned()
    };
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(reasons(body), ["one"]);
    let source = scene.store.log_head().unwrap().source;
    assert_eq!(header("webhook-id"), format!("{source}/{number}"));
    assert!(header("content-type").starts_with("application/cloudevents+json"));
    // openssl(1) says the same of it.
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let script = "openssl dgst -sha256 -hmac topsecret -binary | base64";
    let mut openssl = std::process::Command::new("sh")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    let expected = String::from_utf8(output.stdout).unwrap();
    assert_eq!(header("webhook-signature"), format!("v1,{}", expected.trim()));

    scene.happen("two");
    let done = scene.deliver(&sink);
    assert_eq!((done.died, done.position.dead), (1, 1), "gone is for good");
}

#[test]
fn a_missing_secret_is_told_and_nothing_goes_unsigned() {
    let scene = Scene::new();
    let (url, requests) = server(&["204 No Content"]);
    let secret = Some(SecretSource::Variable("CTRLZ_TEST_NO_SUCH_VARIABLE".to_owned()));
    let sink = sink(SinkTarget::Webhook { url, secret, ca: None, timeout: SHORT });
    scene.deliver(&sink);
    scene.happen("one");
    let done = scene.deliver(&sink);
    assert!(done.position.error.contains("CTRLZ_TEST_NO_SUCH_VARIABLE"), "{done:?}");
    assert!(requests.try_recv().is_err());
}

#[test]
fn one_process_at_a_time_delivers() {
    let scene = Scene::new();
    let out = scene.at("out");
    let sink = command(&format!("sleep 0.2; cat >> {}", out.display()));
    scene.deliver(&sink);
    for number in 0..4 {
        scene.happen(&number.to_string());
    }
    let (store, sinks) = (scene.at("store"), scene.sinks());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = SqliteStore::open(&store).unwrap();
                deliver(office(&store, &sinks), &sink, LONG).unwrap()
            });
        }
    });
    scene.deliver(&sink);
    assert_eq!(read(&out), ["0", "1", "2", "3"]);
}

#[test]
fn what_the_log_no_longer_has_is_counted() {
    let scene = Scene::new();
    let sink = file(scene.at("events.jsonl"), 1 << 20, 1);
    scene.deliver(&sink);
    for reason in ["one", "two", "three"] {
        scene.happen(reason);
    }
    let behind = rusqlite::Connection::open(scene.at("store/store.db")).unwrap();
    behind.execute("DELETE FROM events WHERE seq IN (1, 2)", []).unwrap();
    let done = scene.deliver(&sink);
    assert_eq!((done.taken, done.position.lost), (1, 2));
    assert_eq!(retry(office(&scene.store, &scene.sinks()), &sink).unwrap().unwrap().lost, 2);
    assert_eq!(status(&scene.store, &scene.sinks(), &sink).unwrap().position.lost, 0);
}

#[test]
fn a_store_that_was_made_anew_is_another_log() {
    let scene = Scene::new();
    let sink = file(scene.at("events.jsonl"), 1 << 20, 1);
    scene.deliver(&sink);
    scene.happen("old");
    scene.deliver(&sink);
    let anew = Scene::new();
    let happening = RollbackRequired { reason: "new".to_owned(), to: None };
    anew.store.emit(None, Happening::RollbackRequired(happening)).unwrap();
    let done = deliver(office(&anew.store, &scene.sinks()), &sink, LONG).unwrap();
    assert_eq!(done.taken, 1);
    assert_eq!(read(&scene.at("events.jsonl")), ["old", "new"]);
}

#[test]
fn what_happens_during_a_delivery_is_delivered_by_it() {
    let scene = Scene::new();
    let (out, began) = (scene.at("out"), scene.at("began"));
    let sink = command(&format!(
        "cat >> {}; : > {}; until [ -e {}.go ]; do sleep 0.01; done",
        out.display(),
        began.display(),
        began.display()
    ));
    scene.deliver(&sink);
    scene.happen("one");
    let (store, sinks) = (scene.at("store"), scene.sinks());
    let done = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let store = SqliteStore::open(&store).unwrap();
            deliver(office(&store, &sinks), &sink, LONG).unwrap()
        });
        while !began.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        scene.happen("two");
        assert!(deliver(office(&scene.store, &scene.sinks()), &sink, LONG).unwrap().busy);
        std::fs::write(scene.at("began.go"), "").unwrap();
        first.join().unwrap()
    });
    assert_eq!((done.taken, done.pending), (2, 0));
    assert_eq!(read(&out), ["one", "two"]);
}

/// Runs it in a thread, since what it is to show is that it ends.
fn ends(scene: &Scene, sink: SinkConfig) -> Delivered {
    let (store, sinks) = (scene.at("store"), scene.sinks());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let store = SqliteStore::open(&store).unwrap();
        sender.send(deliver(office(&store, &sinks), &sink, LONG).unwrap()).unwrap();
    });
    receiver.recv_timeout(LONG).expect("it hangs")
}

#[test]
fn what_left_the_commands_group_holds_up_nothing() {
    let scene = Scene::new();
    let pid = scene.at("pid");
    let script =
        format!("echo no >&2; setsid sleep 600 & echo $! > {}; sleep 0.2; exit 3", pid.display());
    let sink = command(&script);
    scene.deliver(&sink);
    scene.happen("one");
    let done = ends(&scene, sink);
    let left = std::fs::read_to_string(&pid).unwrap();
    let _ = std::process::Command::new("kill").arg(left.trim()).status();
    assert!(done.position.error.ends_with("exit status: 3): no"), "{}", done.position.error);
}

#[test]
fn a_socket_whose_queue_is_full_is_not_waited_for_without_end() {
    let scene = Scene::new();
    let path = scene.at("socket");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let timeout = Span(Duration::from_millis(200));
    let sink = sink(SinkTarget::Socket { path, timeout });
    scene.deliver(&sink);
    scene.happen("one");
    let done = ends(&scene, sink);
    assert_eq!((done.taken, done.position.failures), (0, 1));
}

#[test]
fn a_probe_goes_alone_in_a_pause_and_whatever_is_wanted() {
    let scene = Scene::new();
    let out = scene.at("out");
    let mut failing = command("exit 1");
    failing.types = vec!["rollback".to_owned()];
    scene.deliver(&failing);
    scene.happen("one");
    assert_eq!(scene.deliver(&failing).position.failures, 1);
    let changed = ConfigurationChanged { files: Vec::new() };
    let number = scene.store.emit(None, Happening::ConfigurationChanged(changed)).unwrap();
    let ask =
        |sink: &SinkConfig| probe(office(&scene.store, &scene.sinks()), sink, number).unwrap();
    assert!(matches!(ask(&failing), Probed::Refused(_)));
    let cured = command(&format!("cat >> {}", out.display()));
    let cured = SinkConfig { types: failing.types.clone(), ..cured };
    assert_eq!(ask(&cured), Probed::Taken);
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 1);
    let position = status(&scene.store, &scene.sinks(), &cured).unwrap().position;
    assert_eq!((position.failures, position.not_before), (0, 0));
    assert_eq!(scene.deliver(&cured).taken, 1);
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(reasons(text.lines().last().unwrap()), ["one"]);
}

#[test]
fn a_dead_letter_goes_with_the_log_it_is_from() {
    let scene = Scene::new();
    let sink = command("exit 1");
    let sink = SinkConfig { attempts: 1, ..sink };
    scene.deliver(&sink);
    let number = scene.happen("old");
    assert_eq!(scene.deliver(&sink).died, 1);
    let source = scene.store.log_head().unwrap().source;
    let anew = Scene::new();
    let (url, requests) = server(&["204 No Content"]);
    let target = SinkTarget::Webhook { url, secret: None, ca: None, timeout: SHORT };
    let sink = SinkConfig { target, ..sink };
    let done = deliver(office(&anew.store, &scene.sinks()), &sink, LONG).unwrap();
    assert_eq!(done.position.dead, 1, "another log does not take it away");
    assert_eq!(retry(office(&anew.store, &scene.sinks()), &sink).unwrap().unwrap().sent, 1);
    let request = requests.recv_timeout(LONG).unwrap();
    assert!(request.contains(&format!("webhook-id: {source}/{number}\r\n")), "{request}");
}

#[test]
fn a_line_that_is_not_ours_stays_and_a_link_is_not_followed() {
    let scene = Scene::new();
    let path = scene.at("events.jsonl");
    std::fs::write(&path, "somebody's").unwrap();
    let sink = file(path.clone(), 1 << 20, 1);
    scene.deliver(&sink);
    scene.happen("one");
    scene.deliver(&sink);
    let text = std::fs::read_to_string(&path).unwrap();
    let rest = text.strip_prefix("somebody's\n").expect("it stays");
    assert_eq!(reasons(rest), ["one"]);

    let link = scene.at("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let sink = file(link, 1 << 20, 1);
    scene.happen("two");
    assert_eq!(scene.deliver(&sink).taken, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_file_knows_all_that_a_crash_left_unwritten_in_the_position() {
    let scene = Scene::new();
    let path = scene.at("events.jsonl");
    let sink = file(path.clone(), 1 << 20, 1);
    scene.deliver(&sink);
    let position = scene.sinks().join("test/position");
    let before = std::fs::read(&position).unwrap();
    for reason in ["one", "two", "three"] {
        scene.happen(reason);
    }
    scene.deliver(&sink);
    std::fs::write(&position, &before).unwrap();
    scene.happen("four");
    scene.deliver(&sink);
    assert_eq!(read(&path), ["one", "two", "three", "four"]);
}
