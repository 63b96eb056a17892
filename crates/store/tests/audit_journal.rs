//! The journal against the event log: what was changed behind the store's back is noticed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its own functions, too")]

mod fixture;

use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::snapshot::{Point, Tree};
use ctrlz_core::state::Expected;
use ctrlz_core::state_store::StateStore;
use ctrlz_core::store::{Durability, Store};
use ctrlz_store::{SqliteStore, audit};
use fixture::sealed::behind;
use fixture::{key, request, sandbox, store};

fn differences(store: &SqliteStore) -> Vec<(i64, &'static str)> {
    let found = audit::compare(store).unwrap();
    found.into_iter().map(|difference| (difference.operation.0, difference.what)).collect()
}

const GONE: &str = "the event log tells of it, and the journal does not";

/// A run in a sandbox, from its first tree to `after`; its operation.
fn run(store: &SqliteStore, name: &str, after: &str) -> i64 {
    let id = store.sandbox_named(name).unwrap().id;
    let open = store.begin(&request(id, OperationKind::Run), Durability::Process).unwrap();
    let after = Point { tree: Tree(after.to_owned()), state_version: 0 };
    let outcome = Outcome::default();
    store.finish(open.id, Status::Done, &outcome, Some(&after), Durability::Process).unwrap();
    open.id.0
}

#[test]
fn the_global_namespace_is_compared_as_well() {
    let (dir, store) = store();
    let global = store.global().unwrap().id;
    store.put(global, &key("k"), Some(b"v"), Expected::Any).unwrap();
    assert_eq!(differences(&store), []);
    let changed = "UPDATE operations SET title = 'another' WHERE sandbox = 0";
    behind(dir.path()).execute(changed, []).unwrap();
    assert_eq!(differences(&store), [(1, "it began otherwise than was told")]);
}

#[test]
fn operations_that_are_gone_are_noticed_unless_their_sandbox_was_removed() {
    let (dir, store) = store();
    let old = sandbox(&store, "web");
    run(&store, "web", "a");
    sandbox(&store, "other");
    store.remove_sandbox(old.id).unwrap();
    sandbox(&store, "web");
    let first = run(&store, "web", "a");
    let second = run(&store, "web", "b");
    let other = run(&store, "other", "c");
    assert_eq!(differences(&store), []);
    behind(dir.path()).execute("DELETE FROM operations WHERE id = ?1", [second]).unwrap();
    assert_eq!(differences(&store), [(second, GONE)]);
    // A sandbox that is gone although nobody removed it.
    let whole =
        "DELETE FROM operations WHERE sandbox = (SELECT id FROM sandboxes WHERE name = 'web');
                 DELETE FROM sandboxes WHERE name = 'web';";
    behind(dir.path()).execute_batch(whole).unwrap();
    let made = first - 1;
    assert_eq!(differences(&store), [(made, GONE), (first, GONE), (second, GONE)]);
    assert!(other > second);
}

#[test]
fn an_empty_tree_counts_only_as_far_as_the_history_was_trimmed() {
    let (dir, store) = store();
    let web = sandbox(&store, "web").id;
    let first = run(&store, "web", "a");
    let second = run(&store, "web", "b");
    let trimmed = ctrlz_core::id::OperationId(first);
    store.let_go(web, &[], Some((trimmed, "a test"))).unwrap();
    assert_eq!(differences(&store), []);
    let emptied = "UPDATE operations SET before_tree = '' WHERE id = ?1";
    behind(dir.path()).execute(emptied, [second]).unwrap();
    assert_eq!(differences(&store), [(second, "it began otherwise than was told")]);
}
