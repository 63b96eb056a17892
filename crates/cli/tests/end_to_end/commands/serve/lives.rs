//! How a service stops, and what is left when it is killed.

use rustix::process::Signal;
use serde_json::json;

use super::Service;
use crate::support::Scene;

#[test]
fn what_runs_may_end_before_the_service_does() {
    let scene = Scene::new();
    let mut service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    let process = client.begin("web", &json!({ "script": "echo begun; sleep 0.6; echo x > kept" }));
    let path = format!("/v1/processes/{process}");
    while client.get(&path).is(200).json()["written"] == 0 {}
    service.signal(Signal::TERM);
    while client.get("/health/ready").status != 503 {}
    let late = client.post("/v1/sandboxes/web/operations", &json!({ "script": "true" })).is(503);
    assert_eq!(late.json()["kind"], "draining");
    assert!(service.process.wait().expect("its end").success());
    assert_eq!(scene.json(&["diff", "web"])["counts"]["added"], 1);
    assert_eq!(scene.json(&["log", "web"])["operations"][0]["status"], "done");
}

#[test]
fn a_service_that_is_killed_leaves_what_the_next_one_makes_whole() {
    let scene = Scene::new();
    for round in 0..4_u32 {
        let service = Service::start(&scene);
        let token = scene.ok(&["token", "new"]);
        let client = service.with(token.trim());
        let name = format!("web{round}");
        client.sandbox(&name);
        client.run(&name, "echo safe > safe");
        let script = "echo half > half; echo begun; sleep 30";
        let process = client.begin(&name, &json!({ "script": script }));
        let path = format!("/v1/processes/{process}");
        while client.get(&path).is(200).json()["written"] == 0 {}
        service.signal(Signal::KILL);
        drop(service);

        let service = Service::start(&scene);
        let client = service.with(token.trim());
        // What was cut short is as if it had not begun, and what was done is there.
        let done = client.run(&name, "ls; echo; ps -ef 2>/dev/null | grep -c 'slee[p] 30'");
        assert!(done["stdout"].as_str().is_some_and(|text| text.starts_with("safe\n\n")), "{done}");
        let log = client.get(&format!("/v1/sandboxes/{name}/operations")).is(200).json();
        let statuses: Vec<_> = log["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["status"].clone())
            .collect();
        assert!(
            statuses.contains(&json!("recovered")) && !statuses.contains(&json!("open")),
            "{log}"
        );
    }
}
