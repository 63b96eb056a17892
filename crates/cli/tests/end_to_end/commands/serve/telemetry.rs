//! What the service tells about itself: its log and its traces.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::Service;
use crate::support::Scene;

fn logging(scene: &Scene, level: &str) -> Service {
    let mut begin = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    begin.env("CTRLZ_LOG", level).stderr(Stdio::piped());
    Service::begin(begin)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn each_request_and_each_operation_is_a_line_without_what_clients_sent() {
    let scene = Scene::new();
    let service = logging(&scene, "info");
    let client = service.admin();
    client.sandbox("hush-name");
    let path = "/v1/sandboxes/hush-name/operations?x=hush-query";
    let script = json!({ "script": "echo hush-output; exit 3", "env": { "A": "hush-variable" } });
    let done = client.post_with(path, &script, &[("x-request-id", "mine-1")]).is(200).json();
    client.get("/v1/sandboxes/none-hush").is(404);
    service.with("ctrlz_hush_token").get("/v1/sandboxes").is(401);
    let blocked = json!({ "script": "rm -rf /" });
    client
        .post_with("/v1/sandboxes/hush-name/operations", &blocked, &[("x-request-id", "bad-1")])
        .is(400);
    let secret = service.admin.rsplit('_').next().expect("a secret").to_owned();
    let id = service.admin.split('_').nth(1).expect("an id").to_owned();
    let told = service.stop();
    assert!(!told.contains("hush") && !told.contains(&secret), "{told}");
    let lines = lines(&told);
    let with = |name: &str, value: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line[name] == value).collect()
    };
    let messages: Vec<_> = with("request_id", "mine-1").iter().map(|l| &l["message"]).collect();
    assert_eq!(messages, ["operation ended", "request"], "{told}");
    let ended = with("message", "operation ended")[0];
    assert_eq!(
        (&ended["operation"], &ended["exit_code"]),
        (&done["operation"], &json!(3)),
        "{ended}"
    );
    let asked = with("request_id", "mine-1")[1];
    assert_eq!(asked["route"], "/v1/sandboxes/{sandbox}/operations", "{asked}");
    assert_eq!((&asked["method"], &asked["status"]), (&json!("POST"), &json!(200)), "{asked}");
    assert_eq!((&asked["tenant"], &asked["token"]), (&json!("default"), &json!(id)), "{asked}");
    assert!(asked["bytes"].as_u64() > Some(100) && asked["milliseconds"].is_f64(), "{asked}");
    let kinds: Vec<_> =
        with("message", "request").iter().map(|line| line["kind"].clone()).collect();
    for kind in ["no-sandbox", "unauthorized", "blocked"] {
        assert!(kinds.contains(&json!(kind)), "{kind} is not in {kinds:?}");
    }
    assert_eq!(with("message", "operation refused")[0]["request_id"], "bad-1");
    for message in ["serving", "stopping", "stopped"] {
        assert!(!with("message", message).is_empty(), "{message} is not in {told}");
    }
}

#[test]
fn of_a_quiet_log_only_what_went_wrong_is_seen() {
    let scene = Scene::new();
    for level in ["off", "error"] {
        let service = logging(&scene, level);
        service.with("").get("/health/ready").is(200);
        service.with("").get("/nowhere").is(404);
        assert_eq!(service.stop(), "", "{level}");
    }
    let mut wrong = scene.ctrlz(["serve", "--listen", "none"]);
    let told = wrong.env("CTRLZ_LOG", "loud").output().expect("it ran");
    let told = String::from_utf8(told.stderr).expect("text");
    assert!(told.contains("expected off, error, info or debug"), "{told}");
}

/// A collector of traces: each request's path and body.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("the same"));
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).expect("a line");
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
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("answered");
            if sender.send((first, body)).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

/// A span, as far as a test looks at it.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    from: u64,
    to: u64,
    attributes: Vec<(String, String)>,
    failed: bool,
}

/// The fields of a protobuf message: numbers and what stands in them.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().expect("more");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (number, text): (u64, &[u8]) = match key & 7 {
            0 => (varint(&mut bytes), b""),
            1 | 5 => {
                let (value, rest) = bytes.split_at(if key & 7 == 1 { 8 } else { 4 });
                bytes = rest;
                let value = value.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
                (value, b"")
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("short");
                let (text, rest) = bytes.split_at(length);
                bytes = rest;
                (0, text)
            }
            kind => panic!("{kind} is no kind of field"),
        };
        found.push((key >> 3, number, text));
    }
    found
}

/// The spans of an ExportTraceServiceRequest (opentelemetry/proto/trace/v1/trace.proto).
fn spans(body: &[u8]) -> Vec<Span> {
    let inner = |bytes: &[u8], number: u64| -> Vec<Vec<u8>> {
        let found = fields(bytes).into_iter().filter(|(field, ..)| *field == number);
        found.map(|(_, _, text)| text.to_vec()).collect()
    };
    let mut found = Vec::new();
    let scopes = inner(body, 1).into_iter().flat_map(|resource| inner(&resource, 2));
    for span in scopes.flat_map(|scope| inner(&scope, 2)) {
        let text = |number| inner(&span, number).first().cloned().unwrap_or_default();
        let hex = |number| text(number).iter().map(|byte| format!("{byte:02x}")).collect();
        let time = |number| {
            fields(&span)
                .into_iter()
                .find(|(field, ..)| *field == number)
                .map_or(0, |found| found.1)
        };
        let attributes = inner(&span, 9).into_iter().map(|pair| {
            let value = inner(&pair, 2).concat();
            let value = fields(&value).first().map(|(_, number, text)| match text {
                [] => number.to_string(),
                text => String::from_utf8_lossy(text).into_owned(),
            });
            let key = String::from_utf8(inner(&pair, 1).concat()).expect("text");
            (key, value.unwrap_or_default())
        });
        let status = text(15);
        found.push(Span {
            trace: hex(1),
            id: hex(2),
            parent: hex(4),
            name: String::from_utf8(text(5)).expect("text"),
            from: time(7),
            to: time(8),
            attributes: attributes.collect(),
            failed: fields(&status).iter().any(|(field, number, _)| (*field, *number) == (3, 2)),
        });
    }
    found
}

#[test]
fn an_operation_is_a_trace_in_that_of_its_client() {
    let scene = Scene::new();
    let (address, sent) = collector();
    let mut begin = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json", "--log", "off"]);
    begin.env("OTEL_EXPORTER_OTLP_ENDPOINT", address);
    let service = Service::begin(begin);
    let client = service.admin();
    client.sandbox("web");
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let asked =
        [("traceparent", format!("00-{trace}-{parent}-01")), ("x-request-id", "mine-2".to_owned())];
    let asked: Vec<_> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = "/v1/sandboxes/web/operations";
    let done =
        client.post_with(path, &json!({ "script": "sleep 0.3; exit 3" }), &asked).is(200).json();
    client.post(path, &json!({ "script": "rm -rf /" })).is(400);
    // What was not sent yet is sent at the end.
    service.stop();
    let mut found = Vec::new();
    while let Ok((first, body)) = sent.recv_timeout(Duration::from_secs(1)) {
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        assert!(String::from_utf8_lossy(&body).contains("service.name"));
        found.extend(spans(&body));
    }
    let (ours, others): (Vec<_>, Vec<_>) = found.iter().partition(|span| span.trace == trace);
    let root = ours.iter().find(|span| span.name == "operation").expect("the operation");
    assert_eq!(root.parent, parent);
    let has = |span: &Span, key: &str, value: &str| {
        span.attributes.iter().any(|(k, v)| k == key && v == value)
    };
    let operation = done["operation"].as_str().expect("an id");
    for (key, value) in [
        ("ctrlz.request_id", "mine-2"),
        ("ctrlz.operation", operation),
        ("ctrlz.risk", "low"),
        ("process.exit.code", "3"),
        ("error.type", "operation-failed"),
    ] {
        assert!(has(root, key, value), "{key}={value} is not in {root:?}");
    }
    assert!(root.failed, "{root:?}");
    let mut phases: Vec<_> = ours.iter().filter(|span| span.parent == root.id).collect();
    phases.sort_by_key(|span| span.from);
    let names: Vec<_> = phases.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["validate", "wait", "snapshot", "run", "grade", "record"]);
    assert_eq!(ours.len(), 7, "{ours:?}");
    let run = phases[3];
    assert!(run.to - run.from >= 290_000_000, "{run:?}");
    assert!(phases.windows(2).all(|two| two[0].to <= two[1].from), "{phases:?}");
    assert!(root.from <= phases[0].from && phases[5].to <= root.to, "{root:?}");
    // One that was not let run has a trace of its own, which says so.
    let blocked = others.iter().find(|span| span.name == "operation").expect("the other one");
    assert!(blocked.failed && has(blocked, "error.type", "blocked"), "{blocked:?}");
}

#[test]
fn a_collector_that_is_dead_costs_nobody_anything() {
    let scene = Scene::new();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("an address"));
    let mut begin = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json", "--log", "off"]);
    begin.env("OTEL_EXPORTER_OTLP_ENDPOINT", address).env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let service = Service::begin(begin);
    service.admin().sandbox("web");
    for _ in 0..20 {
        service.admin().run("web", "true");
    }
    service.stop();
    let mut begin = scene.ctrlz(["serve", "--listen", "none"]);
    let told = begin.env("OTEL_EXPORTER_OTLP_ENDPOINT", "no url").output().expect("it ran");
    let told = String::from_utf8(told.stderr).expect("text");
    assert!(told.contains("OTEL_EXPORTER_OTLP_ENDPOINT is a URL"), "{told}");
}
