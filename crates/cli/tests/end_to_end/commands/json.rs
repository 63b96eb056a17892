//! `--json` prints one documented object on standard output and nothing else.

use serde_json::Value;

use crate::support::Scene;

#[track_caller]
fn has(object: &Value, fields: &[&str]) {
    for field in fields {
        assert!(object.pointer(field).is_some(), "{field} is missing: {object}");
    }
}

#[test]
fn of_every_command() {
    let scene = Scene::with("echo one > a; mkdir d; echo x > d/f");
    let counts = ["/counts/added", "/counts/modified", "/counts/deleted", "/counts/metadata"];
    let object = scene.json(&["run", "--", "sh", "-c", "echo two > a; echo n > n; rm d/f"]);
    has(&object, &["/sandbox", "/operation", "/command/exit/code", "/command/usage/wall"]);
    has(&object, &["/command/enforced/0", "/command/network_attempts", "/taken_back", "/commit"]);
    has(&object, &counts);
    let operation = object["operation"].as_str().expect("an id").to_owned();
    let object = scene.json(&["diff"]);
    has(&object, &["/sandbox", "/changes/0/path", "/changes/0/kind", "/changes/0/before/size"]);
    has(
        &object,
        &["/changes/0/after/mode", "/changes/0/after/mtime", "/changes/0/after/file_type"],
    );
    has(&object, &counts);
    let object = scene.json(&["snapshot", "-m", "text"]);
    has(&object, &["/snapshot/id", "/snapshot/kind", "/snapshot/message", "/snapshot/created"]);
    let snapshot = object["snapshot"]["id"].as_str().expect("an id").to_owned();
    has(&scene.json(&["snapshots"]), &["/snapshots/0/id"]);
    has(&scene.json(&["rollback", &operation, "--dry-run"]), &["/dry_run", "/changes/0/path"]);
    let object = scene.json(&["rollback", &operation]);
    has(&object, &["/sandbox", "/operation", "/left_behind"]);
    has(&object, &counts);
    let object = scene.json(&["undo"]);
    has(&object, &["/sandbox", "/operation", "/target"]);
    has(&object, &counts);
    has(&scene.json(&["redo"]), &["/sandbox", "/operation", "/target", "/counts/added"]);
    scene.json(&["rollback", &snapshot]);
    has(&scene.json(&["commit", "--dry-run"]), &["/dry_run", "/changes/0/path", "/conflicts"]);
    let object = scene.json(&["commit"]);
    has(&object, &["/sandbox", "/operation"]);
    has(&object, &counts);
    has(
        &scene.json(&["log"]),
        &["/operations/0/id", "/operations/0/status", "/operations/0/request/kind"],
    );
    has(&scene.json(&["show", &operation]), &["/sandbox", "/operation/id", "/changes/0/path"]);
    scene.inside("echo x > y");
    has(&scene.json(&["discard"]), &["/sandbox", "/counts/added"]);
    has(&scene.json(&["new", "web"]), &["/sandbox/name", "/sandbox/base", "/sandbox/root/kind"]);
    has(&scene.json(&["exec", "web", "--", "true"]), &["/operation", "/command/exit/code"]);
    has(&scene.json(&["fork", "web", "copy"]), &["/sandbox/name"]);
    has(&scene.json(&["ls"]), &["/sandboxes/0/name", "/sandboxes/2/name"]);
    has(&scene.json(&["rm", "web"]), &["/sandbox", "/freed_bytes"]);
    has(
        &scene.json(&["policy", "show", "push-force"]),
        &["/rules/0/rule", "/rules/0/family", "/rules/0/risk", "/rules/0/yaml", "/rules/0/match/0"],
    );
    has(&scene.json(&["policy", "new", "team"]), &["/path"]);
    has(&scene.json(&["policy", "test"]), &["/packs/0/path", "/packs/0/examples", "/errors"]);
    has(&scene.json(&["state", "put", "k", "v"]), &["/key", "/version"]);
    has(&scene.json(&["state", "get", "k"]), &["/entry/key", "/value"]);
    has(&scene.json(&["state", "list"]), &["/entries/0/key"]);
    has(&scene.json(&["state", "history", "k"]), &["/entries/0/version"]);
    has(&scene.json(&["state", "delete", "k"]), &["/version"]);
    has(&scene.json(&["state", "verify", "--all"]), &["/mended", "/faults"]);
    has(&scene.json(&["state", "rebuild", "--check"]), &["/mended", "/faults"]);
    has(&scene.json(&["state", "repair"]), &["/mended", "/faults"]);
    let export = scene.root.join("state").display().to_string();
    has(&scene.json(&["state", "export", &export]), &["/namespaces/0", "/writes"]);
    let fields = ["/dry_run", "/written", "/present", "/conflicts", "/operations"];
    has(&scene.json(&["state", "import", &export]), &fields);
    has(&scene.json(&["doctor"]), &["/enforcement/0/what", "/capabilities/limits"]);
    scene.json(&["recover"]);
    has(&scene.json(&["config", "show"]), &["/config", "/entries/0/key"]);
    let object = scene.json(&["run", "--commit", "--", "sh", "-c", "echo z > z"]);
    has(&object, &["/commit/operation", "/commit/counts/added"]);
}

#[test]
fn of_failures() {
    let scene = Scene::new();
    for (arguments, code, kind) in [
        (&["diff"][..], 123, "no-sandbox"),
        (&["run", "--", "no-such-program"], 127, "not-found"),
        (&["run", "--", "/etc/passwd"], 126, "not-executable"),
        (&["show", "op-99"], 125, "no-operation"),
        (&["rm", "nobody"], 125, "no-sandbox"),
        (&["redo"], 123, "nothing-to-redo"),
    ] {
        let all: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        let outcome = scene.run(&all).code(code);
        let object = outcome.json();
        assert_eq!(object["ok"], false, "{outcome}");
        assert_eq!(object["exit_code"], code, "{outcome}");
        assert_eq!(object["error"]["kind"], kind, "{outcome}");
        has(&object, &["/error/message", "/error/details", "/error/hint"]);
    }
}

#[test]
fn a_path_that_is_not_utf_8_is_told_without_loss() {
    let scene = Scene::new();
    scene.inside("printf x > \"$(printf 'a\\377')\"; printf x > \"$(printf 'a\\376')\"");
    let object = scene.json(&["diff"]);
    let paths = object["changes"].as_array().expect("an array");
    assert_eq!(paths.len(), 2);
    assert_ne!(paths[0]["path"], paths[1]["path"], "{object}");
}
