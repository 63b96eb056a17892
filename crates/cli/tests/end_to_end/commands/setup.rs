//! `setup:` of ctrlz.yaml.

use serde_json::Value;

use crate::support::{Outcome, Scene};

/// A project with a setup.
fn scene(setup: &str) -> Scene {
    let scene = Scene::with("echo one > a");
    scene.write("ctrlz.yaml", format!("setup: {setup}\n"));
    scene
}

fn sandboxes(scene: &Scene) -> Vec<(String, String, Value)> {
    let list = scene.json(&["ls"]);
    let all = list["sandboxes"].as_array().expect("an array").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    all.into_iter().map(|one| (text(&one["name"]), text(&one["lifecycle"]), one)).collect()
}

fn setups(scene: &Scene) -> Vec<String> {
    let all = sandboxes(scene).into_iter().map(|(name, ..)| name);
    all.filter(|name| name.starts_with("setup-")).collect()
}

fn told(scene: &Scene) -> Vec<(String, String)> {
    let object = scene.json(&["events", "--type", "sandbox.lifecycle", "-n", "100"]);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let events = object["events"].as_array().expect("an array");
    events.iter().map(|one| (text(&one["data"]["from"]), text(&one["data"]["to"]))).collect()
}

const DEPS: &str =
    "[\"mkdir deps; echo lib > deps/lib; echo locked >> a\", \"echo two >> deps/lib\"]";

#[test]
fn new_sandboxes_begin_where_the_setup_ended() {
    let scene = scene(DEPS);
    let out = scene.run(&["run", "--", "cat", "deps/lib", "a"]).ok();
    assert_eq!(out.out(), "lib\ntwo\none\nlocked\n", "what a setup prints goes nowhere");
    out.says(&["setup 1 of 2: mkdir deps", "setup 2 of 2"]);
    // Once.
    scene.run(&["run", "--", "true"]).ok().says_nothing();
    scene.run(&["new", "other"]).ok().says_nothing();
    assert_eq!(scene.ok(&["exec", "other", "--", "cat", "deps/lib"]), "lib\ntwo\n");
    let made = setups(&scene);
    assert_eq!(made.len(), 1);
    let log = scene.json(&["log", &made[0]]);
    let runs = log["operations"].as_array().expect("an array");
    let runs: Vec<&Value> = runs.iter().filter(|one| one["request"]["kind"] == "run").collect();
    assert_eq!(runs.len(), 2, "journaled");
    assert!(runs[0]["request"]["verdict"].is_object(), "and judged");
    assert_eq!(told(&scene), [("init".to_owned(), "ready".to_owned())]);
    // The real folder knows nothing of it.
    assert!(!scene.exists("deps"));
}

#[test]
fn what_the_setup_left_is_no_change_of_the_sandbox() {
    let scene = scene(DEPS);
    scene.inside("echo mine > b; echo more >> a");
    assert_eq!(scene.changes(), ["modified a", "added b"]);
    let whole = scene.json(&["diff", "--base"]);
    assert_eq!(whole["counts"]["added"], 3, "{whole}");
    let plan = scene.json(&["commit", "--dry-run"]);
    assert_eq!((&plan["counts"]["added"], &plan["counts"]["modified"]), (&1.into(), &1.into()));
    scene.ok(&["commit"]);
    assert_eq!((scene.read("a"), scene.read("b")), ("one\nlocked\nmore\n".into(), "mine\n".into()));
    assert!(!scene.exists("deps"), "what the setup left stays in the sandbox");
    assert_eq!(scene.counts(), [0; 4]);
    assert_eq!(scene.inside("cat deps/lib a"), "lib\ntwo\none\nlocked\nmore\n");
    scene.run(&["commit"]).code(123).says(&["nothing to commit"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.read("a"), "one\n");
    assert!(!scene.exists("b"));
    assert_eq!(scene.inside("cat deps/lib b"), "lib\ntwo\nmine\n");
    scene.ok(&["discard"]);
    assert_eq!(scene.inside("cat deps/lib; ls"), "lib\ntwo\na\nctrlz.yaml\ndeps\n");
    // By its name it is brought.
    scene.ok(&["commit", "--path", "deps"]);
    assert_eq!(scene.read("deps/lib"), "lib\ntwo\n");
}

#[test]
fn a_clean_sandbox_can_go_and_one_with_changes_is_kept() {
    let scene = scene(DEPS);
    scene.ok(&["new", "one"]);
    assert!(scene.ok(&["ls"]).contains("clean"));
    scene.ok(&["rm", "one"]);
    scene.ok(&["new", "one"]);
    scene.ok(&["exec", "one", "--", "touch", "x"]);
    scene.run(&["rm", "one"]).code(123).says(&["uncommitted"]);
    scene.ok(&["fork", "one", "two"]);
    let changes = scene.json(&["diff", "two"]);
    assert_eq!(changes["counts"]["added"], 1, "{changes}");
}

#[test]
fn a_command_that_fails_is_told_and_leaves_nothing() {
    let scene = scene("[\"touch first\", \"echo to out; echo to err >&2; exit 7\"]");
    let before = scene.live();
    let told_twice = |scene: &Scene| {
        scene.run(&["run", "--", "touch", "never"]).code(125).says(&[
            "setup command 2 of 2 failed",
            "exit 7",
            "exit code 7",
            "to out",
            "to err",
            "nothing of it is kept",
        ]);
    };
    told_twice(&scene);
    assert_eq!(sandboxes(&scene).len(), 0);
    assert_eq!(told(&scene), [("init".to_owned(), "failed".to_owned())]);
    before.assert_same(&scene.live());
    let left = scene
        .host("ls \"$CTRLZ_HOME/layers\" \"$CTRLZ_HOME/heads\" 2>/dev/null | grep -v : || true");
    assert_eq!(left.trim(), "", "no layer stays");
    told_twice(&scene);
    scene.run(&["new", "one"]).code(125).says(&["setup command 2 of 2 failed"]);
    scene.write("ctrlz.yaml", "setup: [\"touch first\"]\n");
    assert_eq!(scene.inside("ls"), "a\nctrlz.yaml\nfirst\n");
}

#[test]
fn a_command_that_is_blocked_runs_not() {
    let scene = scene("[\"touch first\", \"rm -rf /\"]");
    scene.run(&["run", "--", "true"]).code(123).says(&["blocked"]);
    assert_eq!(sandboxes(&scene).len(), 0);
    let events = scene.json(&["events", "--type", "safety.violation"]);
    assert_eq!(events["events"].as_array().expect("an array").len(), 1, "{events}");
}

#[test]
fn another_setup_is_run_anew() {
    let scene = scene("[\"echo 1 > made\"]");
    assert_eq!(scene.inside("cat made"), "1\n");
    let first = setups(&scene);
    scene.write("ctrlz.yaml", "setup: [\"echo 2 > made\"]\n");
    // A sandbox without changes begins anew,
    assert_eq!(scene.inside("cat made"), "2\n");
    let second = setups(&scene);
    assert_eq!(second.len(), 1, "what is outdated goes");
    assert_ne!(first, second);
    // one with changes goes on, and that is told.
    scene.inside("touch mine");
    scene.write("ctrlz.yaml", "setup: [\"echo 3 > made\"]\n");
    let out = scene.run(&["run", "--", "cat", "made"]).ok().says(&["--fresh"]);
    assert_eq!(out.out(), "2\n");
    assert_eq!(scene.ok(&["run", "--fresh", "--", "cat", "made"]), "3\n");
    // Another folder at the same place is another base.
    let third = setups(&scene);
    scene.ok(&["rm", "--force", "project"]);
    scene.host("cd ..; mv project elsewhere; mkdir project; cp elsewhere/ctrlz.yaml project");
    let again = Outcome::of(scene.ctrlz(["run", "--", "cat", "made"]).current_dir(&scene.project));
    assert_eq!(again.ok().out(), "3\n");
    assert_ne!(third, setups(&scene));
}

#[test]
fn of_two_at_once_one_runs_it() {
    let scene = scene("[\"sleep 0.5; echo x >> made\"]");
    let start = |name: &str| scene.ctrlz(["new", name]).spawn().expect("start");
    let mut both = [start("one"), start("two")];
    for child in &mut both {
        assert!(child.wait().expect("its end").success());
    }
    for name in ["one", "two"] {
        assert_eq!(scene.ok(&["exec", name, "--", "cat", "made"]), "x\n");
    }
    assert_eq!(told(&scene).len(), 1);
}

#[test]
fn a_killed_setup_is_begun_anew() {
    let scene = scene("[\"echo x >> made\", \"test -e go || sleep 600\"]");
    let mut child = scene.ctrlz(["new", "one"]).spawn().expect("start");
    let begun = std::time::Instant::now();
    let runs = |scene: &Scene| {
        let found = sandboxes(scene);
        let log = found.first().map(|(name, ..)| scene.json(&["log", name]));
        log.is_some_and(|log| {
            let all = log["operations"].as_array().expect("an array").clone();
            all.iter().any(|one| {
                one["status"] == "open" && one["request"]["title"].to_string().contains("sleep")
            })
        })
    };
    while !runs(&scene) && begun.elapsed().as_secs() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(sandboxes(&scene)[0].1, "init");
    child.kill().expect("kill");
    child.wait().expect("its end");
    scene.write("go", "");
    assert_eq!(scene.ok(&["new", "one"]).lines().count(), 1);
    assert_eq!(scene.ok(&["exec", "one", "--", "cat", "made"]), "x\n", "not twice");
}

#[test]
fn a_commit_takes_away_only_what_the_diff_shows() {
    let scene = Scene::with("mkdir -p d/sub; echo 1 > d/one; echo 2 > d/sub/two");
    scene.write("ctrlz.yaml", "setup: [\"rm -r d\"]\n");
    scene.inside("mkdir d; echo new > d/new");
    scene.run(&["commit"]).code(123).says(&["its setup", "diff --base", "--path"]);
    assert!(scene.exists("d/one") && scene.exists("d/sub/two"), "nothing was taken away");
    scene.ok(&["commit", "--path", "d"]);
    assert!(scene.exists("d/new") && !scene.exists("d/one"), "it was asked for");
    scene.ok(&["undo"]);
    assert!(scene.exists("d/one") && scene.exists("d/sub/two"));
}

#[test]
fn a_new_setup_that_is_undone_leaves_nothing_to_commit() {
    let scene = scene("[\"mkdir m; echo old > m/old; echo old > common\"]");
    scene.inside("true");
    scene.write("ctrlz.yaml", "setup: [\"mkdir m; echo new > m/new; echo new > common\"]\n");
    assert_eq!(scene.inside("cat common"), "new\n");
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    scene.run(&["diff"]).ok().says_nothing();
    scene.run(&["commit"]).code(123).says(&["nothing to commit"]);
    assert!(!scene.exists("m") && !scene.exists("common"));
    scene.ok(&["redo"]);
    scene.run(&["diff"]).ok().says_nothing();
    scene.run(&["commit"]).code(123).says(&["nothing to commit"]);
}
