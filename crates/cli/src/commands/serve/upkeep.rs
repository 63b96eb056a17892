//! The background tasks of the stores: a daemon for the owner's, and one for each tenant's that was
//! used lately.
//!
//! They are processes of their own, `ctrlz daemon`, as they would be without a service: one that
//! fails takes nothing along, and a store has one whoever started it.

use std::collections::HashMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commands::is_daemon_running;

/// How often it is looked which stores are used, and which daemons have ended.
const LOOK: Duration = Duration::from_secs(1);
/// For how long after its last use a tenant's store has a daemon.
const USED: Duration = Duration::from_secs(600);
/// How many daemons there are at most: those of the stores that were used last.
const MOST: usize = 16;
/// A daemon that ended by itself is started again after this time: it failed, or there is another one.
const AGAIN: Duration = Duration::from_secs(30);
/// How long they have to end, which is longer than they wait for their tasks.
const PATIENCE: Duration = Duration::from_secs(35);

/// Which stores were used, and when.
#[derive(Clone)]
pub(super) struct Used {
    /// The owner's, which always counts as used.
    owner: PathBuf,
    others: Arc<Mutex<HashMap<PathBuf, Instant>>>,
}

impl Used {
    pub(super) fn of(owner: &Path) -> Self {
        Self { owner: owner.to_owned(), others: Arc::default() }
    }

    /// A store is used now.
    pub(super) fn note(&self, store: &Path) {
        if store != self.owner {
            self.others().insert(store.to_owned(), Instant::now());
        }
    }

    /// Those that should have a daemon.
    fn lately(&self) -> Vec<PathBuf> {
        let mut others = self.others();
        others.retain(|_, at| at.elapsed() < USED);
        let mut found: Vec<(Instant, PathBuf)> =
            others.iter().map(|(store, at)| (*at, store.clone())).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        let found = found.into_iter().map(|(_, store)| store);
        std::iter::once(self.owner.clone()).chain(found).take(MOST).collect()
    }

    fn others(&self) -> MutexGuard<'_, HashMap<PathBuf, Instant>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The daemons. They end with it, however it ends.
pub(super) struct Upkeep {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(used: Used) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("daemons".to_owned());
        let thread = thread.spawn(move || look_after(&used, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing to end.
            let _ = thread.join();
        }
    }
}

/// The daemon of a store, or when there may be one again.
enum Daemon {
    Runs(Child),
    Ended(Instant),
}

fn look_after(used: &Used, stopped: &Receiver<()>) {
    let mut daemons: HashMap<PathBuf, Daemon> = HashMap::new();
    let mut leaving: Vec<Child> = Vec::new();
    loop {
        let wanted = used.lately();
        for store in &wanted {
            let daemon = match daemons.remove(store) {
                None => begin(store),
                Some(Daemon::Runs(mut child)) => match child.try_wait() {
                    Ok(None) => Daemon::Runs(child),
                    Ok(Some(_)) | Err(_) => Daemon::Ended(Instant::now()),
                },
                Some(Daemon::Ended(at)) if at.elapsed() < AGAIN => Daemon::Ended(at),
                Some(Daemon::Ended(_)) => begin(store),
            };
            daemons.insert(store.clone(), daemon);
        }
        for (_, daemon) in daemons.extract_if(|store, _| !wanted.contains(store)) {
            leaving.extend(ask_to_end(daemon));
        }
        leaving.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        match stopped.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    leaving.extend(daemons.into_values().filter_map(ask_to_end));
    let begun = Instant::now();
    while !leaving.is_empty() && begun.elapsed() < PATIENCE {
        leaving.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        std::thread::sleep(Duration::from_millis(10));
    }
    for mut child in leaving {
        // It may have ended just now.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn begin(store: &Path) -> Daemon {
    // It makes no store, and is no second daemon.
    if !store.join("store.db").exists() || is_daemon_running(store) {
        return Daemon::Ended(Instant::now());
    }
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ctrlz").args(["daemon", "--while-stdin"]);
    command.env("CTRLZ_HOME", store).current_dir("/");
    // Its end of the pipe closes with this process.
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    match command.spawn() {
        Ok(child) => Daemon::Runs(child),
        Err(_) => Daemon::Ended(Instant::now()),
    }
}

/// Closes what it listens to.
fn ask_to_end(daemon: Daemon) -> Option<Child> {
    match daemon {
        Daemon::Runs(mut child) => {
            child.stdin = None;
            Some(child)
        }
        Daemon::Ended(_) => None,
    }
}
