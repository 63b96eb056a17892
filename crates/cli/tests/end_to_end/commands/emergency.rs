//! Health checks, known good points, standard and emergency recovery.

use std::io::BufRead;
use std::process::Stdio;

use serde_json::Value;

use crate::support::Scene;

fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let object = scene.json(&["events", "--type", kind, "-n", "1000"]);
    object["events"].as_array().expect("an array").clone()
}

fn good(scene: &Scene) -> Vec<String> {
    let object = scene.json(&["snapshots", "--all"]);
    let snapshots = object["snapshots"].as_array().expect("an array");
    let good = snapshots.iter().filter(|one| !one["good"].is_null());
    good.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn good_is_earned_by_passing_the_checks() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\", \"echo told; touch trace\"]\n");
    let text = scene.run(&["run", "--", "sh", "-c", "echo 1 > one"]).ok();
    assert_eq!(text.out(), "", "what a check prints goes elsewhere");
    assert_eq!(good(&scene).len(), 1);
    assert_eq!(scene.inside("ls"), "ctrlz.yaml\none\n", "what a check writes is dropped");
    assert_eq!(good(&scene).len(), 1, "nothing changed, nothing is checked");
    scene.run(&["run", "--", "touch", "broken"]).ok().says(&["`test ! -e broken` fails"]);
    assert_eq!(good(&scene).len(), 1);
    let required = &events(&scene, "rollback.required")[0]["data"];
    assert_eq!(required["to"], good(&scene)[0].as_str());
    assert_eq!(events(&scene, "health.changed").len(), 1);
    // What an emergency returns to, is neither let go nor removed.
    scene.ok(&["gc", "--max-age", "0"]);
    scene.run(&["snapshot", "rm", &good(&scene)[0]]).code(123).says(&["known to be good"]);
}

#[test]
fn a_rollback_runs_the_checks_when_asked() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let here = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.inside("rm one; touch two");
    scene.write("ctrlz.yaml", "health: [\"test -e one\"]\n");
    let report = scene.json(&["rollback", &here, "--verify", "--check"]);
    assert_eq!((&report["validated"], &report["intact"]), (&"files".into(), &true.into()));
    assert_eq!(report["checks"][0]["passed"], true);
    let left = report["left_behind"].as_str().expect("an id").to_owned();
    let text = scene.run(&["rollback", &left, "--check"]).code(1).out();
    assert!(text.contains("`test -e one` FAILS"), "{text}");
}

#[test]
fn an_emergency_contains_and_returns_to_the_last_good_point() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\n");
    scene.inside("echo good > f");
    scene.run(&["recover", "--emergency", "project"]).code(123).says(&["no health check fails"]);
    let point = good(&scene)[0].clone();
    scene.inside("echo bad > f; touch broken");
    scene.inside("echo worse > f");
    let report = scene.json(&["recover", "--emergency", "project"]);
    assert_eq!(report["to"], point.as_str());
    assert_eq!(report["checks"][0]["passed"], true);
    assert!(report["reason"].as_str().expect("text").contains("test ! -e broken"));
    assert_eq!(scene.inside("cat f"), "good\n");
    assert!(scene.ok(&["ls"]).contains("contained"));
    let required = events(&scene, "rollback.required");
    assert_eq!(required.last().expect("one")["data"]["to"], point.as_str());
    assert_eq!(events(&scene, "rollback.done").len(), 1);
    // No network until it is released; everything else goes on.
    scene.run(&["run", "--net", "host", "--", "true"]).code(123).says(&["contained", "release"]);
    scene.run(&["run", "--", "touch", "broken"]).ok().says(&["fails"]);
    assert!(scene.ok(&["release", "project"]).contains("8 more"));
    scene.run(&["release", "project"]).code(123);
    scene.run(&["run", "--net", "host", "--", "true"]).ok().says(&["fails"]);
    // What was there before is kept.
    let left = report["left_behind"].as_str().expect("an id");
    scene.ok(&["rollback", left]);
    assert_eq!(scene.inside("cat f"), "worse\n");
}

#[test]
fn without_checks_a_command_that_went_well_is_good() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    scene.inside("echo fine > g");
    scene.run(&["run", "--", "sh", "-c", "rm g; exit 3"]).code(3);
    scene.run(&["run", "--", "sh", "-c", "echo bad > f; exit 3"]).code(3);
    scene.run(&["recover", "--emergency", "project"]).code(123).says(&["--reason"]);
    scene.ok(&["recover", "--emergency", "project", "--reason", "it looks odd"]);
    assert_eq!(scene.inside("cat f g"), "good\nfine\n");
    assert!(scene.ok(&["events", "--type", "sandbox"]).contains("it looks odd"));
}

#[test]
fn without_a_good_point_it_is_contained_and_asks() {
    let scene = Scene::new();
    scene.run(&["run", "--", "sh", "-c", "touch a; exit 1"]).code(1);
    let here = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.run(&["run", "--", "sh", "-c", "touch b; exit 1"]).code(1);
    let emergency = ["recover", "--emergency", "project", "--reason", "odd"];
    scene.run(&emergency).code(123).says(&["contained", "--to"]);
    assert!(scene.ok(&["ls"]).contains("contained"));
    let with: Vec<&str> = emergency.iter().chain(&["--to", here.as_str()]).copied().collect();
    scene.ok(&with);
    assert_eq!(scene.inside("ls"), "a\n");
}

#[test]
fn an_emergency_ends_what_runs() {
    for script in ["echo here; sleep 600", "trap '' TERM; echo here; while :; do sleep 1; done"] {
        let scene = Scene::new();
        scene.inside("echo good > f");
        let script = format!("echo bad > f; {script}");
        let mut running = scene
            .ctrlz(["run", "--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let mut out = std::io::BufReader::new(running.stdout.take().expect("its output"));
        out.read_line(&mut String::new()).expect("it runs");
        let report = scene.json(&["recover", "--emergency", "project", "--reason", "runs wild"]);
        assert_eq!(report["stopped"], running.id());
        running.wait().expect("it ended");
        assert_eq!(scene.inside("cat f"), "good\n");
    }
}

#[test]
fn what_people_write_is_told_without_secrets() {
    let scene = Scene::new();
    let token = format!("ghp_{}", "16C7e42F292c6912E7710c838347Ae178B4a");
    scene.write("ctrlz.yaml", format!("health: [\"test ! -e broken # {token}\"]\n"));
    scene.inside("echo 1 > one");
    scene.ok(&["snapshot", "-m", &format!("before {token}")]);
    scene.inside("touch broken");
    scene.ok(&["recover", "--emergency", "project", "--reason", &format!("leaked {token}")]);
    for kind in ["snapshot.created", "operation.started", "health.changed", "rollback.required"] {
        let told = serde_json::to_string(&events(&scene, kind)).expect("JSON");
        assert!(!told.contains(&token), "{told}");
        assert!(told.contains("redacted") || kind == "operation.started", "{told}");
    }
    assert!(!scene.ok(&["snapshots", "--all"]).contains(&token));
    let all = scene.json(&["events", "-n", "1000"]).to_string();
    assert!(!all.contains(&token), "{all}");
}
