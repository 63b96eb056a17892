//! The background tasks that a service runs for its stores, and stores that stay open.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Service;
use crate::support::Scene;

/// Waits for what comes within a minute.
#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it never comes: {what}");
}

/// The process of the daemon of a store, when one runs.
fn daemon(store: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(store.join("daemon.lock")).unwrap_or_default();
    let line: Value = serde_json::from_str(text.lines().next()?).ok()?;
    let pid = line["pid"].as_u64()?;
    std::fs::exists(format!("/proc/{pid}")).ok()?.then_some(pid)
}

#[test]
fn each_store_that_is_used_has_a_daemon_that_ends_with_the_service() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/acme", &json!({})).is(200);
    let token = admin.token("acme", "operator");
    let theirs = scene.store.join("tenants/acme");
    assert_eq!(daemon(&theirs), None);
    service.with(&token).sandbox("web");
    wait_until("both run", || daemon(&scene.store).is_some() && daemon(&theirs).is_some());
    service.stop();
    assert_eq!((daemon(&scene.store), daemon(&theirs)), (None, None));

    let service = Service::start(&scene);
    wait_until("it runs", || daemon(&scene.store).is_some());
    service.signal(Signal::KILL);
    wait_until("it ends with the service", || daemon(&scene.store).is_none());
}

#[cfg(feature = "faults")]
#[test]
fn retention_is_applied_beside_what_runs() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    command.env("CTRLZ_UPKEEP_SECONDS", "0");
    let service = Service::begin(command);
    let admin = service.admin();
    admin.sandbox("web");
    let kept = || {
        let list = admin.get("/v1/sandboxes/web/snapshots?limit=1000").is(200).json();
        list["items"].as_array().expect("a list").len()
    };
    for _ in 0..40 {
        admin.run("web", "true");
    }
    // What is in use when it is looked at waits for the next time.
    wait_until("the oldest go", || {
        admin.run("web", "true");
        kept() < 40
    });
}

#[test]
fn what_happens_to_a_tenants_sandbox_is_sent_on() {
    let scene = Scene::new();
    let told = scene.root.join("told");
    let sinks = format!("sinks: {{ all: {{ file: {}, types: [operation] }} }}\n", told.display());
    std::fs::create_dir_all(scene.home.join(".config/ctrlz")).expect("a folder");
    std::fs::write(scene.home.join(".config/ctrlz/sinks.yaml"), sinks).expect("written");
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/acme", &json!({})).is(200);
    let token = admin.token("acme", "operator");
    let client = service.with(&token);
    client.sandbox("web");
    let theirs = scene.store.join("tenants/acme");
    wait_until("it runs", || daemon(&theirs).is_some());
    // A new sink begins with what happens from then on.
    wait_until("it is told", || {
        client.run("web", "true");
        std::fs::read_to_string(&told).is_ok_and(|text| text.contains("\"subject\":\"web\""))
    });
}

#[test]
fn a_service_leaves_the_daemons_to_whoever_runs_them() {
    let scene = Scene::new();
    let command = ["serve", "--listen", "127.0.0.1:0", "--json", "--no-daemons"];
    let service = Service::begin(scene.ctrlz(command));
    service.admin().sandbox("web");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(daemon(&scene.store), None);
}

#[test]
fn a_store_that_was_moved_away_is_not_used_any_more() {
    let scene = Scene::new();
    let command = ["serve", "--listen", "127.0.0.1:0", "--json", "--no-daemons"];
    let service = Service::begin(scene.ctrlz(command));
    let admin = service.admin();
    admin.put("/v1/tenants/acme", &json!({})).is(200);
    let token = admin.token("acme", "operator");
    let client = service.with(&token);
    client.sandbox("web");
    let theirs = scene.store.join("tenants/acme");
    std::fs::rename(&theirs, scene.root.join("away")).expect("moved");
    client.get("/v1/sandboxes/web").is(404);
    std::fs::remove_dir_all(&theirs).expect("the new one");
    std::fs::rename(scene.root.join("away"), &theirs).expect("moved back");
    client.get("/v1/sandboxes/web").is(200);
}
