//! The daemon beside the operations: watched, killed at random times, started again.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::ctrlz::{Ctrlz, not_started};
use super::super::numbers::{self, Numbers};
use super::super::random::Random;
use crate::failure::{Answer, Failure};

/// How often numbers are taken.
const OFTEN: Duration = Duration::from_secs(2);

/// What was seen of it.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) numbers: Numbers,
    pub(super) kills: u64,
}

/// Runs daemons until `over`, one after the other; the last one is ended as a service manager does.
pub(super) fn watch(ctrlz: &Ctrlz, seed: u64, over: &AtomicBool) -> Answer<Watched> {
    let mut random = Random::new(seed);
    let mut watched = Watched::default();
    watched.numbers.add_store(&ctrlz.store);
    loop {
        let mut daemon = start(ctrlz)?;
        let life = Duration::from_millis(2000 + random.below(20_000));
        let (begun, mut looked) = (Instant::now(), Instant::now());
        while !over.load(Ordering::SeqCst) && begun.elapsed() < life {
            thread::sleep(Duration::from_millis(50));
            if let Some(status) = daemon.try_wait().map_err(not_started)? {
                return Err(Failure::told(format!("the daemon ended by itself: {status}")));
            }
            if looked.elapsed() >= OFTEN {
                looked = Instant::now();
                watched.numbers.add_daemon(daemon.id());
                watched.numbers.add_store(&ctrlz.store);
            }
        }
        watched.numbers.add_daemon(daemon.id());
        if over.load(Ordering::SeqCst) {
            end(daemon)?;
            return Ok(watched);
        }
        daemon.kill().map_err(not_started)?;
        daemon.wait().map_err(not_started)?;
        watched.kills += 1;
    }
}

fn start(ctrlz: &Ctrlz) -> Answer<Child> {
    let log = ctrlz.home.join("daemon.log");
    let mut options = std::fs::OpenOptions::new();
    let log = options.create(true).append(true).open(&log).map_err(Failure::io("open", &log))?;
    let mut command = ctrlz.command(Path::new("/"), &["daemon"]);
    command.stdout(Stdio::null()).stderr(log).spawn().map_err(not_started)
}

fn end(mut daemon: Child) -> Answer {
    // It may have been started just now.
    numbers::until(|| numbers::takes_signals(daemon.id()))?;
    kill_process(Pid::from_child(&daemon), Signal::TERM)
        .map_err(|errno| not_started(errno.into()))?;
    let status = daemon.wait().map_err(not_started)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::told(format!("the daemon that was asked to end ended with {status}")))
}
