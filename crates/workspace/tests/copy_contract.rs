//! The copy driver keeps the contract of every workspace driver.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::workspace::{CommitRequest, ConflictStrategy, WorkspaceDriver};
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
