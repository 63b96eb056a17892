//! Attacks that want to outlive the run.

use std::fs;
use std::time::Duration;

use ctrlz_core::limits::Limits;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_isolation::native::Protection::{DiesWithLauncher, PidNamespace, PrivateProc};

use crate::attack::{Failure, Test};
use crate::place::Place;
use crate::trial::{PATIENCE, Trial, wait_until};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("leave_an_orphan_daemon", orphan),
        Test::new("leave_a_daemon_that_holds_the_output", holder),
        Test::new("survive_a_killed_launcher", survive),
        Test::new("survive_a_killed_launcher_at_any_moment", survive_at_any_moment),
        Test::new("ignore_all_signals", ignore_signals),
    ]
}

/// A process that detaches itself twice and whose command line has the marker. `daemon` returns
/// when it is executed, which closes the pipe.
const DAEMON: &str = "
def daemon():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(number, signal.SIG_IGN)
            os.execv('/bin/sh', ['sh', '-c', 'while :; do sleep 1; done', MARKER])
        os._exit(0)
    os.wait()
    os.close(writer)
    os.read(reader, 1)
";

/// The processes of the host's view whose command line has `marker` as a word.
fn marked(marker: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|word| word == marker.as_bytes()) {
            found.push(id);
        }
    }
    found
}

fn end(ids: &[i32]) {
    for pid in ids.iter().filter_map(|id| rustix::process::Pid::from_raw(*id)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Runs a script that leaves a daemon; with its pid namespace none may be there afterwards.
fn must_leave_none<'p>(place: &'p Place, trial: impl Fn() -> Trial<'p>) -> Result<(), Failure> {
    trial().run()?.must_be_refused()?;
    let left = marked(&place.marker);
    if !left.is_empty() {
        end(&left);
        return Err(Failure::Failed(format!("HOLE: processes {left:?} are left")));
    }
    trial().without(&[PidNamespace, PrivateProc]).run()?.must_be_refused()?;
    let lives_on = wait_until(PATIENCE, || !marked(&place.marker).is_empty());
    end(&marked(&place.marker));
    match lives_on {
        true => Ok(()),
        false => Err(Failure::Failed("without a pid namespace it should live on".to_owned())),
    }
}

fn orphan(place: &Place) -> Result<(), Failure> {
    let script = format!("{DAEMON}\ndaemon()\nrefused('see whether it lives')");
    must_leave_none(place, || place.python(&script))
}

/// The run's end must not wait for a pipe that a daemon keeps open.
fn holder(place: &Place) -> Result<(), Failure> {
    let script = format!("{DAEMON}\ndaemon()\nrefused('see whether it lives')");
    let limits = Limits { max_output: Some(ByteSize(1 << 20)), ..Limits::default() };
    must_leave_none(place, || place.python(&script).limits(limits))?;
    // A reader behind a pipe sees its end, since nobody else is left to hold it.
    let (reader, writer) = std::io::pipe()?;
    let started = place.python(&script).stdout(writer).spawn()?;
    started.finish()?;
    let text = std::io::read_to_string(reader)?;
    match text.contains("refused") {
        true => Ok(()),
        false => Err(Failure::Failed(format!("the output was lost: {text}"))),
    }
}

/// The launcher dies by SIGKILL, which it cannot see coming.
fn survive(place: &Place) -> Result<(), Failure> {
    let script =
        format!("{DAEMON}\ndaemon()\nprint('ready', flush=True)\nwhile True: time.sleep(100)");
    let kill = |trial: Trial<'_>| -> Result<bool, Failure> {
        let mut started = trial.spawn()?;
        let ready = wait_until(PATIENCE, || {
            started.output().contains("ready") && !marked(&place.marker).is_empty()
        });
        if !ready {
            return Err(Failure::Failed(format!("did not start: {}", started.output())));
        }
        started.child.kill()?;
        started.child.wait()?;
        Ok(wait_until(PATIENCE, || marked(&place.marker).is_empty()))
    };
    if !kill(place.python(&script))? {
        end(&marked(&place.marker));
        return Err(Failure::Failed("HOLE: the sandbox outlives its launcher".to_owned()));
    }
    // The closed channel tells process 1, too; that must suffice where the signal is missing.
    let gone = kill(place.python(&script).without(&[DiesWithLauncher]))?;
    end(&marked(&place.marker));
    match gone {
        true => Ok(()),
        false => Err(Failure::Failed("process 1 does not see that its channel closed".into())),
    }
}

/// A launcher that dies while the sandbox is being set up leaves nothing either.
fn survive_at_any_moment(place: &Place) -> Result<(), Failure> {
    for microseconds in (0..12).map(|step| step * 1400) {
        let marker = place.marker.clone();
        let argv = ["/bin/sh", "-c", "while :; do sleep 1; done", &marker].map(str::to_owned);
        let mut started = place.command(argv.to_vec()).spawn()?;
        std::thread::sleep(Duration::from_micros(microseconds));
        let launcher = started.child.id();
        let children = children_of(launcher);
        started.child.kill()?;
        started.child.wait()?;
        let gone = || marked(&marker).is_empty() && children.iter().all(|id| !lives(*id));
        if !wait_until(PATIENCE, gone) {
            end(&children.into_iter().filter(|id| lives(*id)).collect::<Vec<_>>());
            end(&marked(&marker));
            return Err(Failure::Failed(format!(
                "HOLE: something outlives a launcher that was killed after {microseconds} µs"
            )));
        }
    }
    Ok(())
}

fn children_of(process: u32) -> Vec<i32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Whether the process runs; one that waits to be reaped does not.
fn lives(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The timeout ends what ignores SIGTERM, and its children.
fn ignore_signals(place: &Place) -> Result<(), Failure> {
    let script = format!(
        "{DAEMON}
daemon()
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP): signal.signal(number, signal.SIG_IGN)
for _ in range(20 * SECONDS): time.sleep(0.05)
through('some seconds later')
"
    );
    let limits = Limits { timeout: Some(Span(Duration::from_millis(300))), ..Limits::default() };
    let run = place.python_for_long(&script).limits(limits).run()?;
    if run.report.stopped.is_none() || !marked(&place.marker).is_empty() {
        return Err(Failure::Failed(format!("HOLE: it ran on: {:?}", run.report)));
    }
    place.python(&script).run()?.must_get_through()
}
