//! The base is edited from outside while the sandbox lives.

use crate::support::Scene;

#[test]
fn an_untouched_path_shows_through() {
    let scene = Scene::with("echo one > a; mkdir d; echo one > d/x");
    scene.inside("echo s > own; echo s > d/own");
    scene.host("echo two > a; echo new > b; echo two > d/x; mkdir e; rm -f none");
    assert_eq!(
        scene.inside("cat a b d/x; ls . d"),
        "two\nnew\ntwo\n.:\na\nb\nd\ne\nown\n\nd:\nown\nx\n"
    );
    assert_eq!(scene.changes(), ["added d/own", "added own"]);
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat a b d/x d/own own"), "two\nnew\ntwo\ns\ns\n");
    scene.ok(&["undo"]);
    assert_eq!(scene.host("cat a b d/x; ls d"), "two\nnew\ntwo\nx\n");
}

#[test]
fn a_touched_path_is_a_conflict_and_neither_version_is_lost() {
    let scene = Scene::with("echo base > a; echo base > b; echo base > c; mkdir d; echo x > d/x");
    scene.inside("echo mine > a; rm b; chmod 600 c; rm -r d");
    for (change, path) in [
        ("sleep 0.02; echo theirs > a", "a was changed outside"),
        ("sleep 0.02; echo theirs > b", "b was changed outside"),
        ("sleep 0.02; echo theirs > c", "c was changed outside"),
        ("echo theirs > d/new", "d holds something"),
    ] {
        scene.host(change);
        scene.run(&["commit"]).code(123).says(&[path]);
    }
    assert_eq!(scene.host("cat a b c d/new"), "theirs\ntheirs\ntheirs\ntheirs\n");
    assert_eq!(scene.inside("cat a; test ! -e b; stat -c %a c; test ! -e d"), "mine\n600\n");
}

#[test]
fn a_change_that_keeps_size_and_time_is_noticed() {
    let scene = Scene::with("echo base > a");
    scene.inside("echo mine > a");
    scene.host("sleep 0.02; touch -r a ../time; echo thei > a; touch -r ../time a");
    scene.run(&["commit"]).code(123).says(&["a was changed outside"]);
    assert_eq!(scene.read("a"), "thei\n");
}

#[test]
fn a_file_replaced_by_rename_as_editors_do_is_noticed() {
    let scene = Scene::with("echo base > a");
    scene.inside("echo mine > a");
    scene.host("echo theirs > a.tmp; mv a.tmp a");
    scene.run(&["commit"]).code(123).says(&["a was changed outside"]);
    assert_eq!(scene.read("a"), "theirs\n");
}

#[test]
fn a_folder_that_went_away_is_noticed() {
    let scene = Scene::with("mkdir d; echo x > d/x");
    scene.inside("echo mine > d/x; echo new > d/new");
    scene.host("rm -r d");
    scene.run(&["commit"]).code(123);
    assert!(!scene.exists("d"));
    scene.ok(&["commit", "--conflict", "ours"]);
    assert_eq!(scene.host("cat d/x d/new"), "mine\nnew\n");
    scene.ok(&["undo"]);
    assert!(!scene.exists("d"));
}

#[test]
fn a_folder_that_became_a_link_is_not_followed() {
    let scene = Scene::with("mkdir d ../victim; echo v > ../victim/x; echo x > d/x");
    scene.inside("echo mine > d/x; echo new > d/new");
    scene.host("rm -r d; ln -s ../victim d");
    for conflict in ["fail", "ours", "theirs", "keep-both"] {
        let outcome = scene.run(&["commit", "--conflict", conflict]);
        assert!(outcome.status.code().is_some(), "{outcome}");
        assert_eq!(scene.host("cat ../victim/x; ls ../victim"), "v\nx\n", "{outcome}");
    }
}

#[test]
fn changed_while_a_command_runs() {
    let scene = Scene::with("echo base > a; echo base > b");
    let script = "echo started; echo mine > a; read wait; cat b";
    let mut command = scene.ctrlz(["run", "--", "sh", "-c", script]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("start");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).expect("read");
    scene.host("sleep 0.02; echo theirs > a; echo theirs > b");
    drop(child.stdin.take());
    line.clear();
    std::io::Read::read_to_string(&mut out, &mut line).expect("read");
    assert!(child.wait().expect("wait").success());
    assert!(line == "theirs\n" || line == "base\n", "{line}");
    scene.run(&["commit"]).code(123).says(&["a was changed outside"]);
    assert_eq!(scene.host("cat a b"), "theirs\ntheirs\n");
}

#[test]
fn undo_and_rollback_touch_nothing_outside() {
    let scene = Scene::with("echo base > a");
    scene.inside("echo mine > a; echo own > own");
    scene.ok(&["snapshot"]);
    scene.inside("rm own");
    scene.host("sleep 0.02; echo theirs > a; echo other > other");
    let before = scene.live();
    scene.ok(&["rollback", "snap-2"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
    assert_eq!(scene.inside("cat a other"), "theirs\nother\n");
}
