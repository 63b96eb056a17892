//! Archives and the event log as evidence, over the network.

use serde_json::{Value, json};

use super::processes::ended;
use super::{Client, Service};
use crate::support::Scene;

#[test]
fn what_is_archived_over_the_network_comes_back_when_its_sandbox_is_gone() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "echo kept > kept");
    client.post("/v1/sandboxes/web/commit", &json!({})).is(200);
    client.run("web", "echo precious > file");
    let pushed = client.post("/v1/archive", &json!({ "sandbox": "web" })).is(200).json();
    let name = pushed["snapshots"][0]["name"].as_str().expect("a name").to_owned();
    let listed = client.get("/v1/archive").is(200).json();
    assert_eq!(listed["snapshots"][0]["name"], json!(name), "{listed}");
    client.delete("/v1/sandboxes/web?force=true").is(200);
    let back = json!({ "name": name, "sandbox": "again" });
    client.post("/v1/archive/restore", &back).is(200);
    assert_eq!(client.run("again", "cat file")["stdout"], "precious\n");
    // With what it had committed before, which is not among its changes.
    assert_eq!(client.run("again", "cat kept")["stdout"], "kept\n");
    let changed = client.get("/v1/sandboxes/again/diff").is(200).json();
    assert_eq!(changed["counts"]["added"], 1, "{changed}");
    // It has a folder of its own, as any other, and goes with it.
    let here = client.get("/v1/sandboxes/again").is(200).json();
    let base = here["base"].as_str().expect("a folder");
    assert!(base.contains("store.workspaces/default/again"), "{here}");
    let verified = client.post("/v1/archive/verify", &json!({})).is(200).json();
    assert_eq!((&verified["faults"], &verified["names"]), (&json!([]), &json!(1)), "{verified}");
    let drilled = client.post("/v1/archive/drill", &json!({ "names": [name] })).is(200).json();
    assert_eq!(drilled["drills"][0]["whole"], true, "{drilled}");
    // Journaled as done by who asked.
    let events = client.get("/v1/events").is(200).json();
    let archived = events["items"].as_array().expect("events").iter();
    let archived = archived
        .filter(|event| event["type"].as_str().is_some_and(|kind| kind.contains("archived")));
    let whose: Vec<_> = archived.map(|event| event["authtype"].clone()).collect();
    assert_eq!(whose, ["api_key"], "{events}");
    client.post("/v1/archive/remove", &json!({ "names": [name] })).is(200);
    client.post("/v1/archive/collect", &json!({ "dry_run": true })).is(200);
    assert_eq!(client.get("/v1/archive").is(200).json()["snapshots"], json!([]));
}

#[test]
fn archives_of_tenants_are_apart_even_where_the_host_names_one_place() {
    let scene = Scene::new();
    let place = scene.root.join("place");
    std::fs::create_dir_all(scene.home.join(".config/ctrlz")).expect("a folder");
    let settings = format!("place: {}\n", place.display());
    std::fs::write(scene.home.join(".config/ctrlz/archive.yaml"), settings).expect("written");
    let service = Service::start(&scene);
    let admin = service.admin();
    for tenant in ["acme", "other"] {
        admin.put(&format!("/v1/tenants/{tenant}"), &json!({})).is(200);
    }
    let (acme, other) = (admin.token("acme", "operator"), admin.token("other", "operator"));
    let (acme, other) = (service.with(&acme), service.with(&other));
    acme.sandbox("web");
    acme.run("web", "echo secret > file");
    let pushed = acme.post("/v1/archive", &json!({ "sandbox": "web" })).is(200).json();
    let name = &pushed["snapshots"][0]["name"];
    assert!(place.join("tenants/acme/oci-layout").exists());
    let restore = json!({ "name": name, "sandbox": "mine" });
    let refused = other.post("/v1/archive/restore", &restore);
    assert!(refused.status == 404 || refused.status == 409, "{}", refused.text);
    other.sandbox("web");
    other.run("web", "echo mine > file");
    other.post("/v1/archive", &json!({ "sandbox": "web" })).is(200);
    other.post("/v1/archive/restore", &restore).is(200);
    assert_eq!(other.run("mine", "cat file")["stdout"], "mine\n");
}

#[test]
fn a_name_is_never_an_option_and_a_quota_holds_for_what_is_brought_back() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/acme", &json!({ "sandboxes": 1 })).is(200);
    let token = admin.token("acme", "operator");
    let client = service.with(&token);
    client.sandbox("web");
    let pushed = client.post("/v1/archive", &json!({ "sandbox": "web" })).is(200).json();
    let name = &pushed["snapshots"][0]["name"];
    let back = json!({ "name": name, "sandbox": "more" });
    assert_eq!(client.post("/v1/archive/restore", &back).is(403).json()["kind"], "quota");
    client.post("/v1/archive/restore", &json!({ "name": name, "sandbox": "web" })).is(200);
    let evil = scene.root.join("evil");
    for word in [format!("--to={}", evil.display()), "--help".to_owned(), "-x".to_owned()] {
        let answer = client.post("/v1/archive/restore", &json!({ "name": word, "sandbox": "web" }));
        assert!((400..500).contains(&answer.status), "{}", answer.text);
        let names = json!({ "names": [word] });
        for path in ["remove", "verify", "drill"] {
            let answer = client.post(&format!("/v1/archive/{path}"), &names);
            let whole: Value = answer.json();
            assert!(answer.status >= 400 || whole["drills"][0]["whole"] == false, "{whole}");
        }
    }
    assert!(!evil.exists());
    let viewer = admin.token("acme", "viewer");
    let viewer = service.with(&viewer);
    viewer.get("/v1/archive").is(200);
    viewer.post("/v1/archive", &json!({ "sandbox": "web" })).is(403);
    client.post("/v1/archive", &json!({ "sandbox": "nowhere" })).is(404);
    client.post("/v1/archive", &json!({})).is(400);
    client.post("/v1/archive", &json!({ "sandbox": "web", "snapshots": ["snap-1"] })).is(400);
}

#[test]
fn the_log_is_verified_signed_and_exported() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "true");
    client.post("/v1/audit/sign", &json!({})).is(200);
    let key = client.get("/v1/audit/key").is(200).json();
    let verified = client.get("/v1/audit/verify").is(200).json();
    assert!(verified["signed_to"].as_i64().is_some_and(|to| to > 0), "{verified}");
    let export = client.get("/v1/audit/export").is(200);
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    let file = scene.root.join("log.jsonl");
    std::fs::write(&file, &export.text).expect("written");
    let key = key["key"].as_str().expect("a key");
    let file = file.to_str().expect("text");
    scene.ok(&["audit", "verify", file, "--key", key]);
    assert_eq!(client.get("/v1/audit/verify?from=999999").is(409).json()["kind"], "range");
    // Somebody who may write to the store changes the past.
    let program = "
import os, sqlite3
c = sqlite3.connect(os.path.join(os.environ['CTRLZ_HOME'], 'store.db'))
c.execute(\"UPDATE events SET body = replace(body, 'operation', 'ooeration') WHERE seq = (SELECT min(seq) FROM events WHERE body LIKE '%operation%')\")
c.commit()
";
    scene.host(&format!("python3 - <<'END'\n{program}\nEND"));
    let found = client.get("/v1/audit/verify").is(409).json();
    assert_eq!(found["kind"], "tampered", "{found}");
}

#[test]
fn archiving_and_restoring_go_on_as_processes_when_that_is_asked_for() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let token = service.admin.clone();
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "echo precious > file");
    let begin = |client: Client<'_>, path: &str, body: &Value| {
        let begun = client.post_with(path, body, &[("prefer", "respond-async")]).is(202);
        let id = begun.json()["process"].as_str().expect("an id").to_owned();
        assert_eq!(begun.header("location"), format!("/v1/processes/{id}"));
        id
    };
    let push = begin(client, "/v1/archive", &json!({ "sandbox": "web" }));
    let pushed = ended(client, &push);
    assert_eq!(
        (&pushed["kind"], &pushed["status"]),
        (&json!("errand"), &json!("ended")),
        "{pushed}"
    );
    assert_eq!(
        (&pushed["sandbox"], &pushed["title"]),
        (&json!("web"), &json!("push --sandbox web"))
    );
    let name = pushed["result"]["snapshots"][0]["name"].as_str().expect("a name").to_owned();
    // As the call answers that waits.
    let verify = begin(client, "/v1/archive/verify", &json!({}));
    let waited = client.post("/v1/archive/verify", &json!({})).is(200).json();
    let verified = ended(client, &verify);
    assert_eq!((&verified["result"], &verified["sandbox"]), (&waited, &Value::Null));
    let back = json!({ "name": name, "sandbox": "again" });
    let pull = begin(client, "/v1/archive/restore", &back);
    assert_eq!(ended(client, &pull)["status"], "ended");
    assert_eq!(client.run("again", "cat file")["stdout"], "precious\n");
    let drill = begin(client, "/v1/archive/drill", &json!({ "names": [name] }));
    assert_eq!(ended(client, &drill)["result"]["drills"][0]["whole"], true);
    // What cannot be done is told in the same words.
    let wrong = json!({ "name": "nothing", "sandbox": "other" });
    let refused = begin(client, "/v1/archive/restore", &wrong);
    let told = client.post("/v1/archive/restore", &wrong);
    let refused = ended(client, &refused);
    assert!(told.status >= 400);
    assert_eq!((&refused["result"], &refused["status"]), (&told.json(), &json!("ended")));
    client.post(&format!("/v1/processes/{drill}/signal"), &json!({ "signal": 9 })).is(409);
    let told = client.get(&format!("/v1/processes/{push}/output")).is(200).text;
    assert!(told.starts_with("event: result"), "{told}");
    client.put("/v1/tenants/other", &json!({})).is(200);
    let foreign = client.token("other", "admin");
    service.with(&foreign).get(&format!("/v1/processes/{push}")).is(404);
    service.signal(rustix::process::Signal::KILL);
    drop(service);

    let service = Service::start(&scene);
    let client = service.with(&token);
    assert_eq!(ended(client, &push), pushed);
    assert_eq!(ended(client, &verify), verified);
    let all = client.get("/v1/processes?sandbox=again").is(200).json();
    let kinds: Vec<_> =
        all["items"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["errand", "operation"], "{all}");
}

#[test]
fn an_errand_that_runs_can_be_ended_and_asked_for_again() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    client.run("web", "head -c 64M /dev/urandom > big; echo precious > file");
    let begin = |path: &str, body: &Value| {
        let begun = client.post_with(path, body, &[("prefer", "respond-async")]).is(202);
        begun.json()["process"].as_str().expect("an id").to_owned()
    };
    let signal = |process: &str, signal: u8| {
        client.post(&format!("/v1/processes/{process}/signal"), &json!({ "signal": signal }))
    };
    let is_ended = |process: &str| {
        let told = ended(client, process);
        assert_eq!(told["result"]["kind"], "ended", "{told}");
        assert_eq!(told["result"]["status"], 409, "{told}");
    };
    for number in [15, 9] {
        let push = begin("/v1/archive", &json!({ "sandbox": "web" }));
        assert_eq!(signal(&push, 19).is(409).json()["kind"], "errand-signal");
        signal(&push, number).is(204);
        is_ended(&push);
    }
    // Those that wait for their turn end at once.
    let all: Vec<_> = (0..8).map(|_| begin("/v1/archive", &json!({ "sandbox": "web" }))).collect();
    all.iter().rev().for_each(|push| {
        signal(push, 15).is(204);
    });
    all.iter().for_each(|push| is_ended(push));
    let pushed = client.post("/v1/archive", &json!({ "sandbox": "web" })).is(200).json();
    let name = pushed["snapshots"][0]["name"].as_str().expect("a name");
    let back = json!({ "name": name, "sandbox": "again" });
    let pull = begin("/v1/archive/restore", &back);
    signal(&pull, 2).is(204);
    is_ended(&pull);
    // Nothing is left of it that is in the way.
    client.post("/v1/archive/restore", &back).is(200);
    assert_eq!(client.run("again", "cat file; wc -c < big")["stdout"], "precious\n67108864\n");
    let verified = client.post("/v1/archive/verify", &json!({})).is(200).json();
    assert_eq!(verified["faults"], json!([]), "{verified}");
}
