//! The supervised set of background tasks, which the daemon and the service run.
//!
//! Each task has a thread of its own, so that a slow one holds up no other. One that fails or
//! panics is tried again with growing pauses, and that it failed, and that it works again, is
//! reported once. One whose turn does not end is reported, too, as nothing else can be done about a
//! thread; whoever stops the set waits for it only for so long. Where a panic aborts the process (`panic = "abort"`, as in releases), the
//! supervisor has no part in it: the process that runs the set has to tell of it and be started
//! again.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The pause after a first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// For how long tasks are waited for that nobody asked to stop by [`Background::stop`].
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether they have stopped.
const LOOK: Duration = Duration::from_millis(10);

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

    /// Lets go what it holds open and what it has begun, after a turn that failed or panicked: the
    /// next turn begins anew, from what is written down.
    fn reset(&mut self);
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
    /// It panicked with that message, and did not before.
    Panicked(&'r str),
    /// A turn of it has lasted so long already, and is not over.
    Hangs(Duration),
}

/// Told what becomes of the tasks, by name.
pub type Reporter = dyn Fn(&str, Report<'_>) + Send + Sync;

/// Tasks at work; they stop when this is stopped or dropped.
pub struct Background {
    stop: Arc<Stop>,
    report: Arc<Reporter>,
    running: Vec<Running>,
}

struct Running {
    name: String,
    turn: Arc<Mutex<Turn>>,
    thread: JoinHandle<()>,
}

/// The turn that a task has now.
#[derive(Default)]
struct Turn {
    begun: Option<Instant>,
    /// Whether it was reported that it does not end.
    is_told: bool,
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Background").field("tasks", &self.running.len()).finish_non_exhaustive()
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
        let mut background = Self { stop: Arc::default(), report, running: Vec::new() };
        for mut task in tasks {
            let (stop, report) = (Arc::clone(&background.stop), Arc::clone(&background.report));
            let (name, turn) = (task.name(), Arc::<Mutex<Turn>>::default());
            let (own_name, own_turn) = (name.clone(), Arc::clone(&turn));
            let thread = std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || supervise(task.as_mut(), &own_name, &own_turn, &stop, &*report))?;
            background.running.push(Running { name, turn, thread });
        }
        Ok(background)
    }

    /// Reports each task whose turn has lasted for `limit`, once a turn.
    pub fn report_hanging(&self, limit: Duration) {
        for one in &self.running {
            let mut turn = lock(&one.turn);
            let lasts = turn.begun.map(|begun| begun.elapsed()).filter(|lasts| *lasts >= limit);
            if let Some(lasts) = lasts.filter(|_| !turn.is_told) {
                turn.is_told = true;
                // Held meanwhile, so that the end of the turn is reported after it.
                tell(&*self.report, &one.name, Report::Hangs(lasts));
            }
        }
    }

    /// Asks all tasks to stop, and waits until they have, or until `patience` is over. Answers those
    /// that have not: they go on until the process ends, and what they have begun is cut short then, as
    /// by a crash.
    #[must_use]
    pub fn stop(mut self, patience: Duration) -> Vec<String> {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> Vec<String> {
        self.stop.ask();
        let begun = Instant::now();
        let mut left = Vec::new();
        for one in self.running.drain(..) {
            while !one.thread.is_finished() && begun.elapsed() < patience {
                std::thread::sleep(LOOK);
            }
            if one.thread.is_finished() {
                // A panic of a task ends no thread.
                let _ = one.thread.join();
            } else {
                left.push(one.name);
            }
        }
        left
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end(PATIENCE);
    }
}

/// How a task fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Error,
    Panic,
}

fn supervise(task: &mut dyn Task, name: &str, turn: &Mutex<Turn>, stop: &Stop, report: &Reporter) {
    let mut failures: u32 = 0;
    let mut told = None;
    let mut pause = Duration::ZERO;
    while !stop.wait(pause) {
        *lock(turn) = Turn { begun: Some(Instant::now()), is_told: false };
        // What it holds may be half done then; `reset` lets it go.
        let done = catch_unwind(AssertUnwindSafe(|| task.turn()));
        if std::mem::take(&mut *lock(turn)).is_told {
            // However it ended, that is news after it was told that it does not.
            failures = failures.saturating_add(1);
            told = None;
        }
        pause = match done {
            Ok(Ok(pause)) => {
                if failures > 0 {
                    tell(report, name, Report::Works { failures });
                }
                (failures, told) = (0, None);
                pause
            }
            Ok(Err(error)) => {
                if told.is_none() {
                    tell(report, name, Report::Failed(&error));
                    told = Some(Trouble::Error);
                }
                begin_anew(task, &mut failures)
            }
            Err(panic) => {
                if told != Some(Trouble::Panic) {
                    tell(report, name, Report::Panicked(message(&*panic)));
                    told = Some(Trouble::Panic);
                }
                begin_anew(task, &mut failures)
            }
        };
    }
}

/// Whoever reports may panic as well, which is no reason to leave the task alone.
fn tell(report: &Reporter, name: &str, told: Report<'_>) {
    let _ = catch_unwind(AssertUnwindSafe(|| report(name, told)));
}

/// A panic leaves a turn as it is.
fn lock(turn: &Mutex<Turn>) -> MutexGuard<'_, Turn> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one more failure; answers how long to wait.
fn begin_anew(task: &mut dyn Task, failures: &mut u32) -> Duration {
    let _ = catch_unwind(AssertUnwindSafe(|| task.reset()));
    let pause = FIRST_PAUSE * (1 << (*failures).min(10));
    *failures = failures.saturating_add(1);
    pause.min(LONGEST_PAUSE)
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    type Turn = Box<dyn FnOnce() -> Result<Duration, TaskError> + Send>;

    /// Does what it is told, turn by turn.
    struct Told {
        name: &'static str,
        answers: Receiver<Turn>,
        turns: Sender<&'static str>,
    }

    impl Task for Told {
        fn name(&self) -> String {
            self.name.to_owned()
        }

        fn turn(&mut self) -> Result<Duration, TaskError> {
            self.turns.send(self.name).expect("somebody counts");
            self.answers.recv().expect("an answer")()
        }

        fn reset(&mut self) {
            self.turns.send("reset").expect("somebody counts");
        }
    }

    fn ok(pause: Duration) -> Turn {
        Box::new(move || Ok(pause))
    }

    fn error(text: &'static str) -> Turn {
        Box::new(move || Err(text.into()))
    }

    fn panic(text: &'static str) -> Turn {
        Box::new(move || panic!("{text}"))
    }

    struct Scene {
        background: Background,
        answers: Vec<Sender<Turn>>,
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
            scene.answers[1].send(ok(Duration::ZERO)).expect("send");
            assert_eq!(scene.turns.recv(), Ok("quick"));
        }
        let hour = Duration::from_secs(3600);
        scene.answers.iter().for_each(|answer| answer.send(ok(hour)).expect("send"));
        // Although the next turn would come in an hour.
        assert!(scene.background.stop(LONG).is_empty());
        assert!(scene.turns.try_recv().is_err());
    }

    /// Lets the only task have these turns; answers what was reported until the last of them.
    fn reports_of(turns: Vec<Turn>) -> Vec<String> {
        let scene = start(&["task"]);
        let count = turns.len();
        for (at, turn) in turns.into_iter().enumerate() {
            while scene.turns.recv().expect("a turn") != "task" {}
            if at + 1 == count {
                // All that was to be reported of the turns before is.
                let told = scene.reports.try_iter().collect();
                scene.answers[0].send(turn).expect("send");
                assert!(scene.background.stop(LONG).is_empty());
                assert!(scene.reports.try_recv().is_err());
                return told;
            }
            scene.answers[0].send(turn).expect("send");
        }
        Vec::new()
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let told =
            reports_of(vec![error("no luck"), error("none again"), ok(Duration::ZERO), ok(HOUR)]);
        assert_eq!(told, ["task: Failed(\"no luck\")", "task: Works { failures: 2 }"]);
    }

    #[test]
    fn a_panic_is_told_once_and_the_task_has_its_next_turn() {
        let told = reports_of(vec![
            panic("oh"),
            panic("oh"),
            ok(Duration::ZERO),
            error("no luck"),
            panic("oh"),
            ok(Duration::ZERO),
            ok(HOUR),
        ]);
        assert_eq!(
            told,
            [
                "task: Panicked(\"oh\")",
                "task: Works { failures: 2 }",
                "task: Failed(\"no luck\")",
                "task: Panicked(\"oh\")",
                "task: Works { failures: 2 }",
            ]
        );
    }

    #[test]
    fn what_a_task_holds_is_let_go_when_it_fails_and_only_then() {
        let scene = start(&["task"]);
        let mut seen = vec![scene.turns.recv().expect("a turn")];
        for turn in [ok(Duration::ZERO), error("no luck"), panic("oh")] {
            scene.answers[0].send(turn).expect("send");
            seen.push(scene.turns.recv().expect("a turn"));
            if seen.last() == Some(&"reset") {
                seen.push(scene.turns.recv().expect("a turn"));
            }
        }
        scene.answers[0].send(ok(HOUR)).expect("send");
        assert!(scene.background.stop(LONG).is_empty());
        assert_eq!(seen, ["task", "task", "reset", "task", "reset", "task"]);
    }

    #[test]
    fn one_that_always_panics_holds_up_no_other() {
        let scene = start(&["bad", "good"]);
        scene.answers[0].send(panic("always")).expect("send");
        for _ in 0..3 {
            scene.answers[1].send(ok(Duration::ZERO)).expect("send");
        }
        let mut good = 0;
        while good < 4 {
            if scene.turns.recv().expect("a turn") == "good" {
                good += 1;
            }
        }
        assert_eq!(scene.reports.recv().expect("told"), "bad: Panicked(\"always\")");
        for answer in &scene.answers {
            answer.send(ok(HOUR)).expect("send");
        }
        assert!(scene.background.stop(LONG).is_empty());
    }

    #[test]
    fn a_turn_that_does_not_end_is_told_once_and_so_is_its_end() {
        let scene = start(&["slow", "quick"]);
        let mut begun = [scene.turns.recv().expect("a turn"), scene.turns.recv().expect("a turn")];
        begun.sort_unstable();
        scene.answers[1].send(ok(HOUR)).expect("send");
        // A task that rests between two turns does not hang.
        while lock(&scene.background.running[1].turn).begun.is_some() {
            std::thread::yield_now();
        }
        scene.background.report_hanging(HOUR);
        assert!(scene.reports.try_recv().is_err());
        scene.background.report_hanging(Duration::ZERO);
        scene.background.report_hanging(Duration::ZERO);
        let told = scene.reports.recv().expect("told");
        assert!(told.starts_with("slow: Hangs("), "{told}");
        scene.answers[0].send(error("no luck")).expect("send");
        assert_eq!(scene.reports.recv(), Ok("slow: Failed(\"no luck\")".to_owned()));
        scene.answers[0].send(ok(HOUR)).expect("send");
        assert_eq!(scene.reports.recv(), Ok("slow: Works { failures: 2 }".to_owned()));
        assert!(scene.background.stop(LONG).is_empty());
        assert!(scene.reports.try_recv().is_err());
    }

    #[test]
    fn one_that_hangs_is_not_waited_for_without_end() {
        let scene = start(&["hangs", "quick"]);
        for _ in 0..2 {
            scene.turns.recv().expect("a turn");
        }
        scene.answers[1].send(ok(HOUR)).expect("send");
        assert_eq!(scene.background.stop(Duration::from_millis(50)), ["hangs"]);
        // So that its thread ends, too.
        scene.answers[0].send(ok(HOUR)).expect("send");
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let (turns, _seen) = channel();
        let mut task = Told { name: "task", answers: channel().1, turns };
        let mut failures = 0;
        let pauses: Vec<u64> =
            (0..11).map(|_| begin_anew(&mut task, &mut failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        failures = u32::MAX;
        assert_eq!(begin_anew(&mut task, &mut failures), LONGEST_PAUSE);
    }

    #[test]
    fn a_reporter_that_panics_ends_no_task() {
        let (turns, seen) = channel();
        let (answer, answers) = channel::<Turn>();
        let task = Told { name: "task", answers, turns };
        let reporter = |_: &str, _: Report<'_>| panic!("the reporter");
        let background =
            Background::start(vec![Box::new(task)], Arc::new(reporter)).expect("start");
        for turn in [error("no luck"), ok(HOUR)] {
            while seen.recv().expect("a turn") != "task" {}
            answer.send(turn).expect("send");
        }
        assert!(background.stop(LONG).is_empty());
    }
}
