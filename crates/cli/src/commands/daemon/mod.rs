//! `ctrlz daemon`: the background tasks, until somebody stops them.

mod archive;
mod carried;
mod checkpoints;
mod configuration;
mod delivery;
#[cfg(feature = "faults")]
mod fault;
mod health;
mod lock;
mod recovery;
mod telling;
mod tracker;

use std::path::Path;
use std::sync::Arc;
#[cfg(not(feature = "faults"))]
use std::time::Duration;

use ctrlz_core::actor::Actor;
use ctrlz_core::event::{HealthChanged, Severity};
use ctrlz_engine::background::{Background, Report, Task};
use ctrlz_store::SqliteStore;
use ctrlz_sys::signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

#[cfg(feature = "faults")]
use self::fault::{long_turn, patience};
pub(crate) use self::lock::is_running;
use self::telling::Teller;
use crate::Answer;
use crate::arguments::DaemonArguments;
use crate::failure::{Failure, OWN_FAILURE};
use crate::places;
use crate::show;

/// How often it is tried to tell what could not be told.
const CATCH_UP: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// A turn of a task that lasts so long is told: none has to do so much.
#[cfg(not(feature = "faults"))]
const LONG_TURN: Duration = Duration::from_secs(600);
/// For how long tasks are waited for when the daemon is to end; service managers wait for longer.
#[cfg(not(feature = "faults"))]
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn daemon(arguments: &DaemonArguments, json: bool) -> Answer {
    let store = places::store()?;
    // Makes it when there is none, and tells what is wrong with it before anything runs.
    open(&store, "daemon").map_err(Failure::from)?;
    let (mut lock, before) = lock::take(&store)?;
    // Before any thread, so that none of them takes a signal.
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "daemon", &error);
    let signals = signal::take_all().map_err(failed)?;
    let tasks = tasks(&store, !arguments.no_remedies)?;
    let names: Vec<String> = tasks.iter().map(|task| task.name()).collect();
    let teller = Arc::new(Teller::new(&store));
    if let Some(evidence) = before {
        took_over(&teller, evidence);
    }
    if let Err(error) = lock.begin().and_then(|()| lock.note_panics()) {
        eprintln!("ctrlz: when this daemon is killed, the next one will not tell: {error}");
    }
    if json {
        show::print_json(&[("pid", std::process::id().into()), ("tasks", names.into())]);
    } else {
        println!("ctrlz daemon, process {}: {}", std::process::id(), names.join(", "));
    }
    let reporter = Arc::clone(&teller);
    let background = Background::start(
        tasks,
        Arc::new(move |task: &str, report: Report<'_>| reporter.report(task, &report)),
    )
    .map_err(failed)?;
    let input = std::io::stdin();
    let mut asked = false;
    while !asked {
        // A pipe says that its other end is closed whatever is asked for.
        let mut ready = vec![PollFd::new(&signals, PollFlags::IN)];
        if arguments.while_stdin {
            ready.push(PollFd::new(&input, PollFlags::empty()));
        }
        match poll(&mut ready, Some(&CATCH_UP)) {
            Ok(0) => {
                background.report_hanging(long_turn());
                teller.catch_up();
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        asked = ready.get(1).is_some_and(|input| input.revents().contains(PollFlags::HUP));
        while let Some(received) = signals.receive().map_err(failed)? {
            let ends = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
            asked |= ends.iter().any(|signal| signal.as_raw() == received.signal);
        }
    }
    for task in background.stop(patience()) {
        teller.left_behind(&task);
    }
    teller.catch_up();
    lock.end().map_err(failed)?;
    show::done()
}

/// Tells that a daemon ended otherwise than it should, and that this one goes on.
fn took_over(teller: &Teller, evidence: String) {
    let check = || "daemon".to_owned();
    let remedy = "what it had to do is taken up again by itself".to_owned();
    teller.tell(
        "daemon",
        HealthChanged { check: check(), severity: Severity::Warning, evidence, remedy },
    );
    let evidence = format!("a daemon runs again, process {}", std::process::id());
    let remedy = String::new();
    teller
        .tell("daemon", HealthChanged { check: check(), severity: Severity::Ok, evidence, remedy });
}

fn tasks(store: &Path, remedies: bool) -> Result<Vec<Box<dyn Task>>, Failure> {
    let mut tasks: Vec<Box<dyn Task>> = vec![
        Box::new(archive::Archive::default()),
        Box::new(checkpoints::Checkpoints::new(store)),
        Box::new(configuration::Configuration::new(store)),
        Box::new(health::Health::new(remedies)),
        Box::new(recovery::Recovery::new(store)),
        Box::new(tracker::Tracker::new()),
    ];
    for sink in super::sinks::configured()? {
        tasks.push(Box::new(delivery::Delivery::new(store, sink)));
    }
    #[cfg(feature = "faults")]
    let tasks = tasks.into_iter().map(fault::faulty).collect();
    Ok(tasks)
}

#[cfg(not(feature = "faults"))]
fn long_turn() -> Duration {
    LONG_TURN
}

#[cfg(not(feature = "faults"))]
fn patience() -> Duration {
    PATIENCE
}

/// The store, as a background task uses it.
fn open(store: &Path, task: &str) -> Result<SqliteStore, ctrlz_core::store::StoreError> {
    Ok(SqliteStore::open(store)?.acting_as(Actor::system(task)))
}
