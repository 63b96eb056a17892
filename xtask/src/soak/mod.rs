//! `cargo xtask soak`: random operations and random kills against the real binary, compared after
//! each step with a model.

mod breadth;
mod ctrlz;
mod model;
mod numbers;
mod random;
mod service;
mod stage;
mod write;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::{Answer, Failure};
use crate::project;
use model::{Model, Operation, Visible};
use random::Random;
use stage::{NAME, Stage, parse};
use write::Write;

/// Steps that a run's script is made of. Those that do not apply fail and change nothing.
const SCRIPTS: [&str; 14] = [
    "echo N > file-N",
    "echo more >> a/one",
    "mkdir -p a/b/c-N && echo N > a/b/c-N/deep",
    "rm -rf a",
    "rm -f file-*1",
    "mv a moved-N",
    "mv moved-1 a",
    "ln -s file-N link-N",
    // Of a file that nothing changes: commit writes through all names of one.
    "test -e linked || echo linked > linked; ln linked other-N",
    "rm -rf a/b && echo a file now > a/b",
    "rm -f a/b && mkdir -p a/b && echo a folder again > a/b/x",
    "chmod 0640 a/one",
    "mkdir -p a && echo one > a/one && truncate -s 300000 a/large",
    "mkfifo pipe-N",
];

/// The longest wait before a kill, in microseconds: about as long as an operation takes.
const LATEST_KILL: u64 = 40_000;

/// How the soak stands.
#[derive(Default)]
struct Tally {
    steps: u64,
    writes: u64,
    kills: u64,
    lost: u64,
}

/// What is asked for.
struct Arguments {
    minutes: Option<f64>,
    seed: u64,
    /// For breadth: how many operations over how many sandboxes.
    operations: Option<u64>,
    sandboxes: usize,
    profile: String,
    /// One that is built already.
    binary: Option<PathBuf>,
    /// Whether it is the service that is soaked, and how often that is killed.
    service: bool,
    kills: u64,
}

impl Arguments {
    fn read(arguments: &[String]) -> Answer<Self> {
        let mut read = Self {
            minutes: None,
            seed: u64::from(std::process::id()),
            operations: None,
            sandboxes: 50,
            profile: "release".to_owned(),
            binary: None,
            service: false,
            kills: 30,
        };
        let mut words = arguments.iter();
        if arguments.first().is_some_and(|word| word == "service") {
            words.next();
            (read.service, read.sandboxes) = (true, 1000);
        }
        while let Some(word) = words.next() {
            let value =
                words.next().ok_or_else(|| Failure::told(format!("{word} needs a value")))?;
            let bad = || Failure::told(format!("{word} {value}: not a number"));
            match word.as_str() {
                "--minutes" => read.minutes = Some(value.parse().map_err(|_| bad())?),
                "--seed" => read.seed = value.parse().map_err(|_| bad())?,
                "--operations" => read.operations = Some(value.parse().map_err(|_| bad())?),
                "--sandboxes" => read.sandboxes = value.parse().map_err(|_| bad())?,
                "--kills" => read.kills = value.parse().map_err(|_| bad())?,
                "--binary" => read.binary = Some(PathBuf::from(value)),
                "--profile" => read.profile.clone_from(value),
                _ => return Err(Failure::told(format!("soak does not know {word}"))),
            }
        }
        let sensible = |minutes: f64| minutes > 0.0 && minutes < 1e6;
        if !read.minutes.is_none_or(sensible) || read.sandboxes == 0 {
            return Err(Failure::told("soak needs some minutes and at least one sandbox"));
        }
        Ok(read)
    }
}

/// Runs until the time is up or all is done, or until ctrlz is not as the model says.
pub(crate) fn soak(arguments: &[String]) -> Answer {
    let Arguments { minutes, seed, operations, sandboxes, profile, binary, service, kills } =
        Arguments::read(arguments)?;
    let minutes = minutes.unwrap_or(match (service, operations) {
        (true, _) => 10.0,
        (false, Some(_)) => 240.0,
        (false, None) => 5.0,
    });
    let time = Duration::from_secs_f64(minutes * 60.0);
    let binary = binary.map_or_else(|| project::build(&profile), Ok)?;
    let scene = tempfile::Builder::new()
        .prefix("ctrlz-soak-")
        .tempdir_in("/var/tmp")
        .map_err(Failure::io("make a folder in", Path::new("/var/tmp")))?;
    if service {
        println!("seed {seed}, {minutes} minutes, {sandboxes} sandboxes");
        let plan = service::Plan { sandboxes, seed, time, kills };
        let result = service::soak(&binary, scene.path(), &plan);
        return kept(scene, seed, result);
    }
    if let Some(operations) = operations {
        println!("seed {seed}, {operations} operations, {sandboxes} sandboxes");
        let plan = breadth::Plan { operations, sandboxes, seed, time };
        let result = breadth::soak(&binary, scene.path(), &plan);
        return kept(scene, seed, result);
    }
    let mut stage = Stage {
        binary,
        store: scene.path().join("store"),
        base: scene.path().join("base"),
        token: String::new(),
    };
    fs::create_dir(&stage.base).map_err(Failure::io("make", &stage.base))?;
    stage.token = stage.ctrlz(&["token", "new", "--role", "admin"])?.trim().to_owned();
    println!("seed {seed}, {minutes} minutes");
    let mut tally = Tally::default();
    let result = run(&stage, seed, time, &mut tally);
    println!(
        "{} operations, {} of them writes without a command, {} killed, {} of those without effect",
        tally.steps, tally.writes, tally.kills, tally.lost
    );
    println!("{} passed, {} failed", tally.steps, u8::from(result.is_err()));
    kept(scene, seed, result)
}

/// What is left of a soak that failed stays.
fn kept(scene: tempfile::TempDir, seed: u64, result: Answer) -> Answer {
    if result.is_err() {
        let kept = scene.keep();
        println!("what is left lies in {} (seed {seed})", kept.display());
    }
    result
}

fn run(stage: &Stage, seed: u64, time: Duration, tally: &mut Tally) -> Answer {
    let (mut random, mut model) = (Random::new(seed), Model::default());
    stage.ctrlz(&["new", NAME, "--base", "."])?;
    let mut now = stage.look()?;
    let started = Instant::now();
    let mut told = started;
    while started.elapsed() < time {
        let chosen = choose(&mut random, &model);
        now = step(stage, &mut random, &mut model, now, &chosen, tally)?;
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            println!("{} operations, {} killed", tally.steps, tally.kills);
        }
    }
    Ok(())
}

/// An operation, and how it is asked for.
struct Step {
    /// What the model knows; a write is to it what a script would do.
    operation: Operation,
    /// The call of the service, where there is one.
    write: Option<Write>,
}

fn choose(random: &mut Random, model: &Model) -> Step {
    let number = random.below(10);
    if random.below(5) == 0 {
        let write = Write::choose(random, number);
        return Step { operation: Operation::Run(write.script()), write: Some(write) };
    }
    let operation = match random.below(20) {
        0..8 => {
            let steps: Vec<String> = (0..=random.below(2))
                .filter_map(|_| random.one_of(&SCRIPTS))
                .map(|step| step.replace('N', &number.to_string()))
                .collect();
            Operation::Run(steps.join("; "))
        }
        8..11 => Operation::Commit,
        11 => Operation::Discard,
        12..15 => Operation::Undo,
        15 => Operation::Redo,
        16 => Operation::Snapshot,
        17..=18 if !model.snapshots.is_empty() => {
            let index = random.below(model.snapshots.len() as u64);
            Operation::Rollback(usize::try_from(index).unwrap_or(0))
        }
        _ => Operation::Put(format!("key-{}", number % 3), number.to_string()),
    };
    Step { operation, write: None }
}

/// Performs one operation, perhaps kills it, and compares.
fn step(
    stage: &Stage,
    random: &mut Random,
    model: &mut Model,
    before: Visible,
    Step { operation, write }: &Step,
    tally: &mut Tally,
) -> Answer<Visible> {
    let ran = match operation {
        Operation::Run(script) => Some(stage.foresee(script)?),
        _ => None,
    };
    let mut expected = model.expect(operation, &before, ran);
    if write.is_some() && expected.as_ref() == Some(&before) {
        // What changes nothing may be refused.
        expected = None;
    }
    let kind = if write.is_some() { "write" } else { operation.kind() };
    let last = stage.newest()?.id;
    let delay = |random: &mut Random| Duration::from_micros(random.below(LATEST_KILL));
    let kill = (random.below(3) == 0).then(|| delay(random));
    let (status, said) = match write {
        Some(write) => stage.write(write, kill)?,
        None => stage.perform(operation, &model.snapshots, kill)?,
    };
    tally.steps += 1;
    tally.writes += u64::from(write.is_some());
    if kill.is_some() {
        tally.kills += 1;
        let second = (random.below(4) == 0).then(|| delay(random));
        stage.recover(second)?;
    }
    let newest = stage.newest()?;
    let took_effect = newest.id > last && newest.kind == kind && newest.status == "done";
    tally.lost += u64::from(kill.is_some() && !took_effect);
    let wrong = |what: &str, now: &Visible, wanted: &Visible| {
        Failure::told(format!(
            "{what} after {operation:?} {write:?} ({status}, killed: {})\n{said}\nwanted {wanted:#?}\nfound {now:#?}",
            kill.is_some()
        ))
    };
    let now = stage.look()?;
    let Some(expected) = expected else {
        // There was nothing to do; that it was said or passed over is both right.
        let refused = matches!(status.code(), Some(0 | 123));
        if now != before || (kill.is_none() && !refused) {
            return Err(wrong("something changed, or the answer is wrong", &now, &before));
        }
        // Times are not looked at; a commit of nothing else is one all the same.
        if took_effect {
            model.took_effect(operation, before);
        }
        return Ok(now);
    };
    if kill.is_none() && !took_effect {
        return Err(wrong("the operation took no effect", &now, &expected));
    }
    let wanted = if took_effect { &expected } else { &before };
    if now != *wanted {
        return Err(wrong("it is neither as before nor as after", &now, wanted));
    }
    if took_effect {
        if *operation == Operation::Snapshot && kill.is_none() {
            let answer = parse(&said)?;
            let id = project::text(&answer, "/snapshot/id").unwrap_or_default().to_owned();
            model.snapshots.push((id, before.clone()));
        }
        model.took_effect(operation, before);
    }
    Ok(now)
}
