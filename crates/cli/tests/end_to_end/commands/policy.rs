//! `ctrlz policy`: show, test, new and import.

use std::fs;

use crate::support::Scene;

/// Runs `ctrlz policy`, which must end with `code` and print all of `texts`.
#[track_caller]
fn prints(scene: &Scene, arguments: &[&str], code: i32, texts: &[&str]) {
    let arguments: Vec<&str> = ["policy"].iter().chain(arguments).copied().collect();
    let printed = scene.run(&arguments).code(code).out();
    for text in texts {
        assert!(printed.contains(text), "{text}: {printed}");
    }
}

/// A scene with a pack of the user's.
fn with_pack_of_user(text: &str) -> Scene {
    let scene = Scene::new();
    let folder = scene.home.join(".config/ctrlz/policy");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("mine.yaml"), text).expect("a pack");
    scene
}

#[test]
fn show_lists_the_built_in_rules_and_those_of_packs() {
    let scene = with_pack_of_user("- {id: a, risk: high, reason: mine it is, program: x}\n");
    let shown = scene.ok(&["policy", "show"]);
    let line = |rule: &str| {
        let found = shown.lines().find(|line| line.split_whitespace().any(|word| word == rule));
        found.unwrap_or_else(|| panic!("{rule} in {shown}")).to_owned()
    };
    assert!(line("push-force").starts_with("history"), "{shown}");
    assert_eq!(
        line("mine/a").split_whitespace().collect::<Vec<_>>().join(" "),
        "mine high mine/a mine it is"
    );
}

#[test]
fn show_of_a_rule_tells_all_of_it() {
    let scene =
        with_pack_of_user("overrides: [{rule: push-force, risk: critical, reason: never}]\n");
    let shown = scene.ok(&["policy", "show", "push-force"]);
    let built_in =
        "push-force: high (pack built-in, family history)\n- id: push-force\n  risk: high\n";
    assert!(shown.starts_with(built_in), "{shown}");
    assert!(shown.contains("  match: [git push --force origin main"), "{shown}");
    let over = "mine/push-force: critical (pack mine, an override of push-force)\n\
                - rule: push-force\n  risk: critical\n  reason: never\n";
    assert!(shown.ends_with(over), "{shown}");
    scene.run(&["policy", "show", "push-farce"]).code(125).says(&["no rule `push-farce`"]);
}

#[test]
fn new_begins_a_pack_that_passes_and_overwrites_nothing() {
    let scene = Scene::new();
    prints(&scene, &["new", "team"], 0, &[".ctrlz/policy/team.yaml"]);
    prints(&scene, &["test"], 0, &["team.yaml: 1 rules, 3 examples hold"]);
    prints(&scene, &["show", "team/deploy-to-production"], 0, &["pack team"]);
    scene.write(".ctrlz/policy/team.yaml", "[]");
    scene.run(&["policy", "new", "team"]).code(123).says(&["is there already"]);
    assert_eq!(scene.read(".ctrlz/policy/team.yaml"), "[]");
    for name in ["../team", "", "a b", "built-in"] {
        scene.run(&["policy", "new", name]).code(125).says(&["cannot begin a pack"]);
    }
}

#[test]
fn test_lists_what_is_wrong_with_packs_and_answers_1() {
    let scene = Scene::new();
    let text =
        "- id: a\n  risk: high\n  reason: r\n  program: x\n  match: [y, z]\n  no_match: [x 1]\n";
    scene.write("a.yaml", text);
    scene.write("b.yaml", "- {id: b, risk: high, reason: r, program: x, match: [x]}\n");
    let outcome = scene.run(&["policy", "test", "a.yaml", "b.yaml"]).code(1);
    let place = scene.project.join("a.yaml");
    let place = place.display();
    let expected = format!(
        "{place}:1: rule `a`: match: it does not match `y`\n\
         {place}:1: rule `a`: match: it does not match `z`\n\
         {place}:1: rule `a`: no_match: it matches `x 1`\n\
         {}: 1 rules, 1 examples hold\n",
        scene.project.join("b.yaml").display()
    );
    assert_eq!(outcome.out(), expected);
    let object = scene.run(&["--json", "policy", "test", "a.yaml"]).code(1).json();
    assert_eq!(object["errors"][0]["rule"], "a");
    assert_eq!(object["errors"][0]["line"], 1);
    assert_eq!((&object["ok"], &object["exit_code"]), (&false.into(), &1.into()));
    assert_eq!(object["error"]["kind"], "policy");
    assert_eq!(object["error"]["details"].as_array().map(Vec::len), Some(3));
    scene.run(&["policy", "test", "none.yaml"]).code(125).says(&["cannot read none.yaml"]);
    prints(&scene, &["test"], 0, &["there are no packs"]);
}

#[test]
fn a_pack_with_a_mistake_is_refused_wherever_packs_are_needed() {
    let scene = Scene::new();
    fs::create_dir_all(scene.project.join(".ctrlz/policy")).expect("a folder");
    scene.write(".ctrlz/policy/a.yaml", "- id: a\n  risk: hihg\n  reason: r\n  program: x\n");
    let place = scene.project.join(".ctrlz/policy/a.yaml");
    let told = format!("{}:2: rule `a`: risk: `hihg`", place.display());
    scene.run(&["policy", "show"]).code(125).says(&[&told, "did you mean `high`?"]);
    prints(&scene, &["test"], 1, &[&told]);
    let object = scene.run(&["--json", "policy", "show"]).code(125).json();
    assert_eq!(object["error"]["kind"], "policy");
}

#[test]
fn a_projects_pack_and_a_strict_profile_loosen_nothing() {
    let loose = "overrides: [{rule: push-force, risk: low}]\n";
    let scene = with_pack_of_user(loose);
    scene.run(&["policy", "test"]).ok();
    scene.write("ctrlz.yaml", "profile: production\n");
    prints(
        &scene,
        &["test"],
        1,
        &["rule `push-force`: risk: it would loosen high to low", "the profile `production`"],
    );
    let scene = Scene::new();
    fs::create_dir_all(scene.project.join(".ctrlz/policy")).expect("a folder");
    scene.write(".ctrlz/policy/a.yaml", loose);
    prints(&scene, &["test"], 1, &["a project's pack only tightens"]);
}

#[test]
fn packs_are_asked_by_check_and_run() {
    let scene = Scene::new();
    fs::create_dir_all(scene.project.join(".ctrlz/policy")).expect("a folder");
    scene.write(
        ".ctrlz/policy/a.yaml",
        "- {id: a, risk: critical, reason: never this, program: touch, when: '\"x\" in arguments'}\n",
    );
    let outcome = scene.run(&["check", "--", "touch", "x"]).code(4);
    assert!(outcome.out().contains("never this"), "{}", outcome.out());
    scene.run(&["check", "--", "touch", "y"]).ok();
    scene.run(&["run", "--", "touch", "x"]).code(123).says(&["never this"]);
    scene.write(".ctrlz/policy/a.yaml", "- {id: a}");
    scene.run(&["check", "--", "touch", "x"]).code(125).says(&["rule `a`: "]);
    scene.run(&["run", "--", "touch", "x"]).code(125).says(&["rule `a`: "]);
}

#[test]
fn what_a_pack_may_not_allow_is_told_with_the_reason() {
    let scene = Scene::new();
    let text = "- {id: mine, allow: true, prefix: [rm], reason: r}\n";
    scene.host("mkdir -p .ctrlz/policy");
    scene.write(".ctrlz/policy/a.yaml", text);
    let told = "a/mine has no effect: a project's pack only tightens: put it into";
    prints(&scene, &["test"], 0, &["a.yaml: 1 rules, 0 examples hold", told]);
    let object = scene.json(&["policy", "test"]);
    assert!(
        object["packs"][0]["without_effect"][0].as_str().is_some_and(|one| one.contains("a/mine"))
    );
    scene.write("elsewhere.yaml", text);
    let object = scene.json(&["policy", "test", "elsewhere.yaml"]);
    assert_eq!(object["packs"][0]["without_effect"], serde_json::json!([]), "the user's may");
}

#[test]
fn import_prints_a_pack_that_passes() {
    let scene = Scene::new();
    scene.write(
        "x.rules",
        "prefix_rule(pattern=['git', 'push'], decision='prompt', match=['git push'])\nother()\n",
    );
    let outcome = scene.run(&["policy", "import", "codex", "x.rules"]).ok();
    assert!(outcome.err().contains("line 2: `other` is not translated"), "{}", outcome.err());
    scene.write("codex.yaml", outcome.out());
    prints(&scene, &["test", "codex.yaml"], 0, &["1 rules, 1 examples hold"]);
    scene.write("settings.json", r#"{"permissions": {"deny": ["Bash(rm:*)", "mcp__a__b"]}}"#);
    let object = scene.json(&["policy", "import", "claude", "settings.json"]);
    assert_eq!(object["rules"][0]["risk"], "critical");
    assert!(object["notes"][0].as_str().is_some_and(|note| note.contains("mcp__a__b")), "{object}");
    assert!(object["pack"].as_str().is_some_and(|text| text.starts_with("version: 1")), "{object}");
    scene.write("bad.rules", "prefix_rule(\n  pattern=[1])");
    scene.run(&["policy", "import", "codex", "bad.rules"]).code(125).says(&["bad.rules:2:12: "]);
}
