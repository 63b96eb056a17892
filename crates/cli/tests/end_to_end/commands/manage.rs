//! Named sandboxes: new, exec, shell, ls, fork, rm.

use crate::support::{Outcome, Scene};

#[test]
fn a_named_sandbox_lives_beside_the_folders_own() {
    let scene = Scene::with("echo one > a; mkdir other; echo z > other/z");
    scene.ok(&["new", "web", "--base", "other"]);
    scene.ok(&["new", "here"]);
    scene.ok(&["exec", "web", "--", "sh", "-c", "cat z; echo y > y"]);
    scene.inside("echo two > a");
    assert!(scene.ok(&["diff", "web"]).contains("+ y"));
    assert!(scene.ok(&["diff", "here"]).contains("no changes"));
    assert_eq!(scene.changes(), ["modified a"]);
    let listed = scene.ok(&["ls"]);
    for (name, status) in [("web", "uncommitted"), ("here", "clean"), ("project", "uncommitted")] {
        let line = listed.lines().find(|line| line.starts_with(&format!("{name} ")));
        assert!(line.is_some_and(|line| line.contains(status)), "{name}\n{listed}");
    }
    scene.run(&["new", "web"]).code(125).says(&["web"]);
    scene.run(&["new", "Bad Name/"]).code(125);
    scene.run(&["exec", "nobody", "--", "true"]).code(125).says(&["nobody", "ctrlz ls"]);
}

#[test]
fn exec_has_the_options_and_the_exit_code_of_run() {
    let scene = Scene::new();
    scene.ok(&["new", "web"]);
    scene.run(&["exec", "web", "--", "sh", "-c", "exit 17"]).code(17);
    scene.run(&["exec", "web", "--timeout", "1", "--", "sleep", "60"]).code(124);
    scene.run(&["exec", "web", "--commit", "--", "sh", "-c", "echo x > f"]).ok();
    assert_eq!(scene.read("f"), "x\n");
    scene.run(&["exec", "web", "--", "no-such-program"]).code(127);
}

#[test]
fn shell_is_the_users_and_ends_as_it_does() {
    let scene = Scene::with("printf 'echo from-$0 > made\\nexit 7\\n' > input");
    scene.ok(&["new", "web"]);
    let outcome = Outcome::of(&mut scene.program("sh", ["-c", "\"$CTRLZ\" shell web < input"]));
    outcome.code(7);
    assert!(
        scene.ok(&["diff", "web", "-p"]).contains("from-"),
        "{}",
        scene.ok(&["diff", "web", "-p"])
    );
}

#[test]
fn rm_keeps_uncommitted_work_unless_forced() {
    let scene = Scene::with("echo one > a");
    scene.ok(&["new", "web"]);
    scene.ok(&["exec", "web", "--", "sh", "-c", "echo two > a"]);
    scene.run(&["rm", "web"]).code(123).says(&["uncommitted changes", "rm --force web"]);
    assert!(scene.ok(&["diff", "web"]).contains("1 modified"));
    scene.ok(&["rm", "--force", "web"]);
    scene.run(&["diff", "web"]).code(125);
    assert_eq!(scene.read("a"), "one\n");
    scene.ok(&["new", "web"]);
    scene.ok(&["exec", "web", "--commit", "--", "sh", "-c", "echo two > a"]);
    scene.ok(&["rm", "web"]);
    assert_eq!(scene.read("a"), "two\n");
    assert!(scene.ok(&["ls"]).contains("no sandboxes"));
}

#[test]
fn rm_frees_what_only_it_needed() {
    let scene = Scene::new();
    let big = "head -c 3000000 /dev/urandom > big";
    scene.ok(&["new", "a"]);
    scene.ok(&["exec", "a", "--", "sh", "-c", big]);
    scene.ok(&["fork", "a", "b"]);
    scene.ok(&["exec", "b", "--", "sh", "-c", "head -c 3000000 /dev/urandom > more"]);
    let size = || {
        let text = scene.host("du -sk \"$CTRLZ_HOME\" | cut -f1");
        text.trim().parse::<u64>().expect("a number")
    };
    let both = size();
    scene.ok(&["rm", "--force", "a"]);
    assert!(size() + 500 > both, "the copy still needs it: {} of {both}", size());
    assert_eq!(scene.ok(&["exec", "b", "--", "sh", "-c", "stat -c %s big"]), "3000000\n");
    scene.ok(&["rm", "--force", "b"]);
    assert!(size() + 5000 < both, "{} of {both}", size());
}

#[test]
fn a_fork_goes_its_own_way() {
    let scene = Scene::with("echo one > a");
    scene.ok(&["new", "web"]);
    scene.ok(&["exec", "web", "--", "sh", "-c", "echo two > a; echo b > b"]);
    scene.ok(&["state", "--sandbox", "web", "put", "k", "v"]);
    scene.ok(&["fork", "web", "web2"]);
    scene.ok(&["exec", "web2", "--", "sh", "-c", "echo three > a; rm b"]);
    assert_eq!(scene.ok(&["exec", "web", "--", "cat", "a", "b"]), "two\nb\n");
    assert_eq!(scene.ok(&["exec", "web2", "--", "cat", "a"]), "three\n");
    assert_eq!(scene.ok(&["state", "--sandbox", "web2", "get", "k"]), "v");
    scene.ok(&["state", "--sandbox", "web2", "put", "k", "w"]);
    assert_eq!(scene.ok(&["state", "--sandbox", "web", "get", "k"]), "v");
    scene.ok(&["undo", "web2"]);
    scene.ok(&["rm", "-f", "web"]);
    scene.ok(&["commit", "web2"]);
    assert_eq!(scene.read("a"), "three\n");
    scene.run(&["fork", "web2", "web2"]).code(125);
    scene.run(&["fork", "nobody", "x"]).code(125);
}

#[test]
fn doctor_completions_and_manual_pages() {
    let scene = Scene::with("mkdir man");
    let doctor = scene.ok(&["doctor"]);
    for line in ["limit memory", "limit timeout", "seccomp", "landlock"] {
        assert!(doctor.contains(line), "{line}\n{doctor}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(scene.ok(&["completions", shell]).contains("ctrlz"));
    }
    scene.ok(&["man", "man"]);
    assert!(scene.read("man/ctrlz.1").contains(".TH"));
    assert!(scene.exists("man/ctrlz-run.1"));
    let doctor = scene.json(&["doctor"]);
    assert!(doctor["enforcement"].as_array().is_some_and(|lines| lines.len() > 10), "{doctor}");
}

#[test]
fn a_store_that_cannot_be_used_is_told() {
    let scene = Scene::with("echo x > ../file");
    let run = |store: &str| {
        let mut command = scene.ctrlz(["run", "--", "echo", "ran"]);
        let outcome = Outcome::of(command.env("CTRLZ_HOME", scene.root.join(store))).code(125);
        assert_eq!(outcome.out(), "");
        outcome
    };
    run("file").says(&["file"]);
    run("file/below").says(&["file"]);
    std::fs::create_dir(scene.root.join("garbage")).expect("create");
    // A relative folder is meant from where the caller stands.
    let mut command = scene.ctrlz(["run", "--", "true"]);
    Outcome::of(command.env("CTRLZ_HOME", "../relative")).ok();
    assert!(scene.root.join("relative").is_dir());
    // Without a home folder an ordinary user has no place, and that is said. Root has one, which is
    // the machine's and none of a test's.
    if !rustix::process::geteuid().is_root() {
        let mut command = scene.ctrlz(["ls"]);
        Outcome::of(command.env_remove("CTRLZ_HOME").env_remove("HOME")).code(125).says(&["HOME"]);
    }
}
