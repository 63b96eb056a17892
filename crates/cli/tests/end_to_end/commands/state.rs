//! State as a whole: encryption, rotation, checks, repair, export and import.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::Scene;

/// A key in a file that only its owner can read.
fn key_file(scene: &Scene, name: &str, byte: u8) -> PathBuf {
    let path = scene.root.join(name);
    std::fs::write(&path, [byte; 32]).expect("a key");
    mode(&path, 0o600);
    path
}

fn mode(path: &std::path::Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("a mode");
}

/// What the user's file says.
fn configure(scene: &Scene, text: &str) {
    let folder = scene.home.join(".config/ctrlz");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("ctrlz.yaml"), text).expect("a file");
}

/// Changes the database behind ctrlz's back.
pub(super) fn behind(scene: &Scene, sql: &str) {
    let script = "import sqlite3, sys\n\
                  db = sqlite3.connect(sys.argv[1])\n\
                  db.executescript(sys.argv[2])\n\
                  db.commit()";
    let database = scene.store.join("store.db");
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(database)
        .arg(sql)
        .status()
        .expect("python3");
    assert!(done.success());
}

#[test]
fn sensitive_values_are_encrypted_and_a_wrong_key_is_told() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    let (old, new) = (key_file(&scene, "old", 1), key_file(&scene, "new", 2));
    let put = ["state", "--sandbox", "web", "put"];
    let refused = [&put[..], &["--sensitive", "token", "hunter2"]].concat();
    scene.run(&refused).code(123).says(&["there is no key", "--with-key"]);
    configure(
        &scene,
        &format!("state: {{sensitive: ['*password*'], key: {{file: {}}}}}", old.display()),
    );
    scene.ok(&[&put[..], &["--sensitive", "token", "hunter2"]].concat());
    scene.ok(&[&put[..], &["token", "hunter3"]].concat());
    scene.ok(&[&put[..], &["db.password", "hunter4"]].concat());
    scene.ok(&[&put[..], &["plain", "public"]].concat());
    let get = |key: &str| scene.ok(&["state", "--sandbox", "web", "get", key]);
    assert_eq!(get("token"), "hunter3");
    assert_eq!(get("db.password"), "hunter4");
    let first = scene.ok(&["state", "--sandbox", "web", "get", "token", "--version", "1"]);
    assert_eq!(first, "hunter2");
    let listed = scene.json(&["state", "--sandbox", "web", "list"]);
    assert!(listed["entries"][0]["sealed"].is_string(), "{listed}");
    assert!(listed["entries"][1]["sealed"].is_null(), "{listed}");
    assert_eq!(listed["entries"][2]["size"], 7, "the size is that of the value");
    // Nowhere in the store, in no log and no event.
    let found = scene.host("grep -rlaE 'hunter[234]' \"$CTRLZ_HOME\" || echo none");
    assert_eq!(found, "none\n");
    let id = listed["entries"][0]["sealed"].as_str().expect("an id").to_owned();
    let other = format!("file:{}", new.display());
    scene
        .run(&["state", "--sandbox", "web", "get", "token", "--with-key", &other])
        .code(123)
        .says(&[&id, "the key that was given is"]);
    scene
        .run(&["state", "--sandbox", "web", "put", "token", "x", "--with-key", &other])
        .code(123)
        .says(&[&id, "rotate"]);
    mode(&old, 0o640);
    scene.run(&["state", "--sandbox", "web", "get", "token"]).code(125).says(&["chmod 600"]);
}

#[test]
fn a_rotation_takes_the_old_key_out_of_use() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    let (old, new) = (key_file(&scene, "old", 1), key_file(&scene, "new", 2));
    let (old, new) = (format!("file:{}", old.display()), format!("file:{}", new.display()));
    let state = |words: &[&str]| scene.ok(&[&["state", "--sandbox", "web"], words].concat());
    state(&["put", "--sensitive", "t", "one", "--with-key", &old]);
    state(&["put", "t", "two", "--with-key", &old]);
    scene.ok(&["state", "--global", "put", "--sensitive", "t", "three", "--with-key", &old]);
    scene.ok(&["fork", "web", "copy"]);
    let told = scene.json(&["state", "rotate", "--from", &old, "--to", &new]);
    assert_eq!((&told["entries"], &told["values"]), (&4.into(), &3.into()));
    std::fs::remove_file(scene.root.join("old")).expect("removed");
    assert_eq!(state(&["get", "t", "--version", "1", "--with-key", &new]), "one");
    assert_eq!(scene.ok(&["state", "--sandbox", "copy", "get", "t", "--with-key", &new]), "two");
    assert_eq!(scene.ok(&["state", "--global", "get", "t", "--with-key", &new]), "three");
    scene.ok(&["state", "verify", "--all"]);
    scene.ok(&["state", "rebuild", "--check", "--all"]);
    scene.ok(&["audit", "verify"]);
    scene.run(&["state", "rotate", "--from", &new, "--to", &new]).code(123);
}

#[test]
fn keys_come_from_variables_commands_and_not_from_a_project() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    let hex = "0707070707070707070707070707070707070707070707070707070707070707";
    let script = format!(
        "export K={hex}; \
         \"$CTRLZ\" state --sandbox web put --sensitive t v --with-key env:K >/dev/null && \
         \"$CTRLZ\" state --sandbox web get t --with-key 'command:echo {hex}'"
    );
    assert_eq!(scene.host(&script), "v");
    let get =
        |spec: &str| scene.run(&["state", "--sandbox", "web", "get", "t", "--with-key", spec]);
    get("command:exit 3").code(125).says(&["the command failed"]);
    get("env:NOT_SET").code(125).says(&["not set"]);
    get("command:echo 0123456789abcdef0123456789abcdef").code(125).says(&["too easy to guess"]);
    get("keyring:ctrlz-no-such-key").code(125);
    scene.write("ctrlz.yaml", "state: {key: {command: 'touch stolen'}}\n");
    scene
        .run(&["state", "--sandbox", "web", "get", "t"])
        .code(125)
        .says(&["state.key", "a project's file may not"]);
    assert!(!scene.exists("stolen"));
}

#[test]
fn the_global_state_outlives_sandboxes_and_is_found_by_time() {
    let scene = Scene::with("echo a > a");
    scene.ok(&["new", "web"]);
    scene.ok(&["state", "--global", "put", "k", "one"]);
    scene.ok(&["state", "--global", "put", "k", "two"]);
    scene.ok(&["rm", "-f", "web"]);
    assert_eq!(scene.ok(&["state", "--global", "get", "k", "--version", "1"]), "one");
    assert_eq!(scene.ok(&["ls"]).trim(), "there are no sandboxes");
    let entries = scene.json(&["state", "--global", "history", "k"]);
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        scene.ok(&["state", "--global", "list", "--at", "2020-01-01T00:00:00Z"]),
        "no values\n"
    );
    assert_eq!(scene.ok(&["state", "--global", "get", "k", "--at", "2200-01-01T00:00:00Z"]), "two");
    scene.run(&["state", "--global", "get", "k", "--at", "yesterday"]).code(125);
    scene.run(&["state", "--global", "--sandbox", "web", "list"]).code(125);
}

#[test]
fn the_journal_tells_the_state_after_rollback_undo_redo_and_fork() {
    let scene = Scene::with("echo a > a");
    scene.ok(&["new", "web"]);
    let state = |words: &[&str]| scene.ok(&[&["state", "--sandbox", "web"], words].concat());
    state(&["put", "k", "one"]);
    scene.ok(&["snapshot", "web"]);
    state(&["put", "k", "two"]);
    state(&["put", "l", "x"]);
    scene.ok(&["exec", "web", "--", "touch", "b"]);
    scene.ok(&["rollback", "web", "snap-1"]);
    assert_eq!(state(&["get", "k"]), "one");
    scene.ok(&["undo", "web"]);
    assert_eq!(state(&["get", "k"]), "two");
    scene.ok(&["redo", "web"]);
    scene.ok(&["fork", "web", "copy"]);
    scene.ok(&["state", "--sandbox", "copy", "delete", "k"]);
    assert_eq!(state(&["get", "k", "--at", "snap-1"]), "one");
    let put = scene.json(&["state", "--sandbox", "web", "put", "k", "three"]);
    let newest = scene.json(&["log", "web"])["operations"][0].clone();
    assert_eq!(newest["outcome"]["state"][0]["version"], put["version"]);
    assert_eq!(newest["after"]["state_version"], put["version"]);
    let operation = newest["id"].as_str().expect("an id");
    assert_eq!(state(&["get", "k", "--at", operation]), "one");
    scene.ok(&["state", "rebuild", "--check", "--all"]);
    scene.ok(&["audit", "verify"]);
    let before = scene.json(&["state", "--sandbox", "web", "history", "k"]);
    behind(&scene, "DELETE FROM state");
    scene.run(&["state", "rebuild", "--check", "--all"]).code(1).says(&["web: `k` at version 1"]);
    scene.ok(&["state", "rebuild", "--all"]);
    assert_eq!(scene.json(&["state", "--sandbox", "web", "history", "k"]), before);
    scene.ok(&["state", "verify", "--all"]);
}

#[test]
fn damage_is_named_and_repaired_from_an_export() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    scene.ok(&["state", "--sandbox", "web", "put", "k", "value"]);
    let export = scene.root.join("export").display().to_string();
    scene.ok(&["state", "export", "--all", &export]);
    scene.run(&["state", "export", "--all", &export]).code(125).says(&["export"]);
    behind(&scene, "UPDATE blobs SET bytes = x'00'");
    scene
        .run(&["state", "verify", "--sandbox", "web"])
        .code(1)
        .says(&["web: `k` at version 1", "does not match its checksum"]);
    scene.run(&["state", "repair", "--all"]).code(1).says(&["web: `k` at version 1"]);
    scene.ok(&["state", "repair", "--all", "--from", &export]);
    assert_eq!(scene.ok(&["state", "--sandbox", "web", "get", "k"]), "value");
    let told = scene.json(&["state", "verify", "--all"]);
    assert_eq!(told["faults"], serde_json::json!([]));
    assert!(scene.ok(&["events"]).contains("state.repaired"));
}

#[test]
fn an_import_is_all_or_nothing() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    scene.ok(&["state", "--sandbox", "web", "put", "k", "one"]);
    scene.ok(&["state", "--sandbox", "web", "put", "l", "one"]);
    let export = scene.root.join("export").display().to_string();
    scene.ok(&["state", "--sandbox", "web", "export", &export]);
    scene.ok(&["rm", "-f", "web"]);
    scene.run(&["state", "import", &export]).code(125).says(&["`web`", "nothing was imported"]);
    scene.ok(&["new", "web"]);
    scene.ok(&["state", "--sandbox", "web", "put", "k", "other"]);
    scene.run(&["state", "import", &export]).code(123).says(&["`k` in web", "--on-conflict"]);
    scene.run(&["state", "--sandbox", "web", "get", "l"]).code(123);
    let planned = scene.json(&["state", "import", &export, "--on-conflict", "theirs", "--dry-run"]);
    assert_eq!(planned["written"], 2);
    scene.run(&["state", "--sandbox", "web", "get", "l"]).code(123);
    scene.ok(&["state", "import", &export, "--on-conflict", "theirs"]);
    assert_eq!(scene.ok(&["state", "--sandbox", "web", "get", "k"]), "one");
    let first = scene.ok(&["state", "--sandbox", "web", "get", "k", "--version", "1"]);
    assert_eq!(first, "other");
    scene.ok(&["undo", "web"]);
    assert_eq!(scene.ok(&["state", "--sandbox", "web", "get", "k"]), "other");
    scene.ok(&["state", "--global", "import", &export]);
    assert_eq!(scene.ok(&["state", "--global", "get", "l"]), "one");
    scene.ok(&["state", "rebuild", "--check", "--all"]);
    scene.ok(&["state", "verify", "--all"]);
    std::fs::write(&export, "{}\n").expect("written");
    scene.run(&["state", "import", &export]).code(125).says(&["line 1"]);
}
