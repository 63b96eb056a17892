//! State as a whole: journal, encryption, checks, repair, export and import.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::os::unix::process::ExitStatusExt;

use ctrlz_core::digest::Digest;
use ctrlz_core::id::SandboxId;
use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::snapshot::{Point, Tree};
use ctrlz_core::state::Expected;
use ctrlz_core::state_store::{
    ImportConflict, StateFault, StateImport, StateProblem, StateStore, ValueCopies,
};
use ctrlz_core::store::{Durability, Store, StoreError};
use ctrlz_store::state_file::Bundle;
use ctrlz_store::vault::{Rotation, SecretKey};
use ctrlz_store::{SqliteStore, audit};
use ctrlz_testkit::fault_store::{FaultStore, StoreFault};
use fixture::sealed::{behind, export, import, put_sealed};
use fixture::{
    TO_FORMAT_2, assert_sound, assignment, key, new_sandbox, number, request, sandbox, store,
    this_test_binary,
};

fn old_key() -> SecretKey {
    SecretKey::new([1; 32])
}

fn new_key() -> SecretKey {
    SecretKey::new([2; 32])
}

fn rotation() -> Rotation {
    Rotation { from: old_key(), to: new_key() }
}

/// What is stored at a version, opened with one of the keys.
fn open(store: &impl Store, id: SandboxId, name: &str, at: u64, keys: &[SecretKey]) -> Vec<u8> {
    let entry = store.get(id, &key(name), Some(at)).unwrap().unwrap();
    let Some(sealed) = entry.sealed else { return entry.value.unwrap() };
    let with = keys.iter().find(|key| key.id() == sealed).expect("one of the keys");
    let value = with.open(&key(name), &entry.value.unwrap(), sealed).unwrap();
    assert_eq!(value.len() as u64, entry.size);
    value
}

struct NoCopies;

impl ValueCopies for NoCopies {
    fn copy_of(&self, _: &Digest) -> Option<Vec<u8>> {
        None
    }
}

fn problems(faults: &[StateFault]) -> Vec<(String, i64, StateProblem)> {
    faults.iter().map(|fault| (fault.key.clone(), fault.version, fault.problem)).collect()
}

#[test]
fn a_write_is_noted_in_the_open_operation_or_in_one_of_its_own() {
    let (_dir, store) = store();
    let id = sandbox(&store, "web").id;
    store.put(id, &key("alone"), Some(b"v"), Expected::Any).unwrap();
    let open = store.begin(&request(id, OperationKind::State), Durability::Process).unwrap();
    store.put(id, &key("within"), Some(b"value"), Expected::Any).unwrap();
    store.restore_state(id, 0).unwrap();
    // What the outcome itself says of it is not looked at.
    let lie = store.operation(open.id).unwrap().outcome.state[..1].to_vec();
    let outcome = Outcome { state: lie, ..Outcome::default() };
    store.finish(open.id, Status::Done, &outcome, None, Durability::Process).unwrap();
    let noted: Vec<Vec<_>> = store
        .operations(id, 9)
        .unwrap()
        .iter()
        .map(|o| o.outcome.state.iter().map(|w| (w.key.to_string(), w.version, w.size)).collect())
        .collect();
    let write = |name: &str, version, size| (name.to_owned(), version, size);
    let within = vec![write("within", 2, 5), write("alone", 3, 0), write("within", 4, 0)];
    assert_eq!(noted, [within, vec![write("alone", 1, 1)], vec![]]);
    assert_eq!(audit::compare(&store).unwrap(), []);
    let behind = behind(_dir.path());
    behind.execute("UPDATE operations SET writes = replace(writes, ',5,', ',6,')", []).unwrap();
    let differences = audit::compare(&store).unwrap();
    assert_eq!(differences.len(), 1, "the event log tells the digest of the writes");
}

#[test]
fn the_global_namespace_is_versioned_and_no_sandbox() {
    let (dir, store) = store();
    let web = sandbox(&store, "web").id;
    let global = store.global().unwrap();
    assert_eq!(global.to_owned(), store.global().unwrap(), "made once");
    store.put(global.id, &key("k"), Some(b"one"), Expected::Any).unwrap();
    store.put(global.id, &key("k"), Some(b"two"), Expected::Any).unwrap();
    assert_eq!(open(&store, global.id, "k", 1, &[]), b"one");
    assert!(store.get(web, &key("k"), None).unwrap().is_none());
    assert_eq!(store.sandboxes().unwrap().len(), 1);
    assert!(store.live_trees("overlay").unwrap().iter().all(|tree| !tree.0.is_empty()));
    store.remove_sandbox(web).unwrap();
    assert_eq!(sandbox(&store, "next").id, SandboxId(2));
    assert_eq!(open(&store, global.id, "k", 2, &[]), b"two");
    assert_eq!(store.operations(global.id, 9).unwrap().len(), 2);
    assert_eq!(store.compare_state(global.id).unwrap(), []);
    assert_sound(&dir.path().join("a/store"));
}

#[test]
fn what_was_there_before_the_journal_told_is_taken_over_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/store");
    let made = SqliteStore::open(&path).unwrap();
    let (id, empty) = (sandbox(&made, "web").id, sandbox(&made, "empty").id);
    made.put(id, &key("k \"é\\"), Some(b"v"), Expected::Any).unwrap();
    made.put(id, &key("gone"), Some(b"v"), Expected::Any).unwrap();
    made.put(id, &key("gone"), None, Expected::Any).unwrap();
    drop(made);
    behind(dir.path()).execute_batch(TO_FORMAT_2).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.verify_state(id).unwrap(), []);
    assert_eq!(store.verify_state(empty).unwrap(), []);
    let first = store.operations(id, 9).unwrap().pop().unwrap();
    assert_eq!(first.request.kind, OperationKind::Create);
    assert_eq!(first.outcome.state, store.state_writes(id).unwrap());
    store.put(id, &key("k"), Some(b"new"), Expected::Any).unwrap();
    assert_eq!(store.compare_state(id).unwrap(), []);
}

#[test]
fn a_sensitive_key_stays_so_until_it_is_deleted() {
    let (dir, store) = store();
    let id = sandbox(&store, "web").id;
    put_sealed(&store, id, "token", b"hunter2", &old_key()).unwrap();
    let plain = store.put(id, &key("token"), Some(b"x"), Expected::Any);
    assert!(matches!(plain, Err(StoreError::Sensitive { .. })), "{plain:?}");
    let other = put_sealed(&store, id, "token", b"x", &new_key());
    let (wanted, given) = (old_key().id(), new_key().id());
    assert!(
        matches!(other, Err(StoreError::OtherKey { wanted: w, given: g }) if (w, g) == (wanted, given))
    );
    store.put(id, &key("token"), None, Expected::Any).unwrap();
    store.put(id, &key("token"), Some(b"public"), Expected::Any).unwrap();
    assert_eq!(open(&store, id, "token", 1, &[old_key()]), b"hunter2");
    // The value is nowhere in the files: not in the log of events, not in the journal.
    for file in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(dir.path().join("a/store").join(file)).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{file}");
    }
}

#[test]
fn a_rotation_reaches_every_version_everywhere_and_the_old_key_is_needed_no_more() {
    let (dir, store) = store();
    let one = sandbox(&store, "one").id;
    let global = store.global().unwrap().id;
    put_sealed(&store, one, "token", b"first", &old_key()).unwrap();
    store.put(one, &key("plain"), Some(b"plain"), Expected::Any).unwrap();
    put_sealed(&store, one, "token", b"second", &old_key()).unwrap();
    put_sealed(&store, global, "token", b"third", &old_key()).unwrap();
    store.restore_state(one, 1).unwrap();
    let point = Point { tree: Tree("t".into()), state_version: 3 };
    let fork = store.create_sandbox(&new_sandbox("fork"), Some((one, &point))).unwrap().id;
    let done = store.reseal(&rotation()).unwrap();
    assert_eq!((done.entries, done.values, done.operations.len()), (5, 3, 3));
    let keys = [new_key()];
    for (id, name, at, value) in [
        (one, "token", 1, "first"),
        (one, "token", 3, "second"),
        (one, "token", 4, "first"),
        (one, "plain", 2, "plain"),
        (global, "token", 1, "third"),
        (fork, "token", 2, "second"),
    ] {
        assert_eq!(open(&store, id, name, at, &keys), value.as_bytes());
    }
    for id in [one, global, fork] {
        assert_eq!(store.verify_state(id).unwrap(), []);
    }
    let late = put_sealed(&store, one, "token", b"late", &old_key());
    assert!(matches!(late, Err(StoreError::OtherKey { .. })), "the old key is out of use");
    assert_eq!(store.reseal(&rotation()).unwrap().entries, 0);
    assert_eq!(audit::compare(&store).unwrap(), []);
    assert_sound(&dir.path().join("a/store"));
}

#[test]
fn a_rotation_that_meets_a_damaged_value_changes_nothing() {
    let (dir, store) = store();
    let id = sandbox(&store, "web").id;
    put_sealed(&store, id, "good", b"good", &old_key()).unwrap();
    put_sealed(&store, id, "token", b"v", &old_key()).unwrap();
    let before = store.state_writes(id).unwrap();
    behind(dir.path())
        .execute(
            "UPDATE blobs SET bytes = x'00' WHERE hash =
             (SELECT hash FROM state WHERE key = 'token')",
            [],
        )
        .unwrap();
    let refused = store.reseal(&rotation());
    assert!(matches!(refused, Err(StoreError::Damaged { version: 2, .. })), "{refused:?}");
    assert_eq!(store.state_writes(id).unwrap(), before);
    assert_eq!(open(&store, id, "good", 1, &[old_key()]), b"good");
}

#[test]
fn repair_takes_copies_from_where_they_are_and_names_what_is_lost() {
    let (dir, store) = store();
    let id = sandbox(&store, "web").id;
    for name in ["moved", "copied", "lost", "row", "gone"] {
        store.put(id, &key(name), Some(name.as_bytes()), Expected::Any).unwrap();
    }
    let text = export(&store, &[id]);
    let behind = behind(dir.path());
    let of = |name: &str| format!("(SELECT hash FROM state WHERE key = '{name}')");
    for damage in [
        format!("UPDATE blobs SET hash = x'1234' WHERE hash = {}", of("moved")),
        format!("UPDATE blobs SET bytes = x'00' WHERE hash = {}", of("copied")),
        format!("DELETE FROM blobs WHERE hash = {}", of("lost")),
        format!("UPDATE state SET hash = {} WHERE key = 'row'", of("gone")),
        "DELETE FROM state WHERE key = 'gone'".to_owned(),
        "UPDATE sandboxes SET state_version = 3 WHERE name = 'web'".to_owned(),
    ] {
        behind.execute(&damage, []).unwrap();
    }
    let faults = store.verify_state(id).unwrap();
    let fault = |name: &str, version, problem| (name.to_owned(), version, problem);
    let lost = fault("lost", 3, StateProblem::ValueMissing);
    assert_eq!(
        problems(&faults),
        [
            fault("", 3, StateProblem::VersionWrong),
            fault("copied", 2, StateProblem::ValueDamaged),
            fault("gone", 5, StateProblem::EntryMissing),
            lost.clone(),
            fault("moved", 1, StateProblem::ValueMissing),
            fault("row", 4, StateProblem::EntryDiffers),
        ]
    );
    let repair = store.repair_state(id, &NoCopies).unwrap();
    assert_eq!(
        problems(&repair.left),
        [fault("copied", 2, StateProblem::ValueDamaged), lost.clone()]
    );
    assert_eq!(repair.mended.len(), 4);
    assert_eq!(open(&store, id, "moved", 1, &[]), b"moved");
    assert_eq!(open(&store, id, "row", 4, &[]), b"row");
    let part = text.replace(&bundle_line(&text, b"lost"), "");
    assert!(Bundle::parse(&part).is_err(), "a line that is missing is noticed");
    let repair = store.repair_state(id, &Bundle::parse(&text).unwrap()).unwrap();
    assert_eq!((repair.mended.len(), repair.left.len()), (2, 0));
    assert_eq!(store.verify_state(id).unwrap(), []);
    assert_sound(&dir.path().join("a/store"));
}

fn bundle_line(text: &str, value: &[u8]) -> String {
    let digest = Digest::blake3(*blake3::hash(value).as_bytes()).to_string();
    let line = |line: &&str| line.starts_with("{\"value\"") && line.contains(&digest);
    format!("{}\n", text.lines().find(line).unwrap())
}

#[test]
fn rebuild_drops_what_the_journal_does_not_know_only_when_asked() {
    let (dir, store) = store();
    let id = sandbox(&store, "web").id;
    store.put(id, &key("k"), Some(b"v"), Expected::Any).unwrap();
    let before = store.state_writes(id).unwrap();
    let behind = behind(dir.path());
    behind.execute("INSERT INTO blobs(hash, bytes) VALUES(zeroblob(32), x'00')", []).unwrap();
    behind
        .execute(
            "INSERT INTO state(sandbox, key, version, hash, size, written)
             VALUES(1, 'stranger', 7, zeroblob(32), 1, 0)",
            [],
        )
        .unwrap();
    behind.execute("UPDATE state SET size = 9 WHERE key = 'k'", []).unwrap();
    let kept = store.rebuild_state(id, false).unwrap();
    assert_eq!(problems(&kept.left), [("stranger".to_owned(), 7, StateProblem::EntryUnknown)]);
    assert_eq!(store.state_writes(id).unwrap().len(), 2);
    let dropped = store.rebuild_state(id, true).unwrap();
    assert_eq!((dropped.mended.len(), dropped.left.len()), (1, 0));
    assert_eq!(store.state_writes(id).unwrap(), before);
    assert_eq!(store.state_version(id).unwrap(), 1);
    let events = store.events(0, 99).unwrap();
    let repaired = events.iter().filter(|event| event.text.contains("state.repaired")).count();
    assert_eq!(repaired, 2);
    assert_sound(&dir.path().join("a/store"));
}

#[test]
fn an_import_continues_histories_and_tells_where_they_part() {
    let (_one, here) = store();
    let (_two, there) = store();
    let (a, b) = (sandbox(&here, "web").id, sandbox(&there, "web").id);
    here.put(a, &key("shared"), Some(b"1"), Expected::Any).unwrap();
    put_sealed(&here, a, "token", b"secret", &old_key()).unwrap();
    here.put(a, &key("gone"), Some(b"1"), Expected::Any).unwrap();
    here.put(a, &key("gone"), None, Expected::Any).unwrap();
    let text = export(&here, &[a]);
    assert!(!text.contains("secret"));
    let done = import(&there, b, &text, ImportConflict::Fail);
    assert_eq!((done.written, done.present, done.conflicts.len()), (4, 0, 0));
    assert_eq!(there.state_writes(b).unwrap(), here.state_writes(a).unwrap());
    assert_eq!(open(&there, b, "token", 2, &[old_key()]), b"secret");
    let again = import(&there, b, &text, ImportConflict::Fail);
    assert_eq!((again.written, again.present), (0, 4));

    // Rotated there, continued here: still one history.
    there.reseal(&rotation()).unwrap();
    assert_eq!(import(&there, b, &text, ImportConflict::Fail).present, 4);
    // They part at `shared`; `new` is only in the import.
    here.put(a, &key("shared"), Some(b"2 here"), Expected::Any).unwrap();
    here.put(a, &key("new"), Some(b"new"), Expected::Any).unwrap();
    there.put(b, &key("shared"), Some(b"2 there"), Expected::Any).unwrap();
    let text = export(&here, &[a]);
    let before = there.state_writes(b).unwrap();
    let refused = import(&there, b, &text, ImportConflict::Fail);
    assert_eq!((refused.written, refused.conflicts.len()), (0, 1));
    assert_eq!(refused.conflicts[0].key, key("shared"));
    assert_eq!(there.state_writes(b).unwrap(), before);
    let skipped = import(&there, b, &text, ImportConflict::Skip);
    assert_eq!((skipped.written, skipped.present), (1, 4));
    assert_eq!(there.get(b, &key("shared"), None).unwrap().unwrap().value.unwrap(), b"2 there");
    let theirs = import(&there, b, &text, ImportConflict::Theirs);
    assert_eq!((theirs.written, theirs.present), (1, 5));
    assert_eq!(there.get(b, &key("shared"), None).unwrap().unwrap().value.unwrap(), b"2 here");
    assert_eq!(there.state_writes(b).unwrap()[..before.len()], before[..], "nothing is lost");
    let again = import(&there, b, &text, ImportConflict::Fail);
    assert_eq!((again.written, again.conflicts.len()), (0, 0), "an import can be repeated");
    assert_eq!(there.verify_state(b).unwrap(), []);
}

#[test]
fn an_import_brings_back_no_old_key_no_plain_secret_and_no_wrong_size() {
    let try_import = |store: &SqliteStore, id, text: &str, dry| {
        let bundle = Bundle::parse(text).unwrap();
        let writes = bundle.namespaces[0].1.clone();
        let import = [StateImport { sandbox: id, writes }];
        store.import_state(&import, &bundle, ImportConflict::Theirs, dry).map(|done| done.written)
    };
    #[track_caller]
    fn why(result: Result<u64, StoreError>) -> (String, u64, String) {
        match result {
            Err(StoreError::NotImported { key, version, source }) => {
                (key.to_string(), version, source.to_string())
            }
            other => panic!("{other:?}"),
        }
    }
    let (_one, here) = store();
    let (_two, there) = store();
    let (a, b) = (sandbox(&here, "web").id, sandbox(&there, "web").id);
    put_sealed(&here, a, "token", b"old", &old_key()).unwrap();
    let old = export(&here, &[a]);
    put_sealed(&there, b, "other", b"new", &new_key()).unwrap();
    for dry in [true, false] {
        let (name, version, reason) = why(try_import(&there, b, &old, dry));
        assert_eq!((name.as_str(), version), ("token", 1));
        assert!(reason.contains(&new_key().id().to_string()), "{reason}");
    }

    let (_three, plain) = store();
    let c = sandbox(&plain, "web").id;
    plain.put(c, &key("first"), Some(b"1"), Expected::Any).unwrap();
    plain.put(c, &key("other"), Some(b"plain"), Expected::Any).unwrap();
    let (name, version, reason) = why(try_import(&there, b, &export(&plain, &[c]), false));
    assert_eq!((name.as_str(), version), ("other", 2));
    assert!(reason.contains("sensitive"), "{reason}");
    assert_eq!(there.state_version(b).unwrap(), 1, "nothing of it was written");
    // What a rollback brought back was plain before it was encrypted.
    put_sealed(&plain, c, "first", b"2", &new_key()).unwrap();
    plain.restore_state(c, 1).unwrap();
    let (_four, copy) = store();
    let d = sandbox(&copy, "web").id;
    assert_eq!(try_import(&copy, d, &export(&plain, &[c]), false).unwrap(), 5);

    for (size, reason) in [("2", "takes 1"), ("16777217", "16 MiB")] {
        let (_five, small) = store();
        let e = sandbox(&small, "web").id;
        small.put(e, &key("k"), Some(b"1"), Expected::Any).unwrap();
        behind(_five.path()).execute("UPDATE state SET size = ?1", [size]).unwrap();
        let (_six, empty) = store();
        let f = sandbox(&empty, "web").id;
        let (name, version, told) = why(try_import(&empty, f, &export(&small, &[e]), true));
        assert_eq!((name.as_str(), version), ("k", 1));
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn a_changed_cut_or_mixed_up_export_is_refused() {
    let (_dir, store) = store();
    let id = sandbox(&store, "web").id;
    store.put(id, &key("k"), Some(b"v"), Expected::Any).unwrap();
    store.put(id, &key("l"), Some(b"w"), Expected::Any).unwrap();
    let text = export(&store, &[id]);
    assert!(Bundle::parse(&text).is_ok());
    let lines: Vec<&str> = text.lines().collect();
    for left_out in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(left_out);
        assert!(Bundle::parse(&(fewer.join("\n") + "\n")).is_err(), "without line {left_out}");
    }
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        assert!(Bundle::parse(&changed).is_err() || at + 1 == text.len(), "byte {at}");
    }
    assert!(Bundle::parse(&(text.clone() + &text)).is_err());
    assert!(Bundle::parse("").is_err());
}

/// Seals some values, then rotates: what the worker does.
fn rotate(store: &impl Store) -> Result<(), StoreError> {
    store.reseal(&rotation()).map(drop)
}

#[test]
#[ignore = "started by the other tests"]
fn worker() {
    let Some((task, store)) = assignment() else { return };
    let fault = if task == "before" { StoreFault::KillBefore } else { StoreFault::KillAfter };
    if task == "amid" {
        let _ = store.reseal(&DiesAfter(rotation(), std::cell::Cell::new(2)));
        return;
    }
    let _ = rotate(&FaultStore::new(store, 1, fault));
}

/// Kills this process in the middle of a rotation.
struct DiesAfter(Rotation, std::cell::Cell<u32>);

impl ctrlz_core::state_store::Reseal for DiesAfter {
    fn from(&self) -> ctrlz_core::state::KeyId {
        ctrlz_core::state_store::Reseal::from(&self.0)
    }

    fn to(&self) -> ctrlz_core::state::KeyId {
        self.0.to()
    }

    fn reseal(
        &self,
        name: &ctrlz_core::state::StateKey,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        self.1.set(self.1.get() - 1);
        if self.1.get() == 0 {
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
        }
        self.0.reseal(name, bytes)
    }
}

#[test]
fn a_killed_rotation_leaves_all_values_under_one_key() {
    for (task, with) in [("before", old_key()), ("amid", old_key()), ("after", new_key())] {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let ids = [sandbox(&store, "one").id, store.global().unwrap().id];
        for id in ids {
            for value in ["a", "b", "c"] {
                put_sealed(&store, id, "token", value.as_bytes(), &old_key()).unwrap();
            }
        }
        drop(store);
        let status = this_test_binary(dir.path(), task).output().unwrap().status;
        assert_eq!(status.signal(), Some(9), "{task}");
        let store = SqliteStore::open(dir.path()).unwrap();
        for id in ids {
            for (at, value) in [(1, "a"), (2, "b"), (3, "c")] {
                let found = store.get(id, &key("token"), Some(at)).unwrap().unwrap();
                let opened = with.open(&key("token"), &found.value.unwrap(), found.sealed.unwrap());
                assert_eq!(opened.unwrap(), value.as_bytes(), "{task}");
            }
            assert_eq!(store.verify_state(id).unwrap(), [], "{task}");
        }
        store.reseal(&Rotation { from: with, to: SecretKey::new([3; 32]) }).unwrap();
        assert_sound(dir.path());
        assert_eq!(number(dir.path(), "SELECT count(*) FROM blobs"), 6, "{task}");
    }
}
