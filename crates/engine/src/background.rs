//! The supervised set of background tasks, which the daemon and the service run.
//!
//! Each task has a thread of its own, so that a slow one holds up no other. One that fails is
//! tried again with growing pauses, and that it failed, and that it works again, is reported once.

use std::error::Error;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The pause after a first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a task's turn failed.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// Something that is done again and again.
pub trait Task: Send {
    /// Its name, unique in its set.
    fn name(&self) -> String;

    /// Does what is to be done now; answers how long nothing will be to do. It should not take
    /// longer than a user who stops the daemon would wait.
    ///
    /// # Errors
    /// Why it could not be done. The next turn comes after a pause.
    fn turn(&mut self) -> Result<Duration, TaskError>;
}

/// What is reported of a task.
#[derive(Debug)]
pub enum Report<'r> {
    /// It failed, and did not before.
    Failed(&'r TaskError),
    /// It works again, after so many failures.
    Works {
        /// How many.
        failures: u32,
    },
    /// It panicked and has no more turns until the set is started again.
    Ended,
}

/// Told what becomes of the tasks, by name.
pub type Reporter = dyn Fn(&str, Report<'_>) + Send + Sync;

/// Tasks at work; they stop when this is stopped or dropped.
pub struct Background {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Background").field("tasks", &self.threads.len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    change: Condvar,
}

impl Stop {
    /// Waits; answers whether to stop.
    fn wait(&self, pause: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.change.wait_timeout_while(asked, pause, |asked| !*asked);
        let (asked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *asked
    }

    fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.change.notify_all();
    }
}

impl Background {
    /// Starts `tasks`. What becomes of them is told to `report`, from their threads.
    ///
    /// # Errors
    /// When a thread cannot be started; none is left then.
    pub fn start(tasks: Vec<Box<dyn Task>>, report: Arc<Reporter>) -> std::io::Result<Self> {
        let mut background = Self { stop: Arc::default(), threads: Vec::new() };
        for mut task in tasks {
            let (stop, report) = (Arc::clone(&background.stop), Arc::clone(&report));
            let name = task.name();
            let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
                let panicked = Panicked { name: &name, report: &*report };
                supervise(task.as_mut(), &name, &stop, &*report);
                std::mem::forget(panicked);
            })?;
            background.threads.push(thread);
        }
        Ok(background)
    }

    /// Asks all tasks to stop, and waits until they have.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.ask();
        for thread in self.threads.drain(..) {
            // That it panicked was reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reports, when it is dropped by a panic, that a task has ended.
struct Panicked<'p> {
    name: &'p str,
    report: &'p Reporter,
}

impl Drop for Panicked<'_> {
    fn drop(&mut self) {
        (self.report)(self.name, Report::Ended);
    }
}

fn supervise(task: &mut dyn Task, name: &str, stop: &Stop, report: &Reporter) {
    let mut failures = 0;
    let mut pause = Duration::ZERO;
    while !stop.wait(pause) {
        pause = match task.turn() {
            Ok(pause) => {
                if failures > 0 {
                    report(name, Report::Works { failures });
                }
                failures = 0;
                pause
            }
            Err(error) => {
                if failures == 0 {
                    report(name, Report::Failed(&error));
                }
                failures += 1;
                (FIRST_PAUSE * (1 << (failures - 1).min(10))).min(LONGEST_PAUSE)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Does what it is told, turn by turn.
    struct Told {
        name: &'static str,
        answers: Receiver<Result<Duration, TaskError>>,
        turns: Sender<&'static str>,
    }

    impl Task for Told {
        fn name(&self) -> String {
            self.name.to_owned()
        }

        fn turn(&mut self) -> Result<Duration, TaskError> {
            self.turns.send(self.name).expect("somebody counts");
            self.answers.recv().expect("an answer")
        }
    }

    struct Scene {
        background: Background,
        answers: Vec<Sender<Result<Duration, TaskError>>>,
        turns: Receiver<&'static str>,
        reports: Receiver<String>,
    }

    fn start(names: &[&'static str]) -> Scene {
        let (turns, seen) = channel();
        let (report, reports) = channel();
        let mut answers = Vec::new();
        let mut tasks: Vec<Box<dyn Task>> = Vec::new();
        for name in names {
            let (answer, received) = channel();
            answers.push(answer);
            tasks.push(Box::new(Told { name, answers: received, turns: turns.clone() }));
        }
        let report = Mutex::new(report);
        let reporter = move |name: &str, told: Report<'_>| {
            let _ = report.lock().expect("lock").send(format!("{name}: {told:?}"));
        };
        let background = Background::start(tasks, Arc::new(reporter)).expect("start");
        Scene { background, answers, turns: seen, reports }
    }

    #[test]
    fn a_slow_task_holds_up_no_other_and_all_stop() {
        let scene = start(&["slow", "quick"]);
        let mut first = [scene.turns.recv().expect("a turn"), scene.turns.recv().expect("a turn")];
        first.sort_unstable();
        assert_eq!(first, ["quick", "slow"]);
        for _ in 0..3 {
            scene.answers[1].send(Ok(Duration::ZERO)).expect("send");
            assert_eq!(scene.turns.recv(), Ok("quick"));
        }
        let hour = Duration::from_secs(3600);
        scene.answers.iter().for_each(|answer| answer.send(Ok(hour)).expect("send"));
        // Although the next turn would come in an hour.
        scene.background.stop();
        assert!(scene.turns.try_recv().is_err());
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let scene = start(&["task"]);
        let hour = Duration::from_secs(3600);
        for answer in
            [Err("no luck".into()), Err("none again".into()), Ok(Duration::ZERO), Ok(hour)]
        {
            scene.turns.recv().expect("a turn");
            scene.answers[0].send(answer).expect("send");
        }
        assert_eq!(scene.reports.recv().expect("told"), "task: Failed(\"no luck\")");
        assert_eq!(scene.reports.recv().expect("told"), "task: Works { failures: 2 }");
        scene.background.stop();
        assert!(scene.reports.try_recv().is_err());
    }

    #[test]
    fn a_panic_is_told_and_the_others_go_on() {
        let mut scene = start(&["bad", "good"]);
        let hour = Duration::from_secs(3600);
        // Nobody answers any more, which the task does not expect.
        drop(scene.answers.remove(0));
        assert_eq!(scene.reports.recv().expect("told"), "bad: Ended");
        scene.answers[0].send(Ok(Duration::ZERO)).expect("send");
        while scene.turns.recv().expect("a turn") != "good" {}
        scene.answers[0].send(Ok(hour)).expect("send");
        scene.background.stop();
    }
}
