//! A full disk, a clock that is set, and what they left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::event::{Happening, RollbackRequired};
use ctrlz_core::sink::{SinkConfig, SinkTarget};
use ctrlz_core::span::Span;
use ctrlz_core::store::Store;
use ctrlz_sinks::{Delivered, Office, dead_letters, deliver};
use ctrlz_store::SqliteStore;

const LONG: Duration = Duration::from_secs(60);

struct Scene {
    dir: tempfile::TempDir,
    store: SqliteStore,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn sinks(&self) -> PathBuf {
        self.dir.path().join("store/sinks")
    }

    /// A file in the folder of the sink.
    fn own(&self, name: &str) -> PathBuf {
        self.sinks().join("test").join(name)
    }

    fn happen(&self, reason: &str) {
        let happening = RollbackRequired { reason: reason.to_owned(), to: None };
        self.store.emit(None, Happening::RollbackRequired(happening)).unwrap();
    }

    fn deliver(&self, sink: &SinkConfig) -> Delivered {
        deliver(office(&self.store, &self.sinks()), sink, LONG).unwrap()
    }

    /// A command that appends what it gets to a file, and the lines of that.
    fn appends(&self) -> SinkConfig {
        command(&format!("cat >> {}/got; echo >> {0}/got", self.dir.path().display()))
    }

    fn got(&self) -> usize {
        let text = std::fs::read_to_string(self.dir.path().join("got")).unwrap_or_default();
        text.lines().filter(|line| !line.is_empty()).count()
    }
}

/// Nothing here looks like a secret.
fn office<'o>(store: &'o dyn Store, sinks: &'o Path) -> Office<'o> {
    Office { store, sinks, redact: &str::to_owned }
}

fn command(script: &str) -> SinkConfig {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    let target = SinkTarget::Command { argv, timeout: Span(Duration::from_secs(5)) };
    SinkConfig { name: "test".to_owned(), types: Vec::new(), attempts: 1, target }
}

#[test]
fn what_cannot_be_written_down_is_not_sent_again_and_again() {
    let scene = Scene::new();
    let sink = scene.appends();
    scene.deliver(&sink);
    scene.happen("one");
    scene.happen("two");
    // A full disk, as far as the position is concerned.
    std::fs::create_dir(scene.own("position.partial")).unwrap();
    for _ in 0..3 {
        let error = deliver(office(&scene.store, &scene.sinks()), &sink, LONG).unwrap_err();
        assert!(error.to_string().contains("position.partial"), "{error}");
    }
    assert_eq!(scene.got(), 0);
    std::fs::remove_dir(scene.own("position.partial")).unwrap();
    let done = scene.deliver(&sink);
    assert_eq!((done.taken, done.position.delivered, done.pending), (2, 2, 0));
    assert_eq!(scene.got(), 2);
}

#[test]
fn a_dead_letter_that_was_cut_short_spoils_no_other() {
    let scene = Scene::new();
    let sink = command("exit 1");
    scene.deliver(&sink);
    scene.happen("one");
    assert_eq!(scene.deliver(&sink).died, 1);
    let path = scene.own("dead-letters.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    for rest in ["{\"number\":2,\"error\":\"fa", &"x".repeat(10_000)] {
        std::fs::write(&path, format!("{whole}{rest}")).unwrap();
        scene.happen("another");
        let done = scene.deliver(&sink);
        assert_eq!((done.died, done.position.dead), (1, 2));
        let letters = dead_letters(&scene.sinks(), "test").unwrap();
        assert!(letters[1].event.contains("another"), "{letters:?}");
    }
    // One that lacks its end alone is a letter like any other.
    std::fs::write(&path, whole.trim_end()).unwrap();
    scene.happen("last");
    scene.deliver(&sink);
    let letters = dead_letters(&scene.sinks(), "test").unwrap();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].event.contains("one") && letters[1].event.contains("last"));
}

#[test]
fn a_pause_that_a_wrong_clock_began_ends() {
    let scene = Scene::new();
    let sink = scene.appends();
    scene.deliver(&sink);
    scene.happen("one");
    let text = std::fs::read_to_string(scene.own("position")).unwrap();
    let mut position: serde_json::Value = serde_json::from_str(&text).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let mut pausing = |until: i64| {
        position["not_before"] = until.into();
        std::fs::write(scene.own("position"), position.to_string()).unwrap();
        scene.deliver(&sink).taken
    };
    assert_eq!(pausing(now + 3600), 0, "it pauses");
    // No pause is so long: the clock was ahead by a year when it began.
    assert_eq!(pausing(now + 365 * 86_400), 1);
    assert_eq!(scene.got(), 1);
}
