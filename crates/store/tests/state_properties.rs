//! What holds of state after any sequence of operations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use ctrlz_core::digest::Digest;
use ctrlz_core::id::SandboxId;
use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::snapshot::{Point, Tree};
use ctrlz_core::state::{Expected, StateWrite};
use ctrlz_core::state_store::{ImportConflict, StateStore};
use ctrlz_core::store::{Durability, Store, StoreError};
use ctrlz_store::vault::{Rotation, SecretKey};
use ctrlz_store::{SqliteStore, audit};
use fixture::sealed::{behind, export, import, put_sealed, try_import};
use fixture::{assert_sound, key, new_sandbox, request, sandbox, store};
use proptest::prelude::*;

/// Everything but versions.
fn told(writes: &[StateWrite]) -> Vec<(String, Option<Digest>, i64)> {
    writes.iter().map(|w| (w.key.to_string(), w.digest, w.written.0)).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, u8, Option<Vec<u8>>),
    Seal(usize, u8, Vec<u8>),
    Restore(usize, u64),
    Fork(usize, u64),
    Crash(usize, u8),
    Rotate,
    Import(usize, usize),
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || proptest::collection::vec(0..3u8, 0..3);
    let step = prop_oneof![
        6 => (any::<usize>(), 0..3u8, proptest::option::weighted(0.7, bytes()))
            .prop_map(|(at, key, value)| Step::Put(at, key, value)),
        3 => (any::<usize>(), 0..3u8, bytes()).prop_map(|(at, key, v)| Step::Seal(at, key, v)),
        3 => (any::<usize>(), any::<u64>()).prop_map(|(at, to)| Step::Restore(at, to)),
        2 => (any::<usize>(), any::<u64>()).prop_map(|(at, to)| Step::Fork(at, to)),
        1 => (any::<usize>(), 0..3u8).prop_map(|(at, key)| Step::Crash(at, key)),
        1 => Just(Step::Rotate),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Step::Import(from, to)),
        1 => any::<usize>().prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 1..25)
}

/// A store after some steps. Each rotation takes a key of its own.
fn after(store: &SqliteStore, steps: Vec<Step>) -> Vec<SandboxId> {
    let mut ids = vec![store.global().unwrap().id, sandbox(store, "first").id];
    let mut keys = 1;
    for (index, step) in steps.into_iter().enumerate() {
        let pick = |at: usize| ids[at % ids.len()];
        match step {
            Step::Put(at, name, value) => {
                let name = key(&format!("k{name}"));
                match store.put(pick(at), &name, value.as_deref(), Expected::Any) {
                    Ok(_) | Err(StoreError::Sensitive { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Seal(at, name, value) => {
                let with = SecretKey::new([keys; 32]);
                put_sealed(store, pick(at), &format!("k{name}"), &value, &with).unwrap();
            }
            Step::Restore(at, to) => {
                let newest = store.state_version(pick(at)).unwrap();
                let asked = request(pick(at), OperationKind::Rollback);
                let open = store.begin(&asked, Durability::Process).unwrap();
                store.restore_state(pick(at), to % (newest + 1)).unwrap();
                let outcome = Outcome::default();
                store.finish(open.id, Status::Done, &outcome, None, Durability::Process).unwrap();
            }
            Step::Fork(at, to) => {
                let state_version = to % (store.state_version(pick(at)).unwrap() + 1);
                let point = Point { tree: Tree("t".into()), state_version };
                let new = new_sandbox(&format!("fork{index}"));
                let made = store.create_sandbox(&new, Some((pick(at), &point))).unwrap().id;
                ids.push(made);
            }
            Step::Crash(at, name) => {
                let asked = request(pick(at), OperationKind::State);
                let open = store.begin(&asked, Durability::Process).unwrap();
                let _ = store.put(pick(at), &key(&format!("k{name}")), None, Expected::Any);
                store.restore_state(pick(at), open.before.state_version).unwrap();
                let outcome = Outcome::default();
                let status = Status::Recovered;
                store.finish(open.id, status, &outcome, None, Durability::Process).unwrap();
            }
            Step::Rotate => {
                let from = SecretKey::new([keys; 32]);
                keys += 1;
                store.reseal(&Rotation { from, to: SecretKey::new([keys; 32]) }).unwrap();
            }
            Step::Import(from, to) => {
                let text = export(store, &[pick(from)]);
                match try_import(store, pick(to), &text, ImportConflict::Theirs) {
                    Ok(_) => {}
                    Err(StoreError::NotImported { source, .. })
                        if matches!(source.downcast_ref(), Some(StoreError::Sensitive { .. })) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            Step::Remove(at) => {
                let gone = pick(at);
                if gone != ctrlz_core::state_store::GLOBAL {
                    store.remove_sandbox(gone).unwrap();
                    ids.retain(|id| *id != gone);
                }
            }
        }
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_tells_the_state_after_anything(steps in steps()) {
        let (dir, store) = store();
        let ids = after(&store, steps);
        let path = dir.path().join("a/store");
        for id in &ids {
            prop_assert_eq!(store.verify_state(*id).unwrap(), []);
        }
        let before: Vec<_> = ids.iter().map(|id| store.state_writes(*id).unwrap()).collect();
        assert_sound(&path);
        behind(dir.path())
            .execute_batch("DELETE FROM state; UPDATE sandboxes SET state_version = 0")
            .unwrap();
        for (id, before) in ids.iter().zip(&before) {
            store.rebuild_state(*id, false).unwrap();
            prop_assert_eq!(&store.state_writes(*id).unwrap(), before);
            prop_assert_eq!(store.compare_state(*id).unwrap(), []);
        }
        prop_assert_eq!(audit::compare(&store).unwrap(), []);
        assert_sound(&path);
    }

    #[test]
    fn a_flipped_bit_in_any_value_is_found(steps in steps(), which in any::<usize>()) {
        let (dir, store) = store();
        let ids = after(&store, steps);
        let behind = behind(dir.path());
        let values: Vec<(i64, Vec<u8>)> = behind
            .prepare("SELECT id, bytes FROM blobs WHERE length(bytes) > 0")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        prop_assume!(!values.is_empty());
        let (row, mut bytes) = values[which % values.len()].clone();
        let bit = which / values.len() % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        behind
            .execute("UPDATE blobs SET bytes = ?2 WHERE id = ?1", rusqlite::params![row, bytes])
            .unwrap();
        let found: usize = ids.iter().map(|id| store.verify_state(*id).unwrap().len()).sum();
        prop_assert!(found > 0);
    }

    #[test]
    fn an_import_into_nothing_is_the_same_history(steps in steps()) {
        let (_dir, store) = store();
        let ids = after(&store, steps);
        let (_other, other) = fixture::store();
        let empty = sandbox(&other, "web").id;
        for id in ids {
            let text = export(&store, &[id]);
            let target = if empty == id { empty } else { sandbox(&other, &format!("s{}", id.0)).id };
            let done = import(&other, target, &text, ImportConflict::Fail);
            prop_assert!(done.conflicts.is_empty());
            let (a, b) = (store.state_writes(id).unwrap(), other.state_writes(target).unwrap());
            prop_assert_eq!(told(&a), told(&b));
        }
    }
}
