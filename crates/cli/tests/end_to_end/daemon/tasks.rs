//! Tasks of the daemon that fail or panic, once and always.

use super::support::{
    Daemon, configure, events, is_complete, said, scene, signs_of_life, told, until, until_told,
};

/// All tasks, whichever there are.
fn tasks() -> Vec<String> {
    let scene = scene();
    let daemon = Daemon::start(&scene, &[]);
    let tasks = daemon.tasks.clone();
    daemon.end();
    assert!(tasks.len() >= 7, "{tasks:?}");
    tasks
}

#[test]
fn each_task_fails_and_panics_once_and_then_does_all_its_work() {
    let scene = scene();
    let tasks = tasks();
    let faults: Vec<String> = tasks
        .iter()
        .map(|task| format!("{task}:1:fail,{task}:2:panic,{task}:3:panic-after"))
        .collect();
    scene.inside("echo before > before");
    let daemon = Daemon::start(&scene, &[("CTRLZ_TASK_FAULT", &faults.join(","))]);
    for task in &tasks {
        let check = format!("task {task}");
        until_told(&scene, &check, "ok: it works again, after 3 failures");
        assert_eq!(
            told(&scene, &check),
            [
                "warning: it fails: asked for at turn 1",
                "critical: an error in ctrlz ended its turn: asked for at turn 2",
                "ok: it works again, after 3 failures",
            ]
        );
    }
    signs_of_life(&scene, "");
    assert!(said(&scene).contains("task health: it works again"), "{}", said(&scene));
    daemon.end();
    scene.ok(&["audit", "verify"]);
}

/// The others do their work while each task does what `action` says; a daemon in which it is well
/// does what was left.
fn always(action: &str, severity: &str, environment: &[(&str, &str)]) {
    for task in tasks() {
        let scene = scene();
        let fault = format!("{task}:1+:{action}");
        let faults = [&[("CTRLZ_TASK_FAULT", fault.as_str())], environment].concat();
        let daemon = Daemon::start(&scene, &faults);
        signs_of_life(&scene, &task);
        let check = format!("task {task}");
        until_told(&scene, &check, severity);
        assert_eq!(told(&scene, &check).len(), 1, "once, however often");
        daemon.end();
        let daemon = Daemon::start(&scene, &[]);
        signs_of_life(&scene, "");
        daemon.end();
        is_complete_without_a_daemon(&scene);
    }
}

fn is_complete_without_a_daemon(scene: &crate::support::Scene) {
    scene.ok(&["sinks", "deliver"]);
    is_complete(scene, "a");
    is_complete(scene, "b");
    scene.ok(&["audit", "verify"]);
}

#[test]
fn a_task_that_always_fails_holds_up_no_other_and_loses_nothing() {
    always("fail", "warning: it fails: asked for at turn", &[]);
}

#[test]
fn a_task_that_always_panics_holds_up_no_other_and_loses_nothing() {
    always("panic", "critical: an error in ctrlz ended its turn: asked for at turn", &[]);
}

#[test]
fn a_task_that_always_hangs_holds_up_no_other_and_does_not_keep_the_daemon_from_ending() {
    let quick = [("CTRLZ_TASK_MILLIS", "1000")];
    always("hang", "warning: its turn has lasted for ", &quick);
}

#[test]
fn a_task_that_hung_is_told_to_work_again() {
    let scene = scene();
    let hold = scene.root.join("hold");
    std::fs::write(&hold, "").expect("write");
    let daemon = Daemon::start(
        &scene,
        &[
            ("CTRLZ_TASK_FAULT", "checkpoints:1:hang"),
            ("CTRLZ_TASK_HOLD", hold.to_str().expect("text")),
            ("CTRLZ_TASK_MILLIS", "1000"),
        ],
    );
    let check = "task checkpoints";
    until_told(&scene, check, "warning: its turn has lasted for ");
    std::fs::remove_file(&hold).expect("remove");
    until_told(&scene, check, "ok: it works again, after 1 failures");
    signs_of_life(&scene, "");
    daemon.end();
    let told = told(&scene, check);
    assert!(told[0].starts_with("warning: ") && told[1].starts_with("ok: "), "{told:?}");
}

#[test]
fn a_task_that_is_left_behind_is_told() {
    let scene = scene();
    let daemon = Daemon::start(
        &scene,
        &[("CTRLZ_TASK_FAULT", "tracker:2+:hang"), ("CTRLZ_TASK_MILLIS", "100")],
    );
    until_told(&scene, "task tracker", "warning: its turn has lasted for ");
    daemon.end();
    let told = told(&scene, "task tracker");
    assert!(told.last().is_some_and(|last| last.contains("was cut short")), "{told:?}");
    scene.ok(&["audit", "verify"]);
}

/// What has no sign of life of its own: archiving, and recovery that nobody else does.
#[test]
fn archiving_and_recovery_do_not_hold_up_each_other() {
    for action in ["fail", "panic", "hang"] {
        let scene = scene();
        configure(&scene, "archive.yaml", "snapshots: manual\n");
        scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\n");
        scene.inside("echo good > f");
        scene.run(&["run", "--", "sh", "-c", "echo bad > f; touch broken"]).ok();
        // As if whoever was about to return to the good point had been killed.
        scene.write("ctrlz.yaml", "health: [\"test ! -e broken\"]\nrecovery: {emergency: auto}\n");
        std::fs::write(scene.store.join("recovery"), "0").expect("write");
        let quick = [("CTRLZ_RECOVERY_MILLIS", "0"), ("CTRLZ_TASK_MILLIS", "1000")];
        let fault = format!("archive:1+:{action}");
        let daemon =
            Daemon::start(&scene, &[&[("CTRLZ_TASK_FAULT", fault.as_str())], &quick[..]].concat());
        let done = |scene: &crate::support::Scene| events(scene, "rollback.done").len();
        for _ in 0..1500 {
            if done(&scene) > 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        assert_eq!(done(&scene), 1, "{action}: {}", said(&scene));
        daemon.end();
        assert_eq!(scene.inside("cat f"), "good\n");
        scene.ok(&["snapshot", "-m", "wanted"]);
        scene.run(&["archive", "ls"]).code(123).says(&["there is no archive"]);
        let fault = format!("recovery:1+:{action}");
        let daemon =
            Daemon::start(&scene, &[&[("CTRLZ_TASK_FAULT", fault.as_str())], &quick[..]].concat());
        until(&scene, "\"$CTRLZ\" archive ls 2>/dev/null | grep -q project.snap-");
        daemon.end();
        scene.ok(&["verify"]);
        scene.ok(&["audit", "verify"]);
    }
}
