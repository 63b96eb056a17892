//! `environment:` of ctrlz.yaml.

use crate::support::Scene;

#[test]
fn what_is_there_is_told_once_and_runs() {
    let scene = Scene::with("mkdir build");
    scene.write(
        "ctrlz.yaml",
        "environment: {tools: [sh, cat], locale: C, writable: [build, /tmp]}\n",
    );
    scene.run(&["run", "--", "true"]).ok().says_nothing();
    assert_eq!(scene.counts(), [0; 4], "looking leaves nothing");
    assert_eq!(scene.log().len(), 2, "and is no operation");
    let object = scene.json(&["doctor"]);
    let needs = object["environment"].as_array().expect("an array");
    assert_eq!(needs.len(), 5, "{object}");
    assert!(needs.iter().all(|need| need["met"] == true), "{object}");
}

#[test]
fn what_is_missing_is_told_and_no_sandbox_stays() {
    let scene = Scene::with("mkdir build");
    scene.write(
        "ctrlz.yaml",
        "environment: {tools: [sh, no-such-tool], interpreters: {no-such-too: '1', sh: '1'}, \
         locale: xx_YY.UTF-8, writable: [build, /etc, nowhere]}\n",
    );
    for words in [&["run", "--", "touch", "x"][..], &["new", "one"]] {
        scene.run(words).code(125).says(&[
            "of the 8 things",
            "tool no-such-tool: PATH does not lead to it",
            "interpreter no-such-too >=1",
            "interpreter sh >=1",
            "locale xx_YY.UTF-8",
            "writable /etc: a folder that is read-only",
            "writable nowhere: there is no such place",
            "ctrlz doctor",
        ]);
        assert_eq!(scene.json(&["ls"])["sandboxes"].as_array().expect("an array").len(), 0);
    }
    let out = scene.run(&["doctor"]).code(1).out();
    assert!(out.contains("✗ tool no-such-tool"), "{out}");
    assert!(out.contains("✓ writable build"), "{out}");
    assert_eq!(scene.json(&["ls"])["sandboxes"].as_array().expect("an array").len(), 0);
}

#[test]
fn a_version_is_compared_and_a_setup_may_bring_what_is_missing() {
    let scene = Scene::new();
    let tool = |range: &str| {
        format!(
            "setup: [\"mkdir bin; printf '#!/bin/sh\\necho tool 2.4.1\\n' > bin/tool; chmod +x bin/tool\"]\n\
             environment: {{writable: [bin], interpreters: {{perl: '{range}'}}}}\n"
        )
    };
    scene.write("ctrlz.yaml", tool(">=5,<6"));
    assert_eq!(scene.inside("bin/tool"), "tool 2.4.1\n");
    // A need that is new is looked at again, in a sandbox that is there.
    scene.write("ctrlz.yaml", tool(">=99"));
    scene.run(&["run", "--", "true"]).code(125).says(&["interpreter perl >=99: it is 5"]);
    assert_eq!(scene.json(&["ls"])["sandboxes"].as_array().expect("an array").len(), 2);
    scene.write("ctrlz.yaml", tool("5"));
    scene.run(&["run", "--", "true"]).ok();
}

#[test]
fn a_mistake_in_the_section_is_told_by_its_place() {
    let scene = Scene::new();
    for (text, told) in [
        ("environment: {tols: [git]}", "did you mean `tools`?"),
        ("environment: {interpreters: {python3: new}}", "no range of versions"),
        ("environment: {tools: ['a b']}", "is no name"),
        ("environment: {locale: [x]}", "locale"),
        ("setup: make", "setup"),
        ("setup: ['']", "is no command"),
    ] {
        scene.write("ctrlz.yaml", format!("{text}\n"));
        scene.run(&["run", "--", "true"]).code(125).says(&["ctrlz.yaml:1", told]);
    }
}

#[test]
fn exec_and_shell_look_as_run_does_by_what_the_sandboxs_own_folder_asks_for() {
    let scene = Scene::with("mkdir web other");
    let web = scene.project.join("web");
    scene.ok(&["new", "one", "--base", "web"]);
    scene.write("web/ctrlz.yaml", "environment: {tools: [no-such-tool]}\n");
    // From its folder and from elsewhere, which asks for nothing.
    for folder in [&web, &scene.project.join("other")] {
        for words in [&["exec", "one", "--", "touch", "x"][..], &["shell", "one"]] {
            scene.run_in(folder, words).code(125).says(&["tool no-such-tool: PATH does not lead"]);
        }
    }
    assert_eq!(scene.json(&["log", "one"])["operations"].as_array().expect("an array").len(), 1);
    // What somebody else's folder asks for is no matter of this sandbox.
    scene.write("other/ctrlz.yaml", "environment: {tools: [no-such-tool]}\n");
    scene.write("web/ctrlz.yaml", "environment: {tools: [sh, cat]}\n");
    scene.run_in(&scene.project.join("other"), &["exec", "one", "--", "touch", "x"]).ok();
    scene.run_in(&web, &["shell", "one"]).ok();
    let one = &scene.json(&["ls"])["sandboxes"][0];
    assert!(one["life"]["environment"].is_string(), "looked at once: {one}");
}
