//! Several ctrlz at once on one store, and on one sandbox.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread;

use crate::support::{Outcome, Scene};

/// A command that holds the sandbox until its standard input ends.
fn holding(scene: &Scene) -> Child {
    let mut command = scene.ctrlz(["run", "--", "sh", "-c", "echo first >> f; echo ready; cat"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start ctrlz");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    child
}

#[test]
fn the_second_waits_with_a_message() {
    let scene = Scene::new();
    let mut first = holding(&scene);
    let mut command = scene.ctrlz(["run", "--", "sh", "-c", "echo second >> f; cat f"]);
    let mut second =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start ctrlz");
    let mut line = String::new();
    let mut errors = BufReader::new(second.stderr.take().expect("a pipe"));
    errors.read_line(&mut line).expect("read");
    assert!(line.contains("`project`") && line.contains("waiting"), "{line}");
    assert!(line.contains(&first.id().to_string()), "{line} names process {}", first.id());
    assert_eq!(second.try_wait().expect("look"), None);
    drop(first.stdin.take());
    assert!(first.wait().expect("wait").success());
    let second = Outcome::new(&command, second.wait_with_output().expect("wait")).ok();
    assert_eq!(second.out(), "first\nsecond\n");
}

#[test]
fn without_waiting_it_fails_with_123() {
    let scene = Scene::new();
    let mut first = holding(&scene);
    let outcome = scene.run(&["run", "--no-wait", "--", "sh", "-c", "echo ran"]).code(123);
    assert_eq!(outcome.out(), "");
    outcome.says(&[&first.id().to_string()]);
    // Another sandbox of the same folder is free, and so is reading.
    scene.ok(&["new", "other"]);
    scene.ok(&["exec", "--no-wait", "other", "--", "true"]);
    scene.ok(&["diff"]);
    scene.ok(&["log"]);
    assert!(scene.ok(&["ls"]).contains("running"));
    // Nothing is recovered from under a living process.
    scene.ok(&["recover"]);
    drop(first.stdin.take());
    assert!(first.wait().expect("wait").success());
    assert_eq!(scene.inside("cat f"), "first\n");
}

#[test]
fn many_at_once_lose_nothing() {
    let scene = Scene::with("echo 0 > count");
    thread::scope(|scope| {
        for number in 0..8 {
            let scene = &scene;
            scope.spawn(move || {
                let script = format!("echo $(($(cat count) + 1)) > count; echo x > f{number}");
                scene.run(&["run", "--", "sh", "-c", &script]).ok();
            });
        }
    });
    assert_eq!(scene.inside("cat count; ls f* | wc -l"), "8\n8\n");
    let runs = scene.log().iter().filter(|o| o["request"]["kind"] == "run").count();
    assert_eq!(runs, 9);
    for _ in 0..9 {
        scene.ok(&["undo"]);
    }
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn many_sandboxes_at_once() {
    let scene = Scene::with("echo base > a");
    thread::scope(|scope| {
        for number in 0..6 {
            let scene = &scene;
            scope.spawn(move || {
                let name = format!("s{number}");
                scene.ok(&["new", &name]);
                for step in 0..3 {
                    let script = format!("echo {step} >> own; cat a");
                    scene.run(&["exec", &name, "--", "sh", "-c", &script]).ok();
                }
                scene.ok(&["undo", &name]);
                scene.ok(&["snapshot", &name, "-m", "kept"]);
                let text = scene.run(&["exec", &name, "--", "cat", "own"]).ok().out();
                assert_eq!(text, "0\n1\n");
            });
        }
    });
    assert_eq!(scene.json(&["ls"])["sandboxes"].as_array().map(Vec::len), Some(6));
}

#[test]
fn first_runs_of_one_folder_at_once_share_one_sandbox() {
    let scene = Scene::new();
    thread::scope(|scope| {
        for number in 0..5 {
            let scene = &scene;
            scope.spawn(move || {
                let script = format!("echo x > f{number}");
                scene.run(&["run", "--", "sh", "-c", &script]).ok();
            });
        }
    });
    assert_eq!(scene.json(&["ls"])["sandboxes"].as_array().map(Vec::len), Some(1));
    assert_eq!(scene.counts(), [5, 0, 0, 0]);
}

#[test]
fn two_sandboxes_that_commit_to_one_folder_do_not_overwrite_each_other() {
    let scene = Scene::with("echo one > a; echo one > b");
    for (name, script) in [("x", "echo x > a"), ("y", "echo y > a; echo y > b")] {
        scene.ok(&["new", name]);
        scene.ok(&["exec", name, "--", "sh", "-c", script]);
    }
    scene.ok(&["commit", "x"]);
    scene.run(&["commit", "y"]).code(123).says(&["a was changed outside"]);
    assert_eq!((scene.read("a"), scene.read("b")), ("x\n".into(), "one\n".into()));
    scene.ok(&["commit", "y", "--conflict", "ours"]);
    assert_eq!((scene.read("a"), scene.read("b")), ("y\n".into(), "y\n".into()));
    // The first commit cannot be taken back over the second.
    scene.run(&["undo", "x"]).code(123).says(&["a "]);
    assert_eq!(scene.read("a"), "y\n");
    scene.ok(&["undo", "y"]);
    // What a commit overrode by `--conflict ours` counts as someone else's when it is back.
    scene.run(&["undo", "x"]).code(123).says(&["a "]);
    scene.ok(&["undo", "x", "--conflict", "ours"]);
    assert_eq!((scene.read("a"), scene.read("b")), ("one\n".into(), "one\n".into()));
}
