//! Tells what becomes of the tasks: on standard error, and as events.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::span::Span;
use ctrlz_core::store::{Store, StoreError};
use ctrlz_engine::background::Report;
use ctrlz_engine::in_full;

/// Where the store is what fails, an event waits here until it can be written.
pub(super) struct Teller {
    store: PathBuf,
    /// Each with who tells it, the oldest first; of the same check and severity only the newest.
    untold: Mutex<Vec<(String, HealthChanged)>>,
}

impl Teller {
    pub(super) fn new(store: &Path) -> Self {
        Self { store: store.to_owned(), untold: Mutex::default() }
    }

    /// Tells what became of `task`.
    pub(super) fn report(&self, task: &str, report: &Report<'_>) {
        let (severity, evidence, remedy) = match report {
            Report::Failed(error) => (
                Severity::Warning,
                format!("it fails: {}", in_full(&***error)),
                "it is tried again by itself",
            ),
            Report::Panicked(panic) => (
                Severity::Critical,
                format!("an error in ctrlz ended its turn: {panic}"),
                "it is started again by itself; please report it",
            ),
            Report::Hangs(lasts) => (
                Severity::Warning,
                format!("its turn has lasted for {} and is not over", Span(whole(*lasts))),
                "the others go on; should it not end, start the daemon again",
            ),
            Report::Works { failures } => {
                (Severity::Ok, format!("it works again, after {failures} failures"), "")
            }
        };
        let remedy = remedy.to_owned();
        self.tell(
            task,
            HealthChanged { check: format!("task {task}"), severity, evidence, remedy },
        );
    }

    /// Tells that `task` had not ended when the daemon did.
    pub(super) fn left_behind(&self, task: &str) {
        let evidence = "it did not end when the daemon was asked to, and was cut short".to_owned();
        let remedy = "what it had begun is taken up by the next daemon".to_owned();
        let (check, severity) = (format!("task {task}"), Severity::Warning);
        self.tell(task, HealthChanged { check, severity, evidence, remedy });
    }

    /// Tells something else about the daemon.
    pub(super) fn tell(&self, task: &str, changed: HealthChanged) {
        eprintln!("ctrlz: {}: {}", changed.check, changed.evidence);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.retain(|(_, old)| (&old.check, old.severity) != (&changed.check, changed.severity));
        untold.push((task.to_owned(), changed));
        if let Err(error) = self.write(&mut untold) {
            eprintln!("ctrlz: the event log does not take that yet: {}", in_full(&error));
        }
    }

    /// Tells what could not be told before.
    pub(super) fn catch_up(&self) {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        // Said when it could not be written the first time.
        let _ = self.write(&mut untold);
    }

    fn write(&self, untold: &mut Vec<(String, HealthChanged)>) -> Result<(), StoreError> {
        while let Some((task, changed)) = untold.first() {
            let store = super::open(&self.store, task)?;
            store.emit(None, Happening::HealthChanged(changed.clone()))?;
            untold.remove(0);
        }
        Ok(())
    }
}

/// Nobody wants to know more exactly.
fn whole(lasts: Duration) -> Duration {
    Duration::from_secs(lasts.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_does_not_take_is_told_later_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        std::fs::write(&store, "no store").expect("written");
        let teller = Teller::new(&store);
        let error = "no luck".into();
        teller.report("one", &Report::Failed(&error));
        teller.report("two", &Report::Panicked("oh"));
        teller.report("two", &Report::Panicked("once more"));
        teller.report("one", &Report::Works { failures: 3 });
        std::fs::remove_file(&store).expect("removed");
        teller.catch_up();
        teller.catch_up();
        let events = super::super::open(&store, "test").expect("a store").events(0, 10);
        let told: Vec<String> = events
            .expect("events")
            .iter()
            .map(|event| {
                let event: serde_json::Value = serde_json::from_str(&event.text).expect("JSON");
                let data = &event["data"];
                format!("{} {} {}", event["authid"], data["severity"], data["evidence"])
            })
            .collect();
        assert_eq!(
            told,
            [
                r#""one" "warning" "it fails: no luck""#,
                r#""two" "critical" "an error in ctrlz ended its turn: once more""#,
                r#""one" "ok" "it works again, after 3 failures""#,
            ]
        );
    }
}
