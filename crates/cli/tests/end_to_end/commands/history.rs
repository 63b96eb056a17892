//! Undo, redo, the log, and taking one operation out of the middle.

use crate::support::{Outcome, Scene};

/// Three independent steps and one that builds on the first; answers their operations.
fn steps(scene: &Scene) -> Vec<String> {
    ["echo 1 > one", "echo 2 > two; mkdir d; echo x > d/f", "echo more >> one", "echo y > d/g"]
        .iter()
        .map(|script| {
            scene.inside(script);
            scene.last()
        })
        .collect()
}

#[test]
fn undo_goes_back_one_by_one_and_redo_forward() {
    let scene = Scene::with("echo base > base");
    let mut states = vec![scene.inside("ls -R; cat base")];
    scene.ok(&["undo"]);
    for script in ["echo 1 > one", "rm base", "mkdir d; mv one d"] {
        scene.inside(script);
        states.push(scene.json(&["diff"])["changes"].to_string());
    }
    states[0] = "[]".to_owned();
    for index in (0..3).rev() {
        let text = scene.ok(&["undo"]);
        assert!(text.contains("undone op-"), "{text}");
        assert_eq!(scene.json(&["diff"])["changes"].to_string(), states[index]);
    }
    for state in &states[1..] {
        let text = scene.ok(&["redo"]);
        assert!(text.contains("redone op-"), "{text}");
        assert_eq!(scene.json(&["diff"])["changes"].to_string(), *state);
    }
    scene.run(&["redo"]).code(123).says(&["nothing to redo"]);
    scene.ok(&["undo"]);
    scene.inside("echo other > other");
    scene.run(&["redo"]).code(123).says(&["nothing to redo"]);
}

#[test]
fn undo_of_nothing_is_refused() {
    let scene = Scene::new();
    scene.run(&["undo"]).code(123).says(&["there is no sandbox of", "ctrlz run"]);
    scene.inside("true");
    scene.ok(&["undo"]);
    scene.run(&["undo"]).code(123).says(&["nothing to undo"]);
}

#[test]
fn a_commit_is_taken_back_and_brought_again() {
    let scene = Scene::with("echo one > a; echo gone > b; mkdir d; ln -s a link");
    let before = scene.live();
    scene
        .inside("echo two > a; rm b; rmdir d; rm link; ln -s other link; mkfifo pipe; chmod 600 a");
    let diff = scene.changes();
    scene.ok(&["commit"]);
    let after = scene.live();
    assert!(!before.difference(&after).is_empty());
    assert_eq!(scene.counts(), [0; 4]);
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
    assert_eq!(scene.changes(), diff);
    scene.ok(&["redo"]);
    after.assert_same(&scene.live());
    assert_eq!(scene.counts(), [0; 4]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn undo_of_a_commit_refuses_to_overwrite_later_work() {
    let scene = Scene::with("echo one > a; echo one > b");
    scene.inside("echo two > a; echo two > b; echo new > c");
    scene.ok(&["commit"]);
    scene.write("a", "mine\n");
    let before = scene.live();
    scene.run(&["undo"]).code(123).says(&["a was changed outside"]);
    before.assert_same(&scene.live());
    scene.ok(&["undo", "--conflict", "theirs"]);
    assert_eq!((scene.read("a"), scene.read("b")), ("mine\n".into(), "one\n".into()));
    assert!(!scene.exists("c"));
}

#[test]
fn one_operation_of_many_is_taken_back() {
    let scene = Scene::new();
    let steps = steps(&scene);
    let refused = scene.run(&["undo", "--operation", &steps[0]]).code(123);
    refused.says(&[&steps[0], &steps[2], "one"]);
    let refused = scene.run(&["undo", "--operation", &steps[1]]).code(123);
    refused.says(&[&steps[1], &steps[3]]);
    scene.ok(&["undo", "--operation", &steps[2]]);
    assert_eq!(scene.inside("cat one; cat d/g"), "1\ny\n");
    scene.ok(&["undo"]);
    scene.run(&["undo", "--operation", &steps[2]]).code(123).says(&["undone already"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo", "--operation", &steps[0]]);
    assert_eq!(scene.inside("ls; ls d"), "d\ntwo\nf\n");
}

#[test]
fn what_was_taken_out_stays_out() {
    for driver in ["overlay", "copy"] {
        let scene = Scene::new();
        let run = |arguments: &[&str], code: i32| {
            let mut command = scene.ctrlz(arguments);
            Outcome::of(command.env("CTRLZ_WORKSPACE", driver)).code(code)
        };
        for script in ["echo 1 > one", "echo 2 > two", "echo 3 > three", "echo more >> three"] {
            run(&["run", "--", "sh", "-c", script], 0);
        }
        run(&["undo", "--operation", "op-3"], 0);
        run(&["undo", "--operation", "op-2"], 0);
        assert_eq!(scene.changes(), ["added three"]);
        run(&["undo", "--operation", "op-4"], 123).says(&["op-4", "op-5", "three"]);
        run(&["undo"], 0);
        assert_eq!(scene.changes(), ["added three"]);
        run(&["undo"], 0);
        assert_eq!(scene.counts(), [0; 4]);
        for _ in 0..4 {
            run(&["redo"], 0);
        }
        assert_eq!(scene.changes(), ["added one", "added three", "added two"]);
    }
}

#[test]
fn an_operation_is_shown_as_it_was_also_after_commits() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a; echo n > n");
    let first = scene.last();
    scene.ok(&["snapshot"]);
    scene.ok(&["commit"]);
    let commit = scene.last();
    scene.inside("rm a; echo o > o");
    scene.ok(&["commit"]);
    let shown = |arguments: &[&str]| {
        let object = scene.json(arguments);
        let changes = object["changes"].as_array().expect("an array").clone();
        changes
            .iter()
            .map(|change| format!("{} {}", change["kind"], change["path"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    for operation in [&first, &commit] {
        assert_eq!(shown(&["show", operation]), ["modified a", "added n"]);
        assert_eq!(shown(&["diff", "--operation", operation]), ["modified a", "added n"]);
    }
    assert_eq!(shown(&["diff", "--since", "snap-2"]), ["deleted a", "added o"]);
    let patch = scene.ok(&["show", "-p", &first]);
    assert!(patch.contains("-one\n+two\n"), "{patch}");
}

#[test]
fn json_names_the_dependency() {
    let scene = Scene::new();
    let steps = steps(&scene);
    let outcome = scene.run(&["--json", "undo", "--operation", &steps[0]]).code(123);
    let object = outcome.json();
    assert_eq!(object["ok"], false);
    assert_eq!(object["exit_code"], 123);
    assert_eq!(object["error"]["kind"], "depends");
    assert!(object["error"]["message"].as_str().expect("text").contains(&steps[2]), "{object}");
    assert!(object["error"]["hint"].is_string());
}

#[test]
fn an_operation_before_a_commit_stays() {
    let scene = Scene::new();
    scene.inside("echo 1 > one");
    let first = scene.last();
    scene.ok(&["commit"]);
    let commit = scene.last();
    scene.run(&["undo", "--operation", &first]).code(123).says(&[&commit]);
    scene.inside("echo 2 > two");
    scene.run(&["undo", "--operation", &commit]).code(123).says(&[&commit]);
    assert_eq!(scene.read("one"), "1\n");
}

#[test]
fn undo_after_a_commit_in_between_goes_all_the_way_back() {
    let scene = Scene::with("echo base > base");
    let before = scene.live();
    scene.inside("echo 1 > one");
    scene.ok(&["commit"]);
    scene.inside("echo 2 > two; echo more >> one");
    scene.ok(&["commit"]);
    scene.inside("rm base");
    for _ in 0..5 {
        scene.ok(&["undo"]);
    }
    before.assert_same(&scene.live());
    assert_eq!(scene.counts(), [0; 4]);
    for _ in 0..5 {
        scene.ok(&["redo"]);
    }
    assert_eq!(scene.changes(), ["deleted base"]);
    assert_eq!(scene.read("one"), "1\nmore\n");
}

#[test]
fn discard_is_taken_back() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a; echo new > b");
    assert!(scene.ok(&["discard"]).contains("1 added, 1 modified"));
    assert_eq!(scene.counts(), [0; 4]);
    assert_eq!(scene.inside("cat a"), "one\n");
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.counts(), [1, 1, 0, 0]);
    assert_eq!(scene.inside("cat a b"), "two\nnew\n");
}

#[test]
fn discarding_what_undid_itself_ends_no_redo() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo new > b");
    scene.inside("rm b");
    scene.inside("echo new > c");
    scene.ok(&["undo"]);
    assert_eq!(scene.counts(), [0; 4]);
    let before = scene.last();
    scene.ok(&["discard"]);
    assert_eq!(scene.last(), before, "nothing was there to discard");
    scene.ok(&["redo"]);
    assert_eq!(scene.counts(), [1, 0, 0, 0]);
}

#[test]
fn the_log_and_show_tell_what_was_done() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a");
    let run = scene.last();
    scene.run(&["run", "--", "sh", "-c", "exit 9"]).code(9);
    scene.ok(&["commit"]);
    let log = scene.ok(&["log"]);
    for word in ["exit 9", "commit to", "create", "1 modified", &run] {
        assert!(log.contains(word), "{word}\n{log}");
    }
    assert_eq!(scene.ok(&["log", "-n", "1"]).lines().count(), 2);
    let show = scene.ok(&["show", &run]);
    for word in ["echo two > a", "1 modified", "~ a"] {
        assert!(show.contains(word), "{word}\n{show}");
    }
    let patch = scene.ok(&["show", &run, "--patch"]);
    assert!(patch.contains("-one\n+two\n"), "{patch}");
    scene.run(&["show", "op-999"]).code(125).says(&["op-999"]);
}

#[test]
fn diff_can_be_asked_for_more_and_for_less() {
    let scene = Scene::with("printf 'a\\nb\\nc\\n' > text; mkdir d; printf '\\0\\1' > d/binary");
    scene.inside("sed -i s/b/B/ text; printf '\\0\\2' > d/binary; echo x > d/new");
    let first = scene.last();
    scene.ok(&["snapshot", "-m", "here"]);
    let snapshot =
        scene.json(&["snapshots"])["snapshots"][0]["id"].as_str().expect("id").to_owned();
    scene.inside("echo y > later");
    let patch = scene.ok(&["diff", "-p"]);
    assert!(patch.contains("--- a/text\n+++ b/text\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"), "{patch}");
    assert!(patch.contains("d/binary: not text"), "{patch}");
    let only = scene.ok(&["diff", "--path", "d"]);
    assert!(only.contains("1 added, 1 modified") && !only.contains("text"), "{only}");
    let only = scene.run_in(&scene.project.join("d"), &["diff", "project", "--path", "new"]).ok();
    assert!(only.out().ends_with("1 added\n"), "{only}");
    let of_first = scene.ok(&["diff", "--operation", &first]);
    assert!(of_first.contains("1 added, 2 modified"), "{of_first}");
    let since = scene.ok(&["diff", "--since", &snapshot]);
    assert!(since.contains("+ later") && since.contains("\n1 added\n"), "{since}");
    // A patch is one that others understand.
    let plain = scene.ok(&["diff", "-p", "--path", "text"]);
    std::fs::write(scene.root.join("patch"), plain).expect("write");
    if crate::support::has("patch") {
        scene.host("patch -s -p1 < ../patch");
        assert_eq!(scene.read("text"), "a\nB\nc\n");
    }
}

#[test]
fn undo_finds_its_operation_behind_many_that_it_passes_over() {
    let scene = Scene::with("echo base > a");
    scene.inside("echo changed > a");
    for _ in 0..40 {
        scene.ok(&["snapshot"]);
    }
    scene.ok(&["undo"]);
    assert_eq!(scene.inside("cat a"), "base\n");
}
