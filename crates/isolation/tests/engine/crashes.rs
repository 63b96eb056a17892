//! Kills, and what they leave.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use ctrlz_core::operation::Exit;

use crate::Test;
use crate::direct::{Spec, Told};
use crate::place::{Place, await_that, begin, finish, launcher, lives, process_1, run};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_container_dies_with_ctrlz", launcher_killed),
        ("what_never_ran_is_tidied_up", never_ran),
        ("somebody_else_s_container_stays", not_ours),
        ("an_engine_that_is_killed_harms_no_command", engine_killed),
        ("ctrlz_and_engine_are_killed", both_killed),
    ]
}

/// The folders of launches by this engine that are there.
fn folders(place: &Place<'_>) -> Vec<PathBuf> {
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let bases = ["/run".into(), std::env::temp_dir()].into_iter().chain(run);
    let entries = bases.filter_map(|base| fs::read_dir(base).ok()).flatten().flatten();
    let socket = place.server.socket.display().to_string();
    let is_ours = |path: &PathBuf| {
        fs::read_to_string(path.join("container.json")).is_ok_and(|note| note.contains(&socket))
    };
    entries.map(|entry| entry.path()).filter(is_ours).collect()
}

/// Tidies up until nothing is left: what the engine is just removing, it does not let others remove.
fn tidy_all(place: &Place<'_>) {
    await_that("no folder is left", || {
        tidy(place);
        folders(place).is_empty()
    });
}

fn tidy(place: &Place<'_>) {
    let mut spec = place.shell("");
    spec.tidies = true;
    assert!(launcher(&spec).status().expect("run").success());
}

/// Begins a command that goes on until it reads a line; answers when it runs.
fn begin_long(place: &Place<'_>) -> (Spec, std::process::Child, u32) {
    let spec = place.shell("echo > began; read line; echo done; exit 5");
    let child = begin(&spec);
    let process = process_1(&spec);
    let began = spec.head.join("upper/began");
    await_that("the command began", || began.exists());
    (spec, child, process)
}

fn launcher_killed(place: &Place<'_>) {
    let (spec, mut child, process) = begin_long(place);
    child.kill().expect("kill");
    child.wait().expect("wait");
    await_that("process 1 is gone", || !lives(process));
    place.server.await_no_container();
    tidy_all(place);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&spec.head.display().to_string()), "left mounted");
}

/// The note of a launch whose process is gone, with the container that it made and did not start.
fn abandoned(place: &Place<'_>, label: &str) -> (PathBuf, String) {
    // The launcher of another launch, killed while it ran, leaves a folder to take the name of.
    let (_, mut child, process) = begin_long(place);
    let folder = folders(place).pop().expect("a folder");
    let bytes = fs::read(folder.join("container.json")).expect("a note");
    child.kill().expect("kill");
    child.wait().expect("wait");
    await_that("process 1 is gone", || !lives(process));
    place.server.await_no_container();
    // Another ctrlz of this user may have tidied up already.
    fs::create_dir_all(&folder).expect("make a folder");
    fs::write(folder.join("container.json"), &bytes).expect("write");
    let note: serde_json::Value = serde_json::from_slice(&bytes).expect("json");
    let name = note["name"].as_str().expect("a name").to_owned();
    let launcher = name.strip_prefix("ctrlz-").and_then(|name| name.rsplit_once('-'));
    let label = label.replace("LAUNCHER", launcher.expect("a launcher").0);
    place.server.client(&[
        "create",
        "--name",
        &name,
        "--network",
        "none",
        "--label",
        &label,
        crate::image::IMAGE,
        "true",
    ]);
    (folder, name)
}

fn never_ran(place: &Place<'_>) {
    let (folder, name) = abandoned(place, "ctrlz.launcher=LAUNCHER");
    assert!(place.server.containers().contains(&name));
    tidy(place);
    assert_eq!(place.server.containers(), "");
    assert!(!folder.exists());
}

fn not_ours(place: &Place<'_>) {
    let (folder, name) = abandoned(place, "somebody=else");
    tidy(place);
    assert!(place.server.containers().contains(&name));
    assert!(!folder.exists());
    place.server.client(&["rm", "--force", &name]);
}

fn engine_killed(place: &Place<'_>) {
    let (spec, mut child, _) = begin_long(place);
    place.server.kill();
    // It speaks with ctrlz, not with the engine.
    child.stdin.take().expect("a pipe").write_all(b"end\n").expect("write");
    let ended = finish(&spec, child);
    assert_eq!((ended.report().exit, ended.output.as_str()), (Exit::Code(5), "done\n"));
    match run(&place.shell("true"), b"").told {
        Told::Failed(text) => assert!(text.contains("nothing listens there"), "{text}"),
        other => panic!("{other:?}"),
    }
    place.server.start_again();
    tidy_all(place);
    place.server.await_no_container();
    assert_eq!(run(&place.shell("exit 4"), b"").report().exit, Exit::Code(4));
}

fn both_killed(place: &Place<'_>) {
    let (_, mut child, process) = begin_long(place);
    place.server.kill();
    child.kill().expect("kill");
    child.wait().expect("wait");
    await_that("process 1 is gone", || !lives(process));
    // Without the engine nothing is removed, and nothing forgotten.
    tidy(place);
    place.server.start_again();
    tidy_all(place);
    place.server.await_no_container();
}
