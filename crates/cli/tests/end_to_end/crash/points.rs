//! A fault at every point of every kind of operation, one after the other.

use std::os::unix::process::ExitStatusExt;

use super::moment::Moment;
use crate::support::{Outcome, Scene};

const PROJECT: &str = "echo base > a; echo base > gone; mkdir -p d/e; echo x > d/x; echo y > d/e/y; \
    echo h > h1; ln h1 h2; ln -s a link; touch -d @1000000000 a gone d/x d/e/y h1";

/// Changes of every kind, with fixed times.
const CHANGE: &str = "echo inside > a; rm gone; rm -r d/e; mkdir new; echo n > new/n; echo H > h1; \
    chmod 600 d/x; rm link; ln -s new link; mkfifo pipe; rm -f d/e; echo file > d/e; \
    touch -d @1000000001 a new/n h1 d/x pipe d/e";

const MORE: &str = "echo more > m; echo again > a; rm -r new; touch -d @1000000002 m a";

/// How an operation is tried.
struct Trial {
    /// Brings a fresh scene to where the operation can begin.
    before: fn(&Scene),
    operation: &'static [&'static str],
    /// Takes the finished operation back.
    back: &'static [&'static str],
    /// Where else it may end: an operation in two steps may end between them.
    between: Option<fn(&Scene)>,
}

fn changed(scene: &Scene) {
    scene.host(PROJECT);
    scene.inside(CHANGE);
    scene.ok(&["state", "put", "key", "one"]);
}

fn more(scene: &Scene) {
    changed(scene);
    scene.ok(&["snapshot", "-m", "here"]);
    scene.inside(MORE);
    scene.ok(&["state", "put", "key", "two"]);
}

fn committed(scene: &Scene) {
    changed(scene);
    scene.ok(&["commit"]);
}

fn reverted(scene: &Scene) {
    committed(scene);
    scene.ok(&["undo"]);
}

fn undone(scene: &Scene) {
    more(scene);
    scene.ok(&["undo"]);
}

fn second_run(scene: &Scene) {
    scene.inside(MORE);
}

const RUN: Trial = Trial {
    before: changed,
    operation: &["run", "--", "sh", "-ec", MORE],
    back: &["undo"],
    between: None,
};
const RUN_COMMIT: Trial = Trial {
    before: changed,
    operation: &["run", "--commit", "--", "sh", "-ec", MORE],
    back: &["undo", "undo"],
    between: Some(second_run),
};
const SNAPSHOT: Trial =
    Trial { before: more, operation: &["snapshot", "-m", "x"], back: &[], between: None };
const ROLLBACK: Trial =
    Trial { before: more, operation: &["rollback", "snap-2"], back: &["undo"], between: None };
const ROLLBACK_PATHS: Trial = Trial {
    before: more,
    operation: &["rollback", "snap-2", "--path", "a", "--path", "new"],
    back: &["undo"],
    between: None,
};
const DISCARD: Trial =
    Trial { before: more, operation: &["discard"], back: &["undo"], between: None };
const COMMIT: Trial =
    Trial { before: changed, operation: &["commit"], back: &["undo"], between: None };
const COMMIT_PATHS: Trial = Trial {
    before: changed,
    operation: &["commit", "--path", "d", "--path", "h1", "--path", "new"],
    back: &["undo"],
    between: None,
};
const UNDO_STATE: Trial =
    Trial { before: more, operation: &["undo"], back: &["redo"], between: None };
const UNDO_RUN: Trial =
    Trial { before: undone, operation: &["undo"], back: &["redo"], between: None };
const UNDO_COMMIT: Trial =
    Trial { before: committed, operation: &["undo"], back: &["redo"], between: None };
const REDO_COMMIT: Trial =
    Trial { before: reverted, operation: &["redo"], back: &["undo"], between: None };
const PUT: Trial = Trial {
    before: more,
    operation: &["state", "put", "key", "three"],
    back: &["undo"],
    between: None,
};

impl Trial {
    fn go(&self, scene: &Scene, words: &[&str]) {
        // `undo` and `redo` have no arguments here, so that a list of them is a sequence.
        if words.iter().all(|word| matches!(*word, "undo" | "redo")) {
            for word in words {
                scene.ok(&[word]);
            }
        } else {
            scene.ok(words);
        }
    }

    /// Puts the fault `value(n)` into `variable` for n = 1, 2, ... until the operation passes
    /// without it.
    #[track_caller]
    fn try_all(&self, variable: &str, value: &dyn Fn(u32) -> String) {
        let scene = Scene::new();
        (self.before)(&scene);
        let before = Moment::of(&scene);
        let mut ends = vec![before.clone()];
        if let Some(between) = self.between {
            between(&scene);
            ends.push(Moment::of(&scene));
            scene.ok(&["undo"]);
        }
        self.go(&scene, self.operation);
        let after = Moment::of(&scene);
        ends.push(after.clone());
        self.return_to(&scene, &before, &after);

        for number in 1..1000 {
            let fault = value(number);
            let outcome = Outcome::of(scene.ctrlz(self.operation).env(variable, &fault));
            if outcome.status.success() {
                let now = Moment::of(&scene);
                assert!(now == after, "{fault}: {}\n{outcome}", after.difference(&now));
                assert!(number > 3, "there is no point at all");
                return;
            }
            // An answer of ctrlz's own, or its death.
            let died = outcome.status.signal() == Some(9);
            assert!(died || outcome.status.code() == Some(125), "{fault}: {outcome}");
            // Recovery is asked for, or happens by itself with the next command.
            if number % 2 == 0 {
                scene.ok(&["recover"]);
            } else if number % 4 == 1 {
                scene.ok(&["snapshot"]);
            } else {
                scene.run(&["commit", "--dry-run"]);
            }
            let now = Moment::of(&scene);
            let allowed = ends.contains(&now);
            assert!(
                allowed,
                "{fault}\nfrom before: {}\nfrom after: {}\n{outcome}",
                before.difference(&now),
                after.difference(&now)
            );
            assert!(scene.log().iter().all(|operation| operation["status"] != "open"));
            if now == before {
                continue;
            }
            if now == after {
                self.return_to(&scene, &before, &after);
            } else {
                scene.ok(&["undo"]);
            }
        }
        panic!("no end of points");
    }

    #[track_caller]
    fn return_to(&self, scene: &Scene, before: &Moment, after: &Moment) {
        if before != after {
            self.go(scene, self.back);
        }
        let now = Moment::of(scene);
        assert!(now == *before, "taking it back: {}", before.difference(&now));
    }

    /// Death before and after every call of the store, and every call failing.
    #[track_caller]
    fn at_every_call_of_the_store(&self) {
        for action in ["before", "after", "fail"] {
            self.try_all("CTRLZ_STORE_FAULT", &|number| format!("{number}:{action}"));
        }
    }

    /// Death at every step in the workspace, and every step failing.
    #[track_caller]
    fn at_every_step_in_files(&self) {
        for action in ["kill", "eio"] {
            self.try_all("CTRLZ_FAULT", &|number| format!("any:{number}:{action}"));
        }
    }
}

macro_rules! at_every_point {
    ($($name:ident: $trial:ident.$method:ident;)*) => {
        $(#[test] fn $name() { $trial.$method(); })*
    };
}

at_every_point! {
    run_at_every_call_of_the_store: RUN.at_every_call_of_the_store;
    run_and_commit_at_every_call_of_the_store: RUN_COMMIT.at_every_call_of_the_store;
    run_and_commit_at_every_step: RUN_COMMIT.at_every_step_in_files;
    snapshot_at_every_call_of_the_store: SNAPSHOT.at_every_call_of_the_store;
    rollback_at_every_call_of_the_store: ROLLBACK.at_every_call_of_the_store;
    rollback_of_paths_at_every_call_of_the_store: ROLLBACK_PATHS.at_every_call_of_the_store;
    discard_at_every_call_of_the_store: DISCARD.at_every_call_of_the_store;
    commit_at_every_call_of_the_store: COMMIT.at_every_call_of_the_store;
    commit_at_every_step: COMMIT.at_every_step_in_files;
    commit_of_paths_at_every_step: COMMIT_PATHS.at_every_step_in_files;
    undo_of_state_at_every_call_of_the_store: UNDO_STATE.at_every_call_of_the_store;
    undo_of_a_run_at_every_call_of_the_store: UNDO_RUN.at_every_call_of_the_store;
    undo_of_a_commit_at_every_call_of_the_store: UNDO_COMMIT.at_every_call_of_the_store;
    undo_of_a_commit_at_every_step: UNDO_COMMIT.at_every_step_in_files;
    redo_of_a_commit_at_every_call_of_the_store: REDO_COMMIT.at_every_call_of_the_store;
    redo_of_a_commit_at_every_step: REDO_COMMIT.at_every_step_in_files;
    state_at_every_call_of_the_store: PUT.at_every_call_of_the_store;
}
