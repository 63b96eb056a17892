//! The fault-injecting store of the test kit, over the real one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::os::unix::process::ExitStatusExt;

use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::store::{Durability, Store, StoreError};
use ctrlz_store::SqliteStore;
use ctrlz_testkit::fault_store::{FaultStore, StoreFault};
use fixture::{assignment, new_sandbox, request, store, this_test_binary};

/// Makes a sandbox and runs one operation in it: three calls.
fn three_calls(store: &impl Store) -> Result<(), StoreError> {
    let made = store.create_sandbox(&new_sandbox("web"), None)?;
    let open = store.begin(&request(made.id, OperationKind::Run), Durability::Process)?;
    let outcome = Outcome::default();
    store.finish(open.id, Status::Done, &outcome, None, Durability::Process)
}

#[test]
#[ignore = "started by the other tests"]
fn worker() {
    let Some((task, store)) = assignment() else { return };
    let (call, fault) = task.split_once(' ').unwrap();
    let fault = if fault == "before" { StoreFault::KillBefore } else { StoreFault::KillAfter };
    let _ = three_calls(&FaultStore::new(store, call.parse().unwrap(), fault));
}

#[test]
fn it_counts_and_fails_at_the_chosen_call() {
    let (_dir, inner) = store();
    let counting = FaultStore::counting(inner);
    three_calls(&counting).unwrap();
    assert_eq!(counting.calls(), 3);
    for call in 1..=3 {
        let (_dir, inner) = store();
        let faulty = FaultStore::new(inner, call, StoreFault::Fail);
        let error = three_calls(&faulty).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, format!("injected at call {call}"));
        assert_eq!(faulty.calls(), call);
        let sandboxes = faulty.inner().sandboxes().unwrap();
        assert_eq!(sandboxes.len(), usize::from(call > 1));
        let open = sandboxes.first().is_some_and(|s| s.open_operation.is_some());
        assert_eq!(open, call == 3);
    }
}

#[test]
fn it_kills_before_or_after_the_chosen_call() {
    for (task, sandboxes, open) in [
        ("1 before", 0, false),
        ("1 after", 1, false),
        ("2 after", 1, true),
        ("3 before", 1, true),
        ("3 after", 1, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let status = this_test_binary(dir.path(), task).output().unwrap().status;
        assert_eq!(status.signal(), Some(9), "{task}");
        let found = SqliteStore::open(dir.path()).unwrap().sandboxes().unwrap();
        assert_eq!(found.len(), sandboxes, "{task}");
        assert_eq!(found.iter().any(|s| s.open_operation.is_some()), open, "{task}");
    }
}
