//! What is archived stays what it was, and a push archives what is there now.

use std::io::Read;
use std::process::Stdio;

use super::encrypted::{identity, passphrase};
use super::{blobs, push};
use crate::support::{CTRLZ, Outcome, Scene};

const FIRST: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// A project with one file, and another one from its sandbox.
fn scene() -> Scene {
    let scene = Scene::with("echo precious > a");
    scene.inside("echo more > b");
    scene
}

/// What a snapshot at rest has of files.
#[track_caller]
fn files(scene: &Scene, name: &str, more: &[&str]) -> String {
    scene.ok(&[&["pull", name, "--to", "../out"], more].concat());
    let found = scene.host("cd ../out && ls && rm -rf ../out");
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn settings(scene: &Scene, text: &str) {
    scene.host("mkdir -p ../home/.config/ctrlz");
    scene.write("../home/.config/ctrlz/archive.yaml", text);
}

#[test]
fn an_encrypted_snapshot_is_found_again_and_never_replaced() {
    let scene = scene();
    let identity = identity(&scene);
    settings(
        &scene,
        &format!("identities: [{identity}]\ncopies: [{}]\n", scene.root.join("copy").display()),
    );
    scene.ok(&["archive", "keys", "init", "--recipient", FIRST]);
    let first = push(&scene);
    let told = scene.ok(&["push"]);
    assert!(told.contains("already"), "{told}");
    let listed = scene.json(&["archive", "ls", "--from", "../copy"])["snapshots"].clone();
    assert_eq!(listed.as_array().expect("an array").len(), 1, "{listed}");
    scene.host("rm a; echo junk > junk");
    let told = scene.ok(&["push", "snap-2"]);
    assert!(told.contains("already"), "{told}");
    let second = push(&scene);
    assert_ne!(first, second);
    scene.ok(&["archive", "gc", "--now"]);
    assert_eq!(files(&scene, &first, &[]), "a b");
    assert_eq!(files(&scene, &second, &[]), "b junk");
}

#[test]
fn less_than_what_is_there_does_not_take_its_place() {
    let scene = scene();
    let name = push(&scene);
    for scope in ["incremental", "state-only"] {
        let told = scene.json(&["push", "snap-2", "--scope", scope]);
        let told = &told["snapshots"][0];
        assert_eq!((&told["scope"], &told["was_there"]), (&"full".into(), &true.into()), "{told}");
    }
    scene.ok(&["archive", "gc", "--now"]);
    assert_eq!(files(&scene, &name, &[]), "a b");
    // More than what is there does.
    scene.inside("echo c > c");
    let name = scene.json(&["push", "--scope", "incremental"])["snapshots"][0]["name"].clone();
    let name = name.as_str().expect("a name").to_owned();
    scene.run(&["pull", &name, "--to", "../out"]).code(123);
    let id = name.trim_start_matches("project.").to_owned();
    scene.ok(&["push", &id, "--scope", "full"]);
    assert_eq!(files(&scene, &name, &[]), "a b c");
}

#[test]
fn what_is_damaged_is_made_again_only_as_it_was() {
    let scene = scene();
    let name = push(&scene);
    let id = name.trim_start_matches("project.").to_owned();
    let damage = || {
        let record = blobs(&scene).into_iter().find(|path| {
            let path = path.display();
            let script = format!("zstd -dc {path} 2>/dev/null | grep -c record.json || true");
            scene.host(&script).trim() != "0"
        });
        std::fs::write(record.expect("the record"), "rubbish").expect("write");
        scene.run(&["verify", "--discard"]).code(1);
    };
    damage();
    scene.ok(&["push", &id]);
    scene.ok(&["drill", &name]);
    damage();
    scene.host("rm a; echo junk > junk");
    let before = blobs(&scene).len();
    scene.run(&["push", &id]).code(123).says(&[
        "as it was: nothing was replaced",
        "ctrlz archive rm",
        "--from",
    ]);
    // As it is now it gets a name of its own, and what is left of the other stays.
    let second = push(&scene);
    assert_ne!(second, name);
    scene.ok(&["archive", "gc", "--now"]);
    assert!(blobs(&scene).len() > before, "something went");
    assert_eq!(files(&scene, &second, &[]), "b junk");
}

#[test]
fn what_is_damaged_does_not_become_less() {
    let scene = scene();
    scene.ok(&["push", "--scope", "incremental"]);
    let layer = blobs(&scene).into_iter().find(|path| {
        let script =
            format!("zstd -dc {} 2>/dev/null | tar -t 2>/dev/null || true", path.display());
        scene.host(&script).lines().any(|name| name == "b")
    });
    std::fs::remove_file(layer.expect("the layer")).expect("remove");
    let less = ["push", "snap-2", "--scope", "state-only"];
    scene.run(&less).code(123).says(&["nothing was replaced"]);
    scene.ok(&["push", "snap-2", "--scope", "incremental"]);
    scene.ok(&["verify"]);
}

#[test]
fn what_lost_its_manifest_is_left_alone_and_the_rest_goes_on() {
    let scene = scene();
    let pushed = scene.json(&["push"])["snapshots"][0].clone();
    let manifest = pushed["manifest"].as_str().expect("a digest").replace("sha256:", "");
    std::fs::remove_file(scene.store.join("archive/blobs/sha256").join(manifest)).expect("remove");
    scene.run(&["push", "snap-2"]).code(123).says(&["nothing was replaced", "ctrlz archive rm"]);
    let name = push(&scene);
    assert_eq!(files(&scene, &name, &[]), "a b");
    scene.ok(&["archive", "rm", "project.snap-2"]);
    scene.ok(&["push", "snap-2"]);
    scene.ok(&["verify"]);
}

#[test]
fn what_is_no_file_is_not_imported() {
    let scene = scene();
    scene.host("mkfifo ../fifo");
    for file in ["../fifo", "/dev/zero"] {
        // Whoever opened the FIFO would wait for ever.
        let mut command = scene.program("timeout", ["20", CTRLZ, "import", file]);
        Outcome::of(&mut command).code(123).says(&["is neither a file nor a folder"]);
    }
}

#[test]
fn a_folder_that_moved_on_is_archived_anew() {
    let scene = scene();
    let first = push(&scene);
    assert!(scene.ok(&["push"]).contains("already"));
    scene.host("echo live > live");
    let second = push(&scene);
    assert_ne!(first, second);
    assert!(scene.ok(&["push"]).contains("already"), "nothing changed since");
    assert_eq!(files(&scene, &first, &[]), "a b");
    assert_eq!(files(&scene, &second, &[]), "a b live");
}

#[test]
fn a_push_that_waits_archives_what_it_waited_for() {
    let scene = scene();
    push(&scene);
    let script = "touch begun; echo begun; sleep 1; echo done > log";
    let mut command = scene.ctrlz(["run", "--", "sh", "-c", script]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
    let mut told = [0; 5];
    running.stdout.as_mut().expect("output").read_exact(&mut told).expect("it begins");
    let name = push(&scene);
    running.wait().expect("ended");
    assert_eq!(files(&scene, &name, &[]), "a b begun log");
}

#[test]
fn a_copy_is_opened_by_whoever_opens_the_archive() {
    let scene = scene();
    let (identity, phrase) = (identity(&scene), passphrase(&scene, "phrase"));
    let copy = scene.root.join("copy");
    settings(&scene, &format!("copies: [{}]\n", copy.display()));
    scene.ok(&["archive", "keys", "init", "--recipient", FIRST]);
    scene.ok(&["push", "--identity", &identity]);
    scene.ok(&[
        "archive",
        "keys",
        "rotate",
        "--new-passphrase-file",
        &phrase,
        "--identity",
        &identity,
    ]);
    scene.inside("echo c > c");
    scene.ok(&["push", "--passphrase-file", &phrase]);
    let from = copy.to_str().expect("text");
    for name in ["project.snap-2", "project.snap-4"] {
        scene.ok(&["drill", name, "--from", from, "--passphrase-file", &phrase]);
        scene.run(&["drill", name, "--from", from, "--identity", &identity]).code(123);
    }
    let again = ["archive", "keys", "init", "--recipient", FIRST];
    scene.run(&again).code(125).says(&["encrypted already", "rotation"]);
}

#[test]
fn an_archive_in_the_folder_does_not_hold_itself() {
    let scene = scene();
    settings(&scene, &format!("place: {0}/backup\ncopies: [{0}/copy]\n", scene.project.display()));
    push(&scene);
    let told = scene.ok(&["push"]);
    assert!(told.contains("already"), "{told}");
    scene.inside("echo c > c");
    let name = push(&scene);
    assert_eq!(files(&scene, &name, &[]), "a b c");
}

#[test]
fn a_copy_that_fails_hinders_no_other() {
    let scene = scene();
    let other = scene.root.join("other");
    settings(&scene, &format!("copies: [/proc/nope, {}]\n", other.display()));
    let told = scene.run(&["push"]).code(1).out();
    assert!(told.contains("NOT SENT to /proc/nope") && told.contains("sent to"), "{told}");
    let told = scene.run(&["push", "--json"]).code(1).json();
    let copies = &told["snapshots"][0]["copies"];
    assert!(copies[0]["error"].is_string() && copies[1]["error"].is_null(), "{told}");
}

#[test]
fn a_store_made_anew_gives_no_name_that_the_archive_has() {
    let scene = scene();
    settings(&scene, &format!("place: {}\n", scene.root.join("elsewhere").display()));
    for turn in 0..3 {
        push(&scene);
        scene.inside(&format!("echo {turn} > turn"));
    }
    // Without privilege the kernel leaves a folder behind that even its owner may not list.
    scene.host("chmod -R u+rwx \"$CTRLZ_HOME\"; rm -r \"$CTRLZ_HOME\"");
    scene.ok(&["recover", "--from-archive"]);
    for _ in 0..6 {
        let made = scene.json(&["snapshot", "-m", "one more"]);
        scene.ok(&["push", made["snapshot"]["id"].as_str().expect("an id")]);
    }
}

#[test]
fn nothing_is_made_by_looking_for_it() {
    let scene = scene();
    let name = push(&scene);
    scene.host("mkdir ../empty");
    for place in ["../typo", "../empty"] {
        for words in
            [&["verify"][..], &["drill"], &["archive", "ls"], &["archive", "gc"], &["pull", &name]]
        {
            let words = [words, &["--from", place]].concat();
            scene.run(&words).code(123).says(&["there is no archive at"]);
        }
        scene.run(&["recover", "--from-archive", place]).code(123).says(&["there is no archive"]);
    }
    assert_eq!(scene.host("ls -A .. | grep -c typo || true; ls -A ../empty").trim(), "0");
}

#[test]
fn a_path_that_is_not_there_is_no_success() {
    let scene = scene();
    let name = push(&scene);
    for more in [&["--path", "nope"][..], &["--path", "a", "--path", "nope"]] {
        let words = [&["pull", &name, "--to", "../out"], more].concat();
        scene.run(&words).code(123).says(&["nothing at some of these paths", "nope"]);
        assert!(!scene.exists("../out"));
    }
    assert_eq!(files(&scene, &name, &["--path", "a"]), "a");
}
