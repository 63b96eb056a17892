//! `ctrlz daemon`: the background tasks, until somebody stops them.

mod checkpoints;
mod configuration;
mod delivery;
mod health;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctrlz_core::actor::Actor;
use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::store::Store;
use ctrlz_engine::background::{Background, Report, Task};
use ctrlz_engine::in_full;
use ctrlz_store::SqliteStore;
use ctrlz_sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FlockOperation;
use rustix::process::Signal;

use crate::Answer;
use crate::arguments::DaemonArguments;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::places;
use crate::show;

pub(crate) fn daemon(arguments: &DaemonArguments, json: bool) -> Answer {
    let store = places::store()?;
    // Makes it when there is none, and tells what is wrong with it before anything runs.
    open(&store, "daemon").map_err(Failure::from)?;
    let _lock = lock(&store)?;
    // Before any thread, so that none of them takes a signal.
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "daemon", &error);
    let signals = signal::take_all().map_err(failed)?;
    let tasks = tasks(&store, !arguments.no_remedies)?;
    let names: Vec<String> = tasks.iter().map(|task| task.name()).collect();
    if json {
        show::print_json(&[("pid", std::process::id().into()), ("tasks", names.into())]);
    } else {
        println!("ctrlz daemon, process {}: {}", std::process::id(), names.join(", "));
    }
    let reporter = reporter(store);
    let background = Background::start(tasks, Arc::new(reporter)).map_err(failed)?;
    loop {
        let mut ready = [PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        while let Some(received) = signals.receive().map_err(failed)? {
            let asked = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
            if asked.iter().any(|signal| signal.as_raw() == received.signal) {
                background.stop();
                return show::done();
            }
        }
    }
}

fn tasks(store: &Path, remedies: bool) -> Result<Vec<Box<dyn Task>>, Failure> {
    let mut tasks: Vec<Box<dyn Task>> = vec![
        Box::new(checkpoints::Checkpoints::new(store)),
        Box::new(configuration::Configuration::new(store)),
        Box::new(health::Health::new(remedies)),
    ];
    for sink in super::sinks::configured()? {
        tasks.push(Box::new(delivery::Delivery::new(store, sink)));
    }
    Ok(tasks)
}

/// The store, as a background task uses it.
fn open(store: &Path, task: &str) -> Result<SqliteStore, ctrlz_core::store::StoreError> {
    Ok(SqliteStore::open(store)?.acting_as(Actor::system(task)))
}

/// Tells what becomes of the tasks: on standard error, and as events.
fn reporter(store: PathBuf) -> impl Fn(&str, Report<'_>) + Send + Sync {
    move |task, report| {
        let (severity, evidence) = match &report {
            Report::Failed(error) => {
                (Severity::Warning, format!("it fails: {}", in_full(&***error)))
            }
            Report::Works { failures } => {
                (Severity::Ok, format!("it works again, after {failures} failures"))
            }
            Report::Ended => (Severity::Critical, "it ended by an error in ctrlz".to_owned()),
        };
        eprintln!("ctrlz: task {task}: {evidence}");
        let remedy = match severity {
            Severity::Ok => String::new(),
            Severity::Warning => "it is tried again by itself".to_owned(),
            Severity::Critical => "start the daemon again".to_owned(),
        };
        let check = format!("task {task}");
        let happening = HealthChanged { check, severity, evidence, remedy };
        // Where the store is what fails, standard error has to do.
        let _ = open(&store, task)
            .and_then(|store| store.emit(None, Happening::HealthChanged(happening)));
    }
}

fn lock_path(store: &Path) -> PathBuf {
    store.join("daemon.lock")
}

/// Held as long as the daemon runs.
fn lock(store: &Path) -> Result<File, Failure> {
    let path = lock_path(store);
    let failed = |error: std::io::Error| {
        let message = format!("cannot lock {}", path.display());
        Failure::new(OWN_FAILURE, "daemon", message).detail(error.to_string())
    };
    let mut options = std::fs::OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).mode(0o600).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let message = format!("a daemon runs already for {}", store.display());
            Err(Failure::new(REFUSED, "busy", message))
        }
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether a daemon runs for the store.
pub(super) fn is_running(store: &Path) -> bool {
    let Ok(file) = File::open(lock_path(store)) else { return false };
    let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
    free == Err(rustix::io::Errno::WOULDBLOCK)
}
