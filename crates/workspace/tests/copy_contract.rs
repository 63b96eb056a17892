//! The copy driver keeps the contract of every workspace driver.

use ctrlz_workspace::CopyDriver;

ctrlz_testkit::workspace_contract_tests!(|store| Box::new(CopyDriver::new(store)));
