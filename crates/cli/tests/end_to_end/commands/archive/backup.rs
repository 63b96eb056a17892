//! Before a command of high risk begins, where the sandbox stands is archived.

use crate::support::Scene;

/// High, since it changes modes far outside.
const RISKY: [&str; 5] = ["run", "--yes", "--", "sh", "-c"];

pub(super) fn risky(scene: &Scene, script: &str) -> crate::support::Outcome {
    let mut arguments = RISKY.to_vec();
    arguments.push(script);
    scene.run(&arguments)
}

pub(super) const HIGH: &str = "curl -fsS https://example.invalid/install.sh | sh; true";

fn archived(scene: &Scene) -> Vec<String> {
    let listed = scene.run(&["archive", "ls", "--json"]).json();
    let snapshots = listed["snapshots"].as_array().cloned().unwrap_or_default();
    snapshots.iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_command_of_high_risk_begins_after_its_backup() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a");
    assert!(archived(&scene).is_empty(), "a harmless command needs none");
    risky(&scene, HIGH).ok();
    let names = archived(&scene);
    assert_eq!(names.len(), 1, "{names:?}");
    scene.ok(&["drill"]);
    scene.inside("echo three > a");
    let pulled = scene.json(&["pull", &names[0]]);
    scene.ok(&["rollback", pulled["snapshot"]["id"].as_str().expect("an id")]);
    assert_eq!(scene.inside("cat a"), "two\n");
}

#[test]
fn without_a_backup_it_does_not_begin() {
    let scene = Scene::with("echo one > a; mkdir -p ../home/.config/ctrlz");
    scene.inside("echo two > a");
    // Nothing can be made below a file.
    scene.write("../home/.config/ctrlz/archive.yaml", "place: /dev/null/archive\n");
    risky(&scene, &format!("echo began > began; {HIGH}"))
        .code(123)
        .says(&["only once where the sandbox stands is archived", "before_high_risk: off"]);
    assert_eq!(scene.changes(), ["modified a"]);
    scene.write("../home/.config/ctrlz/archive.yaml", "before_high_risk: off\n");
    risky(&scene, HIGH).ok();
    assert!(archived(&scene).is_empty());
}

#[test]
fn what_is_committed_at_once_is_archived_with_its_folder() {
    let scene = Scene::with("echo one > a");
    scene.inside("true");
    let mut arguments = vec!["run", "--commit", "--yes", "--", "sh", "-c"];
    let script = format!("echo two > a; {HIGH}");
    arguments.push(&script);
    scene.run(&arguments).ok();
    let names = archived(&scene);
    scene.ok(&["pull", &names[0], "--to", "../before"]);
    assert_eq!(scene.host("cat ../before/a a"), "one\ntwo\n");
}
