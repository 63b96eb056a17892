//! Health checks, known good points, standard and emergency recovery.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

#[cfg(feature = "faults")]
use crate::support::Outcome;
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

/// A command that has begun; it ends with the test.
struct Running(Child);

impl Running {
    #[track_caller]
    fn begin(scene: &Scene, more: &[&str], script: &str) -> Self {
        let words = [&["run"], more, &["--", "sh", "-c", script]].concat();
        let child = scene.ctrlz(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut running = Self(child.expect("start"));
        let mut out = BufReader::new(running.0.stdout.take().expect("its output"));
        out.read_line(&mut String::new()).expect("it runs");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_emergency_freezes_and_ends_what_runs_and_keeps_what_it_wrote() {
    for (more, network, script) in [
        (&[][..], "none", "echo here; sleep 600"),
        (&[][..], "none", "trap '' TERM; echo here; while :; do sleep 1; done"),
        (&["--net", "host"][..], "host", "echo here; sleep 600"),
    ] {
        let scene = Scene::new();
        scene.inside("echo good > f");
        let script = format!("echo bad > f; {script}");
        let mut running = Running::begin(&scene, more, &script);
        let report = scene.json(&["recover", "--emergency", "project", "--reason", "runs wild"]);
        assert_eq!(report["stopped"], running.0.id());
        assert!(report["frozen"]["process"].is_u64() && report["frozen"]["by"].is_string());
        assert_eq!(report["network"], network);
        running.0.wait().expect("it ended");
        assert_eq!(scene.inside("cat f"), "good\n");
        scene.ok(&["rollback", report["left_behind"].as_str().expect("an id")]);
        assert_eq!(scene.inside("cat f"), "bad\n", "nothing was lost");
    }
}

/// An emergency in which nothing can be frozen.
#[cfg(feature = "faults")]
fn emergency_without_freezing(scene: &Scene, more: &[&str]) -> Outcome {
    let words = ["recover", "--emergency", "project", "--reason", "odd"];
    let mut command = scene.ctrlz([more, &words].concat());
    Outcome::of(command.env("CTRLZ_FREEZE_FAULT", "1"))
}

#[cfg(feature = "faults")]
#[test]
fn what_cannot_be_frozen_is_ended_and_what_it_wrote_is_kept() {
    for (more, network) in [(&["--net", "host"][..], "host"), (&[], "none")] {
        let scene = Scene::new();
        scene.inside("echo good > f");
        let mut running = Running::begin(&scene, more, "echo bad > f; echo here; sleep 600");
        let report = emergency_without_freezing(&scene, &["--json"]).ok().json();
        assert_eq!((&report["frozen"], &report["network"]), (&Value::Null, &network.into()));
        assert_eq!(report["stopped"], running.0.id());
        running.0.wait().expect("it ended");
        assert!(scene.ok(&["ls"]).contains("contained"));
        assert_eq!(scene.inside("cat f"), "good\n");
        scene.ok(&["rollback", report["left_behind"].as_str().expect("an id")]);
        assert_eq!(scene.inside("cat f"), "bad\n", "nothing was lost");
    }
}

#[cfg(feature = "faults")]
#[test]
fn what_cannot_be_frozen_is_ended_where_there_is_no_way_back_either() {
    let scene = Scene::new();
    let mut running =
        Running::begin(&scene, &["--net", "host"], "echo kept > f; echo here; sleep 600");
    let told = emergency_without_freezing(&scene, &[]).code(123);
    assert!(!told.err().contains("frozen"), "{told}");
    told.says(&["is contained", "--to"]);
    running.0.wait().expect("it ended");
    let listed = scene.ok(&["ls"]);
    assert!(listed.contains("contained") && !listed.contains("suspended"), "{listed}");
    assert_eq!(scene.inside("cat f"), "kept\n", "what it wrote is there to be looked at");
}

#[test]
fn without_a_way_back_what_runs_stays_frozen_and_gets_no_network() {
    for more in [&["--net", "host"][..], &[]] {
        let scene = Scene::new();
        let running = Running::begin(&scene, more, "echo here; while :; do sleep 0.1; done");
        let emergency = ["recover", "--emergency", "project", "--reason", "odd"];
        scene.run(&emergency).code(123).says(&["is contained", "is frozen", "--to"]);
        assert!(scene.ok(&["ls"]).contains("suspended"));
        let resume = ["resume", "project"];
        if more.is_empty() {
            scene.ok(&resume);
        } else {
            scene.run(&resume).code(123).says(&["contained", "release"]);
            assert!(scene.ok(&["ls"]).contains("suspended"), "it goes on as little as before");
            scene.ok(&["release", "project"]);
            scene.ok(&resume);
        }
        assert!(!scene.ok(&["ls"]).contains("suspended"));
        drop(running);
    }
}

#[test]
fn what_is_suspended_and_runs_nothing_is_returned_too() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    scene.inside("echo bad > f");
    scene.ok(&["suspend", "project"]);
    scene.ok(&["recover", "--emergency", "project", "--reason", "odd"]);
    assert_eq!(scene.inside("cat f"), "good\n");
}

#[test]
fn a_way_back_that_is_none_ends_nothing() {
    let scene = Scene::new();
    scene.inside("echo good > marker");
    let good = scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned();
    let running = Running::begin(&scene, &[], "echo here; sleep 600");
    let emergency = ["recover", "--emergency", "project", "--reason", "odd", "--to"];
    scene.run(&[&emergency[..], &["snap-99"]].concat()).code(125).says(&["snap-99"]);
    let listed = scene.ok(&["ls"]);
    assert!(listed.contains("running") && !listed.contains("contained"), "{listed}");
    // The kernel's own folder of an overlay is closed to an ordinary user.
    scene.host(
        "cd \"$CTRLZ_HOME\"; find . -path '*/work' -prune -o -name marker -print > ../markers; \
         test -s ../markers; while read -r marker; do echo other > \"$marker\"; done < ../markers",
    );
    let damaged = scene.run(&[&emergency[..], &[good.as_str()]].concat());
    damaged.code(125).says(&["contained", "frozen", "choose another"]);
    assert!(scene.ok(&["ls"]).contains("suspended"), "it is there for somebody to look at");
    drop(running);
}

#[test]
fn a_broken_configuration_keeps_nobody_from_an_emergency() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    scene.inside("echo bad > f");
    scene.write("ctrlz.yaml", "recovery: {watched: 1, none: such}\n");
    scene.run(&["recover", "--emergency", "project"]).code(125).says(&["ctrlz.yaml"]);
    let emergency = ["recover", "--emergency", "project", "--reason", "odd"];
    scene.run(&emergency).ok().says(&["without the configuration"]);
    std::fs::remove_file(scene.root.join("project/ctrlz.yaml")).expect("remove");
    assert_eq!(scene.inside("cat f"), "good\n");
}

#[test]
fn whoever_waits_for_what_is_ended_is_ended_too() {
    let scene = Scene::new();
    scene.inside("echo good > f");
    let first = Running::begin(&scene, &[], "echo bad > f; echo here; sleep 600");
    let mut waiting = scene.ctrlz(["run", "--", "sleep", "600"]);
    let mut waiting = Running(waiting.stderr(Stdio::piped()).spawn().expect("start"));
    let mut told = BufReader::new(waiting.0.stderr.take().expect("its errors"));
    let mut line = String::new();
    told.read_line(&mut line).expect("it waits");
    assert!(line.contains("waiting"), "{line}");
    scene.ok(&["recover", "--emergency", "project", "--reason", "odd"]);
    let mut ended = [first, waiting];
    for one in &mut ended {
        one.0.wait().expect("it ended");
    }
    scene.ok(&["release", "project"]);
    let kept = scene.json(&["log"]).to_string();
    assert!(kept.contains("rollback to"), "{kept}");
}

#[test]
fn what_could_only_be_contained_is_told_as_that() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "health: [\"false\"]\nrecovery: {emergency: auto}\n");
    let report = scene.run(&["--json", "run", "--", "touch", "f"]);
    let report = report.says(&["no point is known to be good"]).json();
    assert_eq!((&report["contained"], &report["emergency"]), (&true.into(), &Value::Null));
    assert!(scene.ok(&["ls"]).contains("contained"));
}

#[test]
fn an_emergency_starts_by_itself_where_the_configuration_says_so() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\nrecovery: {emergency: auto}\n");
    scene.inside("echo good > f");
    scene.run(&["run", "--", "sh", "-c", "echo bad > f; touch broken; exit 3"]).code(3).says(&[
        "`test ! -e broken` fails",
        "returned",
        "contained",
    ]);
    assert_eq!(scene.inside("cat f; ls"), "good\nctrlz.yaml\nf\n");
    assert!(scene.ok(&["ls"]).contains("contained"));
    assert_eq!(events(&scene, "rollback.required").len(), 1);
    assert_eq!(events(&scene, "rollback.done").len(), 1);
    let report = scene.run(&["--json", "run", "--", "touch", "broken"]).ok().json();
    let emergency = &report["emergency"];
    assert_eq!(report["contained"], true);
    assert_eq!(emergency["checks"][0]["passed"], true);
    assert_eq!(scene.inside("ls"), "ctrlz.yaml\nf\n");
    // What was there is kept.
    scene.ok(&["rollback", emergency["left_behind"].as_str().expect("an id")]);
    let fine = scene.run(&["--json", "run", "--", "true"]).ok().json();
    assert!(!fine["emergency"].is_null(), "a watched command is followed by the checks");
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\n");
    scene.ok(&["release", "project"]);
    assert!(scene.run(&["--json", "run", "--", "true"]).ok().json()["emergency"].is_null());
}

#[cfg(feature = "faults")]
#[test]
fn what_was_required_and_not_done_the_daemon_does() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\n");
    scene.inside("echo good > f");
    scene.run(&["run", "--", "sh", "-c", "echo bad > f; touch broken"]).ok();
    assert_eq!(events(&scene, "rollback.done").len(), 0);
    // As if whoever was about to do it had been killed.
    scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\nrecovery: {emergency: auto}\n");
    std::fs::write(scene.store.join("recovery"), "0").expect("write");
    let running = daemon(&scene);
    until(|| !events(&scene, "rollback.done").is_empty());
    drop(running);
    assert_eq!(scene.inside("cat f; ls"), "good\nctrlz.yaml\nf\n");
    assert!(scene.ok(&["ls"]).contains("contained"));
}

#[cfg(feature = "faults")]
fn daemon(scene: &Scene) -> Running {
    let mut command = scene.ctrlz(["daemon", "--no-remedies"]);
    command.env("CTRLZ_RECOVERY_MILLIS", "0").stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().expect("start"))
}

#[cfg(feature = "faults")]
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it never is");
}

#[cfg(feature = "faults")]
#[test]
fn the_daemon_leaves_alone_what_is_long_over() {
    const CHECKED: &str = "health: [\"test ! -e broken\"]\n";
    const AUTO: &str = "health: [\"test ! -e broken\"]\nrecovery: {emergency: auto}\n";
    // Somebody goes on and mends it; somebody goes on, and there is nothing to judge that by; and what
    // a daemon remembers is lost.
    const UNCHECKED: &str = "recovery: {emergency: auto}\n";
    for (config, afterwards, auto, memory) in [
        (CHECKED, "rm broken; echo later > f", AUTO, "0"),
        (UNCHECKED, "echo later > f", UNCHECKED, "0"),
        (CHECKED, "echo later > f", AUTO, "\0\0"),
    ] {
        let scene = Scene::new();
        scene.write("ctrlz.yaml", CHECKED);
        scene.inside("echo good > f");
        scene.run(&["run", "--", "touch", "broken"]).ok();
        scene.write("ctrlz.yaml", config);
        scene.inside(afterwards);
        assert!(!events(&scene, "rollback.required").is_empty());
        scene.write("ctrlz.yaml", auto);
        std::fs::write(scene.store.join("recovery"), memory).expect("write");
        let newest = scene.json(&["events", "-n", "1"])["events"][0]["id"].to_string();
        let newest: i64 = newest.trim_matches('"').parse().expect("a number");
        let running = daemon(&scene);
        let come_to = || std::fs::read_to_string(scene.store.join("recovery")).expect("read");
        until(|| come_to().parse::<i64>().is_ok_and(|number| number >= newest));
        drop(running);
        assert_eq!(events(&scene, "rollback.done").len(), 0, "{afterwards}");
        assert_eq!(scene.inside("cat f"), "later\n");
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
