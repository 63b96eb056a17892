//! WebAssembly modules, run by the service.

use std::fs;

use serde_json::{Value, json};

use super::{Client, Service};
use crate::commands::wasm::{REACTOR, add};
use crate::support::Scene;

fn upload(client: Client<'_>, scene: &Scene, name: &str) {
    let content = fs::read(scene.project.join(name)).expect("a module");
    let path = format!("/v1/sandboxes/web/files?path={name}");
    client.send("PUT", &path, &[], &content).is(200);
}

fn run(client: Client<'_>, argv: &[&str]) -> Value {
    let operation = json!({ "argv": argv, "isolation": "wasm" });
    client.post("/v1/sandboxes/web/operations", &operation).is(200).json()
}

#[test]
fn a_module_runs_and_its_memory_goes_back_with_the_files() {
    let scene = Scene::new();
    add(&scene, "acts", &[]);
    add(&scene, "counter", &REACTOR);
    let service = Service::start(&scene);
    let client = service.admin();
    client.sandbox("web");
    upload(client, &scene, "acts.wasm");
    upload(client, &scene, "counter.wasm");
    let told = run(client, &["acts.wasm", "hello", "héllo"]);
    assert_eq!(told["exit_code"], 7, "{told}");
    assert_eq!(client.run("web", "cut -d' ' -f1 told")["stdout"], "héllo\n");
    let count = |by: &str| {
        let argv = ["--invoke", "count", "--memory-image", "memory", "counter.wasm", by];
        run(client, &argv)["stdout"].clone()
    };
    assert_eq!(count("1"), "41\n");
    assert_eq!(count("1"), "42\n");
    let kept = || {
        let files = fs::read_dir(scene.store.join("compiled")).expect("what is compiled");
        files
            .map(|file| file.expect("a file").file_name())
            .collect::<std::collections::BTreeSet<_>>()
    };
    // Two modules, and the key.
    let first = kept();
    assert_eq!(first.len(), 3, "{first:?}");
    client.post("/v1/sandboxes/web/undo", &json!({})).is(200);
    assert_eq!(count("100"), "141\n");
    assert_eq!(kept(), first);
    let limited = run(client, &["--fuel", "1000", "--invoke", "spin", "counter.wasm"]);
    assert_eq!(limited["exit_code"], 124, "{limited}");
    assert!(limited["stderr"].as_str().is_some_and(|text| text.contains("its fuel")), "{limited}");
}
