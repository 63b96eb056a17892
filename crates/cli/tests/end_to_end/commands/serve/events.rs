//! The event log over the network.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::Service;
use crate::support::Scene;

#[test]
fn events_come_as_they_happen_and_go_on_where_a_client_stopped() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let known = client.get("/v1/events").is(200).json();
    let known = known["items"].as_array().expect("events").len();
    let address = service.address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\
         authorization: Bearer {}\r\nlast-event-id: {known}\r\n\r\n",
        service.admin
    )
    .expect("sent");
    client.run("web", "echo a > a");
    let (mut ids, mut id) = (Vec::new(), 0);
    for line in BufReader::new(stream).lines() {
        let line = line.expect("a line");
        if let Some(number) = line.strip_prefix("id: ") {
            id = number.parse::<usize>().expect("a number");
        }
        // The first one has an id alone: where the stream begins.
        if line.starts_with("data: ") {
            ids.push(id);
        }
        if line.contains("operation.finished") {
            break;
        }
    }
    assert!(ids.first() == Some(&(known + 1)) && ids.is_sorted(), "{ids:?} after {known}");
    // Who is not let in any more hears no more.
    let made = client.post("/v1/tokens", &json!({ "role": "viewer" })).is(201).json();
    let (token, id) = (made["token"].as_str().expect("one"), made["id"].as_str().expect("one"));
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         accept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .expect("sent");
    client.delete(&format!("/v1/tokens/{id}")).is(204);
    assert!(BufReader::new(stream).lines().all(|line| line.is_ok()), "it ends");
    let page = client.get("/v1/events?after=0&limit=1").is(200).json();
    assert_eq!((page["items"].as_array().map(Vec::len), &page["next"]), (Some(1), &json!("1")));
    client.get("/v1/events?limit=0").is(400);
}

#[test]
fn state_is_written_only_over_what_a_client_has_seen() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let path = "/v1/sandboxes/web/state/a%20key";
    let write = |value: &[u8], headers: &[(&str, &str)]| client.send("PUT", path, headers, value);
    let first = write(b"one", &[("if-none-match", "*")]).is(200);
    assert_eq!(first.header("etag"), "\"1\"");
    write(b"two", &[("if-none-match", "*")]).is(412);
    write(b"two", &[("if-match", "\"1\"")]).is(200);
    assert_eq!(write(b"three", &[("if-match", "\"1\"")]).is(412).json()["kind"], "state-conflict");
    write(b"three", &[("if-match", "one")]).is(400);
    write(&vec![b'x'; (16 << 20) + 1], &[]).is(413);
    let read = client.get(path).is(200);
    assert_eq!((read.text.as_str(), read.header("etag")), ("two", "\"2\""));
    assert_eq!(client.get(&format!("{path}?version=1")).is(200).text, "one");
    let history = client.get(&format!("{path}/history")).is(200).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2), "{history}");
    client.delete(path).is(200);
    client.get(path).is(404);
    client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    assert_eq!(client.get(path).is(200).text, "two");
    let listed = client.get("/v1/sandboxes/web/state").is(200).json();
    assert_eq!(listed["items"][0]["key"], Value::from("a key"), "{listed}");
}
