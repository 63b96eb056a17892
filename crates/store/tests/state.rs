//! The versioned state.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::collections::BTreeMap;

use ctrlz_core::id::SandboxId;
use ctrlz_core::state::{Expected, MAX_VALUE};
use ctrlz_core::store::{Store, StoreError};
use ctrlz_store::SqliteStore;
use fixture::{assert_sound, key, number, sandbox, store};
use proptest::prelude::*;

fn value(store: &SqliteStore, id: SandboxId, name: &str, at: Option<u64>) -> Option<Vec<u8>> {
    store.get(id, &key(name), at).unwrap().and_then(|entry| entry.value)
}

#[test]
fn every_version_stays_readable() {
    let (_dir, store) = store();
    let id = sandbox(&store, "web").id;
    let put = |value: Option<&[u8]>| store.put(id, &key("k"), value, Expected::Any).unwrap();
    assert_eq!([put(Some(b"one")), put(None), put(Some(b""))], [1, 2, 3]);
    assert_eq!(value(&store, id, "k", Some(0)), None);
    assert_eq!(value(&store, id, "k", Some(1)), Some(b"one".to_vec()));
    assert_eq!(value(&store, id, "k", Some(2)), None);
    assert_eq!(value(&store, id, "k", None), Some(Vec::new()));
    assert_eq!(value(&store, id, "k", Some(u64::MAX)), Some(Vec::new()));
    let history: Vec<_> = store
        .history(id, &key("k"))
        .unwrap()
        .into_iter()
        .map(|e| (e.version, e.size, e.deleted, e.value))
        .collect();
    assert_eq!(history, [(3, 0, false, None), (2, 0, true, None), (1, 3, false, None)]);
    assert_eq!(store.state_version(id).unwrap(), 3);
}

#[test]
fn versions_count_per_sandbox_across_keys() {
    let (_dir, store) = store();
    let (one, two) = (sandbox(&store, "one").id, sandbox(&store, "two").id);
    let put = |id, name| store.put(id, &key(name), Some(b"v"), Expected::Any).unwrap();
    assert_eq!([put(one, "b"), put(one, "a"), put(two, "a")], [1, 2, 1]);
    let listed: Vec<_> = store
        .list(one, None)
        .unwrap()
        .into_iter()
        .map(|e| (e.key.to_string(), e.version, e.value))
        .collect();
    assert_eq!(listed, [("a".into(), 2, None), ("b".into(), 1, None)]);
    assert_eq!(store.list(one, Some(1)).unwrap().len(), 1);
    assert!(matches!(
        store.put(SandboxId(9), &key("k"), None, Expected::Any),
        Err(StoreError::NoSandbox(_))
    ));
    assert!(matches!(store.state_version(SandboxId(9)), Err(StoreError::NoSandbox(_))));
    assert!(matches!(store.restore_state(SandboxId(9), 0), Err(StoreError::NoSandbox(_))));
}

#[test]
fn a_write_happens_only_as_expected() {
    let (_dir, store) = store();
    let id = sandbox(&store, "web").id;
    let put = |value: Option<&[u8]>, expected| store.put(id, &key("k"), value, expected);
    let found = |result: Result<u64, StoreError>| match result {
        Err(StoreError::Conflict { found, .. }) => found,
        other => panic!("expected a conflict, not {other:?}"),
    };
    assert_eq!(found(put(Some(b"v"), Expected::Version(0))), None);
    assert_eq!(put(Some(b"v"), Expected::Absent).unwrap(), 1);
    assert_eq!(found(put(Some(b"w"), Expected::Absent)), Some(1));
    assert_eq!(put(Some(b"w"), Expected::Version(1)).unwrap(), 2);
    assert_eq!(found(put(None, Expected::Version(1))), Some(2));
    assert_eq!(put(None, Expected::Version(2)).unwrap(), 3);
    assert_eq!(found(put(Some(b"x"), Expected::Version(3))), None, "deleted is absent");
    assert_eq!(put(Some(b"x"), Expected::Absent).unwrap(), 4);
    assert_eq!(store.state_version(id).unwrap(), 4, "a refused write takes no version");
}

#[test]
fn the_largest_value_fits_and_one_byte_more_does_not() {
    let (dir, store) = store();
    let id = sandbox(&store, "web").id;
    let mut bytes: Vec<u8> = (0..=MAX_VALUE).map(|n| (n % 251) as u8).collect();
    let refused = store.put(id, &key("k"), Some(&bytes), Expected::Any);
    assert!(
        matches!(refused, Err(StoreError::TooLarge { size, .. }) if size == MAX_VALUE as u64 + 1)
    );
    bytes.pop();
    store.put(id, &key("k"), Some(&bytes), Expected::Any).unwrap();
    store.put(id, &key("again"), Some(&bytes), Expected::Any).unwrap();
    assert!(value(&store, id, "again", None) == Some(bytes));
    let path = dir.path().join("a/store");
    assert_eq!(number(&path, "SELECT count(*) FROM blobs"), 1, "equal values are stored once");
    let log = std::fs::metadata(path.join("store.db-wal")).unwrap().len();
    assert!(log < 1 << 20, "the log must stay short for the next process, not {log} bytes");
}

#[test]
fn a_damaged_value_is_told_and_a_new_write_heals_it() {
    let (dir, store) = store();
    let id = sandbox(&store, "web").id;
    store.put(id, &key("k"), Some(b"good"), Expected::Any).unwrap();
    let path = dir.path().join("a/store/store.db");
    let behind = rusqlite::Connection::open(&path).unwrap();
    for damage in ["UPDATE blobs SET bytes = x'626164'", "DELETE FROM blobs"] {
        behind.execute(damage, []).unwrap();
        let newest = store.state_version(id).unwrap();
        let read = store.get(id, &key("k"), None);
        assert!(
            matches!(read, Err(StoreError::Damaged { version, .. }) if version == newest),
            "{damage}"
        );
        assert_eq!(store.list(id, None).unwrap().len(), 1, "the rest can still be read");
        store.put(id, &key("k"), Some(b"good"), Expected::Any).unwrap();
        assert_eq!(value(&store, id, "k", None), Some(b"good".to_vec()), "{damage}");
    }
}

#[test]
fn restoring_writes_only_what_differs() {
    let (_dir, store) = store();
    let id = sandbox(&store, "web").id;
    let put =
        |name: &str, value: Option<&[u8]>| store.put(id, &key(name), value, Expected::Any).unwrap();
    put("same", Some(b"s"));
    put("changed", Some(b"old"));
    let then = put("deleted", Some(b"d"));
    put("changed", Some(b"new"));
    put("deleted", None);
    put("added", Some(b"a"));
    let newest = put("same", Some(b"s"));
    assert_eq!(store.restore_state(id, then).unwrap(), newest + 3);
    assert_eq!(value(&store, id, "changed", None), Some(b"old".to_vec()));
    assert_eq!(value(&store, id, "deleted", None), Some(b"d".to_vec()));
    assert_eq!(value(&store, id, "added", None), None);
    assert_eq!(value(&store, id, "changed", Some(newest)), Some(b"new".to_vec()));
    assert_eq!(store.history(id, &key("same")).unwrap().len(), 2);
    assert_eq!(store.restore_state(id, then).unwrap(), newest + 3, "nothing differs any more");
    assert_eq!(store.sandbox(id).unwrap().point.state_version, newest + 3);
    assert_eq!(store.restore_state(id, 0).unwrap(), newest + 6);
    assert!(store.list(id, None).unwrap().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Option<Vec<u8>>),
    Restore(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = proptest::option::weighted(0.7, proptest::collection::vec(0..3u8, 0..3));
    let step = prop_oneof![
        4 => (0..4u8, bytes).prop_map(|(key, value)| Step::Put(key, value)),
        1 => any::<u64>().prop_map(Step::Restore),
    ];
    proptest::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The model keeps the living values after each version, that is all.
    #[test]
    fn any_sequence_reads_as_a_list_of_maps(steps in steps()) {
        let (dir, store) = store();
        let id = sandbox(&store, "web").id;
        sandbox(&store, "bystander");
        let mut past: Vec<BTreeMap<String, Vec<u8>>> = vec![BTreeMap::new()];
        for step in steps {
            let now = past.last().cloned().unwrap_or_default();
            match step {
                Step::Put(name, bytes) => {
                    let name = format!("k{name}");
                    let version =
                        store.put(id, &key(&name), bytes.as_deref(), Expected::Any).unwrap();
                    let mut next = now;
                    match bytes {
                        Some(bytes) => next.insert(name, bytes),
                        None => next.remove(&name),
                    };
                    past.push(next);
                    prop_assert_eq!(version, past.len() as u64 - 1);
                }
                Step::Restore(seed) => {
                    let to = seed % past.len() as u64;
                    let wanted = past[to as usize].clone();
                    let differing = (0..4u8)
                        .map(|name| format!("k{name}"))
                        .filter(|name| wanted.get(name) != now.get(name))
                        .count();
                    let version = store.restore_state(id, to).unwrap();
                    prop_assert_eq!(version, (past.len() - 1 + differing) as u64);
                    // In between, keys are restored one by one; only the end is promised.
                    for between in past.len() as u64..version {
                        let listed = store.list(id, Some(between)).unwrap();
                        past.push(
                            listed
                                .into_iter()
                                .map(|e| {
                                    let name = e.key.to_string();
                                    let bytes = value(&store, id, &name, Some(between)).unwrap();
                                    (name, bytes)
                                })
                                .collect(),
                        );
                    }
                    if differing > 0 {
                        past.push(wanted);
                    }
                }
            }
            prop_assert_eq!(store.state_version(id).unwrap(), past.len() as u64 - 1);
        }
        for (version, expected) in past.iter().enumerate() {
            let at = Some(version as u64);
            let listed: Vec<_> =
                store.list(id, at).unwrap().into_iter().map(|e| e.key.to_string()).collect();
            prop_assert_eq!(listed, expected.keys().cloned().collect::<Vec<_>>());
            for name in (0..4u8).map(|name| format!("k{name}")) {
                prop_assert_eq!(value(&store, id, &name, at), expected.get(&name).cloned());
            }
        }
        assert_sound(&dir.path().join("a/store"));
    }
}
