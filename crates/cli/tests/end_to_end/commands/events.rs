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
    assert!(unsigned.contains("nothing of it is signed yet"), "{unsigned}");
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
