//! The overlay driver keeps the workspace contract.
ctrlz_testkit::workspace_contract_tests!(|store: &std::path::Path| Box::new(
    ctrlz_workspace::OverlayDriver::new(store)
));
