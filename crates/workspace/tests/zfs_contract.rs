//! The zfs driver keeps the workspace contract.
//!
//! `CTRLZ_TEST_ZFS` names a directory, and `CTRLZ_TEST_ZFS_DATASET` the dataset for the trees.
use ctrlz_workspace::CopyDriver;

ctrlz_testkit::workspace_contract_tests!("CTRLZ_TEST_ZFS", |store| {
    // zfs-fuse was seen to stop answering under two of them at once.
    ctrlz_testkit::workspace_contract::alone();
    let parent = std::env::var("CTRLZ_TEST_ZFS_DATASET").expect("the name of a dataset");
    Box::new(CopyDriver::zfs_below(&parent, store))
});
