//! Limits that a sandbox is ended or slowed by from outside: passed on purpose, each in a sandbox of
//! its own.

use std::ffi::OsString;
use std::io::Write;
use std::time::{Duration, Instant};

use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::operation::{CommandReport, Stopped};
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

use super::super::driver::NativeDriver;
use super::super::survey;
use super::outside::Stage;
use super::{PROBE, Trial};

const OUTPUT: u64 = 1 << 16;
const TIME: Duration = Duration::from_millis(100);
/// As long as the commands here run that nothing ends.
const AT_MOST: Duration = Duration::from_secs(2);
/// How long processors are kept busy: some periods of a cgroup, each of a tenth of a second.
const SPIN: Duration = Duration::from_millis(400);
/// Of one processor: what may be used beyond it, since clocks and periods are coarse.
const SLACK: f64 = 1.4;

pub(super) fn trials(driver: &NativeDriver, stage: &Stage) -> Vec<Trial> {
    let limits = Limits {
        timeout: Some(Span(TIME)),
        max_output: Some(ByteSize(OUTPUT)),
        cpus: Some(1.0),
        ..Limits::default()
    };
    let mut trials = Vec::new();
    let mut tried = |kind: LimitKind, own: Limits, act: &str, judge: Judge| {
        if survey::mechanism(kind, Some(&limits)).by.is_none() {
            return;
        }
        let argv = ["/proc/self/exe", PROBE, act].map(OsString::from).to_vec();
        let (held, evidence) = match stage.run(driver, stage.launch(argv, own)) {
            Ok((report, _)) => judge(&report),
            Err(error) => (false, format!("it could not be tried: {error}")),
        };
        trials.push(Trial { what: format!("limit {kind}"), held, tried: true, evidence });
    };
    let none = Limits::default();
    let time = Limits { timeout: limits.timeout, ..none };
    tried(LimitKind::Timeout, time, "wait", |report| ended_by(report, LimitKind::Timeout));
    let output = Limits { max_output: limits.max_output, ..none };
    tried(LimitKind::MaxOutput, output, "tell", |report| ended_by(report, LimitKind::MaxOutput));
    tried(LimitKind::Cpus, Limits { cpus: limits.cpus, ..none }, "spin", processors);
    trials
}

type Judge = fn(&CommandReport) -> (bool, String);

fn ended_by(report: &CommandReport, kind: LimitKind) -> (bool, String) {
    match report.stopped {
        Some(Stopped::Limit(found)) if found == kind => {
            (true, "what passed it was ended".to_owned())
        }
        _ => (false, format!("what passed it ended by itself ({:?})", report.exit)),
    }
}

fn processors(report: &CommandReport) -> (bool, String) {
    let seconds = |span: Option<Span>| span.map_or(0.0, |span| span.0.as_secs_f64());
    let usage = &report.usage;
    let used = seconds(usage.user) + seconds(usage.system);
    let share = used / seconds(usage.wall).max(SPIN.as_secs_f64());
    (share <= SLACK, format!("four busy threads used {share:.2} of 1 processor"))
}

/// The acts, inside.
pub(super) fn act(word: &str) -> Option<i32> {
    match word {
        "wait" => std::thread::sleep(AT_MOST),
        "tell" => {
            let begun = Instant::now();
            let line = [b'.'; 4096];
            while begun.elapsed() < AT_MOST && std::io::stdout().write_all(&line).is_ok() {}
        }
        "spin" => {
            let spin = || {
                let begun = Instant::now();
                while begun.elapsed() < SPIN {
                    std::hint::spin_loop();
                }
            };
            std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(spin))));
        }
        _ => return None,
    }
    Some(0)
}
