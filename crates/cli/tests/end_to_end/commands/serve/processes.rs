//! Processes that outlive the requests that began them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Client, Service};
use crate::support::Scene;

/// What a process wrote, from a stream of events: the text, and the id of the last event with output.
pub(super) fn written(events: &str) -> (String, String) {
    let (mut text, mut last) = (Vec::new(), String::new());
    for event in events.split("\n\n").filter(|event| event.contains("event: output")) {
        for line in event.lines() {
            if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).expect("an object");
                text.extend(STANDARD.decode(data["data"].as_str().expect("text")).expect("base64"));
            }
            if let Some(id) = line.strip_prefix("id: ") {
                last = id.to_owned();
            }
        }
    }
    (String::from_utf8(text).expect("text"), last)
}

pub(super) fn ended(client: Client<'_>, process: &str) -> Value {
    client.post(&format!("/v1/processes/{process}/wait"), &Value::Null).is(200).json()
}

#[test]
fn output_is_read_from_any_place_on_by_any_number_of_clients() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = client.begin(
        "web",
        &json!({ "script": "echo one; read line; echo got $line", "open_stdin": true }),
    );
    client.send("POST", &format!("/v1/processes/{process}/input?end=true"), &[], b"two\n").is(204);
    let output = format!("/v1/processes/{process}/output");
    let (text, last) = written(&client.get(&output).is(200).text);
    assert_eq!((text.as_str(), last.as_str()), ("one\ngot two\n", "12"));
    let rest = client.send("GET", &output, &[("last-event-id", "4")], b"").is(200).text;
    assert_eq!(written(&rest).0, "got two\n");
    assert!(rest.contains("event: result"), "{rest}");
    let found = ended(client, &process);
    assert_eq!((&found["status"], &found["result"]["exit_code"]), (&json!("ended"), &json!(0)));
    assert_eq!(found["written"], 12);
    client.post(&format!("/v1/processes/{process}/signal"), &json!({ "signal": 15 })).is(409);
    let listed = client.get("/v1/processes?sandbox=web").is(200).json();
    assert_eq!(listed["items"][0]["id"], process);
}

#[test]
fn a_signal_ends_a_process() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let process = client.begin("web", &json!({ "script": script }));
    let path = format!("/v1/processes/{process}");
    while client.get(&path).is(200).json()["written"] == 0 {}
    client.post(&format!("{path}/signal"), &json!({ "signal": 77 })).is(400);
    client.post(&format!("{path}/signal"), &json!({ "signal": 15 })).is(204);
    let found = ended(client, &process);
    assert_eq!(found["result"]["exit_code"], 7, "{found}");
    assert_eq!(found["result"]["stdout"], "ready\nasked\n", "{found}");
}

#[test]
fn what_waits_is_given_up_by_a_signal_and_holds_up_nobody() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let long =
        client.begin("web", &json!({ "script": "echo begun; read line", "open_stdin": true }));
    let path = format!("/v1/processes/{long}");
    while client.get(&path).is(200).json()["written"] == 0 {}
    let waiting = client.begin("web", &json!({ "script": "echo x > file" }));
    client.post(&format!("/v1/processes/{waiting}/signal"), &json!({ "signal": 9 })).is(204);
    client.send("POST", &format!("{path}/input?end=true"), &[], b"go\n").is(204);
    let found = ended(client, &waiting);
    assert_eq!(found["result"]["kind"], "conflict", "{found}");
    assert_eq!(client.run("web", "ls")["stdout"], "");
}

#[test]
fn commands_get_nothing_of_what_the_service_was_started_with() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("DATABASE_URL", "hunter2").env("LC_TIME", "C");
    let service = Service::begin(command);
    let client = service.admin();
    client.sandbox("web");
    let path = "/v1/sandboxes/web/operations";
    let given = json!({ "argv": ["env"], "env": { "MINE": "yes" } });
    let seen = client.post(path, &given).is(200).json();
    let text = seen["stdout"].as_str().expect("text");
    assert!(text.contains("MINE=yes") && text.contains("LC_TIME=C"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("CTRLZ_HOME"), "{text}");
}

#[test]
fn a_client_that_goes_leaves_its_operation_alone() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let body =
        json!({ "script": "echo begun; read line < /dev/null; sleep 0.5; echo kept > kept" });
    let body = body.to_string();
    let address = service.address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(
        stream,
        "POST /v1/sandboxes/web/operations HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        service.admin,
        body.len(),
    )
    .expect("sent");
    let mut lines = BufReader::new(&stream).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.starts_with("event: output"))));
    drop(lines);
    drop(stream);
    let listed = client.get("/v1/processes").is(200).json();
    let process = listed["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(ended(client, &process)["result"]["counts"]["added"], 1);
}

#[test]
fn words_that_are_no_command_are_refused() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    for wrong in [
        json!({}),
        json!({ "argv": [] }),
        json!({ "argv": ["true"], "script": "true" }),
        json!({ "script": "a\u{0}b" }),
        json!({ "script": "true", "env": { "A=B": "c" } }),
        json!({ "script": "true", "timeout": -1 }),
        json!({ "script": "true", "timeout": 1e300 }),
        json!({ "script": "true", "memory": 0 }),
        json!({ "script": "x".repeat(128 << 10) }),
        json!({ "script": "true", "workdir": "a\u{0}b" }),
        json!({ "script": "true", "stdin": "x", "open_stdin": true }),
    ] {
        let told = client.post("/v1/sandboxes/web/operations", &wrong).is(400).json();
        assert_eq!(told["kind"], "bad-request", "{told}");
    }
    let unknown = client.post("/v1/sandboxes/web/operations", &json!({ "srcipt": "true" }));
    assert!(unknown.text.contains("srcipt"), "{}", unknown.text);
    let missing = client.post("/v1/sandboxes/web/operations", &json!({ "argv": ["no-such"] }));
    assert_eq!(missing.is(422).json()["kind"], "not-found");
    let nowhere = json!({ "script": "true", "workdir": "/nowhere" });
    let nowhere = client.post("/v1/sandboxes/web/operations", &nowhere).is(422).json();
    assert_eq!(nowhere["kind"], "folder", "{nowhere}");
    let ended = client.run("web", "kill -9 $$");
    assert_eq!(ended["exit_code"], 137, "{ended}");
    let timed = json!({ "script": "sleep 60", "timeout": 0.2 });
    let timed = client.post("/v1/sandboxes/web/operations", &timed).is(200).json();
    assert_eq!(timed["exit_code"], 124, "{timed}");
}

#[test]
fn of_much_output_the_end_is_told_and_nothing_is_held_up() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let done = client.run("web", "head -c 5000000 /dev/zero | tr '\\0' x; echo the end");
    assert_eq!(done["truncated"], true);
    let text = done["stdout"].as_str().expect("text");
    assert_eq!((text.len(), text.ends_with("xthe end\n")), (256 << 10, true));
}
