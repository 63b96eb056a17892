//! `ctrlz run`: what the command sees, how it ends, and what is told about it.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;

use crate::support::{Outcome, Scene, interpreter};

#[test]
fn changes_stay_in_the_sandbox_and_build_on_each_other() {
    let scene = Scene::with("echo one > a; mkdir d; echo x > d/f");
    let before = scene.live();
    scene.inside("echo two > a; rm -r d; echo new > b");
    before.assert_same(&scene.live());
    assert_eq!(scene.inside("cat a b; ls"), "two\nnew\na\nb\n");
    assert_eq!(scene.changes(), ["modified a", "added b", "deleted d", "deleted d/f"]);
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let scene = Scene::new();
    for code in [0, 1, 2, 42, 123, 124, 125, 126, 127, 128, 255] {
        let script = format!("exit {code}");
        scene.run(&["run", "--", "sh", "-c", &script]).code(code).says_nothing();
    }
}

#[test]
fn a_failed_command_keeps_what_it_wrote() {
    let scene = Scene::new();
    scene.run(&["run", "--", "sh", "-c", "echo x > f; exit 3"]).code(3);
    assert_eq!(scene.changes(), ["added f"]);
}

#[test]
fn a_command_that_is_not_there_is_127_and_leaves_nothing() {
    let scene = Scene::new();
    scene.run(&["run", "--", "no-such-program"]).code(127).says(&["no-such-program"]);
    scene.run(&["run", "--", "/no/such/program"]).code(127).says(&["/no/such/program"]);
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn a_closed_folder_in_the_path_is_passed_over_as_a_shell_does() {
    let scene = Scene::with("mkdir closed; chmod 0 closed");
    let path = format!("{}:/usr/bin:/bin", scene.project.join("closed").display());
    for (program, code) in [("no-such-program", 127), ("true", 0)] {
        let mut command = scene.ctrlz(["run", "--", program]);
        Outcome::of(command.env("PATH", &path)).code(code);
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    let scene = Scene::with("echo data > plain; mkdir folder");
    scene.run(&["run", "--", "./plain"]).code(126).says(&["./plain", "Permission denied"]);
    scene.run(&["run", "--", "./folder"]).code(126).says(&["./folder"]);
}

#[test]
fn a_script_that_was_written_inside_runs() {
    let scene = Scene::new();
    scene.inside("printf '#!/bin/sh\\necho from a script $1\\n' > tool; chmod +x tool");
    assert_eq!(scene.ok(&["run", "--", "./tool", "x"]), "from a script x\n");
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let scene = Scene::new();
    let odd = std::ffi::OsString::from_vec(b"a b\n\xff'\"$HOME*".to_vec());
    let mut command = scene.ctrlz(["run", "--", "printf", "%s|", "-x", "--json", ""]);
    let outcome = Outcome::of(command.arg(&odd)).ok();
    assert_eq!(outcome.stdout, [b"-x|--json||", odd.as_bytes(), b"|"].concat());
}

#[test]
fn the_working_folder_is_the_callers() {
    let scene = Scene::with("mkdir -p sub/deeper");
    let deeper = scene.project.join("sub/deeper");
    let shown = |path: &std::path::Path| format!("{}\n", path.display());
    assert_eq!(scene.ok(&["run", "--", "pwd"]), shown(&scene.project));
    assert_eq!(
        scene.ok(&["run", "--workdir", "sub", "--", "pwd"]),
        shown(&scene.project.join("sub"))
    );
    assert_eq!(scene.ok(&["run", "-w", "/usr", "--", "pwd"]), "/usr\n");
    scene.ok(&["new", "named"]);
    let outcome = scene.run_in(&deeper, &["exec", "named", "--", "pwd"]).ok();
    assert_eq!(outcome.out(), shown(&deeper));
    // From outside the workspace, a named sandbox starts at its own place.
    let outcome = scene.run_in(&scene.home, &["exec", "named", "--", "pwd"]).ok();
    assert_eq!(outcome.out(), shown(&scene.project));
    scene.run(&["run", "--workdir", "/no/such/folder", "--", "pwd"]).code(125).says(&["/no/such"]);
}

#[test]
fn the_environment_is_the_callers_with_what_was_asked() {
    let scene = Scene::new();
    let mut command = scene.ctrlz(["run", "-e", "ADDED=a=b", "-e", "PASSED", "--", "env"]);
    let outcome = Outcome::of(command.env("PASSED", "1").env("OWN", "x y").env("PASSED", "2")).ok();
    let lines: Vec<String> = outcome.out().lines().map(str::to_owned).collect();
    for wanted in ["ADDED=a=b", "PASSED=2", "OWN=x y", "CTRLZ_SANDBOX=project"] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted}\n{outcome}");
    }
}

#[test]
fn the_user_is_the_caller() {
    let scene = Scene::new();
    for flag in ["-u", "-g", "-un"] {
        assert_eq!(scene.ok(&["run", "--", "id", flag]), scene.host(&format!("id {flag}")));
    }
    scene.inside("touch mine");
    assert_eq!(scene.inside("stat -c %u mine"), scene.host("id -u"));
}

#[test]
fn the_rest_of_the_host_is_read_only_and_secrets_are_hidden() {
    let Some(scene) = Scene::seen_inside() else { return };
    scene.host("mkdir -p $HOME/.ssh && echo secret > $HOME/.ssh/id && echo plain > $HOME/plain");
    let outcome = scene.run(&["run", "--", "sh", "-c", "echo x > $HOME/new"]);
    assert!(!outcome.status.success(), "{outcome}");
    assert!(!scene.home.join("new").exists());
    assert_eq!(scene.inside("cat $HOME/plain"), "plain\n");
    scene.run(&["run", "--", "sh", "-c", "cat $HOME/.ssh/id"]).code(1);
    let show = scene.home.join(".ssh");
    let show = show.to_str().expect("a path in UTF-8");
    assert_eq!(
        scene.ok(&["run", "--show", show, "--", "sh", "-c", "cat $HOME/.ssh/id"]),
        "secret\n"
    );
    let outcome = scene.run(&["run", "--hide", "../home/plain", "--", "cat", "../home/plain"]);
    assert_eq!(outcome.out(), "", "{outcome}");
}

#[test]
fn the_store_cannot_be_reached() {
    let Some(scene) = Scene::seen_inside() else { return };
    scene.inside("echo x > f");
    let outcome =
        scene.run(&["run", "--", "sh", "-c", "ls -A $CTRLZ_HOME; echo x > $CTRLZ_HOME/y"]);
    assert_eq!(outcome.out(), "", "{outcome}");
    assert!(!outcome.status.success(), "{outcome}");
}

#[test]
fn temporary_files_are_private_and_gone_afterwards() {
    let scene = Scene::new();
    let name = scene.root.file_name().expect("a name").to_string_lossy().into_owned();
    scene.inside(&format!("echo x > /tmp/own-{name}; test -e /tmp/own-{name}"));
    assert!(!std::path::Path::new("/tmp").join(format!("own-{name}")).exists());
    scene.inside(&format!("! test -e /tmp/own-{name}"));
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn nothing_is_said_where_nothing_stood_in_the_way() {
    let scene = Scene::new();
    scene.run(&["run", "--", "sh", "-c", "echo x > f"]).ok().says_nothing();
    let outcome = scene.run(&["run", "--summary", "always", "--", "sh", "-c", "echo y > g"]).ok();
    let outcome = outcome.says(&["1 added", "ctrlz diff", "ctrlz commit", "ctrlz undo"]);
    assert_eq!(outcome.out(), "");
    scene
        .run(&["run", "--summary", "never", "--timeout", "1", "--", "sleep", "30"])
        .code(124)
        .says_nothing();
}

const CONNECT: &str =
    "import socket\ntry:\n  socket.create_connection(('192.0.2.1', 9), 1)\nexcept OSError: pass";

#[test]
fn a_try_of_the_network_is_told_with_the_way_to_allow_it() {
    let scene = Scene::new();
    let run = |extra: &[&str], program: &str| {
        let arguments = [&["run"], extra, &["--", interpreter(), "-c", program]].concat();
        scene.run(&arguments).ok()
    };
    run(&[], CONNECT).says(&["the network was off", "--net host"]);
    run(&["--summary", "never"], CONNECT).says_nothing();
    run(
        &[],
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); \
              socket.create_connection(s.getsockname(), 5)",
    )
    .says_nothing();
    let object = scene.json(&["run", "--", interpreter(), "-c", CONNECT]);
    assert!(object["command"]["network_attempts"].as_u64() > Some(0), "{object}");
}

#[test]
fn the_hosts_network_is_there_when_asked_for() {
    let scene = Scene::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let program = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
    scene.run(&["run", "--net", "host", "--", interpreter(), "-c", &program]).ok();
    scene.run(&["run", "--", interpreter(), "-c", &program]).code(1);
}

#[test]
fn commit_in_one_step_applies_a_success_and_takes_back_a_failure() {
    let scene = Scene::with("echo one > a");
    let failed = scene.run(&["run", "--commit", "--", "sh", "-c", "echo two > a; exit 4"]);
    failed.code(4).says(&["its changes were taken back"]);
    assert_eq!(scene.read("a"), "one\n");
    assert_eq!(scene.counts(), [0; 4]);
    scene.run(&["run", "--commit", "--", "sh", "-c", "echo two > a; echo new > b"]).ok();
    assert_eq!((scene.read("a"), scene.read("b")), ("two\n".into(), "new\n".into()));
    assert_eq!(scene.counts(), [0; 4]);
    scene.ok(&["undo"]);
    assert_eq!(scene.read("a"), "one\n");
    assert!(!scene.exists("b"));
    // A command that changes nothing is a success without a commit.
    scene.ok(&["undo"]);
    scene.run(&["run", "--commit", "--", "true"]).ok().says_nothing();
}

#[test]
fn commit_in_one_step_takes_back_what_a_signal_or_a_limit_ended() {
    let scene = Scene::new();
    scene.run(&["run", "--commit", "--", "sh", "-c", "echo x > f; kill -9 $$"]).signal(9);
    scene
        .run(&["run", "--commit", "--timeout", "1", "--", "sh", "-c", "echo x > f; sleep 30"])
        .code(124);
    assert_eq!(scene.counts(), [0; 4]);
    assert!(!scene.exists("f"));
}

#[test]
fn fresh_starts_from_the_folder_and_undo_brings_the_rest_back() {
    let scene = Scene::with("echo one > a");
    scene.inside("echo two > a; echo old > old");
    assert_eq!(
        scene.ok(&["run", "--fresh", "--", "sh", "-c", "cat a; echo new > new; ls"]),
        "one\na\nnew\n"
    );
    assert_eq!(scene.changes(), ["added new"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.changes(), ["modified a", "added old"]);
}

#[test]
fn without_a_snapshot_undo_works_all_the_same() {
    let scene = Scene::new();
    scene.ok(&["run", "--no-snapshot", "--", "sh", "-c", "echo x > f"]);
    assert!(scene.ok(&["snapshots", "--all"]).contains("no snapshots"));
    scene.inside("echo y > g");
    assert!(scene.ok(&["snapshots", "--all"]).contains("pre-operation"));
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn nothing_that_the_command_left_behind_lives_on() {
    let scene = Scene::new();
    let mark = format!("8{}", std::process::id());
    scene.inside(&format!("(setsid sleep {mark} &) ; nohup sleep {mark} > /dev/null 2>&1 &"));
    let left = scene.host(&format!(
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep {mark} ' || true"
    ));
    // The shell that counts names the number itself.
    assert!(!left.trim().is_empty());
    let alive = std::fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.starts_with(format!("sleep\0{mark}\0").as_bytes()))
    });
    assert!(!alive);
}

#[test]
fn git_works_inside_and_rolls_back_with_the_rest() {
    if !crate::support::has("git") {
        return;
    }
    let scene = Scene::with(
        "git init -q .; git config user.email a@b; git config user.name n; echo 1 > f; \
         git add f; git commit -qm first",
    );
    scene.inside(
        "echo 2 >> f; git commit -qam second; git log --oneline | wc -l | grep -qx 2; git gc -q",
    );
    assert_eq!(scene.host("git log --oneline | wc -l"), "1\n");
    assert_eq!(scene.inside("git fsck && git status --porcelain"), "");
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    assert_eq!(scene.inside("git log --oneline | wc -l"), "1\n");
    scene.ok(&["undo"]);
    scene.ok(&["redo"]);
    scene.inside("echo 3 >> f; git commit -qam third");
    scene.ok(&["commit"]);
    assert_eq!(
        scene.host("git fsck && git log --oneline | wc -l && git status --porcelain"),
        "2\n"
    );
}

#[test]
fn a_bad_command_line_is_125_and_help_is_0() {
    let scene = Scene::new();
    for bad in [
        &["run"][..],
        &["no-such-command"],
        &["run", "--memory", "x", "--", "true"],
        &["undo", "--operation", "zzz"],
    ] {
        scene.run(bad).code(125);
    }
    scene.run(&["--help"]).ok().says_nothing();
    scene.run(&["run", "--help"]).ok();
    scene.run(&["--version"]).ok();
}

#[test]
fn a_mode_without_a_write_bit_is_no_obstacle_to_keeping_the_project() {
    let scene =
        Scene::with("mkdir locked; echo x > locked/f; chmod 555 locked; chmod 444 locked/f");
    let before = scene.live();
    scene.inside("chmod 755 locked; rm locked/f; echo y > locked/g; chmod 500 locked");
    before.assert_same(&scene.live());
    scene.ok(&["commit"]);
    let mode = scene.project.join("locked").metadata().expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o500);
    assert_eq!(scene.read("locked/g"), "y\n");
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
}
