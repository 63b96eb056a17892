//! `--isolation wasm`: modules and components as commands.

use std::path::Path;
use std::process::Command;

use crate::support::{Outcome, Scene, is_root, skipped};

/// A scene whose folder has a guest from a C compiler, `NAME.wasm`.
pub(super) fn with(name: &str, flags: &[&str]) -> Scene {
    let scene = Scene::new();
    add(&scene, name, flags);
    scene
}

pub(super) fn add(scene: &Scene, name: &str, flags: &[&str]) {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm/tests/guests");
    let compiled = Command::new("clang")
        .args(["--target=wasm32-wasi", "-O1", "-o"])
        .arg(scene.project.join(format!("{name}.wasm")))
        .args(flags)
        .arg(guests.join(format!("{name}.c")))
        .status()
        .expect("clang; `cargo xtask test` installs it");
    assert!(compiled.success());
}

pub(super) fn wasm(scene: &Scene, words: &[&str]) -> Outcome {
    scene.run(&[["run", "--isolation", "wasm", "--"].as_slice(), words].concat())
}

/// A module of functions without `main`.
pub(super) const REACTOR: [&str; 1] = ["-mexec-model=reactor"];

#[test]
fn a_module_runs_as_a_command() {
    let scene = with("acts", &[]);
    let words = ["run", "--isolation", "wasm", "--env", "GREETED=you", "--"];
    scene.run(&[words.as_slice(), &["acts.wasm", "hello", "héllo"]].concat()).code(7);
    assert_eq!(scene.ok(&["diff"]), "+ told\n1 added\n");
    assert!(!scene.project.join("told").exists());
    let shown = scene.ok(&["show", &scene.last()]);
    assert!(shown.contains("isolation wasm"), "{shown}");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat told"), "héllo you\n");
    scene.ok(&["undo"]);
    assert!(!scene.project.join("told").exists());
}

#[test]
fn a_guest_reaches_nothing_but_its_workspace() {
    let scene = with("acts", &[]);
    scene.host("ln -s /etc/passwd link; ln -s ../outside up; echo x > ../outside; echo x > inside");
    let outside = scene.root.join("outside");
    let absolute = scene.project.join("inside");
    let (outside, absolute) = (outside.to_str().expect("UTF-8"), absolute.to_str().expect("UTF-8"));
    let paths = ["/etc/passwd", "../outside", "x/../../outside", "/proc/self/maps", "link", "up"];
    let all = [["acts.wasm", "read"].as_slice(), &paths, &[outside, "inside", absolute]].concat();
    scene.run(&[["run", "--isolation", "wasm", "--"].as_slice(), &all].concat()).ok();
    let told = scene.ok(&["run", "--", "cat", "told"]);
    let done: Vec<&str> = told.lines().filter(|line| line.ends_with(": done")).collect();
    assert_eq!(done, ["inside: done", &format!("{absolute}: done")], "{told}");
    assert_eq!(told.lines().count(), paths.len() + 3);
}

#[test]
fn the_root_may_be_the_workspace() {
    if !is_root() {
        return skipped("only root can overlay a root that holds other mounts");
    }
    let scene = with("acts", &[]);
    let folder = scene.project.to_str().expect("UTF-8");
    let words = ["run", "--root", "overlay", "--isolation", "wasm", "--", "acts.wasm", "read"];
    scene.run(&[words.as_slice(), &["/etc/passwd", folder, "/proc/self/mem"]].concat()).ok();
    let told = scene.ok(&["run", "--root", "overlay", "--", "cat", "told"]);
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[..2], ["/etc/passwd: done", &format!("{folder}: done")]);
    assert!(told[2].starts_with("/proc/self/mem: ") && !told[2].contains("done"), "{told:?}");
}

/// Any program can follow ctrlz in its file in place of the engine: this one tells what the engine is told.
#[test]
fn the_engine_may_follow_ctrlz_in_its_file() {
    let scene = Scene::new();
    let alone = "strip -o ../alone \"$CTRLZ\" 2>/dev/null || cp \"$CTRLZ\" ../alone";
    scene.host(&format!("{alone}; cat ../alone /bin/echo > ../whole; chmod +x ../alone ../whole"));
    let words = ["run", "--isolation", "wasm", "--", "a.wasm"];
    let run = |program: &str| Outcome::of(&mut scene.program(scene.root.join(program), words));
    let told = run("whole").ok().out();
    let folder = scene.project.to_str().expect("UTF-8");
    assert!(told.ends_with(&format!(" --workspace {folder} --keeps-code -- a.wasm\n")), "{told}");
    run("alone")
        .code(125)
        .says(&["--isolation wasm cannot be enforced here: its engine is not in"]);
}

#[test]
fn limits_end_a_guest_and_are_told() {
    let scene = with("counter", &REACTOR);
    let spin = |options: &[&str]| {
        wasm(&scene, &[options, &["--invoke", "spin", "counter.wasm"]].concat()).code(124)
    };
    spin(&["--fuel", "100000"]).says(&["counter.wasm: limit: its fuel of 100000 units is used up"]);
    spin(&["--time", "50ms"]).says(&["limit: it ran for longer than 50ms"]);
    spin(&["--memory", "64K"]).says(&["limit: it asked for more than 64 KiB of memory"]);
    let words = ["run", "--isolation", "wasm", "--timeout", "1s", "--", "--invoke", "spin"];
    scene.run(&[words.as_slice(), &["counter.wasm"]].concat()).code(124).says(&["timeout"]);
}

#[test]
fn what_cannot_run_is_told() {
    let scene = with("acts", &[]);
    scene.host("echo text > text.wasm; head -c 500 acts.wasm > half.wasm; : > empty.wasm");
    for (words, code, what) in [
        (["none.wasm"].as_slice(), 127, "cannot read none.wasm: No such file"),
        (&["text.wasm"], 126, "does not begin as one"),
        (&["half.wasm"], 126, "half.wasm: not a WebAssembly module"),
        (&["empty.wasm"], 126, "the file is empty"),
        (&["."], 126, "no regular file"),
        (&["--fule", "1", "acts.wasm"], 125, "--fule is no option of the driver wasm"),
        (&["--fuel", "much", "acts.wasm"], 125, "--fuel: `much`"),
        (&["--invoke", "none", "acts.wasm"], 126, "it exports no function `none`"),
        (&["--memory-image", "x", "acts.wasm"], 125, "--memory-image needs --invoke"),
        (&["--deterministic", "--time", "1s", "acts.wasm"], 125, "use --fuel"),
        (&["acts.wasm", "nothing"], 101, ""),
    ] {
        let outcome = wasm(&scene, words).code(code);
        assert!(outcome.err().contains(what), "{outcome}");
    }
    // The native driver, which cannot run it, says who can.
    scene.host("chmod +x acts.wasm");
    for module in ["./acts.wasm", "./text.wasm"] {
        scene.run(&["run", "--", module]).code(126).says(&["--isolation wasm"]);
    }
}

#[test]
fn memory_goes_back_together_with_the_files() {
    let scene = with("counter", &REACTOR);
    let count = |by: &str| {
        let options = ["--invoke", "count", "--memory-image", "memory"];
        wasm(&scene, &[options.as_slice(), &["counter.wasm", by]].concat()).ok().out()
    };
    assert_eq!(count("1"), "41\n");
    let told = scene.ok(&["snapshot"]);
    let snapshot = told.split_whitespace().find(|word| word.starts_with("snap-")).expect("its id");
    assert_eq!(count("1"), "42\n");
    assert_eq!(count("-2"), "40\n");
    scene.ok(&["undo"]);
    assert_eq!(count("100"), "142\n");
    scene.ok(&["rollback", snapshot]);
    assert_eq!(count("5"), "46\n");
    // A call that fails leaves the memory as it was before it.
    let failing = ["--fuel", "10000", "--invoke", "spin", "--memory-image", "memory"];
    wasm(&scene, &[failing.as_slice(), &["counter.wasm"]].concat()).code(124);
    assert_eq!(count("0"), "46\n");
    // What somebody changed in it is found.
    scene.ok(&["run", "--", "sh", "-c", "printf x >> memory"]);
    let options = ["--invoke", "count", "--memory-image", "memory", "counter.wasm", "1"];
    wasm(&scene, &options).code(125).says(&["damaged"]);
    // That call, and then the change.
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(count("0"), "46\n");
}
