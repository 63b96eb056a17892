//! Death at every call of the store while state is written, encrypted anew or imported.

use std::os::unix::process::ExitStatusExt;

use crate::support::{Outcome, Scene};

const OLD: &str = "command:echo 0101010101010101010101010101010101010101010101010101010101010101";
const NEW: &str = "command:echo 0202020202020202020202020202020202020202020202020202020202020202";

/// Runs `command` with a fault at the first, second, … call of the store until it passes without;
/// after each, recovers, asks `check`, and lets `again` bring back what was before.
#[track_caller]
fn at_every_call(
    scene: &Scene,
    command: &[&str],
    check: &dyn Fn(&Scene) -> bool,
    again: &dyn Fn(&Scene),
) {
    for action in ["before", "after", "fail"] {
        for number in 1..=200 {
            assert!(number < 200, "it never passes");
            let fault = format!("{number}:{action}");
            let outcome = Outcome::of(scene.ctrlz(command).env("CTRLZ_STORE_FAULT", &fault));
            let passed = outcome.status.success();
            let died = outcome.status.signal() == Some(9);
            assert!(passed || died || outcome.status.code() == Some(125), "{fault}: {outcome}");
            scene.ok(&["recover"]);
            scene.ok(&["state", "verify", "--all"]);
            scene.ok(&["state", "rebuild", "--check", "--all"]);
            scene.ok(&["audit", "verify"]);
            if check(scene) {
                again(scene);
            } else {
                assert!(!passed, "{fault}: it says that it is done");
            }
            if passed {
                assert!(number > 1, "there is no call at all");
                break;
            }
        }
    }
}

#[test]
fn a_write_of_global_state() {
    let scene = Scene::new();
    let put = |scene: &Scene| drop(scene.ok(&["state", "--global", "put", "k", "before"]));
    put(&scene);
    let is_after = |scene: &Scene| {
        let value = scene.ok(&["state", "--global", "get", "k"]);
        assert!(matches!(value.as_str(), "before" | "after"), "{value}");
        value == "after"
    };
    at_every_call(&scene, &["state", "--global", "put", "k", "after"], &is_after, &put);
}

#[test]
fn a_rotation() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    for place in [&["--global"][..], &["--sandbox", "web"]] {
        for value in ["one", "two"] {
            let put = ["state", "put", "--sensitive", "t", value, "--with-key", OLD];
            scene.ok(&[&put[..], place].concat());
        }
    }
    let is_after = |scene: &Scene| {
        let under = |key: &str| {
            let get = |place: &[&str], version: &str| {
                let get = ["state", "get", "t", "--version", version, "--with-key", key];
                scene.run(&[&get[..], place].concat()).status.success()
            };
            let places = [&["--global"][..], &["--sandbox", "web"]];
            places.map(|place| [get(place, "1"), get(place, "2")]).concat()
        };
        let (old, new) = (under(OLD), under(NEW));
        assert!(
            old.iter().all(|opened| *opened) != new.iter().all(|opened| *opened),
            "all are under one key: {old:?} {new:?}"
        );
        assert!(old.iter().zip(&new).all(|(old, new)| old != new), "{old:?} {new:?}");
        new.iter().all(|opened| *opened)
    };
    let back = |scene: &Scene| drop(scene.ok(&["state", "rotate", "--from", NEW, "--to", OLD]));
    at_every_call(&scene, &["state", "rotate", "--from", OLD, "--to", NEW], &is_after, &back);
}

#[test]
fn an_import_into_two_namespaces() {
    let places = [&["--global"][..], &["--sandbox", "web"]];
    let put = |scene: &Scene, value: &str| {
        for place in places {
            scene.ok(&[&["state", "put", "k", value][..], place].concat());
        }
    };
    let other = Scene::new();
    other.ok(&["new", "web"]);
    let export = other.root.join("export").display().to_string();
    let is_after = |scene: &Scene| {
        let values = places.map(|place| scene.ok(&[&["state", "get", "k"][..], place].concat()));
        assert_eq!(values[0], values[1], "all or nothing");
        values[0] == "imported"
    };
    let command = ["state", "import", &export, "--on-conflict", "theirs"];
    // A second import of the same brings nothing new, so each one meets a new export.
    let again = |scene: &Scene| {
        put(scene, "here");
        let _ = std::fs::remove_file(&export);
        let fresh = Scene::new();
        fresh.ok(&["new", "web"]);
        put(&fresh, "imported");
        fresh.ok(&["state", "export", "--all", &export]);
    };
    again(&other);
    at_every_call(&other, &command, &is_after, &again);
}
