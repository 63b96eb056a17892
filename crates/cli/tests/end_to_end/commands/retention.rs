//! Tags, searches, the end of snapshots, and retention.

use serde_json::Value;

#[cfg(feature = "faults")]
use crate::support::Outcome;
use crate::support::Scene;

#[track_caller]
fn taken(scene: &Scene, more: &[&str]) -> String {
    let arguments: Vec<&str> = ["snapshot"].iter().chain(more).copied().collect();
    scene.json(&arguments)["snapshot"]["id"].as_str().expect("an id").to_owned()
}

/// The ids that `ctrlz snapshots` lists.
#[track_caller]
fn listed(scene: &Scene, more: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = ["snapshots"].iter().chain(more).copied().collect();
    let object = scene.json(&arguments);
    let snapshots = object["snapshots"].as_array().expect("an array");
    snapshots.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let object = scene.json(&["events", "--type", kind, "-n", "1000"]);
    object["events"].as_array().expect("an array").clone()
}

#[test]
fn snapshots_are_tagged_and_found() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let first = taken(&scene, &["-m", "Before Lunch", "--tag", "keep", "--tag", "v1"]);
    let second = taken(&scene, &["-m", "after"]);
    let text = scene.ok(&["snapshot", "tag", &second, "+v2", "+x"]);
    assert!(text.contains("v2 x"), "{text}");
    scene.ok(&["snapshot", "tag", &second, "-x", "+v1"]);
    assert_eq!(listed(&scene, &["--tag", "v1"]), [second.clone(), first.clone()]);
    assert_eq!(listed(&scene, &["--tag", "v1", "--tag", "keep"]), [first.as_str()]);
    assert_eq!(listed(&scene, &["--tag", "x"]), [""; 0]);
    assert_eq!(listed(&scene, &["--text", "lunch"]), [first.as_str()]);
    assert_eq!(listed(&scene, &["--kind", "pre-operation"]).len(), 1);
    assert_eq!(listed(&scene, &["--since", "1h"]).len(), 3, "all, those before operations, too");
    assert_eq!(listed(&scene, &["--until", "2020-01-31"]).len(), 0);
    let operation = scene.last();
    assert_eq!(listed(&scene, &["--operation", &operation]), [second.as_str()]);
    assert!(scene.ok(&["snapshots"]).contains("keep v1"));
    scene.run(&["snapshots", "--since", "yesterday"]).code(125).says(&["yesterday", "2026-01-31"]);
    scene.run(&["snapshot", "tag", &first, "v1"]).code(125).says(&["+TAG"]);
    scene.run(&["snapshot", "--tag", "a b"]).code(125).says(&["not a tag"]);
    scene.run(&["snapshot", "tag", "snap-99", "+x"]).code(125).says(&["snap-99"]);
    assert_eq!(scene.json(&["snapshot", "tag", &first, "-v1"])["snapshot"]["tags"][0], "keep");
}

#[test]
fn a_snapshot_is_removed_unless_it_is_needed() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let kept = taken(&scene, &["--tag", "keep"]);
    let loose = taken(&scene, &[]);
    scene.run(&["snapshot", "rm", &kept]).code(123).says(&["keep", "--force"]);
    scene.ok(&["snapshot", "rm", &loose]);
    scene.run(&["rollback", &loose]).code(125).says(&[&loose]);
    assert_eq!(events(&scene, "snapshot.removed")[0]["data"]["reason"], "removed by hand");
    let next = taken(&scene, &[]);
    assert_ne!(next, loose, "its id is not given again");
    scene.ok(&["rollback", &kept, "--verify"]);
    scene.ok(&["snapshot", "rm", "--force", &kept]);
    scene.run(&["snapshot", "rm", &kept]).code(125);
}

#[test]
fn a_snapshot_of_the_state_alone_touches_no_file() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    scene.ok(&["state", "put", "phase", "first"]);
    let here = taken(&scene, &["--scope", "state-only"]);
    assert!(scene.ok(&["snapshots"]).contains("state-only"));
    scene.ok(&["state", "put", "phase", "second"]);
    scene.inside("echo 2 > one; echo 2 > two");
    assert_eq!(scene.json(&["rollback", &here, "--dry-run"])["counts"]["modified"], 0);
    scene.ok(&["rollback", &here]);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "first");
    assert_eq!(scene.inside("cat one two"), "2\n2\n");
    scene.run(&["rollback", &here, "--path", "one"]).code(123).says(&["state alone"]);
    scene.run(&["diff", "--since", &here]).code(123).says(&["state alone"]);
    scene.ok(&["gc", "--max-age", "0"]);
}

#[test]
fn gc_tells_each_decision_and_does_what_it_told() {
    let scene = Scene::new();
    // Of each of these layers, only the past knows.
    for _ in 0..7 {
        scene.inside("head -c 300000 /dev/urandom > big");
        scene.ok(&["discard"]);
    }
    scene.inside("echo last > last");
    let kept = taken(&scene, &["-m", "by hand"]);
    let before = listed(&scene, &["--all"]);
    assert_eq!(before.len(), 9);
    let dry = scene.json(&["gc", "--dry-run", "--max-age", "0", "--max-snapshots", "3"]);
    let plan = &dry["sandboxes"][0];
    let decisions = plan["snapshots"].as_array().expect("an array");
    assert_eq!(decisions.len(), 9, "one for each");
    assert!(decisions.iter().all(|one| !one["reason"].as_str().expect("text").is_empty()));
    assert_eq!(plan["history"]["kept"], 10);
    assert!(plan["frees"].as_u64().expect("a number") > 300_000, "{plan}");
    assert_eq!(listed(&scene, &["--all"]), before, "a dry run does nothing");
    assert_eq!(events(&scene, "snapshot.removed").len(), 0);

    let done = scene.json(&["gc", "--max-age", "0"]);
    assert!(done["freed_bytes"].as_u64().expect("a number") > 300_000, "{done}");
    assert_eq!(done["sandboxes"][0]["snapshots"], plan["snapshots"], "as it was told");
    assert_eq!(listed(&scene, &["--all"]), [kept.as_str()]);
    assert_eq!(events(&scene, "snapshot.removed").len(), 8);
    assert_eq!(events(&scene, "history.trimmed").len(), 1);
    scene.ok(&["audit", "verify"]);
    let old = scene.log().last().expect("one")["id"].as_str().expect("an id").to_owned();
    scene.run(&["rollback", &old]).code(123).says(&["time", "over"]);
    assert!(scene.ok(&["show", &old]).contains("retention"));
    // The newest ten can be undone all the same.
    for _ in 0..9 {
        scene.ok(&["undo"]);
    }
    scene.run(&["undo"]).code(123).says(&["time", "over"]);
    scene.ok(&["redo"]);
    scene.ok(&["rollback", &kept, "--verify"]);
    assert_eq!(scene.inside("ls"), "last\n");
    assert!(scene.ok(&["gc"]).contains("within the policy"));
}

#[test]
fn gc_follows_the_configuration_of_each_folder() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "retention: {keep: [release]}\n");
    for n in 0..12 {
        scene.inside(&format!("echo {n} > f"));
    }
    let all = listed(&scene, &["--all"]);
    scene.ok(&["snapshot", "tag", &all[11], "+release"]);
    scene.ok(&["gc"]);
    let mut expected = all[..10].to_vec();
    expected.push(all[11].clone());
    assert_eq!(listed(&scene, &["--all"]), expected, "ten of a kind, and what is tagged");
    scene.write("ctrlz.yaml", "retention: {max_age: 90m}\n");
    let text = scene.ok(&["gc"]);
    assert!(text.contains("left alone") && text.contains("whole hours"), "{text}");
    scene.write("ctrlz.yaml", "retention: {max_snapshots: 3}\n");
    let text = scene.ok(&["gc", "--dry-run"]);
    assert!(text.contains("loosen"), "a project may not let go of more: {text}");
}

#[test]
fn gc_leaves_a_sandbox_in_use_alone() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let mut running = scene
        .ctrlz(["run", "--", "sh", "-c", "echo here; read line"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("start");
    let mut out = std::io::BufReader::new(running.stdout.take().expect("its output"));
    std::io::BufRead::read_line(&mut out, &mut String::new()).expect("it runs");
    let text = scene.ok(&["gc", "--max-age", "0"]);
    assert!(text.contains("in use by process"), "{text}");
    drop(running.stdin.take());
    running.wait().expect("it ends");
    assert!(scene.ok(&["gc", "--max-age", "0"]).contains("gone"));
}

#[cfg(feature = "faults")]
#[test]
fn a_killed_gc_is_finished_by_the_next() {
    for fault in ["before", "after"] {
        for call in 1..30 {
            let scene = Scene::new();
            for n in 0..12 {
                scene.inside(&format!("echo {n} > f"));
            }
            let kept = taken(&scene, &[]);
            let mut command = scene.ctrlz(["gc", "--max-age", "0"]);
            let ended = Outcome::of(command.env("CTRLZ_STORE_FAULT", format!("{call}:{fault}")));
            scene.ok(&["audit", "verify"]);
            for _ in 0..2 {
                scene.ok(&["undo"]);
            }
            scene.ok(&["rollback", &kept, "--verify"]);
            assert_eq!(scene.inside("cat f"), "11\n");
            scene.ok(&["gc", "--max-age", "0"]);
            scene.ok(&["rollback", &kept, "--verify"]);
            if ended.status.code() == Some(0) {
                assert!(call > 5, "it was not killed at all");
                break;
            }
        }
    }
}

#[cfg(feature = "faults")]
#[test]
fn commands_do_it_now_and_then() {
    let scene = Scene::new();
    let run = |scene: &Scene, seconds: &str| {
        let mut command = scene.ctrlz(["run", "--", "true"]);
        Outcome::of(command.env("CTRLZ_UPKEEP_SECONDS", seconds)).ok();
    };
    for _ in 0..40 {
        run(&scene, "0");
    }
    let count = listed(&scene, &["--all"]).len();
    assert!(count < 30, "{count} of 40 are left");
    assert!(!events(&scene, "snapshot.removed").is_empty());
    for _ in 0..40 {
        run(&scene, "3600");
    }
    assert_eq!(listed(&scene, &["--all"]).len(), count + 40, "not before its time");
    // A clock that was wrong does not end it for good.
    scene.host("touch -d 2100-01-01 \"$CTRLZ_HOME/upkeep\"");
    for _ in 0..32 {
        run(&scene, "3600");
    }
    assert!(listed(&scene, &["--all"]).len() < 50);
}

#[cfg(feature = "faults")]
#[test]
fn a_large_store_is_gone_through_a_part_at_a_time() {
    let scene = Scene::new();
    for name in ["a", "b", "zz"] {
        scene.ok(&["new", name]);
    }
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let mut command = scene.ctrlz(["exec", "zz", "--", "true"]);
        command.env("CTRLZ_UPKEEP_SECONDS", "0").env("CTRLZ_UPKEEP_PATIENCE", "0");
        Outcome::of(&mut command).ok();
        reached.extend(std::fs::read_to_string(scene.store.join("upkeep")).ok());
    }
    for part in ["a\n", "b\n", "zz\n", ""] {
        assert!(reached.contains(part), "{part:?} of {reached:?}");
    }
    assert!(!events(&scene, "snapshot.removed").is_empty());
}

#[cfg(feature = "faults")]
#[test]
fn other_commands_do_it_too_and_the_log_is_signed_where_somebody_began_to() {
    let notes = |scene: &Scene| {
        let notes = std::fs::read_dir(scene.store.join("audit")).into_iter().flatten().flatten();
        notes.filter(|note| note.file_name().to_string_lossy().ends_with(".note")).count()
    };
    for signed in [false, true] {
        let scene = Scene::new();
        scene.inside("echo 1 > one");
        if signed {
            scene.ok(&["audit", "sign"]);
        }
        for _ in 0..20 {
            for step in ["undo", "redo"] {
                let mut command = scene.ctrlz([step]);
                Outcome::of(command.env("CTRLZ_UPKEEP_SECONDS", "0")).ok();
            }
        }
        assert!(scene.store.join("upkeep").exists());
        assert_eq!(notes(&scene), if signed { 2 } else { 0 });
        scene.ok(&["audit", "verify"]);
    }
}

#[test]
fn automatic_snapshots_follow_their_rules() {
    let scene = Scene::new();
    let messages = |scene: &Scene| -> Vec<String> {
        let object = scene.json(&["snapshots", "--kind", "automatic"]);
        let snapshots = object["snapshots"].as_array().expect("an array").clone();
        snapshots.iter().map(|one| one["message"].as_str().expect("text").to_owned()).collect()
    };
    scene.write("ctrlz.yaml", "snapshots: {every_operations: 3}\n");
    for n in 0..7 {
        scene.inside(&format!("echo {n} > f"));
    }
    let taken = messages(&scene);
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert!(taken.iter().all(|message| message.contains("3 operations")), "{taken:?}");

    scene.write("ctrlz.yaml", "snapshots: {changed_bytes: 1M}\n");
    scene.inside("head -c 400000 /dev/zero > big1");
    assert_eq!(messages(&scene).len(), 2);
    scene.inside("head -c 800000 /dev/zero > big2");
    assert!(messages(&scene)[0].contains("added or changed"));
    scene.inside("echo small > small");
    assert_eq!(messages(&scene).len(), 3);

    scene.write("ctrlz.yaml", "snapshots: {every: 1h}\n");
    scene.inside("true");
    assert_eq!(messages(&scene).len(), 3);
    scene.write("ctrlz.yaml", "snapshots: {every: 1ms}\n");
    scene.inside("true");
    assert!(messages(&scene)[0].contains("have passed"));

    scene.write("ctrlz.yaml", "snapshots: {before_risk: medium}\n");
    scene.inside("true");
    assert_eq!(messages(&scene).len(), 4);
    scene.ok(&["run", "--yes", "--", "sh", "-c", "rm -rf ./*"]);
    let object = scene.json(&["snapshots", "--kind", "automatic"]);
    let newest = &object["snapshots"][0];
    assert!(
        newest["message"].as_str().expect("text").starts_with("before a command of"),
        "{newest}"
    );
    scene.ok(&["rollback", newest["id"].as_str().expect("an id")]);
    assert!(scene.inside("ls").contains("big2"), "the point before it");

    let scene = Scene::new();
    scene.write("ctrlz.yaml", "snapshots: {predictive: true}\n");
    scene.inside("true");
    scene.inside("true");
    assert_eq!(messages(&scene).len(), 0);
    let risky = || scene.ok(&["run", "--yes", "--", "sh", "-c", "rm -rf ./*; touch a b c"]);
    for _ in 0..20 {
        risky();
        if !messages(&scene).is_empty() {
            break;
        }
    }
    risky();
    let taken = messages(&scene);
    assert_eq!(taken, ["the risk of the last commands rises"], "once, not after each");
}
