//! `ctrlz commit`: all or nothing, never over a stranger's work.

use crate::support::Scene;

/// The sandbox and someone else changed `a`, both made `made`, the sandbox changed `gone`, which
/// someone removed, and removed `dir`, where someone added; `free` is the sandbox's alone.
fn in_conflict() -> Scene {
    let scene = Scene::with("echo base > a; echo base > gone; mkdir dir; echo base > dir/old");
    scene.inside(
        "echo inside > a; echo inside > made; echo inside > gone; rm -r dir; echo x > free",
    );
    scene
        .host("sleep 0.02; echo outside > a; echo outside > made; rm gone; echo outside > dir/new");
    scene
}

#[test]
fn fail_names_every_conflict_and_writes_nothing() {
    let scene = in_conflict();
    let (before, changes) = (scene.live(), scene.changes());
    let refused = scene.run(&["commit"]).code(123);
    refused.says(&[
        "a was changed outside",
        "made was created outside",
        "gone was deleted outside",
        "dir holds something",
        "--conflict",
    ]);
    before.assert_same(&scene.live());
    assert_eq!(scene.changes(), changes);
    let refused = scene.run(&["--json", "commit"]).code(123).json();
    assert_eq!(refused["error"]["kind"], "conflicts");
    assert_eq!(refused["error"]["details"].as_array().map(Vec::len), Some(4), "{refused}");
    // A plan tells the same and does nothing.
    let plan = scene.ok(&["commit", "--dry-run"]);
    assert_eq!(plan.matches("conflict: ").count(), 4, "{plan}");
    before.assert_same(&scene.live());
}

#[test]
fn theirs_leaves_the_folders_version() {
    let scene = in_conflict();
    scene.ok(&["commit", "--conflict", "theirs"]);
    assert_eq!(
        scene.host("cat a made free dir/new; ls"),
        "outside\noutside\nx\noutside\na\ndir\nfree\nmade\n"
    );
    scene.ok(&["undo"]);
    assert_eq!(scene.host("cat a made; ls"), "outside\noutside\na\ndir\nmade\n");
}

#[test]
fn ours_writes_the_sandboxes_and_undo_brings_theirs_back() {
    let scene = in_conflict();
    let before = scene.live();
    scene.ok(&["commit", "--conflict", "ours"]);
    assert_eq!(
        scene.host("cat a made gone free; ls"),
        "inside\ninside\ninside\nx\na\nfree\ngone\nmade\n"
    );
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
}

#[test]
fn keep_both_leaves_theirs_and_puts_ours_beside_it() {
    let scene = in_conflict();
    let before = scene.live();
    scene.ok(&["commit", "--conflict", "keep-both"]);
    assert_eq!(scene.host("cat a made free dir/new"), "outside\noutside\nx\noutside\n");
    assert_eq!(scene.host("cat a.ctrlz-op-*; cat made.ctrlz-op-*"), "inside\ninside\n");
    assert_eq!(scene.host("cat gone* | sort -u"), "inside\n");
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
}

#[test]
fn selected_paths_go_alone() {
    let scene = Scene::with("mkdir d; echo 1 > d/a; echo 1 > b");
    scene.inside("echo 2 > d/a; echo n > d/n; echo 2 > b; echo c > c");
    scene.ok(&["commit", "--path", "d", "--path", "c"]);
    assert_eq!(scene.host("cat d/a d/n b c"), "2\nn\n1\nc\n");
    assert_eq!(scene.changes(), ["modified b"]);
    assert_eq!(scene.inside("cat d/a b"), "2\n2\n");
    scene.run(&["commit", "--path", "d"]).code(123).says(&["nothing to commit"]);
    scene.ok(&["commit"]);
    assert_eq!(scene.read("b"), "2\n");
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.host("cat d/a b; ls d"), "1\n1\na\n");
}

#[test]
fn a_conflict_elsewhere_does_not_hold_up_selected_paths() {
    let scene = in_conflict();
    scene.ok(&["commit", "--path", "free"]);
    assert_eq!(scene.read("free"), "x\n");
    assert_eq!(scene.read("a"), "outside\n");
    scene.run(&["commit"]).code(123);
}

#[test]
fn the_same_change_outside_is_no_loss() {
    let scene = Scene::with("echo base > a");
    scene.inside("echo same > a; echo same > b");
    scene.host("echo same > a");
    // Whether it is a conflict or not, nothing but the same content may stand there.
    let outcome = scene.run(&["commit"]);
    assert!(matches!(outcome.status.code(), Some(0 | 123)), "{outcome}");
    assert_eq!(scene.read("a"), "same\n");
}

#[test]
fn nothing_to_commit_is_refused() {
    let scene = Scene::new();
    scene.inside("true");
    scene.run(&["commit"]).code(123).says(&["nothing to commit"]);
    scene.inside("echo x > f");
    scene.inside("rm f");
    scene.run(&["commit"]).code(123).says(&["nothing to commit"]);
}

#[test]
fn a_plan_does_nothing() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a; echo b > b");
    let before = scene.live();
    let plan = scene.ok(&["commit", "--dry-run"]);
    assert!(plan.contains("would commit") && plan.contains("1 added, 1 modified"), "{plan}");
    before.assert_same(&scene.live());
    assert_eq!(scene.counts(), [1, 1, 0, 0]);
    let plan = scene.json(&["commit", "--dry-run"]);
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["conflicts"].as_array().map(Vec::len), Some(0));
}

#[test]
fn every_kind_of_file_arrives() {
    let scene = Scene::with("echo one > a; ln a hard; mkdir d");
    scene.inside(
        "mkfifo pipe; ln -s nowhere link; mkdir -p deep/er; echo x > deep/er/f; ln deep/er/f second; \
         truncate -s 5M sparse; printf '#!/bin/sh\\n' > tool; chmod 4755 tool; \
         touch -d '2001-02-03 04:05:06.123456789' old; : > empty; chmod 700 d",
    );
    scene.ok(&["commit"]);
    let out = scene.host(
        "test -p pipe; readlink link; test deep/er/f -ef second; stat -c '%a %s' tool sparse; \
         test $(stat -c %b sparse) -lt 100; stat -c %y old | cut -c1-29; stat -c %a d; \
         test a -ef hard; test -e empty",
    );
    assert_eq!(out, "nowhere\n4755 10\n644 5242880\n2001-02-03 04:05:06.123456789\n700\n");
}

#[test]
fn the_folder_is_the_new_base_after_a_commit() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a");
    scene.ok(&["commit"]);
    scene.write("a", "three\n");
    assert_eq!(scene.inside("cat a"), "three\n");
    assert_eq!(scene.counts(), [0; 4]);
}
