//! What processes wrote, and what came of them, when the service is another one.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::processes::{ended, written};
use super::{Client, Service};
use crate::support::Scene;

/// The process of that id among all.
#[track_caller]
fn listed(client: Client<'_>, id: &str) -> Value {
    let all = client.get("/v1/processes").is(200).json();
    let all = all["items"].as_array().expect("a list").clone();
    let mut found: Vec<_> = all.into_iter().filter(|one| one["id"] == id).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn begin_service(scene: &Scene, more: &[&str]) -> Service {
    let words = ["serve", "--listen", "127.0.0.1:0", "--json"];
    Service::begin(scene.ctrlz(words.iter().chain(more)))
}

/// The folders of processes, and how many bytes are in each.
fn folders(scene: &Scene) -> Vec<(PathBuf, u64)> {
    let all = std::fs::read_dir(scene.root.join("store/logs")).expect("a folder").flatten();
    let folders = all.map(|entry| entry.path()).filter(|path| path.is_dir());
    let size = |path: &PathBuf| {
        let files = std::fs::read_dir(path).expect("files").flatten();
        files.map(|file| file.metadata().expect("metadata").len()).sum()
    };
    folders.map(|path| (path.clone(), size(&path))).collect()
}

#[test]
fn what_ended_is_told_as_it_was_by_the_next_service() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let token = service.admin.clone();
    let client = service.admin();
    client.sandbox("web");
    let short = client.run("web", "echo out; echo err >&2; echo x > file; exit 3");
    let short_id = short["process"].as_str().expect("an id").to_owned();
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo err >&2; echo end";
    let long = client.run("web", script);
    let long_id = long["process"].as_str().expect("an id").to_owned();
    let silent = client.begin("web", &json!({ "argv": ["true"] }));
    let silent_end = ended(client, &silent);
    let refused = client.begin("web", &json!({ "argv": ["no-such-program"] }));
    let refused_end = ended(client, &refused);
    assert_eq!(refused_end["result"]["kind"], "not-found", "{refused_end}");
    service.signal(Signal::KILL);
    drop(service);

    for _ in 0..2 {
        let service = Service::start(&scene);
        let client = service.with(&token);
        for (id, before) in [(&short_id, &short), (&long_id, &long)] {
            let found = client.get(&format!("/v1/processes/{id}")).is(200).json();
            assert_eq!(found["status"], "ended");
            let fields = before.as_object().expect("an object");
            assert_eq!(found["result"].as_object().map(|all| all.len()), Some(fields.len()));
            for (name, value) in fields {
                assert!(found["result"][name] == *value, "{name}");
            }
            assert_eq!(found["operation"], before["operation"]);
            assert_eq!(listed(client, id)["title"], found["title"]);
        }
        for (id, before) in [(&silent, &silent_end), (&refused, &refused_end)] {
            assert_eq!(&client.get(&format!("/v1/processes/{id}")).is(200).json(), before);
            assert_eq!(&ended(client, id), before);
        }
        assert_eq!(service.stop(), "");
    }

    let service = Service::start(&scene);
    let client = service.with(&token);
    let output = format!("/v1/processes/{long_id}/output");
    let (text, last) = written(&client.get(&output).is(200).text);
    assert_eq!((text.len(), last.as_str()), (100_008, "100008"));
    let rest = client.send("GET", &output, &[("last-event-id", "99999")], b"").is(200).text;
    assert!(rest.contains("event: result"), "{rest}");
    assert_eq!(written(&rest).0.len(), 9);
    let path = format!("/v1/processes/{short_id}");
    client.post(&format!("{path}/signal"), &json!({ "signal": 9 })).is(409);
    client.send("POST", &format!("{path}/input"), &[], b"x").is(409);
    // Another tenant's are not there, and who may look may read.
    client.put("/v1/tenants/other", &json!({})).is(200);
    let (foreign, viewer) = (client.token("other", "admin"), client.token("default", "viewer"));
    for id in [&short_id, &long_id, &silent] {
        service.with(&foreign).get(&format!("/v1/processes/{id}")).is(404);
        service.with(&foreign).get(&format!("/v1/processes/{id}/output")).is(404);
        service.with(&viewer).get(&format!("/v1/processes/{id}/output")).is(200);
    }
    assert_eq!(service.with(&foreign).get("/v1/processes").is(200).json()["items"], json!([]));
    let of_sandbox = client.get("/v1/processes?sandbox=web").is(200).json();
    let order: Vec<_> = of_sandbox["items"].as_array().expect("a list").iter().collect();
    assert_eq!(order.len(), 4, "{of_sandbox}");
    assert_eq!((&order[0]["id"], &order[3]["id"]), (&json!(short_id), &json!(refused)));
}

#[test]
fn what_a_killed_service_ran_is_interrupted_with_what_it_wrote() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let token = service.admin.clone();
    let client = service.admin();
    for name in ["web", "silent", "waiting"] {
        client.sandbox(name);
    }
    let before = client.run("web", "echo before");
    let script = "echo half > half; echo begun; read line; echo bad >&2; sleep 60";
    let loud = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let silent = client.begin("silent", &json!({ "script": "echo half > half; sleep 60" }));
    let waiting = client.begin("web", &json!({ "script": "echo never" }));
    let path = format!("/v1/processes/{loud}");
    while client.get(&path).is(200).json()["written"] != 6 {}
    client.send("POST", &format!("{path}/input"), &[], b"go on\n").is(204);
    while client.get(&path).is(200).json()["written"] != 10 {}
    while client.get(&format!("/v1/processes/{silent}")).is(200).json()["operation"].is_null() {}
    let operation = client.get(&path).is(200).json()["operation"].clone();
    // What was told to have been written is on its way to the disk.
    let log = scene.root.join(format!("store/logs/{loud}/{:020}.log", 0));
    while std::fs::read(&log).map_or(0, |bytes| bytes.len()) < 8 + 2 * 17 + 10 {}
    service.signal(Signal::KILL);
    drop(service);

    for _ in 0..2 {
        let service = Service::start(&scene);
        let client = service.with(&token);
        let id = before["process"].as_str().expect("an id");
        assert_eq!(ended(client, id)["result"], before);
        let found = ended(client, &loud);
        assert_eq!(found["status"], "interrupted", "{found}");
        assert_eq!(found["result"]["kind"], "interrupted", "{found}");
        assert_eq!((&found["operation"], &found["written"]), (&operation, &json!(10)), "{found}");
        let told = client.get(&format!("/v1/processes/{loud}/output")).is(200).text;
        assert_eq!(written(&told).0, "begun\nbad\n");
        assert!(told.contains("event: problem"), "{told}");
        for id in [&silent, &waiting] {
            let found = ended(client, id);
            assert_eq!((&found["status"], &found["written"]), (&json!("interrupted"), &json!(0)));
            assert_eq!(listed(client, id)["status"], "interrupted");
        }
        assert!(ended(client, &waiting)["operation"].is_null());
        // The second time it is known what became of its sandbox.
        assert_eq!(client.run("web", "ls")["stdout"], "");
        service.signal(Signal::KILL);
    }
}

#[test]
fn of_long_output_the_end_is_kept_and_who_follows_misses_nothing() {
    let scene = Scene::new();
    let service = begin_service(&scene, &["--process-log", "1M"]);
    let token = service.admin.clone();
    let client = service.admin();
    client.sandbox("web");
    let script = "seq 1 400000; read line; echo $line";
    let asked = json!({ "script": script, "open_stdin": true, "hold_output": true });
    let process = client.begin("web", &asked);
    let expected: String = (1..=400_000).map(|number| format!("{number}\n")).collect();
    let output = format!("{}/v1/processes/{process}/output", service.address);
    let mut response = ureq::get(output)
        .header("authorization", format!("Bearer {token}"))
        .call()
        .expect("a stream");
    let mut lines = BufReader::new(response.body_mut().as_reader()).lines();
    let (mut text, mut events) = (String::new(), String::new());
    while text.len() < expected.len() {
        let line = lines.next().expect("more").expect("a line");
        assert_ne!(line, "event: lost", "behind {} bytes", text.len());
        events.push_str(&line);
        events.push('\n');
        if line.is_empty() {
            text.push_str(&written(&std::mem::take(&mut events)).0);
        }
    }
    assert!(text == expected, "something is missing");
    let [(folder, size)] = &*folders(&scene) else { panic!("one folder") };
    assert!(folder.ends_with(&process) && *size < 1 << 20, "{size}");
    client.feed(&process, b"the end\n");
    let mut rest = String::new();
    lines.for_each(|line| rest.push_str(&(line.expect("a line") + "\n")));
    assert_eq!(written(&rest).0, "the end\n");
    assert!(rest.contains("event: result"), "{rest}");
    assert_eq!(service.stop(), "");

    // What is there is read from its beginning and from the middle, and the offsets say what is not.
    let service = Service::start(&scene);
    let client = service.with(&token);
    let output = format!("/v1/processes/{process}/output");
    let (kept, last) = written(&client.get(&output).is(200).text);
    let whole = expected + "the end\n";
    assert_eq!(last.parse(), Ok(whole.len()));
    assert!(
        whole.ends_with(&kept) && kept.len() > 500_000 && kept.len() < 1 << 20,
        "{}",
        kept.len()
    );
    let from = whole.len() - 300_000;
    let part = client.get(&format!("{output}?offset={from}")).is(200).text;
    assert_eq!(written(&part).0, whole[from..]);
    let answer = ended(client, &process)["result"].clone();
    assert_eq!(answer["truncated"], true);
    assert_eq!(answer["stdout"], whole[whole.len() - (256 << 10)..]);
}

#[test]
fn a_short_operation_makes_no_file_of_its_own_and_a_log_that_cannot_be_written_harms_nothing() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let token = service.admin.clone();
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "true");
    assert_eq!(client.run("web", "echo a few words")["stdout"], "a few words\n");
    let background = client.begin("web", &json!({ "script": "echo word" }));
    ended(client, &background);
    assert_eq!(folders(&scene).len(), 1);
    assert_eq!(service.stop(), "");

    let logs = scene.root.join("store/logs");
    std::fs::remove_dir_all(&logs).expect("removed");
    std::fs::write(&logs, "no folder").expect("a file in its place");
    let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    let service = Service::begin({
        command.stderr(std::process::Stdio::piped());
        command
    });
    let client = service.with(&token);
    let done = client.run("web", "seq 1 100000; echo kept > kept");
    assert_eq!((&done["exit_code"], &done["truncated"]), (&json!(0), &json!(true)));
    assert!(done["stdout"].as_str().is_some_and(|text| text.ends_with("99999\n100000\n")));
    let process = client.begin("web", &json!({ "script": "seq 1 100000" }));
    let found = ended(client, &process);
    assert_eq!((&found["status"], &found["written"]), (&json!("ended"), &json!(588_895)));
    let (text, last) = written(&client.get(&format!("/v1/processes/{process}/output")).text);
    assert!(text.ends_with("99999\n100000\n") && last == "588895", "{last}");
    assert_eq!(client.run("web", "cat kept")["stdout"], "kept\n");
    assert!(service.stop().contains("output not kept"));
}

/// A page of a log: the text of each stream's pieces in their order, what is lost, and the next page.
#[track_caller]
fn page(client: Client<'_>, process: &str, query: &str) -> (String, u64, Value) {
    let page = client.get(&format!("/v1/processes/{process}/logs{query}")).is(200).json();
    let items = page["items"].as_array().expect("a list");
    let text = items.iter().map(|one| {
        let bytes = STANDARD.decode(one["data"].as_str().expect("text")).expect("base64");
        String::from_utf8(bytes).expect("text")
    });
    (text.collect(), page["lost"].as_u64().expect("a number"), page["next"].clone())
}

#[test]
fn a_log_is_read_in_pages_from_its_end_and_as_it_comes() {
    let scene = Scene::new();
    let service = begin_service(&scene, &["--process-log", "1M"]);
    let client = service.admin();
    client.sandbox("web");
    let script = "echo one; echo two; read line; echo bad >&2; read line; echo three";
    let process = client.begin("web", &json!({ "script": script, "open_stdin": true }));
    let path = format!("/v1/processes/{process}");
    let input = format!("{path}/input");
    while client.get(&path).is(200).json()["written"] != 8 {}
    client.send("POST", &input, &[], b"go on\n").is(204);
    while client.get(&path).is(200).json()["written"] != 12 {}
    // It runs: there may be more.
    assert_eq!(page(client, &process, ""), ("one\ntwo\nbad\n".to_owned(), 0, json!(12)));
    assert_eq!(page(client, &process, "?offset=12"), (String::new(), 0, json!(12)));
    let followed = std::thread::scope(|scope| {
        // Not `lines`: whoever asks later finds other last ones.
        let query = format!("{path}/logs?follow=true&stream=stdout&offset=4");
        let follows = scope.spawn(move || client.get(&query).is(200).text);
        client.send("POST", &input, &[], b"go on\n").is(204);
        follows.join().expect("a stream")
    });
    let (text, last) = written(&followed);
    assert_eq!((text.as_str(), last.as_str()), ("two\nthree\n", "18"), "{followed}");
    assert!(followed.contains("event: result") && !followed.contains("event: lost"), "{followed}");
    assert_eq!(page(client, &process, ""), ("one\ntwo\nbad\nthree\n".to_owned(), 0, Value::Null));
    assert_eq!(page(client, &process, "?limit=6"), ("one\ntw".to_owned(), 0, json!(6)));
    let stdout = ("two\nthree\n".to_owned(), 0, Value::Null);
    assert_eq!(page(client, &process, "?stream=stdout&lines=2"), stdout);
    assert_eq!(page(client, &process, "?stream=stderr"), ("bad\n".to_owned(), 0, Value::Null));
    assert_eq!(page(client, &process, "?tail=3").0, "ee\n");
    let sse = [("accept", "text/event-stream"), ("last-event-id", "15")];
    let rest = client.send("GET", &format!("{path}/logs"), &sse, b"").is(200).text;
    assert_eq!(written(&rest).0, "ee\n");
    for wrong in ["limit=0", "limit=99999999", "tail=9999999", "offset=1&tail=1", "stream=none"] {
        let told = client.get(&format!("{path}/logs?{wrong}")).is(400).json();
        assert_eq!(told["kind"], "bad-request", "{told}");
    }
    client.put("/v1/tenants/other", &json!({})).is(200);
    let (foreign, viewer) = (client.token("other", "admin"), client.token("default", "viewer"));
    service.with(&foreign).get(&format!("{path}/logs")).is(404);
    service.with(&viewer).get(&format!("{path}/logs")).is(200);

    // Of a long one, what is kept no more is told.
    let long = client.run("web", "seq 1 400000")["process"].as_str().expect("an id").to_owned();
    let whole: String = (1..=400_000).map(|number| format!("{number}\n")).collect();
    let (mut text, mut lost, mut next) = (String::new(), 0, json!(0));
    while !next.is_null() {
        let more = page(client, &long, &format!("?limit=300000&offset={next}"));
        text.push_str(&more.0);
        (lost, next) = (lost + more.1, more.2);
    }
    assert!(lost > 0 && whole[lost as usize..] == text, "{lost} lost, {} kept", text.len());
    let told = client.get(&format!("/v1/processes/{long}/logs?follow=true")).is(200).text;
    assert!(told.contains(&format!("event: lost\ndata: {{\"from\":0,\"to\":{lost}}}")));
    assert!(written(&told).0 == text);
}
