//! A bad configuration: before the daemon starts, and under it.

#[cfg(feature = "faults")]
use super::support::until;
use super::support::{
    CONFIGURATION, Daemon, configure, is_complete, said, scene, told, until_told,
};

#[test]
fn bad_sinks_are_told_before_the_daemon_starts_and_it_leaves_nothing() {
    let scene = scene();
    scene.inside("echo 1 > one");
    let sinks = std::fs::read_to_string(scene.home.join(".config/ctrlz/sinks.yaml")).expect("read");
    configure(&scene, "sinks.yaml", "sinks:\n  a: { fil: x }\n");
    for _ in 0..2 {
        scene.run(&["daemon"]).code(125).says(&["sinks.yaml:2:", "did you mean `file`?"]);
    }
    // A command is not held up, and what happens is delivered when the file is right again.
    scene.inside("echo 2 > two");
    configure(&scene, "sinks.yaml", &sinks);
    Daemon::start(&scene, &[]).end();
    scene.ok(&["sinks", "deliver"]);
    is_complete(&scene, "a");
    assert_eq!(told(&scene, "daemon"), [""; 0], "it did not run");
}

#[test]
fn a_configuration_that_goes_bad_under_the_daemon_is_told_and_the_others_go_on() {
    let scene = scene();
    let daemon = Daemon::start(&scene, &[]);
    until_told_of_first_look(&scene);
    configure(&scene, "ctrlz.yaml", "development: {monitoring_config: {colection_interval: 1}}\n");
    until_told(&scene, "configuration", "warning: changed under the running daemon: ");
    // Commands say where the mistake is, and change nothing.
    scene
        .run(&["run", "--", "touch", "never"])
        .code(125)
        .says(&["ctrlz.yaml:1:", "did you mean `collection_interval`?"]);
    let count = told(&scene, "configuration").len();
    configure(&scene, "ctrlz.yaml", CONFIGURATION);
    while told(&scene, "configuration").len() == count {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    scene.inside("test ! -e never; echo 1 > one");
    is_complete(&scene, "a");
    is_complete(&scene, "b");
    daemon.end();
    assert!(!said(&scene).contains("panicked"), "{}", said(&scene));
    scene.ok(&["audit", "verify"]);
}

/// The daemon has seen the configuration that it began with.
fn until_told_of_first_look(scene: &crate::support::Scene) {
    let file = scene.store.join("configuration.json");
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
}

#[cfg(feature = "faults")]
#[test]
fn a_daemon_starts_with_a_bad_configuration_and_says_what_cannot_be_done() {
    let scene = scene();
    configure(
        &scene,
        "ctrlz.yaml",
        "development: {monitoring_config: {health_check_interval: soon}}\n",
    );
    let daemon = Daemon::start(&scene, &[]);
    until(&scene, "ls \"$CTRLZ_HOME\"/configuration.json > /dev/null 2>&1");
    until_told(&scene, "task health", "warning: it fails: ");
    let wrong = &told(&scene, "task health")[0];
    assert!(wrong.contains("ctrlz.yaml:1:") && wrong.contains("health_check_interval"), "{wrong}");
    configure(&scene, "ctrlz.yaml", CONFIGURATION);
    until_told(&scene, "task health", "ok: it works again");
    scene.inside("echo 1 > one");
    is_complete(&scene, "a");
    daemon.end();
}
