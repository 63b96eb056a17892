//! The event log: what is told, and that it is one chain.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use ctrlz_core::actor::{Actor, ActorKind};
use ctrlz_core::event::{Event, Happening, RollbackRequired};
use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::snapshot::{NewSnapshot, Point, SnapshotKind, Tree};
use ctrlz_core::store::{Durability, Store};
use ctrlz_store::SqliteStore;
use fixture::{request, sandbox, store};
use sha2::{Digest, Sha256};

fn events(store: &SqliteStore) -> Vec<Event> {
    let logged = store.events(0, u32::MAX).unwrap();
    logged.iter().map(|event| serde_json::from_str(&event.text).unwrap()).collect()
}

fn types(store: &SqliteStore) -> Vec<String> {
    let prefix = "io.github.ctrlz.";
    let short = |event: &Event| {
        let value = serde_json::to_value(event).unwrap();
        value["type"].as_str().unwrap().strip_prefix(prefix).unwrap().to_owned()
    };
    events(store).iter().map(short).collect()
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each event names the one before it, by its bytes; the first one names the source.
#[track_caller]
fn assert_chain(store: &SqliteStore) {
    let mut previous = hash(&store.log_head().unwrap().source);
    for (number, logged) in (1..).zip(store.events(0, u32::MAX).unwrap()) {
        assert_eq!(logged.number, number);
        let event: Event = serde_json::from_str(&logged.text).unwrap();
        assert_eq!(event.prevhash, previous, "event {number}");
        assert_eq!(event.sequence, format!("{number:019}"));
        previous = hash(&logged.text);
    }
}

#[test]
fn every_step_is_told_with_who_and_what() {
    let (_dir, store) = store();
    let web = sandbox(&store, "web");
    let open = store.begin(&request(web.id, OperationKind::Run), Durability::Process).unwrap();
    store
        .create_snapshot(&open, &NewSnapshot::of(SnapshotKind::PreOperation, ""), &open.before)
        .unwrap();
    let after = Point { tree: Tree("after".to_owned()), state_version: 0 };
    store
        .finish(open.id, Status::Done, &Outcome::default(), Some(&after), Durability::Process)
        .unwrap();
    store.refuse(&request(web.id, OperationKind::Run), "no").unwrap();
    let back = store.begin(&request(web.id, OperationKind::Rollback), Durability::Process).unwrap();
    store
        .finish(back.id, Status::Done, &Outcome::default(), Some(&after), Durability::Process)
        .unwrap();
    let why = RollbackRequired { reason: "a test".to_owned(), to: None };
    store.emit(Some(web.id), Happening::RollbackRequired(why)).unwrap();
    store.remove_sandbox(web.id).unwrap();
    store.remove_sandbox(web.id).unwrap();
    let expected = [
        "sandbox.created",
        "operation.started",
        "snapshot.created",
        "operation.finished",
        "safety.violation",
        "operation.started",
        "operation.finished",
        "rollback.done",
        "rollback.required",
        "sandbox.removed",
    ];
    assert_eq!(types(&store), expected, "the second removal has nothing to tell");
    assert_chain(&store);

    let events = events(&store);
    assert!(events.iter().all(|event| event.subject.as_deref() == Some("web")));
    let uid = rustix::process::getuid().as_raw().to_string();
    assert!(events.iter().all(|e| (e.authtype, &e.authid) == (ActorKind::User, &uid)));
    let Happening::OperationFinished(finished) = &events[3].happening else { panic!() };
    let Happening::OperationStarted(next) = &events[5].happening else { panic!() };
    assert_eq!(finished.snapshot.unwrap(), next.snapshot, "it goes on where it stands");
    assert_eq!(finished.snapshot.unwrap().hex(), hash("after\n0"));
}

#[test]
fn a_log_has_a_source_of_its_own_and_is_read_in_parts() {
    let ((_a, first), (_b, second)) = (store(), store());
    let (one, other) = (first.log_head().unwrap(), second.log_head().unwrap());
    assert_ne!(one.source, other.source);
    assert_eq!(one.last, 0);
    let uuid = one.source.strip_prefix("urn:uuid:").unwrap();
    let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
    assert!(uuid.bytes().all(|b| b == b'-' || matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{uuid}");
    assert_eq!(&uuid[14..15], "4", "{uuid}");
    for name in ["a", "b", "c"] {
        sandbox(&first, name);
    }
    let numbers = |after, limit| -> Vec<i64> {
        first.events(after, limit).unwrap().iter().map(|event| event.number).collect()
    };
    assert_eq!(numbers(0, 2), [1, 2]);
    assert_eq!(numbers(2, 2), [3]);
    assert_eq!(numbers(-5, 9), [1, 2, 3], "the source is no event");
    assert_eq!(numbers(3, 9), [0_i64; 0]);
    assert_eq!(first.log_head().unwrap().last, 3);
}

#[test]
fn what_is_taken_back_is_not_told() {
    let (_dir, store) = store();
    let web = sandbox(&store, "web");
    let again = store.create_sandbox(&fixture::new_sandbox("web"), None);
    assert!(again.is_err());
    let open = store.begin(&request(web.id, OperationKind::Run), Durability::Process).unwrap();
    assert!(store.begin(&request(web.id, OperationKind::Run), Durability::Process).is_err());
    let done = || {
        let outcome = Outcome::default();
        store.finish(open.id, Status::Done, &outcome, None, Durability::Process)
    };
    done().unwrap();
    assert!(done().is_err());
    assert_eq!(types(&store), ["sandbox.created", "operation.started", "operation.finished"]);
    assert_chain(&store);
}

#[test]
fn many_at_once_write_one_chain() {
    let (dir, store) = store();
    let path = dir.path().join("a/store");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let store = SqliteStore::open(path).unwrap().acting_as(Actor::system("test"));
                for turn in 0..25 {
                    sandbox(&store, &format!("w{worker}-{turn}"));
                }
            });
        }
    });
    assert_eq!(store.log_head().unwrap().last, 100);
    assert_chain(&store);
    assert!(events(&store).iter().all(|event| event.authtype == ActorKind::System));
}
