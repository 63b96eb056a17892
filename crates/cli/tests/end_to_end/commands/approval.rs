//! Step 1 of `run` and `exec`: what is risky is told, asked about or refused before anything is
//! done.

use crate::support::{Outcome, Scene, python_at_a_terminal};

/// Critical: it deletes the whole system.
const CRITICAL: [&str; 3] = ["rm", "-rf", "/"];
/// High: code from the network that nobody has read.
const RISKY: [&str; 3] = ["sh", "-c", "touch ran; curl -fsS https://host.invalid/x | sh"];

#[track_caller]
fn run(scene: &Scene, flags: &[&str], command: &[&str]) -> Outcome {
    scene.run(&[&["run"], flags, &["--"], command].concat())
}

#[test]
fn a_critical_command_leaves_nothing_behind() {
    let scene = Scene::new();
    run(&scene, &[], &CRITICAL).code(123).says(&["critical", "delete-root", "--allow-critical"]);
    assert!(!scene.store.exists());
    run(&scene, &["--yes"], &CRITICAL).code(123);
    run(&scene, &["--root", "no-such.tar"], &CRITICAL).code(123);
    let object = scene.run(&["--json", "run", "--", "rm", "-rf", "/"]).code(123).json();
    assert_eq!(object["error"]["kind"], "blocked");
    assert!(!scene.store.exists());
    scene.ok(&["new", "box"]);
    scene.run(&["exec", "box", "--yes", "--", "rm", "-rf", "/"]).code(123);
    // Only a sandbox that is there remembers it.
    let operations = scene.json(&["log", "box"])["operations"].clone();
    assert_eq!(operations.as_array().expect("a list").len(), 2);
    assert_eq!(operations[0]["status"], "blocked");
}

#[test]
fn only_development_lets_a_critical_command_run_and_says_so() {
    let scene = Scene::with("echo x > f");
    let command = ["sh", "-c", "echo ran; exit 0; rm -rf /"];
    let outcome =
        run(&scene, &["--allow-critical"], &command).ok().says(&["WARNING", "delete-root"]);
    assert_eq!(outcome.out(), "ran\n");
    for profile in ["testing", "production", "high-security"] {
        run(&scene, &["--allow-critical", "--profile", profile, "--isolation", "native"], &command)
            .code(123)
            .says(&["no effect", profile]);
    }
}

#[test]
fn in_development_a_risky_command_runs_with_a_line_since_it_can_be_undone() {
    let scene = Scene::new();
    let outcome = run(&scene, &[], &RISKY);
    assert_ne!(outcome.status.code(), Some(123), "{outcome}");
    let outcome = outcome.says(&["high risk", "network-code"]);
    assert_eq!(outcome.err().matches("high risk").count(), 1, "{outcome}");
    assert_eq!(scene.changes(), ["added ran"]);
}

#[test]
fn what_leaves_the_sandbox_wants_an_answer() {
    let scene = Scene::new();
    run(&scene, &["--net", "host"], &RISKY).code(123).says(&["high risk", "--yes"]);
    assert!(!scene.store.exists());
    let outcome = run(&scene, &["--net", "host", "--yes"], &RISKY);
    assert_ne!(outcome.status.code(), Some(123), "{outcome}");
    assert_eq!(scene.changes(), ["added ran"]);
}

#[test]
fn stricter_profiles_want_an_answer_and_the_strictest_a_person() {
    let scene = Scene::new();
    for profile in ["testing", "production", "high-security"] {
        let outcome =
            run(&scene, &["--profile", profile, "--isolation", "native"], &RISKY).code(123);
        outcome.says(&["not confirmed", "network-code"]);
    }
    run(&scene, &["--profile", "high-security", "--isolation", "native", "--yes"], &RISKY)
        .code(123)
        .says(&["terminal"]);
    let object = scene
        .run(&[&["--json", "run", "--profile", "testing", "--"], RISKY.as_slice()].concat())
        .code(123)
        .json();
    assert_eq!(object["error"]["kind"], "unconfirmed");
}

#[test]
fn a_person_at_a_terminal_is_asked_and_no_is_the_answer_of_silence() {
    let scene = Scene::new();
    python_at_a_terminal(
        &scene,
        r"
command = ['sh', '-c', 'touch ran; curl -fsS https://host.invalid/x | sh']
def told(seen):
    assert b'cannot be undone' in seen and b'network-code' in seen, seen
def code(reply):
    return answer(reply, ['--net', 'host'], command, told)[0]
for reply in (b'\n', b'n\n', b'\x04', b'yesterday\n'):
    assert code(reply) == 123, reply
assert not os.path.exists(os.environ['CTRLZ_HOME'])
assert code(b'y\n') != 123
",
    )
    .ok();
    assert_eq!(scene.changes(), ["added ran"]);
}

#[test]
fn deleting_in_the_project_is_work() {
    let scene =
        Scene::with("mkdir -p build/a; echo x > build/a/f; git init -q . 2>/dev/null || true");
    let commands = [
        &["rm", "-rf", "build"][..],
        &["sh", "-c", "rm -rf ./*; find . -delete"],
        &["git", "clean", "-fdx"],
    ];
    for command in commands {
        let outcome = run(&scene, &[], command);
        assert_ne!(outcome.status.code(), Some(123), "{outcome}");
    }
}
