//! What is left when somebody dies: nothing.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use ctrlz_core::isolation::{IsolationDriver, IsolationError, Prepared};
use ctrlz_core::operation::Exit;
use ctrlz_isolation::launcher::LauncherDriver;

use crate::Test;
use crate::place::{
    Place, descendants, driver, in_full, kill, lives, marked, nowhere, parent, run, wait_until,
};
use crate::roles;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_dropped_launch_is_taken_down", dropped),
        ("a_dropped_launch_that_is_frozen_is_taken_down", dropped_frozen),
        ("a_killed_worker_is_a_lost_sandbox", killed_worker),
        ("a_killed_launcher_is_a_lost_sandbox_and_comes_back", killed_launcher),
        ("a_launcher_that_died_unnoticed_comes_back", came_back),
        ("a_launcher_that_cannot_be_started_is_told", no_launcher),
        ("a_killed_service_leaves_nothing", killed_service),
        ("a_killed_service_leaves_nothing_that_was_stopped", killed_service_with_stopped_worker),
        ("a_dropped_driver_lets_its_launches_end", dropped_driver),
        ("the_launcher_outlives_what_asks_it_to_end", asked_to_end),
        ("a_frozen_command_can_be_ended", frozen),
    ]
}

/// A command that runs on, with its process 1.
struct Running {
    prepared: Box<dyn Prepared>,
    process_1: u32,
    process: OwnedFd,
}

fn begin(driver: &LauncherDriver, place: &Place) -> Running {
    let mut launch = place.shell("while :; do sleep 1; done");
    launch.argv.push(place.directory.clone().into_os_string());
    launch.streams = nowhere();
    let mut begun = None;
    let prepared = driver.prepare(launch, &mut |process_1, process| {
        begun = Some((process_1, process.try_clone_to_owned()?));
        Ok(())
    });
    let prepared = prepared.expect("prepare");
    let (process_1, process) = begun.expect("begun");
    Running { prepared, process_1, process }
}

impl Running {
    /// Starts the command, and waits until it runs.
    fn start(&mut self, place: &Place) {
        self.prepared.start().expect("start");
        // What follows it until the service waits is not needed for the command to run.
        wait_until("the command runs", || marked(&place.directory).len() == 1);
    }

    fn must_be_over(&self, place: &Place) {
        assert!(!lives(self.process_1));
        let error =
            rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::TERM);
        // One that has ended stays until whoever started it has waited for it.
        if error.is_ok() {
            wait_until("process 1 is waited for", || {
                rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::TERM)
                    .is_err()
            });
        }
        assert_eq!(marked(&place.directory), [0; 0]);
    }
}

fn dropped(place: &Place) {
    let driver = driver();
    let unstarted = begin(&driver, place);
    let process_1 = unstarted.process_1;
    assert!(lives(process_1));
    drop(unstarted.prepared);
    assert!(!lives(process_1));
    let mut started = begin(&driver, place);
    started.start(place);
    let worker = parent(started.process_1);
    let (process_1, process) = (started.process_1, started.process);
    drop(started.prepared);
    assert!(!lives(process_1));
    drop(process);
    assert_eq!(marked(&place.directory), [0; 0]);
    wait_until("the worker ends", || !lives(worker));
}

fn dropped_frozen(place: &Place) {
    let driver = driver();
    let mut running = begin(&driver, place);
    running.start(place);
    let process_1 = running.process_1;
    driver.freeze(process_1).expect("freeze");
    drop(running.prepared);
    assert!(!lives(process_1));
    assert_eq!(marked(&place.directory), [0; 0]);
}

fn killed_worker(place: &Place) {
    let driver = driver();
    let mut running = begin(&driver, place);
    running.start(place);
    let worker = parent(running.process_1);
    assert_eq!(Some(parent(worker)), driver.process());
    kill(worker);
    let error = running.prepared.wait(None).expect_err("lost");
    assert!(matches!(error, IsolationError::Lost { .. }), "{error:?}");
    running.must_be_over(place);
    assert_eq!(run(&driver, place.shell("exit 2")).report().exit, Exit::Code(2));
}

fn killed_launcher(place: &Place) {
    let driver = driver();
    let mut running = begin(&driver, place);
    running.start(place);
    let launcher = driver.process().expect("a launcher");
    let processes = descendants(launcher);
    kill(launcher);
    let error = running.prepared.wait(None).expect_err("lost");
    assert!(matches!(error, IsolationError::Lost { .. }), "{error:?}");
    running.must_be_over(place);
    wait_until("it is seen", || driver.process().is_none());
    assert_eq!(run(&driver, place.shell("exit 2")).report().exit, Exit::Code(2));
    assert_ne!(driver.process(), Some(launcher));
    for process in processes {
        wait_until("its workers end", || !lives(process));
    }
}

/// At no moment does a launch fail because the launcher before it was killed.
fn came_back(place: &Place) {
    let driver = driver();
    for round in 0..10 {
        if let Some(launcher) = driver.process() {
            kill(launcher);
        }
        let ended = run(&driver, place.shell("exit 2"));
        assert_eq!(ended.report().exit, Exit::Code(2), "round {round}");
    }
}

fn no_launcher(place: &Place) {
    let started = LauncherDriver::start(std::process::Command::new("/no/such/program"));
    let text = in_full(&started.expect_err("refused"));
    assert!(text.contains("start the launcher"), "{text}");
    // A program that is no launcher.
    let driver = LauncherDriver::start(std::process::Command::new("/bin/true")).expect("starts");
    let text = in_full(&run(&driver, place.shell("true")).report.expect_err("refused"));
    assert!(text.contains("launcher"), "{text}");
}

fn killed_service(place: &Place) {
    kill_service(place, |_| {});
}

/// A worker that is stopped cannot see its service end.
fn killed_service_with_stopped_worker(place: &Place) {
    kill_service(place, |worker| {
        let id = rustix::process::Pid::from_raw(worker.cast_signed()).expect("an id");
        rustix::process::kill_process(id, rustix::process::Signal::STOP).expect("stop");
    });
}

fn kill_service(place: &Place, before: impl Fn(u32)) {
    let mut service = roles::of_its_own(roles::SERVICE, place);
    let mut service = service.stdout(Stdio::piped()).spawn().expect("start");
    let mut line = String::new();
    let mut output = BufReader::new(service.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("read");
    let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
    let [process_1, launcher] = ids[..] else { panic!("{line}") };
    let marker = place.directory.join(roles::SERVICE);
    // It runs: the marker is a word of the service's command line, too.
    wait_until("the command runs", || marked(&marker).len() == 2);
    // Workers that are ready for the next launch, too, unless somebody mounts something meanwhile.
    let mut processes = descendants(launcher);
    assert!(processes.contains(&process_1), "{process_1} {processes:?}");
    processes.push(launcher);
    before(parent(process_1));
    service.kill().expect("kill");
    service.wait().expect("wait");
    for process in processes {
        wait_until("all of it ends", || !lives(process));
    }
    assert_eq!(marked(&marker), [0; 0]);
}

fn dropped_driver(place: &Place) {
    let driver = driver();
    let launcher = driver.process().expect("a launcher");
    let mut launch = place.shell("exit 8");
    launch.streams = nowhere();
    let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
    drop(driver);
    prepared.start().expect("start");
    assert_eq!(prepared.wait(None).expect("wait").exit, Exit::Code(8));
    drop(prepared);
    wait_until("the launcher ends", || !lives(launcher));
}

fn asked_to_end(place: &Place) {
    let driver = driver();
    let launcher = driver.process().expect("a launcher");
    // It is ready to be asked.
    assert_eq!(run(&driver, place.shell("exit 2")).report().exit, Exit::Code(2));
    let id = rustix::process::Pid::from_raw(launcher.cast_signed()).expect("an id");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        rustix::process::kill_process(id, signal).expect("signal");
    }
    assert_eq!(run(&driver, place.shell("exit 2")).report().exit, Exit::Code(2));
    assert_eq!(driver.process(), Some(launcher));
}

fn frozen(place: &Place) {
    let driver = driver();
    let mut running = begin(&driver, place);
    running.start(place);
    let process_1 = running.process_1;
    assert!(driver.measure(process_1).is_some_and(|reading| reading.processes > 0));
    driver.freeze(process_1).expect("freeze");
    assert!(driver.is_frozen(process_1));
    driver.thaw(process_1, &[]).expect("thaw");
    assert!(!driver.is_frozen(process_1));
    driver.freeze(process_1).expect("freeze");
    driver.end(process_1, running.process.as_fd()).expect("end");
    assert_eq!(running.prepared.wait(None).expect("wait").exit, Exit::Signal(9));
    running.must_be_over(place);
}
