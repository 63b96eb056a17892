//! Folders of every kind as the base: each works, or is refused with the reason.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::support::{Outcome, Scene, Tree, has, is_root, skipped, unshared};

/// Run, diff, commit and undo in `folder`, which must not notice the difference.
#[track_caller]
fn whole_round(scene: &Scene, folder: &Path) {
    fs::write(folder.join("a"), "one\n").expect("write");
    let before = Tree::of(folder);
    let script = "echo two > a; echo new > b; mkdir -p d/e; echo x > d/e/f";
    scene.run_in(folder, &["run", "--", "sh", "-ec", script]).ok().says_nothing();
    before.assert_same(&Tree::of(folder));
    let diff = scene.run_in(folder, &["diff"]).ok();
    assert!(diff.out().contains("4 added, 1 modified"), "{diff}");
    scene.run_in(folder, &["commit"]).ok();
    assert_eq!(fs::read_to_string(folder.join("d/e/f")).expect("read"), "x\n");
    let after = Tree::of(folder);
    scene.run_in(folder, &["undo"]).ok();
    before.assert_same(&Tree::of(folder));
    scene.run_in(folder, &["redo"]).ok();
    after.assert_same(&Tree::of(folder));
}

#[track_caller]
fn made(scene: &Scene, name: impl AsRef<Path>) -> PathBuf {
    let folder = scene.root.join(name);
    fs::create_dir_all(&folder).expect("create a folder");
    folder
}

#[test]
fn a_name_with_spaces_and_shell_signs() {
    let scene = Scene::new();
    whole_round(&scene, &made(&scene, "a b  'c' \"d\" $HOME `e` \\f:g,h=i;j\nk"));
}

#[test]
fn a_name_that_is_not_utf_8() {
    let scene = Scene::new();
    let folder = made(&scene, OsStr::from_bytes(b"odd-\xff\xfe-\xc3"));
    whole_round(&scene, &folder);
    let listed = scene.run(&["--json", "ls"]).ok().json();
    assert_eq!(listed["sandboxes"].as_array().map(Vec::len), Some(1));
    scene.run(&["ls"]).ok();
    let name = listed["sandboxes"][0]["name"].as_str().expect("a name").to_owned();
    scene.run(&["exec", &name, "--", "true"]).ok();
}

#[test]
fn files_whose_names_are_not_utf_8() {
    let scene = Scene::new();
    scene.inside("printf x > \"$(printf 'f\\377')\"; mkdir \"$(printf 'd\\376')\"; printf y > \"$(printf 'd\\376/\\375')\"");
    assert_eq!(scene.counts(), [3, 0, 0, 0]);
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat \"$(printf 'f\\377')\" \"$(printf 'd\\376/\\375')\""), "xy");
    let arguments =
        [OsStr::new("run"), OsStr::new("--"), OsStr::new("rm"), OsStr::from_bytes(b"f\xff")];
    Outcome::of(&mut scene.ctrlz(arguments)).ok();
    let arguments = [OsStr::new("commit"), OsStr::new("--path"), OsStr::from_bytes(b"f\xff")];
    Outcome::of(&mut scene.ctrlz(arguments)).ok();
    assert_eq!(scene.host("ls | wc -l"), "1\n");
}

#[test]
fn a_path_near_the_longest() {
    let scene = Scene::new();
    let mut folder = scene.root.clone();
    while folder.as_os_str().len() < 3500 {
        folder.push("x".repeat(200));
    }
    // Made step by step: one call takes no path this long together with more below it.
    fs::create_dir_all(&folder).expect("create the folder");
    whole_round(&scene, &folder);
}

#[test]
fn a_folder_reached_through_a_symbolic_link_is_the_same_folder() {
    let scene = Scene::with("ln -s project ../link; echo one > a");
    scene.run_in(&scene.root.join("link"), &["run", "--", "sh", "-c", "echo two > a"]).ok();
    assert_eq!(scene.changes(), ["modified a"]);
    scene.host("cd ../link; \"$CTRLZ\" commit > /dev/null");
    assert_eq!(scene.read("a"), "two\n");
}

#[test]
fn a_worktree() {
    if !has("git") {
        return;
    }
    let Some(scene) = Scene::seen_inside() else { return };
    scene.host(
        "git init -q .; git config user.email a@b; git config user.name n; echo 1 > f; git add f; \
         git commit -qm first; git worktree add -q ../tree",
    );
    let tree = scene.root.join("tree");
    whole_round(&scene, &tree);
    // Its repository lies outside the workspace, where nothing can be written.
    assert_eq!(
        scene.run_in(&tree, &["run", "--", "git", "log", "--oneline"]).ok().out().lines().count(),
        1
    );
    let outcome =
        scene.run_in(&tree, &["run", "--", "sh", "-c", "echo 2 > f; git commit -qam second"]);
    assert!(!outcome.status.success(), "{outcome}");
    assert!(outcome.err().to_lowercase().contains("read-only"), "{outcome}");
}

#[test]
fn a_bare_repository() {
    if !has("git") {
        return;
    }
    let scene = Scene::with(
        "git init -q work; cd work; git config user.email a@b; git config user.name n; \
         echo 1 > f; git add f; git commit -qm first; cd ..; git clone -q --bare work ../bare.git",
    );
    let bare = scene.root.join("bare.git");
    let before = Tree::of(&bare);
    scene.run_in(&bare, &["run", "--", "git", "branch", "inside"]).ok();
    scene.run_in(&bare, &["run", "--", "git", "gc", "-q"]).ok();
    before.assert_same(&Tree::of(&bare));
    scene.run_in(&bare, &["commit"]).ok();
    assert!(scene.host("git -C ../bare.git fsck && git -C ../bare.git branch").contains("inside"));
    scene.run_in(&bare, &["undo"]).ok();
    before.assert_same(&Tree::of(&bare));
}

#[test]
fn a_folder_that_may_not_be_written_is_a_base_but_no_goal() {
    if is_root() {
        return skipped("root writes every folder");
    }
    let scene = Scene::with("echo one > a; chmod 555 .");
    scene.inside("cat a");
    scene.host("chmod 755 .");
    scene.inside("echo two > a; echo new > b");
    scene.host("chmod 555 .");
    let before = scene.live();
    scene.run(&["commit"]).code(125).says(&["Permission denied"]);
    before.assert_same(&scene.live());
    scene.host("chmod 755 .");
    scene.ok(&["commit"]);
    assert_eq!(scene.read("b"), "new\n");
}

#[test]
fn a_read_only_mount_is_a_base_but_no_goal() {
    let scene = Scene::with("echo one > a");
    let script = "mount --bind . .; mount -o remount,bind,ro . ; cd .; cd \"$PWD\"; \
        ! echo x > y 2>/dev/null; \
        \"$CTRLZ\" run -- sh -c 'echo two > a; cat a; echo new > b'; \
        \"$CTRLZ\" diff; \
        if \"$CTRLZ\" commit; then exit 9; fi; cat a";
    let Some(outcome) = unshared(&scene, script) else { return };
    let outcome = outcome.ok().says(&["Read-only file system"]);
    let out = outcome.out();
    assert!(out.starts_with("two\n") && out.ends_with("one\n"), "{outcome}");
    assert!(out.contains("1 added, 1 modified"), "{outcome}");
    // Nothing was lost: where it may be written, it can be committed. In a user namespace, the
    // file had another owner.
    let conflict = if is_root() { "fail" } else { "ours" };
    scene.ok(&["commit", "--conflict", conflict]);
    assert_eq!(scene.read("a"), "two\n");
}

#[test]
fn another_mount_in_the_base_is_seen_but_not_written() {
    let scene = Scene::with("mkdir -p sub/mounted; echo below > sub/mounted/hidden; echo one > a");
    let script = "mount -t tmpfs t sub/mounted; echo other > sub/mounted/other; \
        \"$CTRLZ\" run -- sh -c 'echo two > a; ls sub/mounted; echo in > sub/mounted/in' || true; \
        \"$CTRLZ\" diff; \"$CTRLZ\" commit; cat a; ls sub/mounted";
    let Some(outcome) = unshared(&scene, script) else { return };
    let outcome = outcome.ok().says(&["Read-only file system"]);
    let out = outcome.out();
    assert!(out.starts_with("other\n~ a\n1 modified\n"), "{outcome}");
    assert!(out.ends_with("two\nother\n"), "{outcome}");
    assert_eq!(scene.read("sub/mounted/hidden"), "below\n");
}

#[test]
fn the_home_folder_that_contains_the_store() {
    let scene = Scene::new();
    let store = scene.home.join(".local/share/ctrlz");
    let run = |arguments: &[&str]| {
        let mut command = scene.ctrlz(arguments);
        Outcome::of(command.env("CTRLZ_HOME", &store).current_dir(&scene.home))
    };
    fs::write(scene.home.join("a"), "one\n").expect("write");
    run(&["run", "--", "sh", "-ec", "echo two > a; echo new > b; mkdir d; echo x > d/f"]).ok();
    assert_eq!(fs::read_to_string(scene.home.join("a")).expect("read"), "one\n");
    let inside = run(&["run", "--", "sh", "-c", "ls -A .local/share/ctrlz"]);
    assert_eq!(inside.out(), "", "{inside}");
    let diff = run(&["diff"]).ok();
    assert!(diff.out().contains("3 added, 1 modified"), "{diff}");
    run(&["commit"]).ok();
    assert_eq!(fs::read_to_string(scene.home.join("d/f")).expect("read"), "x\n");
    run(&["undo"]).ok();
    assert_eq!(fs::read_to_string(scene.home.join("a")).expect("read"), "one\n");
    assert!(!scene.home.join("b").exists());
    // Nobody takes the store itself with it.
    let wiped = run(&["run", "--", "sh", "-c", "rm -rf .local * 2>/dev/null; ls -A"]);
    assert!(wiped.status.code().is_some(), "{wiped}");
    run(&["undo"]).ok();
    run(&["ls"]).ok();
}

#[test]
fn the_store_itself() {
    let scene = Scene::new();
    scene.inside("true");
    let outcome = scene.run_in(&scene.store, &["run", "--", "sh", "-c", "ls; echo x > y"]);
    if outcome.status.success() {
        assert!(!scene.store.join("y").exists(), "{outcome}");
    } else {
        outcome.says(&[scene.store.to_str().expect("UTF-8")]);
    }
    scene.ok(&["ls"]);
}

#[test]
fn a_folder_of_the_kernel_is_refused_by_name() {
    let scene = Scene::new();
    for folder in ["/proc", "/sys", "/dev"] {
        let outcome = scene.run_in(Path::new(folder), &["run", "--", "true"]);
        outcome.code(125).says(&[folder]);
    }
    scene.run(&["new", "x", "--base", "/proc/self"]).code(125).says(&["/proc"]);
}

#[test]
fn a_base_that_is_not_there_is_refused_by_name() {
    let scene = Scene::with("echo x > file");
    scene.run(&["new", "x", "--base", "nowhere"]).code(125).says(&["nowhere"]);
    scene.run(&["new", "x", "--base", "file"]).code(125).says(&["file"]);
    scene.run(&["new", "x", "--base", "."]).ok();
    let moved = scene.root.join("moved");
    fs::rename(&scene.project, &moved).expect("rename");
    let outcome = scene.run_in(&moved, &["exec", "x", "--", "true"]);
    outcome.code(125).says(&[scene.project.to_str().expect("UTF-8")]);
}

#[test]
fn a_deleted_working_folder_is_told() {
    let scene = Scene::with("mkdir gone");
    let outcome = Outcome::of(
        &mut scene.program("sh", ["-c", "cd gone; rmdir ../gone; exec \"$CTRLZ\" run -- true"]),
    );
    outcome.code(125).says(&["ctrlz: "]);
}

#[test]
fn a_folder_inside_a_base_has_a_sandbox_of_its_own() {
    let scene = Scene::with("mkdir sub; echo one > sub/a");
    scene.inside("echo two > sub/a");
    let sub = scene.project.join("sub");
    scene
        .run_in(&sub, &["diff"])
        .code(123)
        .says(&["no sandbox", scene.project.to_str().expect("UTF-8")]);
    assert_eq!(scene.run_in(&sub, &["run", "--", "cat", "a"]).ok().out(), "one\n");
}

#[test]
fn the_root_folder() {
    let Some(scene) = Scene::seen_inside() else { return };
    let root = Path::new("/");
    let file = scene.project.join("f");
    let script = format!("echo x > '{0}' && cat '{0}'", file.display());
    let outcome = scene.run_in(root, &["run", "--", "sh", "-c", &script]);
    if !is_root() && !outcome.status.success() {
        // The kernel lets no user namespace overlay a folder that holds locked mounts.
        outcome.code(125).says(&["only root can make such a folder copy-on-write"]);
        return;
    }
    assert_eq!(outcome.ok().out(), "x\n");
    assert!(!file.exists());
    let diff = scene.run_in(root, &["diff"]).ok();
    assert!(diff.out().contains("+ ") && diff.out().ends_with("1 added\n"), "{diff}");
    scene.run_in(root, &["commit"]).ok();
    assert_eq!(fs::read_to_string(&file).expect("read"), "x\n");
    scene.run_in(root, &["undo"]).ok();
    assert!(!file.exists());
}

#[test]
fn the_program_itself_runs_inside() {
    let scene = Scene::with("cp \"$CTRLZ\" ctrlz");
    let outcome = scene.run(&["run", "--", "./ctrlz", "--version"]).ok();
    assert!(outcome.out().starts_with("ctrlz "), "{outcome}");
}
