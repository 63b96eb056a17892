use std::time::Duration;

use ctrlz_core::id::SandboxId;
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{OperationKind, Outcome, Request};
use ctrlz_core::snapshot::{Point, SnapshotScope};

use super::*;

const HOUR: i64 = 3_600_000_000_000;
const NOW: Timestamp = Timestamp(1000 * HOUR);

fn point(tree: &str) -> Point {
    Point { tree: Tree(tree.to_owned()), state_version: 0 }
}

/// Taken `hours` ago by the operation of the same number.
fn snapshot(id: i64, kind: SnapshotKind, hours: i64) -> Snapshot {
    Snapshot {
        id: SnapshotId(id),
        sandbox: SandboxId(1),
        kind,
        scope: SnapshotScope::Full,
        message: String::new(),
        tags: BTreeSet::new(),
        operation: OperationId(id),
        point: point(&format!("s{id}")),
        created: Timestamp(NOW.0 - hours * HOUR),
        good: None,
        live: None,
    }
}

fn operation(id: i64, hours: i64) -> Operation {
    let request = Request {
        sandbox: SandboxId(1),
        kind: OperationKind::Run,
        title: String::new(),
        limits: Limits::default(),
        target: None,
        verdict: None,
    };
    Operation {
        id: OperationId(id),
        request,
        status: Status::Done,
        before: point(&format!("o{id}")),
        after: Some(point(&format!("o{}", id + 1))),
        started: Timestamp(NOW.0 - hours * HOUR),
        finished: None,
        outcome: Outcome::default(),
    }
}

fn week() -> RetentionPolicy {
    let age = Span(Duration::from_secs(7 * 24 * 3600));
    RetentionPolicy { max_snapshots: Some(10), max_age: Some(age), ..RetentionPolicy::default() }
}

fn planned(
    snapshots: &[Snapshot],
    operations: &[Operation],
    policy: &RetentionPolicy,
    sizes: &Sizes,
) -> RetentionPlan {
    let needed = BTreeMap::new();
    plan(&Past { snapshots, operations, needed: &needed, sizes }, policy, NOW)
}

fn gone(plan: &RetentionPlan) -> Vec<i64> {
    plan.snapshots.iter().filter(|d| !d.kept).map(|d| d.snapshot.0).collect()
}

#[test]
fn age_takes_all_but_what_is_protected() {
    use SnapshotKind::{Automatic, Manual, PreOperation};
    let mut all = vec![
        snapshot(1, Manual, 900),
        snapshot(2, Automatic, 900),
        snapshot(3, Automatic, 900),
        snapshot(4, PreOperation, 900),
        snapshot(5, PreOperation, 900),
        snapshot(6, PreOperation, 100),
        snapshot(7, Automatic, 800),
    ];
    all[1].tags.insert("keep".parse().expect("a tag"));
    all[2].tags.insert("release".parse().expect("a tag"));
    let needed = BTreeMap::from([(SnapshotId(4), "known good".to_owned())]);
    let sizes = Sizes::default();
    let past = Past { snapshots: &all, operations: &[], needed: &needed, sizes: &sizes };
    let plain = plan(&past, &week(), NOW);
    assert_eq!(gone(&plain), [5, 3], "{plain:?}");
    assert_eq!(plain.snapshots.len(), all.len(), "one decision each");
    let tags = RetentionPolicy { keep_tags: all[2].tags.clone(), ..week() };
    assert_eq!(gone(&plan(&past, &tags, NOW)), [5]);
    let reasons: Vec<&str> = plain.snapshots.iter().map(|d| d.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "the newest one",
            "within the policy",
            "older than 168 h 0 min",
            "known good",
            "older than 168 h 0 min",
            "tagged `keep`",
            "taken by hand"
        ]
    );
}

#[test]
fn of_each_kind_the_newest_stay() {
    use SnapshotKind::{Automatic, PreOperation};
    let mut all: Vec<Snapshot> = (1..=12).map(|id| snapshot(id, PreOperation, 1)).collect();
    all.push(snapshot(13, Automatic, 1));
    all.insert(0, snapshot(14, Automatic, 1));
    let two = RetentionPolicy { max_snapshots: Some(2), ..week() };
    let plan = planned(&all, &[], &two, &Sizes::default());
    assert_eq!(gone(&plan), (1..=10).rev().collect::<Vec<i64>>());
    let any = RetentionPolicy { max_snapshots: None, ..week() };
    assert!(planned(&all, &[], &any, &Sizes::default()).is_empty());
}

#[test]
fn old_operations_lose_their_files_but_the_newest_never() {
    let old: Vec<Operation> = (1..=15).map(|id| operation(id, 900)).collect();
    let plan = planned(&[], &old, &week(), &Sizes::default());
    assert_eq!(plan.history.up_to, Some(OperationId(5)));
    assert_eq!((plan.history.let_go, plan.history.kept), (5, 10));
    // A clock that was wrong in between takes nothing that came after a young one.
    let mut mixed = old.clone();
    mixed[2] = operation(3, 1);
    let plan = planned(&[], &mixed, &week(), &Sizes::default());
    assert_eq!(plan.history.up_to, Some(OperationId(2)));
    // What is under way, and what comes after it, stays.
    let mut open = old.clone();
    open[1].status = Status::Open;
    let plan = planned(&[], &open, &week(), &Sizes::default());
    assert_eq!(plan.history.up_to, Some(OperationId(1)));
    // What has let go already is not let go again.
    let mut before = old;
    for operation in &mut before[..5] {
        operation.before.tree = Tree::none();
    }
    assert_eq!(planned(&[], &before, &week(), &Sizes::default()).history.up_to, None);
}

#[test]
fn bytes_take_the_oldest_and_count_only_what_would_be_freed() {
    let snapshots: Vec<Snapshot> =
        (1..=4).map(|id| snapshot(id, SnapshotKind::Automatic, 5 - id)).collect();
    let mut sizes = Sizes::default();
    for (id, parts) in [(1, vec!["a"]), (2, vec!["a", "b"]), (3, vec!["b", "c"]), (4, vec!["d"])] {
        let parts = parts.into_iter().map(str::to_owned).collect();
        sizes.parts.insert(Tree(format!("s{id}")), parts);
    }
    sizes.bytes = ["a", "b", "c", "d"].map(|part| (part.to_owned(), 100)).into();
    let most = |bytes| RetentionPolicy { max_bytes: Some(ByteSize(bytes)), ..week() };
    assert!(planned(&snapshots, &[], &most(300), &sizes).is_empty());
    let plan = planned(&snapshots, &[], &most(200), &sizes);
    assert_eq!((gone(&plan), plan.frees), (vec![2, 1], 100), "{plan:?}");
    assert_eq!(gone(&planned(&snapshots, &[], &most(0), &sizes)), [3, 2, 1], "not the newest");
    sizes.shared = ["b".to_owned(), "c".to_owned()].into();
    let plan = planned(&snapshots, &[], &most(99), &sizes);
    assert_eq!((gone(&plan), plan.frees), (vec![2, 1], 100), "others need the rest");
}

#[test]
fn bytes_of_operations_count_too() {
    let operations: Vec<Operation> = (1..=14).map(|id| operation(id, 1)).collect();
    let mut sizes = Sizes::default();
    for id in 1..=15 {
        sizes.parts.insert(Tree(format!("o{id}")), vec![format!("p{id}")]);
        sizes.bytes.insert(format!("p{id}"), 10);
    }
    let policy = RetentionPolicy { max_bytes: Some(ByteSize(20)), ..week() };
    let plan = planned(&[], &operations, &policy, &sizes);
    // Of op-1 to op-4, which may go, op-3 and op-4 hold 20 (p5 is also in what must stay).
    assert_eq!(plan.history.up_to, Some(OperationId(2)), "{plan:?}");
    assert_eq!(plan.frees, 20);
}
