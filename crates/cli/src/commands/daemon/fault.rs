//! Tasks that fail, panic or kill the daemon when a test asks for it.
//!
//! `CTRLZ_TASK_FAULT` is `TASK:TURN:ACTION`, several separated by commas: at the turn of that number
//! of the task, from 1, or from that turn on when a `+` follows the number. `ACTION` is
//!
//! - `fail`, `panic`, `abort` (a panic that ends the process, as in releases), `kill` (SIGKILL to
//!   the daemon), `hang` (until the file in `CTRLZ_TASK_HOLD` is gone; without it, without end),
//!   instead of what the task has to do, or
//! - the same with `-after` behind it, once the task has done it.
//!
//! `CTRLZ_TASK_MILLIS` is how long a turn may last and how long a task is waited for at the end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ctrlz_engine::background::{Task, TaskError};
use rustix::process::{Signal, getpid, kill_process};

static ABORTS: AtomicBool = AtomicBool::new(false);

/// Whether a panic is to end the process.
pub(super) fn aborts() -> bool {
    ABORTS.load(Ordering::SeqCst)
}

/// How long a turn may last before it is told.
pub(super) fn long_turn() -> Duration {
    millis(600_000)
}

/// For how long a task is waited for at the end.
pub(super) fn patience() -> Duration {
    millis(30_000)
}

fn millis(otherwise: u64) -> Duration {
    let asked = std::env::var("CTRLZ_TASK_MILLIS").ok().and_then(|text| text.parse().ok());
    Duration::from_millis(asked.unwrap_or(otherwise))
}

fn hang() {
    let file = std::env::var_os("CTRLZ_TASK_HOLD");
    while file.as_ref().is_none_or(|file| Path::new(file).exists()) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Plan {
    turn: u64,
    goes_on: bool,
    action: String,
}

struct Faulty {
    inner: Box<dyn Task>,
    turns: u64,
    plans: Vec<Plan>,
}

/// `task` with the faults that are asked for.
pub(super) fn faulty(task: Box<dyn Task>) -> Box<dyn Task> {
    let name = task.name();
    let text = std::env::var("CTRLZ_TASK_FAULT").unwrap_or_default();
    let plans: Vec<Plan> = text.split(',').filter_map(|one| parse(one, &name)).collect();
    if plans.is_empty() { task } else { Box::new(Faulty { inner: task, turns: 0, plans }) }
}

fn parse(text: &str, task: &str) -> Option<Plan> {
    let mut parts = text.split(':');
    parts.next().filter(|name| *name == task)?;
    let turn = parts.next()?;
    let goes_on = turn.ends_with('+');
    let turn = turn.trim_end_matches('+').parse().ok()?;
    Some(Plan { turn, goes_on, action: parts.next()?.to_owned() })
}

impl Faulty {
    #[expect(clippy::panic, reason = "a fault that was asked for")]
    fn pass(&self, after: bool) -> Result<(), TaskError> {
        for plan in &self.plans {
            let is_now = self.turns == plan.turn || (plan.goes_on && self.turns > plan.turn);
            let action = match (plan.action.strip_suffix("-after"), after) {
                (Some(action), true) => action,
                (None, false) => plan.action.as_str(),
                _ => continue,
            };
            if !is_now {
                continue;
            }
            match action {
                "fail" => return Err(format!("asked for at turn {}", self.turns).into()),
                "panic" => std::panic::panic_any(format!("asked for at turn {}", self.turns)),
                "abort" => {
                    ABORTS.store(true, Ordering::SeqCst);
                    std::panic::panic_any(format!("asked for at turn {}", self.turns));
                }
                "kill" => kill_process(getpid(), Signal::KILL)?,
                "hang" => hang(),
                other => return Err(format!("there is no fault `{other}`").into()),
            }
        }
        Ok(())
    }
}

impl Task for Faulty {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        self.turns += 1;
        self.pass(false)?;
        let pause = self.inner.turn()?;
        self.pass(true)?;
        Ok(pause)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}
