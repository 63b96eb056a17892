//! `cargo xtask soak --operations N --sandboxes N`: all kinds of operations over many sandboxes of
//! one store, with kills, beside a daemon that is killed at random times, within bounds of memory,
//! descriptors and disk.

mod bounds;
mod daemon;
mod life;
mod tally;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ctrlz::Ctrlz;
use super::numbers;
use super::random::Random;
use crate::failure::{Answer, Failure};
use crate::project;
use bounds::Bounds;
use daemon::Watched;
use life::Life;
use tally::Tally;

/// Processes of operations at a time.
const WORKERS: usize = 2;

/// What is asked for.
pub(super) struct Plan {
    pub(super) operations: u64,
    pub(super) sandboxes: usize,
    pub(super) seed: u64,
    /// It ends after this time, and says how far it came.
    pub(super) time: Duration,
}

/// How far all are.
struct Progress<'p> {
    plan: &'p Plan,
    begun: Instant,
    operations: AtomicU64,
    over: AtomicBool,
}

impl Progress<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
            && self.operations.load(Ordering::SeqCst) < self.plan.operations
            && self.begun.elapsed() < self.plan.time
    }
}

/// Runs, prints the numbers, and fails when they are out of bounds or anything is not as it should.
pub(super) fn soak(binary: &Path, scene: &Path, plan: &Plan) -> Answer {
    let ctrlz =
        Ctrlz { binary: binary.to_owned(), store: scene.join("store"), home: scene.join("home") };
    configure(&ctrlz)?;
    let mut lives = Vec::new();
    for number in 0..plan.sandboxes {
        lives.push(Life::begin(&ctrlz, scene, number)?);
    }
    let progress = Progress {
        plan,
        begun: Instant::now(),
        operations: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let (done, watched) = work(&ctrlz, &mut lives, &progress);
    let took = progress.begun.elapsed();
    let operations = progress.operations.load(Ordering::SeqCst);
    println!("{operations} of {} operations in {} s", plan.operations, took.as_secs());
    let mut tally = done?;
    let watched = watched?;
    println!("of them: {}", tally.words());
    println!("{} were killed, and the daemon {} times", tally.killed, watched.kills);
    let before = numbers::size(&ctrlz.store);
    finish(&ctrlz, &mut lives, &mut tally)?;
    let after = numbers::size(&ctrlz.store);
    let bounds = Bounds::of(operations, plan.sandboxes as u64);
    bounds::print(&watched.numbers, before, after, &bounds);
    let broken = bounds.broken(&watched.numbers, after);
    if broken.is_empty() { Ok(()) } else { Err(Failure::told(broken.join("; "))) }
}

/// Every event goes to a file, and the tracker has something to look at.
fn configure(ctrlz: &Ctrlz) -> Answer {
    let folder = ctrlz.home.join(".config/ctrlz");
    fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    for (name, text) in [
        ("sinks.yaml", "sinks: { log: { file: events.jsonl, max_size: 1G } }\n"),
        (
            "ctrlz.yaml",
            "development: {monitoring_config: {collection_interval: 1, health_check_interval: 2}}\n",
        ),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Failure::io("write", &path))?;
    }
    // The sink begins with what happens from now on.
    ctrlz.ok(&ctrlz.home, &["sinks", "deliver"]).map(drop)
}

/// The operations and the daemon beside them; both go on until one fails or all is done.
fn work(
    ctrlz: &Ctrlz,
    lives: &mut [Life],
    progress: &Progress<'_>,
) -> (Answer<Tally>, Answer<Watched>) {
    let seed = progress.plan.seed;
    let share = lives.len().div_ceil(WORKERS).max(1);
    let daemons_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let daemon = scope.spawn(|| {
            let watched = daemon::watch(ctrlz, seed, &daemons_over);
            if watched.is_err() {
                progress.over.store(true, Ordering::SeqCst);
            }
            watched
        });
        let workers: Vec<_> = lives
            .chunks_mut(share)
            .enumerate()
            .map(|(number, lives)| {
                let random = Random::new(seed.wrapping_add(1 + number as u64));
                scope.spawn(move || live(lives, random, progress, number == 0))
            })
            .collect();
        let mut all = Ok(Tally::default());
        for worker in workers {
            let done = worker.join().unwrap_or_else(|_| Err(Failure::told("a worker panicked")));
            all = match (all, done) {
                (Ok(mut all), Ok(done)) => {
                    all.add(&done);
                    Ok(all)
                }
                (Err(first), _) | (_, Err(first)) => Err(first),
            };
        }
        daemons_over.store(true, Ordering::SeqCst);
        let watched = daemon.join().unwrap_or_else(|_| Err(Failure::told("the watcher panicked")));
        (all, watched)
    })
}

/// One worker's sandboxes.
fn live(
    lives: &mut [Life],
    mut random: Random,
    progress: &Progress<'_>,
    tells: bool,
) -> Answer<Tally> {
    let mut tally = Tally::default();
    let mut told = Instant::now();
    while progress.goes_on() {
        let before = tally.operations();
        let index = usize::try_from(random.below(lives.len() as u64)).unwrap_or(0);
        let Some(life) = lives.get_mut(index) else { break };
        if let Err(failure) = life.step(&mut random, &mut tally) {
            progress.over.store(true, Ordering::SeqCst);
            return Err(failure);
        }
        progress.operations.fetch_add(tally.operations() - before, Ordering::SeqCst);
        if tells && told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            println!("{} operations", progress.operations.load(Ordering::SeqCst));
        }
    }
    Ok(tally)
}

/// When all is done: everything is looked at, let go, and looked at again.
fn finish(ctrlz: &Ctrlz, lives: &mut [Life], tally: &mut Tally) -> Answer {
    let here = &ctrlz.home;
    ctrlz.ok(here, &["recover"])?;
    for life in lives.iter() {
        life.check(tally)?;
    }
    ctrlz.healthy()?;
    for life in lives.iter_mut() {
        life.settle()?;
    }
    ctrlz.ok(here, &["gc", "--max-age", "0"])?;
    for life in lives.iter() {
        life.check(tally)?;
    }
    ctrlz.healthy()?;
    ctrlz.ok(here, &["audit", "sign"])?;
    ctrlz.ok(here, &["audit", "verify"])?;
    delivered(ctrlz)?;
    // What a killed ctrlz left ends by itself.
    numbers::until(|| numbers::leftovers(&ctrlz.store).is_empty()).map_err(|_| {
        Failure::told(format!("left over: {}", numbers::leftovers(&ctrlz.store).join("; ")))
    })
}

/// The sink got every event, each once, in order.
fn delivered(ctrlz: &Ctrlz) -> Answer {
    ctrlz.ok(&ctrlz.home, &["sinks", "deliver"])?;
    let last = ctrlz.json(&ctrlz.home, &["events", "-n", "1"])?;
    let last = last.get("last").and_then(Value::as_i64).unwrap_or_default();
    let path = ctrlz.home.join(".config/ctrlz/events.jsonl");
    let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    let mut next = None;
    for line in text.lines() {
        let event = super::stage::parse(line)?;
        let id = project::text(&event, "/id").and_then(|id| id.parse::<i64>().ok());
        if id.is_none() || next.is_some_and(|next| id != Some(next)) {
            return Err(Failure::told(format!("the sink has {id:?} where {next:?} should be")));
        }
        next = id.map(|id| id + 1);
    }
    if next == Some(last + 1) {
        println!("the sink has all {last} events, each once, in order");
        return Ok(());
    }
    Err(Failure::told(format!("the sink's last event is before {next:?}, the log's is {last}")))
}
