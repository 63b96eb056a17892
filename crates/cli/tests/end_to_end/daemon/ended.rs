//! A daemon that was killed, or that a panic ended: the next one tells it, and goes on.

use std::os::unix::process::ExitStatusExt;

use super::support::{
    CONFIGURATION, Daemon, configure, events, is_complete, said, samples, scene, signs_of_life,
    told, until, until_told,
};

#[test]
fn a_panic_that_ends_the_daemon_is_told_by_the_next() {
    let scene = scene();
    let first = Daemon::start(&scene, &[("CTRLZ_TASK_FAULT", "tracker:2:abort")]);
    let status = first.ended();
    assert_eq!(status.signal(), Some(6), "SIGABRT, as of releases: {status}");
    assert!(said(&scene).contains("thread 'tracker'"), "{}", said(&scene));
    scene.inside("echo meanwhile > meanwhile");
    let second = Daemon::start(&scene, &[]);
    until_told(&scene, "daemon", "ok: a daemon runs again");
    let warning = &told(&scene, "daemon")[0];
    assert!(
        warning.starts_with("warning: the daemon before this one (process ")
            && warning
                .contains("ended by an error in ctrlz, in its task tracker: asked for at turn 2")
            && warning.contains("fault.rs:"),
        "{warning}"
    );
    signs_of_life(&scene, "");
    second.end();
    // One that ended as it should is nothing to tell.
    Daemon::start(&scene, &[]).end();
    assert_eq!(told(&scene, "daemon").len(), 2);
    scene.ok(&["audit", "verify"]);
}

#[test]
fn what_a_killed_daemon_had_to_do_is_done_by_the_next_once() {
    let scene = scene();
    scene.inside("echo 1 > one");
    let tasks = Daemon::start(&scene, &[]).tasks.clone();
    let mut kills = 0;
    for task in &tasks {
        for action in ["kill", "kill-after"] {
            // Enough to do for each task, before and after.
            configure(&scene, "ctrlz.yaml", &format!("{CONFIGURATION}# {task} {action}\n"));
            scene.inside("echo more >> one");
            let fault = format!("{task}:1:{action}");
            let daemon = Daemon::start(&scene, &[("CTRLZ_TASK_FAULT", &fault)]);
            let status = daemon.ended();
            assert_eq!(status.signal(), Some(9), "{fault}: {status}");
            kills += 1;
        }
    }
    let changes = events(&scene, "configuration.changed").len();
    let daemon = Daemon::start(&scene, &[]);
    signs_of_life(&scene, "");
    let killed = told(&scene, "daemon").iter().filter(|one| one.contains("was killed")).count();
    // The first one was killed by this test, too.
    assert_eq!(killed, kills + 1);
    assert!(changes > 0 && events(&scene, "configuration.changed").len() <= changes + 3);
    daemon.end();
    scene.ok(&["sinks", "deliver"]);
    is_complete(&scene, "a");
    is_complete(&scene, "b");
    assert_eq!(scene.inside("wc -l < one").trim(), (1 + kills).to_string());
    scene.ok(&["audit", "verify"]);
}

#[test]
fn a_daemon_that_dies_between_sending_and_writing_it_down_sends_it_twice_and_loses_nothing() {
    let scene = scene();
    // The command takes the event and kills the daemon, once.
    configure(
        &scene,
        "sinks.yaml",
        "sinks: { hook: { types: [operation.finished], command: [sh, -c, 'cat >> \"$HOME/got\"; echo >> \"$HOME/got\"; \
         [ -e \"$HOME/once\" ] || { : > \"$HOME/once\"; kill -9 $PPID; }'] } }\n",
    );
    scene.ok(&["sinks", "deliver"]);
    let first = Daemon::start(&scene, &[]);
    scene.inside("echo 1 > one");
    assert_eq!(first.ended().signal(), Some(9));
    scene.inside("echo 2 > two");
    let second = Daemon::start(&scene, &[]);
    until(&scene, "[ \"$(grep -c finished \"$HOME/got\")\" = 3 ]");
    second.end();
    let numbers = scene.host("sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/' \"$HOME/got\" | grep .");
    let numbers: Vec<&str> = numbers.lines().collect();
    assert!(numbers[0] == numbers[1] && numbers[1] != numbers[2], "{numbers:?}");
}

#[test]
fn samples_go_on_after_a_killed_daemon() {
    let scene = scene();
    let first = Daemon::start(&scene, &[]);
    let mut running = scene
        .ctrlz(["run", "--", "sh", "-c", "read -r line; true"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("start");
    while samples(&scene) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    first.kill();
    let before = samples(&scene);
    let second = Daemon::start(&scene, &[]);
    while samples(&scene) <= before {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    second.end();
    drop(running.stdin.take());
    assert!(running.wait().expect("wait").success());
    // The command ran once, and so it is told.
    let usage = scene.json(&["stats"]);
    assert!(usage["totals"]["samples"].as_u64().expect("a number") > before, "{usage}");
    scene.ok(&["audit", "verify"]);
}
