//! Sandboxes, operations and snapshots.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::monitor::{Anomaly, Signal};
use ctrlz_core::operation::{
    CommandReport, Exit, OperationKind, Outcome, Request, Status, Stopped, Usage,
};
use ctrlz_core::sandbox::Root;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{NewSnapshot, Point, SnapshotKind, Tree};
use ctrlz_core::state::Expected;
use ctrlz_core::store::{Durability, NewSandbox, Store, StoreError};
use ctrlz_core::verdict::{Decision, Risk};
use ctrlz_core::verdict_record::{EffectRecord, VerdictRecord};
use ctrlz_store::SqliteStore;
use fixture::{assert_sound, key, new_sandbox, number, request, sandbox, store};

fn point(tree: &str, state_version: u64) -> Point {
    Point { tree: Tree(tree.into()), state_version }
}

/// Runs one operation to its end.
fn done(store: &SqliteStore, request: &Request, after: Option<&Point>) -> OperationId {
    let operation = store.begin(request, Durability::Process).unwrap();
    store
        .finish(operation.id, Status::Done, &Outcome::default(), after, Durability::Process)
        .unwrap();
    operation.id
}

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_sandbox_comes_back_as_it_was_made() {
    let (_dir, store) = store();
    let odd = PathBuf::from(OsStr::from_bytes(b"/odd/\xff\n\xfe"));
    let new = NewSandbox {
        life: ctrlz_core::lifecycle::Life::default(),
        made_of: ctrlz_core::event::MadeOf::default(),
        name: "web".parse().unwrap(),
        folder: Some(odd.clone()),
        root: Root::Image { source: odd.clone(), unpacked: "/u".into() },
        base: odd.clone(),
        driver: "reflink".into(),
        tree: Tree("t1".into()),
    };
    let made = store.create_sandbox(&new, None).unwrap();
    assert_eq!(made.folder.as_deref(), Some(odd.as_path()));
    assert_eq!(made.point, point("t1", 0));
    assert_eq!(store.sandbox(made.id).unwrap(), made);
    assert_eq!(store.sandbox_named("web").unwrap(), made);
    assert_eq!(store.sandboxes_of_folder(&odd).unwrap(), std::slice::from_ref(&made));
    assert_eq!(store.sandboxes().unwrap(), std::slice::from_ref(&made));
    let [created] = store.operations(made.id, 10).unwrap().try_into().unwrap();
    assert_eq!(created.request.kind, OperationKind::Create);
    assert_eq!(created.status, Status::Done);
    assert_eq!(created.after, Some(made.point));
    assert!(created.finished.is_some());
}

#[test]
fn a_name_is_free_again_after_removal_but_not_before() {
    let (_dir, store) = store();
    let first = sandbox(&store, "web");
    let taken = store.create_sandbox(&new_sandbox("web"), None);
    assert!(matches!(taken, Err(StoreError::NameTaken(name)) if name.as_str() == "web"));
    assert_eq!(store.sandboxes().unwrap().len(), 1);
    store.remove_sandbox(first.id).unwrap();
    assert!(matches!(store.sandbox_named("web"), Err(StoreError::NoSandbox(_))));
    assert_ne!(sandbox(&store, "web").id, first.id, "an id must not be given twice");
}

#[test]
fn sandboxes_are_listed_by_name_and_those_of_a_folder_by_use() {
    let (_dir, store) = store();
    let of_folder = |name: &str| {
        let new = NewSandbox { folder: Some("/p".into()), ..new_sandbox(name) };
        store.create_sandbox(&new, None).unwrap().id
    };
    let (b, c, a) = (of_folder("b"), of_folder("c"), of_folder("a"));
    sandbox(&store, "named");
    done(&store, &request(c, OperationKind::Run), None);
    let ids = |found: Vec<ctrlz_core::sandbox::Sandbox>| {
        found.into_iter().map(|s| s.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(store.sandboxes_of_folder(Path::new("/p")).unwrap()), [c, a, b]);
    assert!(store.sandboxes_of_folder(Path::new("/p/")).unwrap().is_empty());
    assert_eq!(ids(store.sandboxes().unwrap()).len(), 4);
    let names: Vec<_> =
        store.sandboxes().unwrap().into_iter().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c", "named"]);
}

#[test]
fn what_was_refused_is_written_down_beside_what_is_under_way() {
    let (dir, store) = store();
    let made = sandbox(&store, "web");
    let open = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    let during = store.sandbox(made.id).unwrap();
    let verdict = VerdictRecord {
        risk: Risk::Critical,
        decision: Decision::Block,
        score: 92,
        rules: vec!["delete-root".into()],
        effects: vec![EffectRecord {
            kind: "delete".into(),
            target: "/".into(),
            program: "rm".into(),
        }],
        ..VerdictRecord::default()
    };
    let asked = Request { verdict: Some(verdict), ..request(made.id, OperationKind::Run) };
    let refused = store.refuse(&asked, "blocked").unwrap();
    assert_eq!((refused.status, refused.after.as_ref()), (Status::Blocked, None));
    assert_eq!(refused.outcome.error.as_deref(), Some("blocked"));
    assert_eq!(store.operation(refused.id).unwrap(), refused);
    assert_eq!(store.operations(made.id, 1).unwrap(), [refused]);
    assert_eq!(store.sandbox(made.id).unwrap(), during, "the sandbox is as it was");
    store.finish(open.id, Status::Failed, &Outcome::default(), None, Durability::Process).unwrap();
    let gone = request(SandboxId(99), OperationKind::Run);
    assert!(matches!(store.refuse(&gone, "x"), Err(StoreError::NoSandbox(_))));
    assert_sound(&dir.path().join("a/store"));
}

#[test]
fn an_operation_goes_from_intent_to_outcome() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let limits = Limits { memory: Some(ByteSize(1 << 30)), cpus: Some(1.5), ..Limits::default() };
    let asked = Request { limits, ..request(made.id, OperationKind::Run) };
    let open = store.begin(&asked, Durability::Machine).unwrap();
    assert_eq!(open.status, Status::Open);
    assert_eq!(open.before, made.point);
    assert_eq!(store.operation(open.id).unwrap(), open);
    let during = store.sandbox(made.id).unwrap();
    assert_eq!(during.open_operation, Some(open.id));
    assert!(during.used > made.used);

    let outcome = Outcome {
        command: Some(CommandReport {
            exit: Exit::Signal(9),
            stopped: Some(Stopped::Limit(LimitKind::Memory)),
            network_attempts: 3,
            usage: Usage { peak_resident: 4096, ..Usage::default() },
            driver: "oci:runc".parse().expect("a driver"),
            enforced: vec!["seccomp".into()],
        }),
        counts: Some(ChangeCounts { added: 1, modified: 2, deleted: 3, metadata: 4 }),
        changeset: None,
        error: Some("no \"luck\"\n".into()),
        state: Vec::new(),
        anomalies: vec![Anomaly {
            signal: Signal::Deletes,
            value: 40.0,
            baseline: 2.5,
            spread: 0.5,
            factor: 16.0,
            operations: 9,
        }],
    };
    let after = point("t2", 0);
    store.finish(open.id, Status::Done, &outcome, Some(&after), Durability::Machine).unwrap();
    let closed = store.operation(open.id).unwrap();
    assert_eq!(closed.status, Status::Done);
    assert_eq!(closed.request, asked);
    assert_eq!(closed.outcome, outcome);
    assert_eq!(closed.after.as_ref(), Some(&after));
    assert!(closed.finished.unwrap() >= closed.started);
    let rested = store.sandbox(made.id).unwrap();
    assert_eq!((rested.point, rested.open_operation), (after, None));
    assert!(rested.used > during.used);
}

#[test]
fn without_after_a_sandbox_stays_where_it_is() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let open = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    store
        .finish(open.id, Status::Recovered, &Outcome::default(), None, Durability::Process)
        .unwrap();
    assert_eq!(store.sandbox(made.id).unwrap().point, made.point);
    assert_eq!(store.operation(open.id).unwrap().status, Status::Recovered);
    assert_eq!(store.operation(open.id).unwrap().after, None);
}

#[test]
fn a_second_operation_must_wait_for_the_first() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let asked = request(made.id, OperationKind::Run);
    let open = store.begin(&asked, Durability::Process).unwrap();
    let refused = store.begin(&asked, Durability::Process).unwrap_err();
    assert!(matches!(refused, StoreError::Failed { .. }));
    assert!(cause(&refused).contains(&format!("has {} open", open.id)), "{}", cause(&refused));
    assert_eq!(store.operations(made.id, 10).unwrap().len(), 2);
    let gone = request(SandboxId(99), OperationKind::Run);
    assert!(matches!(store.begin(&gone, Durability::Process), Err(StoreError::NoSandbox(_))));
}

#[test]
fn an_operation_ends_once() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let id = done(&store, &request(made.id, OperationKind::Run), Some(&point("t2", 0)));
    let other = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    let outcome = Outcome::default();
    let again = store
        .finish(id, Status::Failed, &outcome, Some(&point("t9", 0)), Durability::Process)
        .unwrap_err();
    assert!(cause(&again).contains("is not open"), "{}", cause(&again));
    let now = store.sandbox(made.id).unwrap();
    assert_eq!((now.point, now.open_operation), (point("t2", 0), Some(other.id)));
    let unknown = store.finish(OperationId(99), Status::Done, &outcome, None, Durability::Process);
    assert!(matches!(unknown, Err(StoreError::NoOperation(OperationId(99)))));
}

#[test]
fn undo_and_redo_change_their_target_only_when_done() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let run = done(&store, &request(made.id, OperationKind::Run), Some(&point("t2", 0)));
    let step = |kind: OperationKind, status: Status| {
        let asked = Request { target: Some(run), ..request(made.id, kind) };
        let open = store.begin(&asked, Durability::Process).unwrap();
        store.finish(open.id, status, &Outcome::default(), None, Durability::Process).unwrap();
        store.operation(run).unwrap().status
    };
    assert_eq!(step(OperationKind::Undo, Status::Failed), Status::Done);
    assert_eq!(step(OperationKind::Rollback, Status::Done), Status::Done);
    assert_eq!(step(OperationKind::Undo, Status::Done), Status::Undone);
    assert_eq!(step(OperationKind::Redo, Status::Recovered), Status::Undone);
    assert_eq!(step(OperationKind::Redo, Status::Done), Status::Done);
}

#[test]
fn an_undo_without_its_target_changes_nothing() {
    let (_dir, store) = store();
    let (made, other) = (sandbox(&store, "web"), sandbox(&store, "other"));
    let strangers = done(&store, &request(other.id, OperationKind::Run), None);
    let asked = Request { target: Some(strangers), ..request(made.id, OperationKind::Undo) };
    let open = store.begin(&asked, Durability::Process).unwrap();
    let after = point("t2", 0);
    let refused =
        store.finish(open.id, Status::Done, &Outcome::default(), Some(&after), Durability::Process);
    assert!(matches!(refused, Err(StoreError::NoOperation(id)) if id == strangers));
    assert_eq!(store.operation(strangers).unwrap().status, Status::Done);
    assert_eq!(store.operation(open.id).unwrap(), open, "half of it must not have happened");
    let now = store.sandbox(made.id).unwrap();
    assert_eq!((now.point, now.open_operation), (made.point, Some(open.id)));
}

#[test]
fn a_sandbox_stands_at_its_newest_state_whatever_finish_says() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let open = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    store.put(made.id, &key("k"), Some(b"v"), Expected::Any).unwrap();
    assert_eq!(store.sandbox(made.id).unwrap().point.state_version, 1);
    let (outcome, after) = (Outcome::default(), point("t2", 0));
    store.finish(open.id, Status::Done, &outcome, Some(&after), Durability::Process).unwrap();
    assert_eq!(store.sandbox(made.id).unwrap().point, point("t2", 1));
}

#[test]
fn operations_are_listed_newest_first_up_to_the_limit() {
    let (_dir, store) = store();
    let (made, other) = (sandbox(&store, "web"), sandbox(&store, "other"));
    let first = done(&store, &request(made.id, OperationKind::Run), None);
    done(&store, &request(other.id, OperationKind::Run), None);
    let second = done(&store, &request(made.id, OperationKind::Run), None);
    let listed: Vec<_> = store.operations(made.id, 2).unwrap().into_iter().map(|o| o.id).collect();
    assert_eq!(listed, [second, first]);
    assert_eq!(store.operations(made.id, u32::MAX).unwrap().len(), 3);
    assert!(store.operations(made.id, 0).unwrap().is_empty());
    assert!(matches!(store.operation(OperationId(99)), Err(StoreError::NoOperation(_))));
}

#[test]
fn snapshots_come_back_newest_first() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let open =
        store.begin(&request(made.id, OperationKind::Snapshot), Durability::Process).unwrap();
    let one = store
        .create_snapshot(
            &open,
            &NewSnapshot::of(SnapshotKind::Manual, "before\0lunch"),
            &point("t1", 4),
        )
        .unwrap();
    let two = store
        .create_snapshot(&open, &NewSnapshot::of(SnapshotKind::PreRollback, ""), &point("t2", 5))
        .unwrap();
    assert_eq!((one.operation, one.sandbox), (open.id, made.id));
    assert_eq!(store.snapshot(one.id).unwrap(), one);
    assert_eq!(store.snapshots(made.id).unwrap(), [two, one]);
    assert!(matches!(store.snapshot(SnapshotId(99)), Err(StoreError::NoSnapshot(_))));
    store.remove_sandbox(made.id).unwrap();
    let late =
        store.create_snapshot(&open, &NewSnapshot::of(SnapshotKind::Manual, ""), &point("t1", 0));
    assert!(matches!(late, Err(StoreError::NoSandbox(_))));
}

#[test]
fn a_fork_has_the_living_state_of_its_source_at_that_point() {
    let (_dir, store) = store();
    let source = sandbox(&store, "web");
    let put = |name: &str, value: Option<&[u8]>| {
        store.put(source.id, &key(name), value, Expected::Any).unwrap()
    };
    put("a", Some(b"1"));
    put("gone", Some(b"x"));
    put("gone", None);
    let then = put("b", Some(b"2"));
    put("a", Some(b"later"));
    let from = point("web-first", then);
    let fork = store.create_sandbox(&new_sandbox("copy"), Some((source.id, &from))).unwrap();
    assert_eq!(fork.point.state_version, 2);
    let values: Vec<_> = ["a", "b", "gone"]
        .iter()
        .map(|k| store.get(fork.id, &key(k), None).unwrap().and_then(|e| e.value))
        .collect();
    assert_eq!(values, [Some(b"1".to_vec()), Some(b"2".to_vec()), None]);
    let [forked] = store.operations(fork.id, 10).unwrap().try_into().unwrap();
    assert_eq!(forked.request.kind, OperationKind::Fork);
    assert!(forked.request.title.contains("web"), "{}", forked.request.title);
    assert_eq!(forked.after, Some(fork.point.clone()));
    assert_eq!(store.sandbox(fork.id).unwrap(), fork);
    store.remove_sandbox(source.id).unwrap();
    let kept = store.get(fork.id, &key("a"), None).unwrap().unwrap();
    assert_eq!(kept.value.as_deref(), Some(b"1".as_slice()));
    let orphan = store.create_sandbox(&new_sandbox("late"), Some((source.id, &from)));
    assert!(matches!(orphan, Err(StoreError::NoSandbox(_))));
    assert!(store.sandbox_named("late").is_err());
}

#[test]
fn removal_takes_all_of_one_sandbox_and_nothing_of_another() {
    let (dir, store) = store();
    let (made, other) = (sandbox(&store, "web"), sandbox(&store, "other"));
    for id in [made.id, other.id] {
        store.put(id, &key("same"), Some(b"shared"), Expected::Any).unwrap();
        store.put(id, &key("own"), Some(&id.0.to_le_bytes()), Expected::Any).unwrap();
        store.put(id, &key("own"), None, Expected::Any).unwrap();
        let open = store.begin(&request(id, OperationKind::Run), Durability::Process).unwrap();
        store
            .create_snapshot(&open, &NewSnapshot::of(SnapshotKind::Manual, ""), &open.before)
            .unwrap();
    }
    let newest = store.operations(other.id, 1).unwrap()[0].id;
    store.remove_sandbox(other.id).unwrap();
    store.remove_sandbox(other.id).unwrap();
    let path = dir.path().join("a/store");
    assert_sound(&path);
    assert_eq!(number(&path, "SELECT count(*) FROM blobs"), 2);
    assert!(store.snapshots(other.id).unwrap().is_empty());
    assert!(store.operations(other.id, 9).unwrap().is_empty());
    assert_eq!(store.snapshots(made.id).unwrap().len(), 1);
    assert!(store.get(made.id, &key("same"), None).unwrap().is_some());
    let next = sandbox(&store, "next");
    assert!(next.id > other.id && store.operations(next.id, 1).unwrap()[0].id > newest);
}

#[test]
fn trees_in_use_are_those_of_sandboxes_snapshots_and_operations_of_the_driver() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let elsewhere = NewSandbox { driver: "copy".into(), ..new_sandbox("elsewhere") };
    store.create_sandbox(&elsewhere, None).unwrap();
    let open = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    store
        .create_snapshot(&open, &NewSnapshot::of(SnapshotKind::Manual, ""), &point("kept", 0))
        .unwrap();
    let (outcome, after) = (Outcome::default(), point("now", 0));
    store.finish(open.id, Status::Done, &outcome, Some(&after), Durability::Process).unwrap();
    done(&store, &request(made.id, OperationKind::Run), Some(&point("later", 0)));
    let trees = |driver| {
        let mut trees: Vec<_> =
            store.live_trees(driver).unwrap().into_iter().map(|t| t.0).collect();
        trees.sort();
        trees
    };
    assert_eq!(trees("overlay"), ["kept", "later", "now", "web-first"]);
    assert_eq!(trees("copy"), ["elsewhere-first"]);
    store.remove_sandbox(made.id).unwrap();
    assert!(trees("overlay").is_empty());
}
