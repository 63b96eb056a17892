//! What commands change is watched while they run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Client, Service};
use crate::support::Scene;

/// The events of a watch: their names and what they tell.
fn watch(service: &Service, query: &str) -> impl Iterator<Item = (String, Value)> + use<> {
    let address = service.address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("connected");
    let admin = &service.admin;
    write!(
        stream,
        "GET /v1/sandboxes/web/files/watch{query} HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {admin}\r\n\r\n"
    )
    .expect("sent");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a limit");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    assert!(lines.next().is_some_and(|line| line.contains("200")));
    let mut name = String::new();
    lines.filter_map(move |line| {
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        }
        let data = line.strip_prefix("data: ")?;
        Some((name.clone(), serde_json::from_str(data).expect("an object")))
    })
}

fn words(told: &Value) -> Vec<String> {
    let changes = told["changes"].as_array().expect("changes").iter();
    let word = |one: &Value, name: &str| one[name].as_str().expect("a text").to_owned();
    changes.map(|one| format!("{} {}", word(one, "change"), word(one, "query"))).collect()
}

/// Events up to the one that tells that path so.
fn until(events: &mut impl Iterator<Item = (String, Value)>, kind: &str, wanted: &str) -> Value {
    for (name, told) in events {
        if name == kind && words(&told).iter().any(|word| word == wanted) {
            return told;
        }
        assert_eq!(name, "live", "{wanted}: {told}");
    }
    panic!("no event told `{wanted}`");
}

/// Lets a command that reads lines go on.
fn go(client: Client<'_>, process: &str) {
    client.send("POST", &format!("/v1/processes/{process}/input"), &[], b"go\n").is(204);
}

#[test]
fn what_a_command_changes_is_told_while_it_runs() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "mkdir d e; echo x >d/old; echo x >e/old; echo x >gone");
    let mut all = watch(&service, "?live=true");
    let mut again = watch(&service, "?live=true&path=d");
    let mut ended = watch(&service, "");
    let script = "set -e; read go; echo x >new; echo more >>d/old; rm gone; read go; rm new; echo y >gone; \
                  rm -r e; read go; echo z >d/last; read end";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    go(client, &process);
    let told = until(&mut all, "live", "created new");
    let operation = told["operation"].clone();
    // One look may fall in between two steps.
    let mut seen = words(&told);
    while seen.len() < 3 {
        let (name, told) = all.next().expect("more");
        assert_eq!((name.as_str(), &told["kind"]), ("live", &json!("run")), "{told}");
        seen.extend(
            words(&told).into_iter().filter(|word| !seen.contains(word)).collect::<Vec<_>>(),
        );
    }
    seen.sort();
    assert_eq!(seen, ["created new", "modified d/old", "removed gone"]);
    go(client, &process);
    until(&mut all, "live", "removed e");
    go(client, &process);
    until(&mut all, "live", "created d/last");
    // The other sees its folder alone.
    assert_eq!(words(&again.next().expect("one").1), ["modified d/old"]);
    assert_eq!(words(&again.next().expect("one").1), ["created d/last"]);
    client.feed(&process, b"end\n");
    // At the end all is told against what was before.
    let told = until(&mut all, "changes", "created d/last");
    let last = ["created d/last", "modified d/old", "removed e", "removed e/old", "modified gone"];
    assert_eq!((words(&told), &told["operation"]), (last.map(str::to_owned).to_vec(), &operation));
    let (name, told) = ended.next().expect("the end");
    assert_eq!((name.as_str(), words(&told)), ("changes", last.map(str::to_owned).to_vec()));
}

#[test]
fn what_was_told_of_a_command_that_came_to_nothing_is_taken_back() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let mut all = watch(&service, "?live=true");
    let script = "echo x >new; read end; exit 3";
    let failing = json!({ "script": script, "open_stdin": true, "take_back": true });
    let process = client.begin("web", &failing);
    until(&mut all, "live", "created new");
    client.feed(&process, b"end\n");
    let (name, told) = all.next().expect("the end");
    assert_eq!((name.as_str(), &told["changes"]), ("changes", &json!([])), "{told}");
    // Also of what removed again all that it made.
    let script = "echo x >new; read go; rm new; read end";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    until(&mut all, "live", "created new");
    go(client, &process);
    until(&mut all, "live", "removed new");
    client.feed(&process, b"end\n");
    let (name, told) = all.next().expect("the end");
    assert_eq!((name.as_str(), &told["changes"]), ("changes", &json!([])), "{told}");
}

#[test]
fn a_command_that_changes_too_much_is_told_at_its_end() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let mut all = watch(&service, "?live=true");
    let script = "mkdir d; cd d; seq 10001 | xargs touch; read end";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let told = loop {
        let (name, told) = all.next().expect("an event");
        match name.as_str() {
            // A look before all of them were there.
            "live" => assert!(words(&told).len() <= 1000),
            _ => break (name, told),
        }
    };
    assert_eq!(told.0, "resync", "{told:?}");
    client.feed(&process, b"end\n");
    let (name, changes) = all.next().expect("the end");
    assert_eq!((name.as_str(), &changes["operation"]), ("changes", &told.1["operation"]));
    assert_eq!((words(&changes).len(), &changes["truncated"]), (1000, &json!(true)));
}
