//! `ctrlz.yaml`, profiles and `ctrlz config show`.

use crate::support::Scene;

#[test]
fn an_unknown_key_names_file_line_and_column() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "run:\n  netwrok: host\n");
    let place = scene.project.join("ctrlz.yaml");
    let place = format!("{}:2:3: run.netwrok", place.display());
    let outcome = scene.run(&["run", "--", "echo", "ran"]).code(125).says(&[&place, "network"]);
    assert_eq!(outcome.out(), "");
    scene.run(&["config", "show"]).code(125).says(&[&place]);
    let object = scene.run(&["--json", "run", "--", "true"]).code(125).json();
    assert_eq!(object["error"]["kind"], "config");
}

#[test]
fn a_wrong_type_names_file_line_and_column() {
    let scene = Scene::new();
    for (text, place) in [
        ("run:\n  memory: [1]\n", "ctrlz.yaml:2:11: run.memory"),
        ("run:\n  timeout: soon\n", "ctrlz.yaml:2:12: run.timeout"),
        ("profile: turbo\n", "ctrlz.yaml:1:10: profile"),
        ("run:\n\tx: 1\n", "ctrlz.yaml:2:"),
        ("run: {\n", "ctrlz.yaml:"),
    ] {
        scene.write("ctrlz.yaml", text);
        scene.run(&["run", "--", "true"]).code(125).says(&[place]);
    }
}

#[test]
fn the_projects_file_sets_what_flags_override() {
    let scene = Scene::with("mkdir sub");
    scene.write("ctrlz.yaml", "run:\n  timeout: 1s\n  env:\n    FROM_FILE: yes it is\n");
    scene.run(&["run", "--", "sleep", "60"]).code(124);
    scene.run(&["run", "--timeout", "60", "--", "sleep", "1.2"]).ok();
    assert_eq!(scene.ok(&["run", "--", "printenv", "FROM_FILE"]), "yes it is\n");
    let shown = scene.ok(&["config", "show"]);
    let line = shown.lines().find(|line| line.starts_with("run.timeout")).expect("a line");
    assert!(line.contains("1") && line.contains("ctrlz.yaml:2"), "{line}");
    // It counts below its folder, too.
    scene.run_in(&scene.project.join("sub"), &["run", "--", "sleep", "60"]).code(124);
}

#[test]
fn the_users_file_is_weaker_than_the_projects() {
    let scene = Scene::new();
    let folder = scene.home.join(".config/ctrlz");
    std::fs::create_dir_all(&folder).expect("create");
    std::fs::write(folder.join("ctrlz.yaml"), "run:\n  env:\n    A: user\n    B: user\n")
        .expect("write");
    scene.write("ctrlz.yaml", "run:\n  env:\n    A: project\n");
    assert_eq!(scene.inside("echo $A $B"), "project user\n");
}

#[test]
fn a_projects_file_cannot_weaken_what_protects_the_user() {
    let scene = Scene::new();
    scene.write("ctrlz.yaml", "run:\n  network: host\n");
    scene.run(&["run", "--", "true"]).code(125).says(&["ctrlz.yaml:2:", "run.network"]);
    scene.run(&["run", "--net", "none", "--", "true"]).ok();
}

#[test]
fn profiles() {
    let scene = Scene::new();
    for profile in ["development", "testing", "production", "high-security"] {
        let shown = scene.ok(&["config", "show", "--profile", profile]);
        assert!(shown.contains(profile), "{shown}");
        let words = ["run", "--profile", profile, "--isolation", "native", "--", "true"];
        let outcome = scene.run(&words);
        // A limit of the profile that this host cannot hold is refused, as one of a flag.
        if outcome.status.code() != Some(0) {
            outcome.code(125).says(&["cannot be enforced", "doctor"]);
        }
    }
    scene.run(&["run", "--profile", "turbo", "--", "true"]).code(125).says(&["turbo"]);
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let scene = Scene::new();
    let object = scene.json(&["config", "show"]);
    let entries = object["entries"].as_array().expect("an array");
    assert!(entries.len() > 15);
    for entry in entries {
        assert!(entry["key"].is_string() && !entry["source"].is_null(), "{entry}");
    }
    assert!(object["config"].is_object());
}
