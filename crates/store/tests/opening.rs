//! What can be opened, what is refused, and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ctrlz_core::operation::{OperationKind, Request};
use ctrlz_core::state::Expected;
use ctrlz_core::store::{Durability, Store, StoreError};
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_store::SqliteStore;
use fixture::{
    TO_FORMAT_1, TO_FORMAT_2, assert_sound, assignment, key, request, sandbox, this_test_binary,
};

fn refused(dir: &Path) -> StoreError {
    SqliteStore::open(dir).err().expect("must not open")
}

/// The whole chain of causes, as the user reads it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_store_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x/y?mode=ro#1%20");
    let store = SqliteStore::open(&path).unwrap();
    let id = sandbox(&store, "web").id;
    let _lock = store.lock(id, &mut |_| true).unwrap();
    for directory in [dir.path().join("x"), path.clone(), path.join("locks")] {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    for file in ["store.db", "store.db-wal", "store.db-shm", "locks/1"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn what_was_written_is_there_again_and_reopening_folds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let made = sandbox(&store, "web");
    let before = std::fs::metadata(dir.path().join("store.db-wal")).unwrap().len();
    drop(store);
    let store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(store.sandbox(made.id).unwrap(), made);
    let after = std::fs::metadata(dir.path().join("store.db-wal")).unwrap().len();
    assert_eq!(before, after);
    assert!(after > 0);
}

#[test]
fn the_log_stays_short() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let id = sandbox(&store, "web").id;
    let mut longest = 0;
    for _ in 0..300 {
        store.put(id, &key("k"), Some(b"v"), Expected::Any).unwrap();
        longest = longest.max(std::fs::metadata(dir.path().join("store.db-wal")).unwrap().len());
    }
    assert!(longest < 200 * 4120, "{longest} bytes");
    assert_sound(dir.path());
}

#[test]
fn garbage_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let garbage = b"this is no database at all ".repeat(400);
    std::fs::write(&path, &garbage).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, StoreError::Open { .. }));
    assert!(chain(&error).contains("not a database"), "{}", chain(&error));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[test]
fn somebody_elses_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t(x); PRAGMA user_version=1;").unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    let error = refused(dir.path());
    assert!(chain(&error).contains("not of ctrlz"), "{}", chain(&error));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(refused(dir.path()), StoreError::Open { .. }), "an empty file is not ours");
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    let behind = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    behind.execute_batch("PRAGMA user_version=7").unwrap();
    drop(behind);
    let error = refused(dir.path());
    assert!(matches!(error, StoreError::Format { found: 7, supported: 5, .. }), "{error:?}");
}

/// A database as the first format had it, with an operation in it.
fn older(dir: &Path) -> ctrlz_core::operation::Operation {
    let store = SqliteStore::open(dir).unwrap();
    let id = sandbox(&store, "web").id;
    store.begin(&request(id, OperationKind::Run), Durability::Process).unwrap();
    let before = store.operations(id, 1).unwrap().pop().unwrap();
    drop(store);
    let behind = rusqlite::Connection::open(dir.join("store.db")).unwrap();
    behind.execute_batch(&format!("{TO_FORMAT_2}{TO_FORMAT_1}")).unwrap();
    before
}

#[test]
fn an_older_format_is_brought_up_and_keeps_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let before = older(dir.path());
    for _ in 0..2 {
        let store = SqliteStore::open(dir.path()).unwrap();
        assert_eq!(store.operation(before.id).unwrap(), before);
        let verdict = Some(VerdictRecord { score: 60, ..VerdictRecord::default() });
        let asked = Request { verdict, ..request(before.request.sandbox, OperationKind::Run) };
        let refused = store.refuse(&asked, "no").unwrap();
        assert_eq!(store.operation(refused.id).unwrap(), refused);
        assert_eq!(fixture::number(dir.path(), "PRAGMA user_version"), 5);
    }
    assert_sound(dir.path());
}

#[test]
fn of_many_that_open_an_older_format_one_brings_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let before = older(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = SqliteStore::open(dir.path()).unwrap();
                assert_eq!(store.operation(before.id).unwrap(), before);
            });
        }
    });
    assert_sound(dir.path());
}

#[test]
fn what_is_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = refused(&file.join("store"));
    assert!(matches!(error, StoreError::Open { .. }));
    assert!(chain(&error).contains("file/store"), "{}", chain(&error));
    std::fs::create_dir_all(dir.path().join("s/store.db")).unwrap();
    let error = refused(&dir.path().join("s"));
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[test]
fn a_log_without_its_database_is_not_played_into_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    sandbox(&store, "old");
    drop(store);
    std::fs::remove_file(dir.path().join("store.db")).unwrap();
    std::fs::write(dir.path().join("store.db.new"), b"half").unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    assert!(store.sandboxes().unwrap().is_empty());
    sandbox(&store, "new");
    assert_sound(dir.path());
}

#[test]
fn a_damaged_page_is_an_error_not_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let id = sandbox(&store, "web").id;
    drop(store);
    let path = dir.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap(); // Folds the log when it closes.
    let behind = rusqlite::Connection::open(&path).unwrap();
    behind.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let page: i64 = behind
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name='sandboxes'", [], |r| r.get(0))
        .unwrap();
    drop(behind);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = (page as usize - 1) * 4096;
    bytes[start..start + 4096].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let error = SqliteStore::open(dir.path()).unwrap().sandbox(id).unwrap_err();
    assert!(chain(&error).contains("malformed"), "{}", chain(&error));
}

/// What the worker prints at its end; without it, it did not run.
const CHECKED: &str = "checked in the namespace";

/// Not a test of its own: runs where `in_a_namespace` has mounted something small.
#[test]
#[ignore = "started by the other tests"]
fn worker() {
    if std::env::var("CTRLZ_TEST_TASK").as_deref() == Ok("read-only") {
        let dir = std::env::var_os("CTRLZ_TEST_STORE").unwrap();
        let error = refused(Path::new(&dir));
        assert!(matches!(error, StoreError::Open { .. }));
        let chain = chain(&error);
        assert!(chain.contains("write-protected"), "{chain}");
        println!("{CHECKED}");
        return;
    }
    let Some((_, store)) = assignment() else { return };
    fill_and_recover(&store);
    println!("{CHECKED}");
}

/// Writes until the disk is full, then makes room, then goes on.
fn fill_and_recover(store: &SqliteStore) {
    let dir = std::env::var_os("CTRLZ_TEST_STORE").unwrap();
    let dir = Path::new(&dir);
    let id = sandbox(store, "web").id;
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut written = 0;
    let error = loop {
        // Incompressible and never equal, so that each takes room.
        let bytes = written.to_string().repeat(20_000);
        match store.put(id, &key(&format!("k{written}")), Some(bytes.as_bytes()), Expected::Any) {
            Ok(version) => written = version,
            Err(error) => break error,
        }
        assert!(written < 10_000, "the disk must become full");
    };
    assert!(matches!(error, StoreError::Failed { action: "write state", .. }), "{error:?}");
    assert_eq!(store.state_version(id).unwrap(), written, "a failed write must leave nothing");
    assert_eq!(store.list(id, None).unwrap().len() as u64, written);
    std::fs::remove_file(&ballast).unwrap();
    store.put(id, &key("after"), Some(b"v"), Expected::Any).unwrap();
    let open = store.begin(&request(id, OperationKind::Run), Durability::Machine).unwrap();
    assert_eq!(store.sandbox(id).unwrap().open_operation, Some(open.id));
    for n in 1..=written {
        let name = format!("k{}", n - 1);
        assert!(store.get(id, &key(&name), None).unwrap().is_some(), "{name}");
    }
    assert_sound(dir);
}

/// Runs this binary's worker in its own mount namespace, after `mounts` (shell text) has run
/// there. Says why it is skipped where namespaces are not to be had.
fn in_a_namespace(mounts: &str, dir: &Path, task: &str) {
    let probe = Command::new("unshare")
        .args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stdin(Stdio::null())
        .output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            println!("SKIPPED(no namespaces: {})", String::from_utf8_lossy(&output.stderr).trim());
            return;
        }
        Err(error) => {
            println!("SKIPPED(unshare(1) does not start: {error})");
            return;
        }
    }
    let worker = this_test_binary(dir, task);
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-ec", &format!("{mounts}\nexec \"$@\""), "sh"])
        .arg(worker.get_program())
        .args(worker.get_args())
        .envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("DIR", dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains(CHECKED),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_disk_fails_one_write_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    in_a_namespace("mount -t tmpfs -o size=6m none \"$DIR\"", dir.path(), "fill");
}

#[test]
fn a_read_only_store_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    let mounts = "mount --bind \"$DIR\" \"$DIR\"; mount -o remount,bind,ro \"$DIR\"";
    in_a_namespace(mounts, dir.path(), "read-only");
}
