//! `ctrlz mcp`, spoken to line by line.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::super::serve::Service;
use super::{Agent, RISKY, last_over};
use crate::support::{Scene, python_at_a_terminal};

#[test]
fn a_sandbox_starts_from_the_folder_in_which_the_server_was_started() {
    let scene = Scene::with("echo mine > file; mkdir other; echo its > other/file");
    let mut agent = Agent::begin(&scene);
    let made = agent.call("create", &json!({ "sandbox": "web" }));
    assert_eq!(made["folder"], scene.project.display().to_string(), "{made}");
    let ran = agent.call("exec", &json!({ "sandbox": "web", "script": "cat file; echo 2 > file" }));
    assert_eq!(ran["stdout"], "mine\n", "{ran}");
    assert_eq!(scene.read("file"), "mine\n");
    // The command line sees the same, and who it was.
    let last = scene.json(&["log", "web"])["operations"][0].clone();
    assert_eq!(last["id"], ran["operation"], "{last}");
    let events = scene.json(&["events"]);
    let user = rustix::process::getuid().as_raw().to_string();
    let mut all = events["events"].as_array().expect("events").iter();
    let made = all.find(|one| one["type"].as_str().is_some_and(|kind| kind.ends_with("created")));
    let made = made.expect("what was made");
    assert_eq!((&made["authtype"], &made["authid"]), (&json!("user"), &json!(user)), "{made}");
    agent.call("commit", &json!({ "sandbox": "web" }));
    assert_eq!(scene.read("file"), "2\n");
    agent.call("undo", &json!({ "sandbox": "web" }));
    assert_eq!(scene.read("file"), "mine\n");
    let made = agent.call("create", &json!({ "sandbox": "sub", "folder": "other" }));
    assert!(made["folder"].as_str().is_some_and(|folder| folder.ends_with("/other")), "{made}");
    agent.call("create", &json!({ "sandbox": "none", "empty": true }));
    let ran = agent.call("exec", &json!({ "sandbox": "none", "script": "ls" }));
    assert_eq!(ran["stdout"], "", "{ran}");
    let both = json!({ "sandbox": "both", "folder": "other", "empty": true });
    assert_eq!(agent.fails("create", &both)["kind"], "bad-request");
    agent.leave();
    let mut agent = Agent::start(&scene, &["--folder", "other"]);
    agent.initialize("2025-06-18", &json!({}));
    let made = agent.call("create", &json!({ "sandbox": "third" }));
    assert!(made["folder"].as_str().is_some_and(|folder| folder.ends_with("/other")), "{made}");
    agent.leave();
}

#[test]
fn files_are_read_in_pieces_and_written_as_any_bytes() {
    let scene = Scene::with(r"mkdir d; printf 'abc\303\244x' > d/text; printf '\377\000' > bytes");
    let mut agent = Agent::begin(&scene);
    agent.call("create", &json!({ "sandbox": "web" }));
    let mut read = |path: &str, offset: u64, limit: u64| {
        let part = json!({ "sandbox": "web", "path": path, "offset": offset, "limit": limit });
        let read = agent.call("fs_read", &part);
        [&read["content"], &read["encoding"], &read["next"]].map(Value::clone)
    };
    // No letter is cut in two.
    assert_eq!(read("d/text", 0, 4), [json!("abc"), json!("text"), json!(3)]);
    assert_eq!(read("d/text", 3, 4), [json!("äx"), json!("text"), Value::Null]);
    assert_eq!(read("d/text", 99, 4), [json!(""), json!("text"), Value::Null]);
    assert_eq!(read("bytes", 0, 9), [json!("/wA="), json!("base64"), Value::Null]);
    let bytes = json!({ "sandbox": "web", "path": "new/deep", "content": "/wA=",
        "encoding": "base64", "mode": "0750" });
    let wrote = agent.call("fs_write", &bytes);
    let ran = agent.call(
        "exec",
        &json!({ "sandbox": "web",
        "script": "od -An -tx1 new/deep; stat -c %a new/deep; echo more >> d/text" }),
    );
    assert_eq!(ran["stdout"], " ff 00\n750\n", "{ran}");
    let listed = agent.call("fs_list", &json!({ "sandbox": "web", "limit": 2 }));
    assert_eq!(listed["entries"][0]["name"], "bytes", "{listed}");
    let rest = json!({ "sandbox": "web", "limit": 2, "cursor": listed["next"] });
    assert_eq!(agent.call("fs_list", &rest)["entries"][0]["name"], "new");
    // It is a step like any other.
    agent.call("undo", &json!({ "sandbox": "web", "operation": wrote["operation"] }));
    let gone = json!({ "sandbox": "web", "path": "new/deep" });
    assert_eq!(agent.fails("fs_read", &gone)["kind"], "no-such-path");
    for (tool, arguments, kind) in [
        ("fs_read", json!({ "sandbox": "web", "path": "d" }), "no-file"),
        ("fs_list", json!({ "sandbox": "web", "path": "bytes" }), "no-folder"),
        ("fs_read", json!({ "sandbox": "web", "path": "" }), "bad-request"),
        ("fs_read", json!({ "sandbox": "web", "path": "bytes", "limit": 0 }), "bad-request"),
        ("fs_list", json!({ "sandbox": "web", "cursor": "%" }), "bad-request"),
        (
            "fs_write",
            json!({ "sandbox": "web", "path": "a/b/c", "content": "", "parents": false }),
            "no-such-path",
        ),
        (
            "fs_write",
            json!({ "sandbox": "web", "path": "a", "content": "", "mode": "9" }),
            "bad-request",
        ),
        (
            "fs_write",
            json!({ "sandbox": "web", "path": "a", "content": "?", "encoding": "base64" }),
            "bad-request",
        ),
        ("fs_write", json!({ "sandbox": "web", "path": "/etc/passwd", "content": "" }), "outside"),
    ] {
        assert_eq!(agent.fails(tool, &arguments)["kind"], kind, "{tool} {arguments}");
    }
    agent.leave();
}

#[test]
fn a_service_may_use_the_same_store_at_the_same_time() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let mut agent = Agent::begin(&scene);
    agent.call("create", &json!({ "sandbox": "web" }));
    service.admin().run("web", "echo 1 > a");
    let ran = agent.call("exec", &json!({ "sandbox": "web", "script": "cat a; echo 2 > b" }));
    assert_eq!(ran["stdout"], "1\n", "{ran}");
    assert_eq!(service.admin().run("web", "cat b")["stdout"], "2\n");
    // What waits for a confirmation there is approved here.
    let asked = agent.fails("exec", &json!({ "sandbox": "web", "script": RISKY }));
    let id = asked["confirmation"].as_str().expect("an id");
    service.admin().post(&format!("/v1/confirmations/{id}/approve"), &Value::Null).is(204);
    let again = json!({ "sandbox": "web", "script": RISKY, "confirmation": id });
    assert_eq!(agent.call("exec", &again)["counts"]["added"], 1);
    assert_eq!(agent.fails("exec", &again)["kind"], "not-approved");
    agent.leave();
    service.stop();
}

#[test]
fn versions_are_negotiated() {
    let scene = Scene::new();
    for (asked, answered) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2024-11-05", "2024-11-05"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut agent = Agent::start(&scene, &[]);
        let told = agent.initialize(asked, &json!({}));
        assert_eq!(told["protocolVersion"], answered, "{told}");
        assert_eq!(told["serverInfo"]["name"], "ctrlz", "{told}");
        let tools = agent.ask("tools/list", &json!({}))["result"]["tools"].clone();
        assert_eq!(tools[0]["name"], "sandbox_create", "{tools}");
        agent.leave();
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_answered() {
    let scene = Scene::new();
    let mut agent = Agent::begin(&scene);
    agent.write("{ no json");
    agent.write(r#"{"jsonrpc": "2.0", "id": 70, "result": {}, "error": 1}"#);
    agent.write(&"x".repeat(17 << 20));
    let tool = agent.ask("tools/call", &json!({ "name": "sandbox_format", "arguments": {} }));
    assert_eq!(tool["error"]["code"], -32602, "{tool}");
    let method = agent.ask("sandbox/format", &json!({}));
    assert_eq!(method["error"]["code"], -32601, "{method}");
    for (tool, arguments) in [
        ("exec", json!({})),
        ("exec", json!({ "sandbox": "web", "script": "true", "unknown": 1 })),
        ("exec", json!({ "sandbox": "web", "script": "true", "timeout": -1 })),
        ("exec", json!({ "sandbox": "web", "script": "true", "max_output": 1 << 20 })),
        ("create", json!({ "sandbox": "../up" })),
        ("diff", json!({ "sandbox": "web", "limit": 0 })),
        ("rollback", json!({ "sandbox": "web" })),
    ] {
        let problem = agent.fails(tool, &arguments);
        assert_eq!(problem["kind"], "bad-request", "{tool} {arguments}: {problem}");
    }
    assert_eq!(agent.fails("diff", &json!({ "sandbox": "web" }))["kind"], "no-sandbox");
    assert_eq!(agent.call("list", &json!({}))["sandboxes"], json!([]));
    agent.leave();
}

#[test]
fn who_does_not_speak_mcp_is_told() {
    let scene = Scene::new();
    let mut agent = Agent::start(&scene, &[]);
    agent.write(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#);
    assert_eq!(agent.process.wait().expect("its end").code(), Some(125));
    // Somebody who only looks whether it starts.
    Agent::start(&scene, &[]).leave();
}

#[test]
fn when_the_client_leaves_what_runs_is_ended_and_journaled() {
    let scene = Scene::new();
    for signal in [None, Some(Signal::TERM)] {
        let mut agent = Agent::begin(&scene);
        if signal.is_none() {
            agent.call("create", &json!({ "sandbox": "web" }));
        }
        let id = agent.begin_endless("web");
        match signal {
            None => agent.leave(),
            Some(signal) => {
                agent.signal(signal);
                // Who still listens is told.
                let ended = agent.answer(id)["result"]["structuredContent"].clone();
                assert!([json!(143), json!(137)].contains(&ended["exit_code"]), "{ended}");
                agent.ends();
            }
        }
        let last = last_over(&scene, "web");
        assert_eq!(last["request"]["kind"], "run", "{last}");
        assert_eq!(scene.json(&["ls"])["sandboxes"][0]["lifecycle"], "ready");
    }
    let diff = scene.json(&["diff", "web"]);
    assert_eq!(diff["changes"][0]["path"], "begun", "{diff}");
}

#[test]
fn what_the_client_takes_back_is_ended_and_stays_for_an_undo() {
    let scene = Scene::new();
    let mut agent = Agent::begin(&scene);
    agent.call("create", &json!({ "sandbox": "web" }));
    let id = agent.begin_endless("web");
    let reason = json!({ "requestId": id, "reason": "nobody waits" });
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": reason });
    agent.write(&cancelled.to_string());
    let next = agent.begin_call("exec", &json!({ "sandbox": "web", "script": "cat begun" }));
    // What was taken back is not answered; how far it had come may still be on its way.
    let mut message = agent.next();
    while message["method"] == "notifications/progress" {
        message = agent.next();
    }
    assert_eq!(message["id"], next, "{message}");
    assert_eq!(message["result"]["structuredContent"]["stdout"], "begun\n", "{message}");
    agent.call("undo", &json!({ "sandbox": "web" }));
    agent.call("undo", &json!({ "sandbox": "web" }));
    assert_eq!(agent.call("diff", &json!({ "sandbox": "web" }))["changes"], json!([]));
    agent.leave();
}

#[test]
fn a_yes_of_the_user_counts_and_a_no_does_too() {
    let scene = Scene::new();
    let mut agent = Agent::start(&scene, &[]);
    agent.initialize("2025-06-18", &json!({ "elicitation": {} }));
    agent.call("create", &json!({ "sandbox": "web" }));
    for (action, kind) in [("decline", "unconfirmed"), ("cancel", "unconfirmed"), ("accept", "")] {
        let id = agent.begin_call("exec", &json!({ "sandbox": "web", "script": RISKY }));
        let question = agent.next();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let words = question["params"]["message"].as_str().expect("words");
        assert!(words.contains("`web`") && words.contains("curl"), "{words}");
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"],
            "result": { "action": action, "content": {} } });
        agent.write(&answer.to_string());
        let result = agent.answer(id)["result"].clone();
        match kind {
            "" => assert_eq!(result["structuredContent"]["counts"]["added"], 1, "{result}"),
            kind => {
                let problem = super::problem(&result);
                assert_eq!(problem["kind"], kind);
                // It stands in the journal as what was refused, and nobody can approve it any more.
                let operation = problem["operation"].as_str().expect("an operation");
                let shown = scene.json(&["show", operation])["operation"].clone();
                assert_eq!(shown["status"], "blocked", "{shown}");
                assert_eq!(shown["outcome"]["error"], "not confirmed: the user said no", "{shown}");
                assert!(shown["request"]["title"].as_str().is_some_and(|it| it.contains("curl")));
                assert_eq!(scene.json(&["approve"])["confirmations"], json!([]));
            }
        }
    }
    let told = scene.run(&["--json", "events", "web"]).ok().out();
    assert_eq!(told.matches("not confirmed: the user said no").count(), 2, "{told}");
    let last = scene.json(&["log", "web"])["operations"][0].clone();
    assert_eq!(last["request"]["verdict"]["approval"]["by"], "client", "{last}");
    agent.leave();
}

#[test]
fn without_a_form_the_user_approves_at_a_terminal() {
    let scene = Scene::new();
    let mut agent = Agent::begin(&scene);
    agent.call("create", &json!({ "sandbox": "web" }));
    let asked = agent.fails("exec", &json!({ "sandbox": "web", "script": RISKY }));
    let id = asked["confirmation"].as_str().expect("an id");
    let hint = asked["hint"].as_str().expect("a hint");
    assert!(hint.contains(&format!("`ctrlz approve {id}`")), "{hint}");
    let listed = scene.json(&["approve"]);
    assert_eq!(listed["confirmations"][0]["id"], id, "{listed}");
    // An agent that runs it has no terminal.
    scene.run(&["approve", id]).code(123).says(&["at a terminal"]);
    scene.run(&["approve", "0123"]).code(123).says(&["nothing waits"]);
    let again = json!({ "sandbox": "web", "script": RISKY, "confirmation": id });
    assert_eq!(agent.fails("exec", &again)["kind"], "not-approved");
    let at_a_terminal = format!(
        r"
def told(seen):
    assert b'curl' in seen and b'web' in seen, seen
assert ask(b'\n', ['approve', '{id}'], told)[0] == 123
assert ask(b'y\n', ['approve', '{id}'], told)[0] == 0
"
    );
    python_at_a_terminal(&scene, &at_a_terminal).ok();
    assert_eq!(scene.json(&["approve"])["confirmations"], json!([]));
    assert_eq!(agent.call("exec", &again)["counts"]["added"], 1);
    assert_eq!(agent.fails("exec", &again)["kind"], "not-approved");
    agent.leave();
}
