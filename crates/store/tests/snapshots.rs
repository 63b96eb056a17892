//! What becomes of snapshots: tags, goodness, and their end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use ctrlz_core::event::{Event, Happening};
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::live::{Live, LiveMeans};
use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::sandbox::{Guard, GuardChange, Sandbox};
use ctrlz_core::snapshot::{NewSnapshot, Point, Snapshot, SnapshotKind, SnapshotScope, Tag, Tree};
use ctrlz_core::span::Span;
use ctrlz_core::store::{Durability, Store, StoreError};
use ctrlz_store::SqliteStore;
use ctrlz_store::audit;
use fixture::{request, sandbox, store};

fn point(tree: &str) -> Point {
    Point { tree: Tree(tree.to_owned()), state_version: 0 }
}

/// An operation that takes a snapshot of the point before it and moves the sandbox to `tree`.
fn step(store: &SqliteStore, sandbox: &Sandbox, tree: &str) -> Snapshot {
    let open = store.begin(&request(sandbox.id, OperationKind::Run), Durability::Process).unwrap();
    let new = NewSnapshot::of(SnapshotKind::PreOperation, "");
    let snapshot = store.create_snapshot(&open, &new, &open.before).unwrap();
    let outcome = Outcome::default();
    let after = Some(point(tree));
    store.finish(open.id, Status::Done, &outcome, after.as_ref(), Durability::Process).unwrap();
    snapshot
}

fn told(store: &SqliteStore) -> Vec<Happening> {
    let events = store.events(0, u32::MAX).unwrap();
    events.iter().map(|e| serde_json::from_str::<Event>(&e.text).unwrap().happening).collect()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

#[test]
fn tags_and_scope_are_kept_and_told() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let open =
        store.begin(&request(made.id, OperationKind::Snapshot), Durability::Process).unwrap();
    let new = NewSnapshot {
        scope: SnapshotScope::StateOnly,
        tags: [tag("b"), tag("a")].into(),
        live: Some(Live {
            by: LiveMeans::Frozen,
            frozen_by: None,
            stopped: Span::default(),
            memory: None,
        }),
        ..NewSnapshot::of(SnapshotKind::Manual, "x")
    };
    let taken = store.create_snapshot(&open, &new, &point("t")).unwrap();
    assert!(taken.point.tree.is_none(), "no files are kept");
    assert_eq!(store.snapshot(taken.id).unwrap(), taken);
    let changed = store.tag_snapshot(taken.id, &[tag("c")], &[tag("a"), tag("never")]).unwrap();
    assert_eq!(changed.tags, [tag("b"), tag("c")].into());
    let good = store.mark_good(taken.id).unwrap();
    assert!(good.good.is_some());
    assert_eq!(store.snapshots(made.id).unwrap(), [good]);
    let before = told(&store).len();
    store.tag_snapshot(taken.id, &[tag("c")], &[]).unwrap();
    assert_eq!(told(&store).len(), before, "nothing changed, nothing is told");
    let changes = told(&store).into_iter().filter(|h| matches!(h, Happening::SnapshotChanged(_)));
    assert_eq!(changes.count(), 2);
    let gone = store.tag_snapshot(SnapshotId(99), &[tag("c")], &[]);
    assert!(matches!(gone, Err(StoreError::NoSnapshot(_))));
}

#[test]
fn what_is_let_go_is_told_and_its_ids_are_not_given_again() {
    let (_dir, store) = store();
    let (made, other) = (sandbox(&store, "web"), sandbox(&store, "other"));
    let taken: Vec<Snapshot> = (1..=3).map(|n| step(&store, &made, &format!("t{n}"))).collect();
    let foreign = step(&store, &other, "foreign");
    let reason = || "old".to_owned();
    let gone = [(taken[0].id, reason()), (taken[2].id, reason()), (foreign.id, reason())];
    store.let_go(made.id, &gone, Some((taken[1].operation, "old"))).unwrap();
    assert_eq!(store.snapshots(made.id).unwrap(), [taken[1].clone()]);
    let of_other = store.snapshots(other.id).unwrap();
    assert_eq!(of_other, std::slice::from_ref(&foreign), "not one of another sandbox");
    let [newest, second, first, created] =
        store.operations(made.id, 9).unwrap().try_into().unwrap();
    for operation in [second, first, created] {
        assert!(operation.before.tree.is_none() && operation.after.unwrap().tree.is_none());
    }
    assert_eq!((newest.before, newest.after), (point("t2"), Some(point("t3"))));
    let mut live: Vec<String> =
        store.live_trees("overlay").unwrap().into_iter().map(|tree| tree.0).collect();
    live.sort();
    assert_eq!(live, ["foreign", "other-first", "t1", "t2", "t3"]);
    let removed = told(&store).into_iter().filter(|h| matches!(h, Happening::SnapshotRemoved(_)));
    assert_eq!(removed.count(), 2);
    let trimmed = told(&store).into_iter().find_map(|happening| match happening {
        Happening::HistoryTrimmed(trimmed) => Some(trimmed),
        _ => None,
    });
    assert_eq!(trimmed.unwrap().operations, 3);
    store.let_go(other.id, &[(foreign.id, reason())], None).unwrap();
    assert!(step(&store, &made, "t4").id > foreign.id, "ids are not given again");
    assert_eq!(audit::compare(&store).unwrap(), [], "the journal is still what was told");
}

#[test]
fn what_is_open_keeps_its_files() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    let open = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    store.let_go(made.id, &[], Some((OperationId(99), "old"))).unwrap();
    assert_eq!(store.operation(open.id).unwrap().before, open.before);
}

#[test]
fn a_guard_is_kept_and_told() {
    let (_dir, store) = store();
    let made = sandbox(&store, "web");
    assert_eq!(made.guard, Guard::default());
    let contain = |watched| GuardChange::Contain { reason: "broken".to_owned(), watched };
    store.change_guard(made.id, &contain(3)).unwrap();
    let contained = Some("broken".to_owned());
    assert_eq!(store.sandbox(made.id).unwrap().guard, Guard { contained, watched: 3 });
    // Whoever read it before knows nothing of the second emergency, and undoes nothing of it.
    store.change_guard(made.id, &contain(10)).unwrap();
    let counted = store.change_guard(made.id, &GuardChange::CountDown).unwrap();
    assert_eq!((counted.contained.is_some(), counted.watched), (true, 9));
    let released = store.change_guard(made.id, &GuardChange::Release).unwrap();
    assert_eq!(released, Guard { contained: None, watched: 9 });
    for _ in 0..9 {
        store.change_guard(made.id, &GuardChange::CountDown).unwrap();
    }
    assert_eq!(store.sandbox(made.id).unwrap().guard, Guard::default());
    let before = told(&store).len();
    assert!(matches!(told(&store).last(), Some(Happening::SandboxGuarded(_))));
    store.change_guard(made.id, &GuardChange::CountDown).unwrap();
    assert_eq!(told(&store).len(), before, "nothing changed");
}
