//! Limits and the observer.

use std::time::Duration;

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::monitor::{Observer, Reading, Verdict};
use ctrlz_core::operation::{Exit, Stopped};
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

use crate::Test;
use crate::place::{Place, driver, nowhere, pipes, run};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_timeout_ends_the_command", timeout),
        ("too_much_memory_ends_the_command", memory),
        ("too_much_output_ends_the_command", output),
        ("output_within_its_limit_arrives_whole", within),
        ("limits_hold_while_nobody_reads_the_output", unread),
        ("an_observer_looks_and_ends", observer),
    ]
}

fn timeout(place: &Place) {
    let mut launch = place.shell("echo begun; trap '' TERM; while :; do sleep 1; done");
    launch.limits.timeout = Some(Span(Duration::from_millis(200)));
    let run = run(&driver(), launch);
    assert_eq!(run.report().stopped, Some(Stopped::Limit(LimitKind::Timeout)));
    assert_eq!(run.text(), "begun\n");
}

fn memory(place: &Place) {
    let driver = driver();
    let limits = Limits { memory: Some(ByteSize(64 << 20)), ..Limits::default() };
    driver.check(&limits).expect("every host holds it in some way");
    let mut launch = place.shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
    launch.limits = limits;
    let run = run(&driver, launch);
    // Where no control group holds it, a process gets no more, and fails by itself.
    let refused = matches!(run.report().exit, Exit::Code(1..) | Exit::Signal(_));
    assert!(refused, "{:?}: {:?}", run.report(), String::from_utf8_lossy(&run.output));
    assert!(run.output.is_empty());
}

fn output(place: &Place) {
    let driver = driver();
    let mut launch = place.shell("echo error >&2; cat /dev/zero");
    launch.limits.max_output = Some(ByteSize(100_000));
    let run = run(&driver, launch);
    assert_eq!(run.report().stopped, Some(Stopped::Limit(LimitKind::MaxOutput)));
    assert_eq!(run.output.len() + run.error.len(), 100_000);
}

fn within(place: &Place) {
    let mut launch = place.shell("head -c 90000 /dev/zero; echo error >&2; exit 3");
    launch.limits.max_output = Some(ByteSize(100_000));
    let run = run(&driver(), launch);
    assert_eq!((run.report().exit, run.report().stopped), (Exit::Code(3), None));
    assert_eq!((run.output.len(), run.error.as_slice()), (90_000, b"error\n".as_slice()));
}

/// The command has written more than a pipe holds, and less than it may.
fn unread(place: &Place) {
    let (streams, ends) = pipes();
    let mut launch = place.shell("head -c 1000000 /dev/zero; sleep 1000");
    launch.streams = streams;
    launch.limits.max_output = Some(ByteSize(2_000_000));
    launch.limits.timeout = Some(Span(Duration::from_millis(300)));
    let driver = driver();
    let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
    prepared.start().expect("start");
    let report = prepared.wait(None).expect("wait");
    assert_eq!(report.stopped, Some(Stopped::Limit(LimitKind::Timeout)));
    drop(ends);
}

/// Ends the command at the third look.
struct Third(Vec<Reading>);

impl Observer for Third {
    fn every(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn observe(&mut self, reading: &Reading) -> Verdict {
        self.0.push(*reading);
        if self.0.len() < 3 { Verdict::GoOn } else { Verdict::End }
    }
}

fn observer(place: &Place) {
    let driver = driver();
    let mut launch = place.shell("while :; do sleep 0.01; done");
    launch.streams = nowhere();
    let mut seen = None;
    let mut prepared = driver
        .prepare(launch, &mut |process_1, _| {
            seen = Some(process_1);
            Ok(())
        })
        .expect("prepare");
    prepared.start().expect("start");
    let mut third = Third(Vec::new());
    let report = prepared.wait(Some(&mut third)).expect("wait");
    assert_eq!((report.exit, report.stopped), (Exit::Signal(9), Some(Stopped::Unusual)));
    assert_eq!(third.0.len(), 3);
    assert!(third.0.iter().all(|reading| reading.memory > 0), "{:?}", third.0);
    // Looks that were held up come one after the other, within a tick of that clock.
    assert!(third.0[2].elapsed >= third.0[0].elapsed, "{:?}", third.0);
    drop(prepared);
    assert_eq!(driver.measure(seen.expect("begun")), None);
}
