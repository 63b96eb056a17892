//! Parts from elsewhere, as far as the contract cannot see into the store.

use ctrlz_core::archive::Arrival;
use ctrlz_core::time::Timestamp;

use super::*;
use crate::manifest::Manifest;

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status();
    assert!(done.expect("cp").success());
}

/// The only part of a tree that holds `f`, as it was kept.
fn kept(f: &Fixture, tree: &Tree) -> Arrival {
    let stratum = f.driver.strata(tree).expect("strata").pop().expect("a part");
    let record = fs::read(stratum.record.expect("a record")).expect("read");
    let directory = f.dir.path().join("kept");
    copy(&stratum.directory, &directory);
    Arrival { id: stratum.id, directory, root: stratum.root, record: Some(record) }
}

fn landed(driver: &OverlayDriver, kept: &Arrival) -> Arrival {
    let directory = driver.landing().expect("a landing").join("part");
    copy(&kept.directory, &directory);
    Arrival { directory, ..kept.clone() }
}

#[test]
fn what_an_operation_stands_on_is_not_replaced() {
    let f = Fixture::new();
    let tree = f.operate(&f.create(), |upper| write(&upper.join("f"), "content"));
    let kept = kept(&f, &tree);
    f.driver.begin(SANDBOX, &tree).expect("begin");
    f.driver.begin(SandboxId(2), &f.create()).expect("begin");
    let part = landed(&f.driver, &kept);
    let refused = f.driver.mend(&part).expect_err("an operation is under way");
    assert!(matches!(refused, WorkspaceError::Io { .. }), "{refused}");
    assert!(part.directory.exists());
    f.driver.verify(&tree, true).expect("as it was");
    f.driver.abandon(SANDBOX).expect("abandon");
    f.driver.mend(&part).expect("nothing stands on it");
    f.driver.verify(&tree, true).expect("whole");
}

/// Whoever wrote the archive may have had another clock, or no good will.
#[test]
fn a_record_from_the_future_hides_no_later_change() {
    let f = Fixture::new();
    write(&f.base.join("gone/in"), "old");
    let tree =
        f.operate(&f.create(), |upper| make_whiteout(&upper.join("gone")).expect("whiteout"));
    let mut kept = kept(&f, &tree);
    let record = Manifest::parse(&kept.record.expect("a record")).expect("parse");
    let record = Manifest { since: Timestamp(i64::MAX), ..record };
    kept.record = Some(record.text().expect("text").0);
    let there = OverlayDriver::new(&f.dir.path().join("elsewhere"));
    let tree = there.adopt(&f.base, &[landed(&there, &kept)]).expect("adopt");
    // Longer than any tick of the clock that stamps files.
    std::thread::sleep(std::time::Duration::from_millis(20));
    write(&f.base.join("gone/theirs"), "new");
    let request = CommitRequest {
        operation: OperationId(1),
        tree: &tree,
        paths: &[],
        strategy: ConflictStrategy::Fail,
    };
    let found = there.commit(&request);
    assert!(matches!(found, Err(WorkspaceError::Conflicts { .. })), "{found:?}");
    assert!(f.base.join("gone/theirs").exists());
}

#[test]
fn a_part_keeps_its_name_and_what_it_was_made_on() {
    let f = Fixture::new();
    write(&f.base.join("f"), "old");
    let tree = f.operate(&f.create(), |upper| write(&upper.join("f"), "content"));
    let kept = kept(&f, &tree);
    let there = OverlayDriver::new(&f.dir.path().join("elsewhere"));
    let arrived = there.adopt(&f.base, &[landed(&there, &kept)]).expect("adopt");
    assert_eq!(arrived, tree, "the same layers on the same base");
    let layer = OverlayTree::parse(&arrived).expect("parse").layers[0].clone();
    let manifest = |store: &Path| Store::new(store).manifest(&layer).expect("manifest");
    let (here, there) = (manifest(&f.store), manifest(&f.dir.path().join("elsewhere")));
    assert_eq!((here.since, here.records[0].base), (there.since, there.records[0].base));
    let entry = |manifest: &Manifest| manifest.records[0].entry.expect("an entry");
    assert_eq!(entry(&here).mtime, entry(&there).mtime);
    assert_ne!(entry(&here).ino, entry(&there).ino);
}
