//! What happened, as events, and the proof that nothing of it was changed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::Scene;

fn types(events: &Value) -> Vec<&str> {
    let events = events["events"].as_array().expect("an array");
    let kinds = events.iter().filter_map(|event| event["type"].as_str());
    kinds.filter_map(|kind| kind.strip_prefix("io.github.ctrlz.")).collect()
}

#[test]
fn every_step_is_told_and_can_be_picked() {
    let scene = Scene::with("echo 1 > a");
    scene.inside("echo 2 > a");
    scene.run(&["run", "--", "rm", "-rf", "/"]).code(123);
    scene.ok(&["commit"]);
    let all = scene.json(&["events"]);
    assert_eq!(
        types(&all),
        [
            "sandbox.created",
            "operation.started",
            "snapshot.created",
            "operation.finished",
            "safety.violation",
            "operation.started",
            "operation.finished",
        ]
    );
    let run = &all["events"][3];
    assert_eq!(run["specversion"], "1.0");
    assert_eq!(run["data"]["counts"]["modified"], 1);
    assert!(run["data"]["changeset"].as_str().expect("a digest").starts_with("blake3:"));
    let refused = &all["events"][4]["data"];
    assert_eq!(refused["verdict"]["decision"], "block", "{refused}");
    assert_eq!(types(&scene.json(&["events", "--type", "safety"])), ["safety.violation"]);
    assert_eq!(types(&scene.json(&["events", "-n", "1"])), ["operation.finished"]);
    assert_eq!(types(&scene.json(&["events", "--after", "1", "-n", "1"])), ["operation.started"]);
    assert_eq!(types(&scene.json(&["events", "another"])), [""; 0]);
    let text = scene.ok(&["events"]);
    assert!(text.contains("rm -rf /: blocked: its risk is critical"), "{text}");
}

#[test]
fn a_follower_gets_what_happens_next() {
    let scene = Scene::new();
    scene.inside("true");
    let mut follower = scene
        .ctrlz(["--json", "events", "-f", "-n", "0", "--type", "operation.finished"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    let next = std::thread::spawn(move || lines.next());
    // It may not have begun yet: something happens until it tells something.
    while !next.is_finished() {
        scene.inside("echo x > x");
    }
    let line = next.join().expect("joined").expect("a line").expect("read");
    let event: Value = serde_json::from_str(&line).expect("one object a line");
    assert_eq!(event["data"]["kind"], "run");
    follower.kill().expect("kill");
    follower.wait().expect("wait");
}

#[test]
fn an_export_is_verified_elsewhere_and_a_change_is_found() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    scene.ok(&["commit"]);
    let unsigned = scene.ok(&["audit", "verify"]);
    assert!(unsigned.contains("no signature covers events 1 to"), "{unsigned}");
    scene.run(&["audit", "key"]).code(123).says(&["nothing was signed yet"]);
    scene.ok(&["audit", "export", "log.jsonl"]);
    scene.run(&["audit", "export", "log.jsonl"]).code(125).says(&["log.jsonl", "exists"]);
    let key = scene.ok(&["audit", "key"]);
    let elsewhere = Scene::new();
    elsewhere.write("log", scene.read("log.jsonl"));
    elsewhere.write("key", &key);
    let good = elsewhere.ok(&["audit", "verify", "log", "--key", "key"]);
    assert!(good.contains("all of it is signed by ctrlz-log-"), "{good}");
    let part = elsewhere.json(&["audit", "verify", "log", "--from", "2", "--to", "3"]);
    assert_eq!((&part["first"], &part["last"]), (&Value::from(2), &Value::from(3)));

    // The documented way without ctrlz: each line's hash is the next one's `prevhash`.
    elsewhere.host(
        "sed -n '2,$p' log | grep -v '^{\"checkpoint\"' > events
         previous=
         while IFS= read -r line; do
           named=$(printf %s \"$line\" | sed 's/.*\"prevhash\":\"\\([0-9a-f]*\\)\".*/\\1/')
           [ -z \"$previous\" ] || [ \"$named\" = \"$previous\" ] || exit 1
           previous=$(printf %s \"$line\" | sha256sum | cut -d' ' -f1)
         done < events",
    );

    for edit in [
        "sed -i s/one/two/ log",
        "sed -i 3d log",
        "sed -i '$d' log",
        "sed -i '3{h;d};4{G}' log",
        "sed -i 's/\"prevhash\":\"./\"prevhash\":\"x/' log",
    ] {
        elsewhere.write("log", scene.read("log.jsonl"));
        elsewhere.host(edit);
        elsewhere.run(&["audit", "verify", "log", "--key", key.trim()]).code(1);
    }
    elsewhere.run(&["audit", "verify", "missing"]).code(125).says(&["missing"]);
    elsewhere.run(&["audit", "verify", "key"]).code(1).says(&["line 1"]);
    elsewhere.run(&["audit", "verify", "log", "--key", "rubbish"]).code(125).says(&["key"]);
}

#[test]
fn what_no_signature_covers_is_told() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    // Nobody has asked for signatures, so that there is no key, and none is made.
    assert!(!scene.store.join("audit/key").exists());
    scene.ok(&["audit", "sign"]);
    let all = scene.json(&["audit", "verify"]);
    assert_eq!((&all["unsigned"], &all["signed_to"]), (&Value::from(0), &all["last"]));
    assert!(!scene.ok(&["audit", "verify"]).contains("no signature covers"));
    scene.inside("echo 2 > two");
    let more = scene.json(&["audit", "verify"]);
    let number = |value: &Value| value.as_i64().expect("a number");
    let (signed, last) = (number(&all["last"]), number(&more["last"]));
    assert!(last > signed, "{more}");
    assert_eq!(number(&more["unsigned"]), last - signed);
    let told = scene.ok(&["audit", "verify"]);
    assert!(told.contains(&format!("up to event {signed}\n")), "{told}");
    let open = format!("no signature covers events {} to {last}:", signed + 1);
    assert!(told.contains(&open), "{told}");
    let part = scene.json(&["audit", "verify", "--to", &signed.to_string()]);
    assert_eq!(part["unsigned"], 0, "{part}");
}

/// The data of the newest event of a type.
#[track_caller]
fn newest(scene: &Scene, kind: &str) -> Value {
    let object = scene.json(&["events", "--type", kind, "-n", "1"]);
    object["events"][0]["data"].clone()
}

#[test]
fn each_command_tells_by_which_files_it_was_judged() {
    let scene = Scene::new();
    scene.inside("true");
    assert_eq!(newest(&scene, "operation.started")["verdict"].get("configuration"), None);
    scene.host("mkdir -p \"$HOME/.config/ctrlz\" .ctrlz");
    scene.ok(&["policy", "new", "mine"]);
    scene.write("ctrlz.yaml", "run: {timeout: 5m}\n");
    scene.host("echo 'run: {pids: 300}' > \"$HOME/.config/ctrlz/ctrlz.yaml\"");
    scene.inside("true");
    let verdict = newest(&scene, "operation.started")["verdict"].clone();
    let told = verdict["configuration"].as_array().expect("an array");
    let told: Vec<String> = told
        .iter()
        .map(|file| {
            let text = |name: &str| file[name].as_str().expect("text").to_owned();
            format!("{}  {}", text("digest").trim_start_matches("sha256:"), text("path"))
        })
        .collect();
    let files = scene.host(
        "sha256sum \"$HOME/.config/ctrlz/ctrlz.yaml\" \"$PWD/ctrlz.yaml\" \"$PWD/.ctrlz/policy/mine.yaml\"",
    );
    let files: Vec<&str> = files.lines().collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(files.iter().all(|file| told.iter().any(|one| one == file)), "{told:?} {files:?}");
    // What is refused is told with them, too.
    scene.run(&["run", "--", "rm", "-rf", "/"]).code(123);
    let refused = newest(&scene, "safety.violation");
    assert_eq!(refused["verdict"]["configuration"], verdict["configuration"], "{refused}");
}

#[test]
fn a_new_sandbox_tells_the_setup_or_the_archived_snapshot_that_it_begins_with() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "setup: [\"echo made > made\"]\n");
    scene.inside("echo 1 > one");
    let made_of = newest(&scene, "sandbox.created")["made_of"].clone();
    let sandboxes = scene.json(&["ls"]);
    let sandboxes = sandboxes["sandboxes"].as_array().expect("an array").iter();
    let own = sandboxes.clone().find(|one| one["name"] == "project").expect("a sandbox");
    assert!(own["life"]["setup"]["digest"].is_string());
    assert_eq!(made_of["setup"], own["life"]["setup"]["digest"]);
    let snapshot = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.ok(&["push", &snapshot]);
    let manifest = newest(&scene, "snapshot.archived")["manifest"].clone();
    scene.ok(&["pull", &format!("project.{snapshot}"), "--sandbox", "again"]);
    let made_of = newest(&scene, "sandbox.created")["made_of"].clone();
    assert_eq!(made_of, serde_json::json!({ "archived": manifest }));
    scene.ok(&["audit", "verify"]);
}

#[test]
fn commands_sign_the_log_where_the_configuration_asks_for_it() {
    let scene = Scene::new();
    let notes =
        |scene: &Scene| scene.host("ls \"$CTRLZ_HOME\"/audit/*.note | wc -l").trim().to_owned();
    scene.write("ctrlz.yaml", "development: {security_config: {audit_logging: enabled}}\n");
    scene.inside("echo 1 > one");
    assert_eq!(scene.json(&["audit", "verify"])["unsigned"], 0);
    // Not after each.
    scene.inside("echo 2 > two");
    assert_eq!(notes(&scene), "1");
    // A clock that was ahead does not end it.
    for when in ["10 minutes ago", "2100-01-01"] {
        let before = notes(&scene);
        scene.host(&format!("touch -d '{when}' \"$CTRLZ_HOME\"/audit/*.note"));
        scene.inside("echo more >> one");
        assert_ne!(notes(&scene), before, "{when}");
        assert_eq!(scene.json(&["audit", "verify"])["unsigned"], 0);
    }
    // What keeps it from being signed is told, and keeps nobody from working.
    scene.host("touch -d '10 minutes ago' \"$CTRLZ_HOME\"/audit/*.note; echo rubbish > \"$CTRLZ_HOME/audit/key\"");
    scene.run(&["run", "--", "touch", "three"]).ok().says(&["could not be signed", "audit/key"]);
}
