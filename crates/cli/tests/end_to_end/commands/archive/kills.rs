//! kill -9 at any moment of `push`, `pull` and `archive gc`: what was told to be archived is there,
//! the folder is as it was, and no garbage outlives the next collection.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use super::{blobs, push, scene};
use crate::support::{CTRLZ, Outcome, Scene, Tree, has};

/// Starts the command, and kills it unless it ends before.
fn kill_after(scene: &Scene, words: &[&str], pause: Duration) {
    let mut command = scene.ctrlz(words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("started");
    thread::sleep(pause);
    // It may have ended.
    let _ = child.kill();
    child.wait().expect("ended");
}

/// Moments from the very beginning to beyond the end.
fn moments() -> impl Iterator<Item = Duration> {
    (0..14).map(|step: u64| Duration::from_millis(step * step * 3))
}

#[test]
fn a_killed_push_loses_nothing_and_leaves_nothing() {
    let scene = scene();
    let first = push(&scene);
    let folder = Tree::of(&scene.project);
    for (turn, moment) in moments().enumerate() {
        scene.inside(&format!("seq {turn} 60000 > grown; date +%N > d/now"));
        kill_after(&scene, &["push"], moment);
        kill_after(&scene, &["archive", "gc", "--now"], moment);
    }
    scene.ok(&["recover"]);
    let last = push(&scene);
    folder.assert_same(&Tree::of(&scene.project));
    scene.ok(&["verify"]);
    scene.ok(&["drill", &first, &last]);
    // What is there is what is named, all of it and nothing else.
    scene.ok(&["archive", "gc", "--now"]);
    let before: BTreeSet<_> = blobs(&scene).into_iter().collect();
    let again = scene.json(&["archive", "gc", "--now"]);
    assert_eq!(again["removed"]["blobs"], 0, "{again}");
    for name in scene.json(&["archive", "ls"])["snapshots"].as_array().expect("an array") {
        let name = name["name"].as_str().expect("a name");
        scene.ok(&["archive", "rm", name]);
    }
    scene.ok(&["archive", "gc", "--now"]);
    assert!(!before.is_empty() && blobs(&scene).is_empty(), "{:?}", blobs(&scene));
    let left = scene.host("cd \"$CTRLZ_HOME\"/archive && find . -type f | sort");
    let left: BTreeSet<&str> = left.lines().collect();
    let own = ["index.lock", "lock", "reserve"].map(|name| format!("./.ctrlz/{name}"));
    let own = own.iter().map(String::as_str);
    let expected = own.chain(["./index.json", "./oci-layout"]).collect();
    assert!(left.is_subset(&expected), "{left:?}");
}

/// Runs the command on the same archive again and again, killed before each call by which a file gets
/// its name or loses it, until it comes to its end; `look` sees what is there each time. How often it
/// was killed.
fn kill_before_each_step(scene: &Scene, words: &[&str], look: impl Fn()) -> u32 {
    scene.host("rm -rf ../saved; mkdir ../saved; cp -a \"$CTRLZ_HOME\"/archive* ../saved");
    for step in 1..100 {
        scene.host("rm -rf \"$CTRLZ_HOME\"/archive*; cp -a ../saved/* \"$CTRLZ_HOME\"");
        let kill = format!("inject=/^(rename|unlink):signal=KILL:when={step}");
        let strace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=/^(rename|unlink)", "-e", &kill];
        let words = strace.iter().chain(&[CTRLZ]).chain(words);
        let outcome = Outcome::of(&mut scene.program("strace", words));
        look();
        if outcome.status.success() {
            return step - 1;
        }
        assert_eq!(outcome.err(), "", "it was not killed: {outcome}");
    }
    panic!("{words:?} never ended");
}

#[test]
fn whatever_step_is_the_last_one_the_archive_is_whole() {
    if !has("strace") {
        return;
    }
    let scene = scene();
    let first = push(&scene);
    scene.inside("seq 1000 > grown");
    scene.host("seq 2000 > d/grown");
    let second = push(&scene);
    scene.inside("seq 1001 > grown");
    let whole = || {
        scene.ok(&["verify"]);
        assert!(scene.ok(&["archive", "ls"]).contains(&first));
    };
    let kills = kill_before_each_step(&scene, &["push"], whole);
    assert!(kills > 5, "{kills}");
    scene.ok(&["drill"]);
    assert!(kill_before_each_step(&scene, &["archive", "rm", &second], whole) > 0);
    assert!(kill_before_each_step(&scene, &["archive", "gc", "--now"], whole) > 0);
    scene.ok(&["drill"]);
    scene.ok(&["drill", &first]);
}

#[test]
fn a_killed_recovery_is_gone_on_with() {
    let scene = scene();
    for turn in 0..3 {
        push(&scene);
        scene.inside(&format!("echo {turn} > turn"));
    }
    let names = |scene: &Scene| {
        let listed = scene.json(&["snapshots", "project"])["snapshots"].clone();
        let listed = listed.as_array().expect("an array").iter();
        let archived = listed.filter_map(|one| one["message"].as_str()?.split(':').next());
        let archived = archived.filter(|name| name.starts_with("project.snap-"));
        archived.map(str::to_owned).collect::<Vec<String>>()
    };
    for moment in (5..35).map(|step| Duration::from_millis(step * 4)) {
        scene.host("rm -f \"$CTRLZ_HOME\"/store.db*");
        kill_after(&scene, &["recover", "--from-archive"], moment);
        scene.ok(&["recover"]);
        scene.ok(&["recover", "--from-archive"]);
        let found = names(&scene);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 3, "{found:?}");
        assert!(!scene.store.join("archived/recovering").exists());
    }
    let again = scene.ok(&["recover", "--from-archive"]);
    assert!(again.contains("was left as it is"), "{again}");
}

#[test]
fn a_killed_restore_is_there_whole_or_not_at_all() {
    let scene = scene();
    let name = push(&scene);
    scene.ok(&["pull", &name, "--to", "../whole"]);
    let whole = Tree::of(&scene.project.join("../whole"));
    for moment in moments() {
        kill_after(&scene, &["pull", &name, "--to", "../back"], moment);
        if scene.exists("../back") {
            whole.assert_same(&Tree::of(&scene.project.join("../back")));
            scene.host("rm -rf ../back");
        }
    }
    scene.ok(&["pull", &name, "--to", "../back"]);
    whole.assert_same(&Tree::of(&scene.project.join("../back")));
    assert!(!scene.exists("../back.partial"), "what was begun is left");
    // Into a sandbox of another name: it is made, or it is not, and takes the snapshot then.
    for (turn, moment) in moments().enumerate() {
        kill_after(&scene, &["pull", &name, "--sandbox", "other"], moment);
        scene.ok(&["recover"]);
        let sandboxes = scene.json(&["ls"]);
        let names = sandboxes["sandboxes"].as_array().expect("an array").iter();
        if names.clone().any(|one| one["name"] == "other") {
            if turn % 2 == 0 {
                scene.ok(&["rm", "--force", "other"]);
            } else {
                scene.ok(&["pull", &name, "--sandbox", "other"]);
            }
        }
    }
    scene.ok(&["pull", &name, "--sandbox", "other"]);
    scene.ok(&["rm", "--force", "other"]);
    scene.ok(&["pull", &name, "--sandbox", "other"]);
    assert_eq!(scene.ok(&["exec", "other", "--", "cat", "a"]), "changed\n");
}
