//! `ctrlz logs`: what a process of a service wrote.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use super::There;
use crate::support::Scene;

#[test]
fn what_a_process_wrote_is_told_again() {
    let there = There::new();
    there.run(&["logs"]).code(123).says(&["there is no process yet"]);
    there.ok(&["new", "web"]);
    there.ok(&["new", "other"]);
    there.ok(&["exec", "web", "--", "sh", "-c", "echo one; echo two >&2; echo three"]);
    there.ok(&["exec", "other", "--", "sh", "-c", "printf 'a\\nb\\nc\\n'"]);
    assert_eq!(there.ok(&["logs"]), "a\nb\nc\n", "the last of all");
    let both = there.run(&["logs", "web"]).ok();
    assert_eq!((both.out().as_str(), both.err().as_str()), ("one\nthree\n", "two\n"));
    let errors = there.run(&["logs", "web", "--stream", "stderr"]).ok();
    assert_eq!((errors.out().as_str(), errors.err().as_str()), ("", "two\n"));
    assert_eq!(there.ok(&["logs", "other", "-n", "2"]), "b\nc\n");
    assert_eq!(there.ok(&["logs", "other", "--tail", "3"]), "\nc\n");
    assert_eq!(there.ok(&["logs", "other", "-f"]), "a\nb\nc\n");
    there.run(&["logs", "nobody"]).code(123).says(&["`nobody` is no process"]);
    there.run(&["logs", "other", "-n", "1", "--tail", "1"]).code(125);
    let told = there.run(&["--json", "logs", "web"]).ok().json();
    // What is written at once to both may come in any order.
    let items = told["items"].as_array().expect("items").iter();
    let errors: Vec<_> = items.filter(|one| one["stream"] == "stderr").collect();
    assert_eq!((errors.len(), &errors[0]["data"]), (1, &"dHdvCg==".into()), "{told}");
    assert_eq!(told["lost"], 0, "{told}");
    // By its operation, and by its own id.
    let process = &told["process"];
    for name in ["operation", "id"] {
        let of = process[name].as_str().expect("an id");
        assert_eq!(there.ok(&["logs", of, "--stream", "stdout"]), "one\nthree\n", "{name}");
    }
    let lines = there.ok(&["--json", "logs", "-f", "web"]);
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.first().expect("it")["process"]["id"], process["id"]);
    assert_eq!(lines.last().expect("its end")["result"]["exit_code"], 0);
    assert_eq!(lines.len(), 2 + told["items"].as_array().expect("items").len(), "{lines:?}");
    // What is long comes in pages, and bytes that are no text as they are.
    let script = "head -c 3000000 /dev/zero | tr '\\0' '\\377'";
    there.ok(&["exec", "other", "--", "sh", "-c", script]);
    let long = there.run(&["logs", "other"]).ok().stdout;
    assert!(long.len() == 3_000_000 && long.iter().all(|byte| *byte == 0xff), "{}", long.len());
}

#[test]
fn what_runs_is_followed_to_its_end() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let script = "echo before; while read line; do echo got $line; done";
    let mut runs = there.begin(&["exec", "web", "--", "sh", "-c", script]);
    let mut said = BufReader::new(runs.stdout.take().expect("its output"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    let so_far = there.run(&["logs", "web"]).ok();
    assert_eq!(so_far.out(), "before\n", "of what runs, what there is");
    let mut follows = there.begin(&["logs", "web", "-f", "-n", "0"]);
    let mut followed = BufReader::new(follows.stdout.take().expect("its output")).lines();
    let mut input = runs.stdin.take().expect("its input");
    // It may listen already, or not yet: what it is to hear comes until it does.
    let heard = std::thread::spawn(move || (followed.next(), followed));
    while !heard.is_finished() {
        std::io::Write::write_all(&mut input, b"on\n").expect("written");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (first, mut followed) = heard.join().expect("it hears");
    assert_eq!(first.expect("a line").expect("text"), "got on");
    std::io::Write::write_all(&mut input, b"last\n").expect("written");
    drop(input);
    let last = followed.by_ref().last().expect("a line").expect("text");
    assert_eq!(last, "got last");
    assert!(follows.wait().expect("its end").success());
    assert!(runs.wait().expect("its end").success());
}

#[test]
fn here_nothing_is_kept() {
    let scene = Scene::new();
    scene.run(&["logs"]).code(123).says(&["kept nowhere", "--server URL"]);
}
