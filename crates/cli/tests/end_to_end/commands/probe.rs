//! The probe: what is promised is tried inside, once for each kernel and configuration.

use serde_json::Value;

#[cfg(feature = "faults")]
use crate::support::Outcome;
use crate::support::Scene;

fn probes(scene: &Scene) -> Vec<String> {
    let names = scene.host("cd \"$CTRLZ_HOME\" && ls -A");
    names.lines().filter(|name| name.contains("probe")).map(str::to_owned).collect()
}

#[test]
fn every_protection_is_tried_and_held() {
    let scene = Scene::new();
    let object = scene.json(&["doctor"]);
    assert_eq!(object["probed_now"], true);
    let trials = object["probe"].as_array().expect("an array");
    for trial in trials {
        assert_eq!(trial["held"], true, "{trial}");
    }
    let tried = |trial: &&Value| trial["tried"] == true;
    assert!(trials.iter().filter(tried).count() >= 20, "{object}");
    // What is promised was looked at, all of it.
    let promised = object["enforcement"].as_array().expect("an array");
    let protections = promised
        .iter()
        .filter(|one| !one["by"].is_null())
        .map(|one| one["what"].as_str().expect("text"));
    for what in protections {
        let found = trials.iter().any(|trial| trial["what"] == what);
        assert!(found || what.starts_with("many owners"), "{what} was not tried");
    }
    assert_eq!(scene.json(&["doctor"])["probed_now"], false, "it is known by now");
    assert_eq!(scene.json(&["doctor", "--probe"])["probed_now"], true);
    assert!(scene.ok(&["doctor"]).contains("tried inside a sandbox (found earlier"));
}

#[test]
fn the_first_run_probes_and_leaves_one_small_file() {
    let scene = Scene::new();
    scene.run(&["run", "--", "echo", "hello"]).ok().says_nothing();
    let found = probes(&scene);
    assert_eq!(found.len(), 1, "{found:?}");
    let before = scene.host("stat -c %Y.%i \"$CTRLZ_HOME\"/probed-*");
    scene.run(&["run", "--", "true"]).ok().says_nothing();
    assert_eq!(scene.host("stat -c %Y.%i \"$CTRLZ_HOME\"/probed-*"), before);
    // Another configuration is another question.
    scene.ok(&["run", "--hide", "/usr/share", "--", "true"]);
    scene.ok(&["run", "--hide", "/usr/share", "--hide", "/usr/include", "--", "true"]);
    assert_eq!(probes(&scene).len(), 3);
    let left = scene.host("ls -A /tmp /var/tmp | grep ctrlz-probe- || true");
    let own: Vec<&str> = left.lines().collect();
    assert!(own.len() < 20, "markers stay: {own:?}");
}

/// Without a protection, the probe must find it out.
#[cfg(feature = "faults")]
#[test]
fn a_protection_that_is_not_in_force_is_an_error_before_anything_runs() {
    let all = [
        "network-namespace",
        "ipc-namespace",
        "uts-namespace",
        "cgroup-namespace",
        "read-only-root",
        "private-temporary",
        "private-devices",
        "masked-kernel-files",
        "hidden-secrets",
        "no-capabilities",
        "no-new-privs",
        "seccomp",
        "landlock",
        "closed-descriptors",
        "process-ceiling",
        "first-to-be-killed",
        "dies-with-launcher",
        "opaque-init",
        "pivot-root",
    ];
    let unavailable: Vec<String> = {
        let object = Scene::new().json(&["doctor"]);
        let survey = object["enforcement"].as_array().expect("an array").clone();
        let missing = survey.iter().filter(|one| one["by"].is_null());
        missing.map(|one| one["what"].as_str().expect("text").to_owned()).collect()
    };
    for word in all.iter().filter(|word| !unavailable.iter().any(|one| one == *word)) {
        let scene = Scene::new();
        let with = |words: &[&str]| {
            let mut command = scene.ctrlz(words);
            command.env("CTRLZ_WITHOUT", word);
            Outcome::of(&mut command)
        };
        let told = with(&["run", "--", "sh", "-c", "echo ran > f"]);
        told.code(125).says(&["not in force", word, "ctrlz doctor --probe"]);
        assert_eq!(scene.json(&["ls"])["sandboxes"].as_array().expect("an array").len(), 0);
        assert!(probes(&scene).is_empty(), "a failure is not remembered");
        let text = with(&["doctor"]).code(1).out();
        assert!(text.lines().any(|line| line.starts_with('✗') && line.contains(word)), "{text}");
        let events = scene.json(&["events", "--type", "health.changed"]);
        let evidence = events["events"][0]["data"]["evidence"].as_str().expect("text").to_owned();
        assert!(evidence.contains(word), "{evidence}");
        scene.ok(&["run", "--", "true"]);
    }
}

/// What the host lacks is told; one profile does not do without.
#[cfg(feature = "faults")]
#[test]
fn high_security_wants_all_that_there_is() {
    let scene = Scene::new();
    let run = |profile: &str, lacks: &str| {
        let isolation = ["--isolation", "native"];
        let words =
            [&["run", "--profile", profile, "--cpus", "1"][..], &isolation, &["--", "true"]];
        let words = words.concat();
        let mut command = scene.ctrlz(words);
        command.env("CTRLZ_LACKS", lacks);
        Outcome::of(&mut command)
    };
    let out = run("high-security", "landlock");
    out.code(125).says(&["high-security wants every protection", "landlock is missing"]);
    run("testing", "landlock").ok();
    let out = run("high-security", "");
    match scene.json(&["doctor"])["missing"].as_array().expect("an array").is_empty() {
        true => drop(out.ok()),
        false => drop(out.code(125)),
    }
}

#[test]
fn a_store_that_others_may_write_to_gets_no_sandbox() {
    let scene = Scene::new();
    scene.ok(&["ls"]);
    scene.host("chmod 777 \"$CTRLZ_HOME\"");
    for words in [&["run", "--", "true"][..], &["new", "one"]] {
        scene.run(words).code(125).says(&["not yours alone", "mode 777", "chmod go-w"]);
    }
    scene.host("chmod 700 \"$CTRLZ_HOME\"");
    scene.ok(&["run", "--", "true"]);
}

#[test]
fn the_probe_outside_of_a_sandbox_says_that_nothing_holds() {
    let scene = Scene::new();
    let facts = "{\"namespaces\":[],\"launcher\":1,\"markers\":[],\"hidden\":[],\"descriptor\":9,\
                 \"oom_score\":0,\"home\":null,\"limits\":[]}";
    let out = scene.run(&["probe-inside", facts]).ok();
    let trials: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let held = |word: &str| {
        let all = trials.as_array().expect("an array");
        all.iter().find(|one| one["what"] == word).expect("tried")["held"].clone()
    };
    assert_eq!((held("seccomp"), held("no-new-privs")), (false.into(), false.into()));
    // Anything else behind the word is no command.
    scene.run(&["probe-inside", "x", "y"]).code(125);
}

#[test]
fn whatever_lies_where_a_probe_is_remembered_is_replaced() {
    let scene = Scene::new();
    scene.ok(&["doctor", "--probe"]);
    let name = scene.host("basename \"$CTRLZ_HOME\"/probed-*").trim().to_owned();
    let at = scene.store.join(&name);
    // So much, no probe writes.
    let text = std::fs::read_to_string(&at).expect("read") + &" ".repeat(2 << 20);
    std::fs::write(&at, text).expect("write");
    assert_eq!(scene.json(&["doctor"])["probed_now"], true);
    assert_eq!(scene.json(&["doctor"])["probed_now"], false);
    std::fs::remove_file(&at).expect("remove");
    std::fs::create_dir_all(at.join("in")).expect("mkdir");
    assert_eq!(scene.json(&["doctor"])["probed_now"], true);
    assert!(at.is_file());
    assert_eq!(scene.host("cd \"$CTRLZ_HOME\"; echo probed-*").trim(), name, "nothing is left");
}
