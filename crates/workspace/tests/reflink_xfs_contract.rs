//! The reflink driver keeps the workspace contract on XFS.
use ctrlz_workspace::{CopyDriver, Duplication};

ctrlz_testkit::workspace_contract_tests!("CTRLZ_TEST_XFS", |store| {
    Box::new(CopyDriver::by(Duplication::Reflink, store))
});
