//! The copy driver keeps the contract of every workspace driver.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::workspace::{CommitRequest, ConflictStrategy, WorkspaceDriver, WorkspaceError};
use ctrlz_workspace::CopyDriver;

ctrlz_testkit::workspace_contract_tests!(|store| Box::new(CopyDriver::new(store)));

/// Two names of one file in the base, of which the sandbox makes two files: a commit does, too.
#[test]
fn a_commit_parts_the_names_that_the_sandbox_parted() {
    let dir = tempfile::tempdir().expect("tempdir");
    let base = dir.path().join("base");
    fs::create_dir(&base).expect("mkdir");
    fs::write(base.join("a"), "old").expect("write");
    fs::hard_link(base.join("a"), base.join("b")).expect("link");
    let driver = CopyDriver::new(&dir.path().join("store"));
    let tree = driver.create(&base).expect("create");
    let head = driver.begin(SandboxId(1), &tree).expect("begin");
    fs::remove_file(head.written.join("b")).expect("remove");
    fs::write(head.written.join("b"), "new").expect("write");
    let tree = driver.seal(&head).expect("seal").tree;
    let strategy = ConflictStrategy::Fail;
    let request = CommitRequest { operation: OperationId(1), tree: &tree, paths: &[], strategy };
    driver.commit(&request).expect("commit");
    let read = |name: &str| fs::read_to_string(base.join(name)).expect("read");
    assert_eq!((read("a").as_str(), read("b").as_str()), ("old", "new"));
    driver.revert(OperationId(1), OperationId(2), strategy).expect("revert");
    assert_eq!((read("a").as_str(), read("b").as_str()), ("old", "old"));
    let inode = |name: &str| fs::metadata(base.join(name)).expect("stat").ino();
    assert_eq!(inode("a"), inode("b"));
}

/// Programs that work in the base, and other processes that begin on it at the same moment, stop
/// nobody.
#[test]
fn two_begin_at_once_on_a_base_in_which_others_work() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (base, store) = (dir.path().join("base"), dir.path().join("store"));
    fs::create_dir(&base).expect("mkdir");
    for index in 0..20 {
        fs::create_dir_all(base.join(format!("kept/{index}"))).expect("mkdir");
        fs::write(base.join(format!("kept/{index}/f")), "kept").expect("write");
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let coming = base.join("coming");
                fs::create_dir_all(coming.join("and/going")).expect("mkdir");
                fs::write(coming.join("and/f"), "x").expect("write");
                fs::remove_dir_all(coming).expect("remove");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let at_work = [1, 2].map(|number| {
            let (base, store) = (&base, &store);
            scope.spawn(move || -> Result<(), WorkspaceError> {
                for turn in 0..10 {
                    // Another process has a driver of its own.
                    let driver = CopyDriver::new(store);
                    let head = driver.begin(SandboxId(number), &driver.create(base)?)?;
                    let name = format!("{number}-{turn}");
                    fs::write(head.written.join(&name), "new").expect("write");
                    let tree = driver.seal(&head)?.tree;
                    let operation = OperationId(number * 1000 + turn);
                    let strategy = ConflictStrategy::Fail;
                    driver.commit(&CommitRequest {
                        operation,
                        tree: &tree,
                        paths: &[],
                        strategy,
                    })?;
                    assert!(base.join(name).exists());
                }
                Ok(())
            })
        });
        let results = at_work.map(|thread| thread.join());
        over.store(true, Ordering::Relaxed);
        for result in results {
            result.expect("no panic").expect("nobody stands in the way");
        }
    });
    for index in 0..20 {
        assert!(base.join(format!("kept/{index}/f")).exists());
    }
}
