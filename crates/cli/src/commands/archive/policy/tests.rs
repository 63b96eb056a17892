//! Which snapshots are due, which go, and which stay.

use std::num::NonZeroU32;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::lifecycle::Life;
use ctrlz_core::sandbox::{Guard, Root};
use ctrlz_core::snapshot::{Point, SnapshotScope, Tree};

use super::*;

fn sandbox(name: &str) -> Sandbox {
    Sandbox {
        id: SandboxId(1),
        name: name.parse().expect("a name"),
        folder: None,
        root: Root::Host,
        base: "/p".into(),
        driver: "overlay".to_owned(),
        point: Point { tree: Tree::none(), state_version: 0 },
        created: Timestamp(0),
        used: Timestamp(0),
        open_operation: None,
        guard: Guard::default(),
        life: Life::default(),
    }
}

fn snapshot(number: i64, kind: SnapshotKind) -> Snapshot {
    Snapshot {
        id: SnapshotId(number),
        sandbox: SandboxId(1),
        kind,
        scope: SnapshotScope::Full,
        message: String::new(),
        tags: BTreeSet::new(),
        operation: OperationId(number),
        point: Point { tree: Tree::none(), state_version: 0 },
        created: at(number),
        good: None,
        live: None,
    }
}

fn at(number: i64) -> Timestamp {
    Timestamp::from_parts(number * 60, 0)
}

fn tagged(number: i64) -> Snapshot {
    let tags = BTreeSet::from(["v1".parse().expect("a tag")]);
    Snapshot { tags, ..snapshot(number, SnapshotKind::Automatic) }
}

fn good(number: i64) -> Snapshot {
    Snapshot { good: Some(at(number)), ..snapshot(number, SnapshotKind::Automatic) }
}

fn config(words: &[Archived], keep: Option<u32>) -> ArchiveConfig {
    ArchiveConfig {
        snapshots: words.iter().copied().collect(),
        keep_automatic: keep.and_then(NonZeroU32::new),
        ..ArchiveConfig::default()
    }
}

/// An archive, which lies there for as long as the test.
#[derive(Default)]
struct There(Vec<One>);

struct One {
    name: String,
    created: String,
    automatic: Option<Automatic>,
    kept: bool,
    sent: BTreeSet<String>,
}

impl There {
    fn with(mut self, number: i64, automatic: Option<Automatic>) -> Self {
        let (name, created) = (format!("web.snap-{number}"), at(number).rfc3339());
        self.0.push(One { name, created, automatic, kept: false, sent: BTreeSet::new() });
        self
    }

    fn kept(mut self) -> Self {
        self.0.last_mut().expect("one").kept = true;
        self
    }

    fn sent(mut self, address: &str) -> Self {
        self.0.last_mut().expect("one").sent.insert(address.to_owned());
        self
    }

    fn lying(&self) -> Vec<Lying<'_>> {
        fn lying(one: &One) -> Lying<'_> {
            let One { name, created, automatic, kept, sent } = one;
            let (sandbox, number) = parted(name);
            Lying {
                reference: name,
                name,
                sandbox,
                number: number.expect("a number"),
                created: Some(created),
                automatic: *automatic,
                kept: *kept,
                sent,
            }
        }
        self.0.iter().map(lying).collect()
    }
}

fn planned(config: &ArchiveConfig, snapshots: Vec<Snapshot>, there: &There) -> Plan {
    plan(config, &[(sandbox("web"), snapshots)], &there.lying())
}

fn due(plan: &Plan) -> Vec<i64> {
    plan.due.iter().map(|due| due.snapshot.id.0).collect()
}

fn surplus(plan: &Plan) -> Vec<&str> {
    plan.surplus.iter().map(|named| named.name.as_str()).collect()
}

const POLICY: Option<Automatic> = Some(Automatic::Policy);
const BACKUP: Option<Automatic> = Some(Automatic::Backup);

#[test]
fn each_word_is_for_its_snapshots_the_newest_first() {
    let all = || {
        let kinds = [SnapshotKind::Manual, SnapshotKind::PreOperation, SnapshotKind::PreRollback];
        let mut all: Vec<Snapshot> =
            kinds.into_iter().zip(1..).map(|(kind, number)| snapshot(number, kind)).collect();
        all.extend([tagged(4), good(5)]);
        all
    };
    let of = |words: &[Archived]| due(&planned(&config(words, None), all(), &There::default()));
    assert_eq!(of(&[]), [0; 0]);
    assert_eq!(of(&[Archived::Tagged]), [4]);
    assert_eq!(of(&[Archived::Manual]), [1]);
    assert_eq!(of(&[Archived::KnownGood]), [5]);
    assert_eq!(of(&[Archived::Manual, Archived::KnownGood]), [5, 1]);
    assert_eq!(of(&[Archived::All]), [5, 4, 3, 2, 1]);
}

#[test]
fn what_lies_there_is_not_due_and_another_one_of_its_name_is() {
    let config = config(&[Archived::Manual], None);
    let there = There::default().with(1, None).with(2, POLICY);
    let manual = |number| snapshot(number, SnapshotKind::Manual);
    let plan = planned(&config, vec![manual(1), manual(2), manual(3)], &there);
    assert_eq!((due(&plan), plan.due[0].name.as_str()), (vec![3], "web.snap-3"));
    let other = Snapshot { created: at(9), ..manual(2) };
    assert_eq!(due(&planned(&config, vec![other], &there)), [2]);
    let lying: Vec<Lying<'_>> =
        there.lying().into_iter().map(|lying| Lying { created: None, ..lying }).collect();
    let unknown = super::plan(&config, &[(sandbox("web"), vec![manual(2)])], &lying);
    assert_eq!(due(&unknown), [0; 0], "it is taken for the same");
}

#[test]
fn no_more_are_archived_than_stay() {
    let config = config(&[Archived::All], Some(2));
    let automatic = |number| snapshot(number, SnapshotKind::Automatic);
    let manual = snapshot(1, SnapshotKind::Manual);
    let snapshots = || vec![manual.clone(), automatic(2), automatic(3), automatic(4), automatic(5)];
    let plan = planned(&config, snapshots(), &There::default());
    assert_eq!(due(&plan), [5, 4, 1]);
    let there = There::default().with(5, POLICY).with(4, BACKUP).with(1, POLICY);
    let plan = planned(&config, snapshots(), &there);
    assert_eq!((due(&plan), surplus(&plan)), (vec![], vec![]), "nothing goes back and forth");
    let mut more = snapshots();
    more.push(automatic(6));
    let plan = planned(&config, more.clone(), &there);
    // The oldest goes once the newest lies there.
    assert_eq!((due(&plan), surplus(&plan)), (vec![6], vec![]));
    let there = there.with(6, POLICY);
    let plan = planned(&config, more, &there);
    assert_eq!((due(&plan), surplus(&plan)), (vec![], vec!["web.snap-4"]));
}

#[test]
fn what_a_user_asked_for_took_or_tagged_never_goes() {
    let there = There::default()
        .with(1, None)
        .with(2, POLICY)
        .with(3, BACKUP)
        .kept()
        .with(4, POLICY)
        .with(5, BACKUP)
        .with(6, BACKUP)
        .with(7, POLICY);
    let snapshots = vec![snapshot(2, SnapshotKind::Manual), tagged(4)];
    let plan = planned(&config(&[], Some(1)), snapshots, &there);
    assert_eq!(surplus(&plan), ["web.snap-6", "web.snap-5"]);
    assert_eq!(plan.to_keep, ["web.snap-2", "web.snap-4"]);
    // Also of a sandbox that is gone, and without any snapshot left.
    let plan = super::plan(&config(&[], Some(2)), &[], &there.lying());
    assert_eq!(surplus(&plan), ["web.snap-5", "web.snap-4", "web.snap-2"]);
    assert_eq!(surplus(&planned(&config(&[], None), vec![], &there)), [""; 0]);
}

#[test]
fn what_lies_there_is_sent_where_it_is_not_yet() {
    let mut config = config(&[Archived::Manual], None);
    config.copies = vec!["/a".to_owned(), "/b".to_owned()];
    let there = There::default().with(1, None).sent("/a").with(2, POLICY).with(3, BACKUP);
    let snapshots = vec![
        snapshot(1, SnapshotKind::Manual),
        snapshot(2, SnapshotKind::Manual),
        snapshot(3, SnapshotKind::Automatic),
    ];
    let plan = planned(&config, snapshots, &there);
    let unsent: Vec<(&str, &str)> =
        plan.unsent.iter().map(|(named, to)| (named.name.as_str(), to.as_str())).collect();
    assert_eq!(unsent, [("web.snap-2", "/a"), ("web.snap-2", "/b"), ("web.snap-1", "/b")]);
}
