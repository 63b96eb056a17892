//! The btrfs driver keeps the workspace contract.
use ctrlz_workspace::{CopyDriver, Duplication};

ctrlz_testkit::workspace_contract_tests!("CTRLZ_TEST_BTRFS", |store| {
    Box::new(CopyDriver::by(Duplication::Btrfs, store))
});
