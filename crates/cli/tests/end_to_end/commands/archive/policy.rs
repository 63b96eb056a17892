//! What is archived, drilled and taken out without anybody asking for it each time.

use serde_json::Value;

use super::health::is;
use super::{backup, blobs, push, scene};
use crate::support::Scene;

/// Writes the user's `archive.yaml`.
pub(crate) fn configure(scene: &Scene, text: &str) {
    let folder = scene.home.join(".config/ctrlz");
    std::fs::create_dir_all(&folder).expect("create");
    std::fs::write(folder.join("archive.yaml"), text).expect("write");
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().expect("an array").iter();
    items.map(|one| one.as_str().expect("text").to_owned()).collect()
}

/// The snapshots in the archive, the oldest first, each with why it is there when nobody asked.
fn listed(scene: &Scene) -> Vec<(String, Option<String>)> {
    let listed = scene.json(&["archive", "ls"]);
    let snapshots = listed["snapshots"].as_array().expect("an array").iter();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut named: Vec<(String, Option<String>)> = snapshots
        .map(|one| (text(&one["name"]).expect("a name"), text(&one["automatic"])))
        .collect();
    named.sort_by_key(|(name, _)| number(name));
    named
}

fn number(name: &str) -> u32 {
    name.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).expect("a number")
}

fn taken(scene: &Scene, more: &[&str]) -> String {
    let arguments: Vec<&str> = ["snapshot"].iter().chain(more).copied().collect();
    scene.json(&arguments)["snapshot"]["id"].as_str().expect("an id").to_owned()
}

fn named(snapshot: &str) -> String {
    format!("project.{snapshot}")
}

fn automatic(snapshot: &str) -> (String, Option<String>) {
    (named(snapshot), Some("policy".to_owned()))
}

#[test]
fn what_archive_yaml_names_is_archived_sent_and_drilled_once() {
    let scene = scene();
    let first = taken(&scene, &[]);
    assert!(scene.ok(&["archive", "apply"]).contains("asks for nothing"));
    assert!(!scene.store.join("archive").exists(), "nothing is asked for");
    let copy = scene.root.join("copy").display().to_string();
    configure(&scene, &format!("snapshots: manual\ncopies: [{copy}]\ndrill_every: 7d\n"));
    scene.inside("echo more > more");
    let second = taken(&scene, &[]);
    let done = scene.json(&["archive", "apply"]);
    assert_eq!(texts(&done["archived"]), [named(&second), named(&first)], "the newest first");
    let sent = done["sent"].as_array().expect("an array");
    assert_eq!((sent.len(), sent[0]["place"].as_str()), (2, Some(copy.as_str())));
    let drilled = done["drilled"].as_array().expect("an array");
    assert_eq!((drilled.len(), &drilled[0]["name"]), (1, &Value::from(named(&second))));
    assert_eq!(drilled[0]["whole"], true);
    assert_eq!(done["failed"], Value::Array(Vec::new()));
    assert_eq!(listed(&scene), [automatic(&first), automatic(&second)]);
    scene.ok(&["drill", &named(&first), &named(&second)]);
    scene.ok(&["drill", "--from", &copy, &named(&first)]);
    is(&scene, "unarchived", "ok", "all is archived");
    let again = scene.json(&["archive", "apply"]);
    for what in ["archived", "sent", "drilled", "removed", "failed"] {
        assert_eq!(again[what], Value::Array(Vec::new()), "{what}");
    }
    // What a user asks for is theirs, although it was there.
    scene.ok(&["push", &first]);
    assert_eq!(listed(&scene), [(named(&first), None), automatic(&second)]);
    scene.ok(&["archive", "rm", &named(&second)]);
    assert_eq!(texts(&scene.json(&["archive", "apply"])["archived"]), [named(&second)]);
}

/// The data of the events of a type.
fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let told = scene.json(&["events", "-n", "1000", "--type", kind]);
    let events = told["events"].as_array().expect("an array");
    events.iter().map(|event| event["data"].clone()).collect()
}

#[test]
fn an_archive_that_is_gone_is_not_made_anew_by_itself() {
    let scene = scene();
    let first = taken(&scene, &[]);
    configure(&scene, "snapshots: manual\nplace: ../../../disk/archive\n");
    scene.ok(&["archive", "apply"]);
    scene.host("mv ../disk ../elsewhere");
    taken(&scene, &[]);
    scene.run(&["archive", "apply"]).code(123).says(&["no archive at", "mount the disk"]);
    assert!(!scene.root.join("disk").exists());
    is(&scene, "archive-damaged", "critical", "no archive at");
    let told = scene.json(&["gc"]);
    assert!(told["sandboxes"][0]["left_alone"].is_string(), "{told}");
    scene.host("mv ../elsewhere ../disk");
    let done = scene.json(&["archive", "apply"]);
    assert_eq!(done["archived"].as_array().expect("an array").len(), 1);
    scene.ok(&["drill", &named(&first)]);
}

#[test]
fn an_encrypted_archive_is_known_by_the_real_names() {
    let scene = scene();
    configure(&scene, "snapshots: all\nkeep_automatic: 2\npassphrase: {file: pass}\n");
    scene.host("echo secret > \"$HOME/.config/ctrlz/pass\"");
    let pass = scene.home.join(".config/ctrlz/pass").display().to_string();
    scene.ok(&["archive", "keys", "init", "--new-passphrase-file", &pass]);
    for turn in 0..3 {
        scene.inside(&format!("echo {turn} > turn"));
    }
    let done = scene.json(&["archive", "apply"]);
    assert_eq!(done["archived"].as_array().expect("an array").len(), 2);
    // What was noted is lost: the archive itself tells.
    let memory = std::fs::read_dir(scene.store.join("archived")).expect("a folder");
    for folder in memory {
        let _ = std::fs::remove_file(folder.expect("an entry").path().join("checks.json"));
    }
    let again = scene.json(&["archive", "apply"]);
    // Who asked for them is not known any more, so they stay, and others take their place.
    let (before, after) = (texts(&done["archived"]), texts(&again["archived"]));
    assert!(after.iter().all(|name| !before.contains(name)), "{before:?} {after:?}");
    assert_eq!(again["removed"], Value::Array(Vec::new()));
    assert!(before.iter().all(|name| listed(&scene).contains(&(name.clone(), None))));
    configure(&scene, "snapshots: all\n");
    scene.inside("echo more > turn");
    // Without its key nothing is begun, and that is told.
    scene.run(&["archive", "apply"]).code(123).says(&["passphrase"]);
}

#[test]
fn of_those_that_nobody_asked_for_the_newest_stay() {
    let scene = Scene::with("echo one > a");
    configure(&scene, "keep_automatic: 2\n");
    for turn in 0..4 {
        backup::risky(&scene, &format!("echo {turn} > turn; {}", backup::HIGH)).ok();
    }
    let all = listed(&scene);
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|(_, why)| why.as_deref() == Some("backup")), "{all:?}");
    let by_hand = push(&scene);
    // The oldest is tagged, and kept by that.
    let tagged = all[0].0.strip_prefix("project.").expect("its name");
    scene.ok(&["snapshot", "tag", tagged, "+v1"]);
    let would = scene.json(&["gc", "--dry-run"]);
    assert_eq!(texts(&would["unarchived"]), [all[1].0.clone()]);
    assert_eq!(listed(&scene).len(), 5, "it was only told");
    let (before, two_days) =
        (blobs(&scene).len(), "touch -d '2 days ago' \"$CTRLZ_HOME\"/archive/blobs/sha256/*");
    scene.host(two_days);
    let done = scene.json(&["gc"]);
    assert_eq!(texts(&done["unarchived"]), [all[1].0.clone()]);
    assert!(done["archive_freed_bytes"].as_u64().expect("bytes") > 0);
    assert!(blobs(&scene).len() < before, "what nothing needs was collected");
    let names: Vec<String> = listed(&scene).into_iter().map(|(name, _)| name).collect();
    let expected = [all[0].0.clone(), all[2].0.clone(), all[3].0.clone(), by_hand];
    assert_eq!(names, expected);
    scene.ok(&["verify"]);
    scene.ok(&["drill", &all[0].0, &all[2].0]);
    configure(&scene, "keep_automatic: none\n");
    backup::risky(&scene, backup::HIGH).ok();
    assert_eq!(texts(&scene.json(&["gc"])["unarchived"]), [""; 0]);
    configure(&scene, "keep_automatic: 1\n");
    let done = scene.json(&["archive", "apply"]);
    assert_eq!(done["removed"].as_array().expect("an array").len(), 2);
    scene.ok(&["verify"]);
    let archived = events(&scene, "snapshot.archived");
    let why: Vec<&str> = archived.iter().filter_map(|data| data["automatic"].as_str()).collect();
    assert_eq!((archived.len(), why.len()), (6, 5), "{archived:?}");
    let gone = events(&scene, "snapshot.unarchived");
    assert_eq!((gone.len(), &gone[0]["name"]), (3, &Value::from(all[1].0.clone())));
}

#[test]
fn no_more_are_archived_than_stay_so_nothing_comes_and_goes() {
    let scene = scene();
    configure(&scene, "snapshots: all\nkeep_automatic: 2\n");
    for turn in 0..4 {
        scene.inside(&format!("echo {turn} > turn"));
    }
    let manual = taken(&scene, &[]);
    let done = scene.json(&["archive", "apply"]);
    assert_eq!(done["archived"].as_array().expect("an array").len(), 3);
    assert_eq!(texts(&done["archived"])[0], named(&manual));
    let again = scene.json(&["archive", "apply"]);
    assert_eq!(
        (&again["archived"], &again["removed"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    scene.inside("echo more > turn");
    let done = scene.json(&["archive", "apply"]);
    assert_eq!(done["archived"].as_array().expect("an array").len(), 1);
    assert_eq!(done["removed"].as_array().expect("an array").len(), 1);
}

#[test]
fn retention_waits_until_it_is_archived() {
    let scene = Scene::with("echo one > a; mkdir -p \"$HOME/.config/ctrlz\"");
    scene.host("echo 'retention: {max_snapshots: 1}' > \"$HOME/.config/ctrlz/ctrlz.yaml\"");
    for turn in 0..4 {
        scene.inside(&format!("echo {turn} > turn"));
    }
    configure(&scene, "snapshots: all\n");
    let gone = |scene: &Scene| {
        let told = scene.json(&["gc"]);
        let plan = told["sandboxes"][0].clone();
        assert_eq!(plan["left_alone"], Value::Null, "{plan}");
        let snapshots = plan["snapshots"].as_array().expect("an array").clone();
        let awaited = "it is still to be archived";
        let waits = snapshots.iter().filter(|one| one["reason"] == awaited).count();
        (snapshots.iter().filter(|one| one["kept"] == false).count(), waits)
    };
    assert_eq!(gone(&scene), (0, 4));
    // What cannot be known lets nothing go.
    configure(&scene, "snapshots: some\n");
    let told = scene.json(&["gc"]);
    let reason = told["sandboxes"][0]["left_alone"].as_str().expect("a reason");
    assert!(reason.contains("archived first is not known"), "{reason}");
    configure(&scene, "snapshots: all\n");
    scene.ok(&["archive", "apply"]);
    assert_eq!(gone(&scene), (3, 0));
    let lost = &listed(&scene)[0].0;
    scene.ok(&["pull", lost, "--to", "../back"]);
}

#[test]
fn what_cannot_be_done_is_told_and_hinders_nothing_else() {
    let scene = scene();
    let first = taken(&scene, &[]);
    let copy = scene.root.join("copy").display().to_string();
    configure(&scene, &format!("snapshots: manual\ncopies: [/dev/null/copy, {copy}]\n"));
    let done = scene.run(&["archive", "apply", "--json"]).code(1).json();
    assert_eq!(texts(&done["archived"]), [named(&first)]);
    assert_eq!(done["sent"][0]["place"], copy.as_str());
    assert_eq!(done["failed"][0]["what"], format!("{} to /dev/null/copy", named(&first)));
    is(&scene, "unarchived", "warning", "to /dev/null/copy");
    // A daemon does not try that again at once; whoever asks does.
    let rests = scene.run(&["archive", "apply", "--of-daemon", "--json"]).ok().json();
    assert_eq!(rests["failed"], Value::Array(Vec::new()));
    scene.run(&["archive", "apply"]).code(1);
    configure(&scene, &format!("snapshots: manual\ncopies: [{copy}]\n"));
    scene.ok(&["archive", "apply"]);
    is(&scene, "unarchived", "ok", "all is archived");
}

/// What it is about while an archive is under way in the background.
#[cfg(feature = "faults")]
mod meanwhile {
    use std::path::PathBuf;
    use std::process::{Child, Stdio};

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::support::Outcome;

    /// `ctrlz archive apply`, held where it has begun.
    struct Held {
        file: PathBuf,
        child: Option<Child>,
    }

    impl Held {
        #[track_caller]
        fn start(scene: &Scene) -> Self {
            let file = scene.root.join("hold");
            std::fs::write(&file, "").expect("write");
            let mut command = scene.ctrlz(["--json", "archive", "apply"]);
            command.env("CTRLZ_ARCHIVE_HOLD", &file);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = Some(command.spawn().expect("start"));
            let reached = file.with_extension("reached");
            for _ in 0..3000 {
                if reached.exists() {
                    std::fs::remove_file(&reached).expect("remove");
                    return Self { file, child };
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            panic!("it never begins");
        }

        fn send(&self, signal: Signal) {
            let child = self.child.as_ref().expect("a process");
            kill_process(Pid::from_child(child), signal).expect("kill");
        }

        fn has_ended(&mut self) -> bool {
            let child = self.child.as_mut().expect("a process");
            child.try_wait().expect("a state").is_some()
        }

        /// Lets it go on to its end.
        fn end(self, scene: &Scene) -> Outcome {
            std::fs::remove_file(&self.file).expect("remove");
            self.ended(scene)
        }

        #[track_caller]
        fn ended(mut self, scene: &Scene) -> Outcome {
            let mut tries = 0..3000;
            while self.child.as_mut().expect("a process").try_wait().expect("wait").is_none() {
                assert!(tries.next().is_some(), "it never ends");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let child = self.child.take().expect("a process");
            let output = child.wait_with_output().expect("wait");
            Outcome::new(&scene.ctrlz(["archive", "apply"]), output)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(child) = &mut self.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    /// ctrlz, which fails when it has to wait.
    fn at_once(scene: &Scene, arguments: &[&str]) -> Outcome {
        let limited = ["-k", "1", "60", crate::support::CTRLZ].iter().chain(arguments);
        Outcome::of(&mut scene.program("timeout", limited))
    }

    #[test]
    fn a_command_does_not_wait_for_the_archiver() {
        let scene = scene();
        let snapshot = taken(&scene, &[]);
        configure(&scene, "snapshots: manual\n");
        let held = Held::start(&scene);
        at_once(&scene, &["run", "--", "sh", "-c", "echo later > later"]).ok();
        at_once(&scene, &["undo"]).ok();
        at_once(&scene, &["rollback", &snapshot]).ok();
        let done = held.end(&scene).ok().json();
        assert_eq!(texts(&done["archived"]), [named(&snapshot)]);
        scene.ok(&["drill"]);
    }

    #[test]
    fn what_a_commit_changed_meanwhile_is_archived_anew() {
        let scene = scene();
        let snapshot = taken(&scene, &[]);
        configure(&scene, "snapshots: manual\n");
        for change in [["commit"], ["undo"]] {
            let held = Held::start(&scene);
            at_once(&scene, &change).ok();
            let done = held.end(&scene).code(1).json();
            assert_eq!(done["archived"], Value::Array(Vec::new()), "{change:?}");
            let why = done["failed"][0]["error"].as_str().expect("text");
            assert!(why.contains("changed the folder"), "{why}");
            is(&scene, "unarchived", "ok", "1 snapshots");
        }
        let done = scene.json(&["archive", "apply"]);
        assert_eq!(texts(&done["archived"]), [named(&snapshot)]);
        scene.ok(&["drill"]);
        scene.ok(&["pull", &named(&snapshot), "--to", "../back"]);
        assert_eq!(scene.host("cat ../back/a"), "changed\n");
    }

    #[test]
    fn what_was_removed_meanwhile_is_not_archived() {
        let scene = scene();
        let snapshot = taken(&scene, &[]);
        configure(&scene, "snapshots: manual\n");
        let held = Held::start(&scene);
        at_once(&scene, &["snapshot", "rm", &snapshot]).ok();
        let done = held.end(&scene).code(1).json();
        assert_eq!(done["archived"], Value::Array(Vec::new()));
        let done = scene.json(&["archive", "apply"]);
        assert_eq!(done["archived"], Value::Array(Vec::new()));
        assert_eq!(listed(&scene), []);
        is(&scene, "unarchived", "ok", "all is archived");
    }

    #[test]
    fn who_archives_because_somebody_waits_comes_first() {
        let scene = scene();
        let snapshot = taken(&scene, &[]);
        scene.inside("echo more > more");
        configure(&scene, "snapshots: manual\n");
        let high = ["run", "--yes", "--", "sh", "-c", backup::HIGH];
        for first in [&["push"][..], &high] {
            let mut held = Held::start(&scene);
            // One that is done between two looks of the other is not in its way.
            while !held.has_ended() {
                at_once(&scene, first).ok();
            }
            held.ended(&scene).code(75);
        }
        let done = scene.json(&["archive", "apply"]);
        assert_eq!(texts(&done["archived"]), [named(&snapshot)]);
        scene.ok(&["verify"]);
    }

    #[test]
    fn it_ends_when_it_is_asked_to_and_loses_nothing() {
        let scene = scene();
        let snapshot = taken(&scene, &[]);
        configure(&scene, "snapshots: manual\n");
        let held = Held::start(&scene);
        held.send(Signal::TERM);
        held.ended(&scene).code(75);
        let held = Held::start(&scene);
        // There is one at a time.
        at_once(&scene, &["archive", "apply"]).code(123).says(&["another process"]);
        held.send(Signal::KILL);
        held.ended(&scene);
        scene.ok(&["archive", "gc", "--now"]);
        let done = scene.json(&["archive", "apply"]);
        assert_eq!(texts(&done["archived"]), [named(&snapshot)]);
        scene.ok(&["verify"]);
        scene.ok(&["drill"]);
    }
}
