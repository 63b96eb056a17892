//! Databases of every format that there was, opened by this code. `upgrade/` has them as SQL text, as the code
//! of their time wrote them; `make` wrote those of today, and `sqlite3 FILE .dump` their text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::snapshot::{NewSnapshot, Point, SnapshotKind, Tree};
use ctrlz_core::state::Expected;
use ctrlz_core::store::{Durability, Store};
use ctrlz_core::tenancy::{Confirmation, Registry as _, Role, Tenant, TenantName, Token};
use ctrlz_core::time::Timestamp;
use ctrlz_store::{SqliteRegistry, SqliteStore};
use fixture::{assert_sound, key, number, request, sandbox};
use rusqlite::Connection;

/// What each fixture holds: written by the code of its time, and by today's for today's.
fn fill(store: &SqliteStore) {
    let made = sandbox(store, "web");
    store.put(made.id, &key("colour"), Some(b"red"), Expected::Any).unwrap();
    store.put(made.id, &key("colour"), Some(b"green"), Expected::Any).unwrap();
    let run = store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
    let counts = Some(ChangeCounts { added: 2, ..ChangeCounts::default() });
    let outcome = Outcome { counts, ..Outcome::default() };
    let after = Point { tree: Tree("web-second".into()), state_version: 2 };
    store.finish(run.id, Status::Done, &outcome, Some(&after), Durability::Process).unwrap();
    let kept =
        store.begin(&request(made.id, OperationKind::Snapshot), Durability::Process).unwrap();
    let new = NewSnapshot::of(SnapshotKind::Manual, "good");
    store.create_snapshot(&kept, &new, &kept.before).unwrap();
    let (before, outcome) = (kept.before.clone(), Outcome::default());
    store.finish(kept.id, Status::Done, &outcome, Some(&before), Durability::Process).unwrap();
    let write = store.begin(&request(made.id, OperationKind::Write), Durability::Process).unwrap();
    let after = write.before.clone();
    let counts = Some(ChangeCounts { modified: 1, ..ChangeCounts::default() });
    let outcome = Outcome { counts, ..Outcome::default() };
    store.finish(write.id, Status::Done, &outcome, Some(&after), Durability::Process).unwrap();
    // One that a crash cut short.
    store.begin(&request(made.id, OperationKind::Run), Durability::Process).unwrap();
}

/// The first format that has operations of the kind `write`.
const WRITES: i64 = 4;

/// Whatever format it had, this is what is in it.
fn is_filled(store: &SqliteStore, format: i64) {
    let web = store.sandbox_named("web").unwrap();
    assert_eq!((web.base.as_path(), web.driver.as_str()), (Path::new("/project"), "overlay"));
    assert_eq!(web.point, Point { tree: Tree("web-second".into()), state_version: 2 });
    let mut operations = store.operations(web.id, 10).unwrap();
    let writes = operations.iter().filter(|one| one.request.kind == OperationKind::Write);
    let writes: Vec<_> = writes.map(|one| one.outcome.counts.unwrap().modified).collect();
    assert_eq!(writes, if format < WRITES { vec![] } else { vec![1] });
    // Writes of state were no operations in the beginning.
    operations
        .retain(|one| !matches!(one.request.kind, OperationKind::State | OperationKind::Write));
    let found = operations.iter().map(|one| (one.request.kind, one.status));
    let expected = [
        (OperationKind::Run, Status::Open),
        (OperationKind::Snapshot, Status::Done),
        (OperationKind::Run, Status::Done),
        (OperationKind::Create, Status::Done),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert_eq!(web.open_operation, Some(operations[0].id));
    assert_eq!(operations[2].outcome.counts.unwrap().added, 2);
    assert_eq!(operations[2].request.title, "some run");
    let snapshots = store.snapshots(web.id).unwrap();
    assert_eq!((snapshots.len(), snapshots[0].message.as_str()), (1, "good"));
    assert_eq!(snapshots[0].point.tree, Tree("web-second".into()));
    for (version, value) in [(Some(1), &b"red"[..]), (None, b"green")] {
        let found = store.get(web.id, &key("colour"), version).unwrap().unwrap();
        assert_eq!(found.value.as_deref(), Some(value));
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade")
}

/// A database of that format. Its text has neither `application_id` nor `user_version`.
fn lay(at: &Path, name: &str, application: i64, format: i64) {
    let text = folder().join(format!("{name}-{format}.sql"));
    let text = std::fs::read_to_string(&text)
        .unwrap_or_else(|error| panic!("format {format} has no {}: {error}", text.display()));
    let database = Connection::open(at.join(format!("{name}.db"))).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch(&text).unwrap();
    database.pragma_update(None, "application_id", application).unwrap();
    database.pragma_update(None, "user_version", format).unwrap();
}

/// The tables with their columns, and the indices.
fn schema(at: &Path) -> BTreeMap<String, Vec<(String, String)>> {
    let database = Connection::open(at).unwrap();
    let rows = |query: &str| -> Vec<(String, String)> {
        let mut found = database.prepare(query).unwrap();
        let found = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        found.collect::<Result<_, _>>().unwrap()
    };
    let of_all = rows("SELECT name, type FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'");
    let named = of_all.into_iter().map(|(name, kind)| {
        let columns = rows(&format!(
            "SELECT name, type || ' ' || pk FROM pragma_table_info('{name}') ORDER BY name"
        ));
        (format!("{kind} {name}"), columns)
    });
    named.collect()
}

const STORE: i64 = 0x6374_6c7a;
const SERVICE: i64 = 0x6374_6c73;

#[test]
fn a_store_of_each_format_is_brought_up_with_all_that_it_holds() {
    let new = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(new.path()).unwrap());
    let newest = number(new.path(), "PRAGMA user_version");
    assert!(newest >= 3);
    for format in 1..=newest {
        let dir = tempfile::tempdir().unwrap();
        lay(dir.path(), "store", STORE, format);
        for _ in 0..2 {
            let store = SqliteStore::open(dir.path()).unwrap();
            is_filled(&store, format);
            assert_eq!(number(dir.path(), "PRAGMA user_version"), newest);
        }
        assert_eq!(schema(&dir.path().join("store.db")), schema(&new.path().join("store.db")));
        // It is used on.
        let store = SqliteStore::open(dir.path()).unwrap();
        let web = store.sandbox_named("web").unwrap();
        let open = web.open_operation.unwrap();
        let outcome = Outcome::default();
        store.finish(open, Status::Recovered, &outcome, None, Durability::Process).unwrap();
        store.put(web.id, &key("colour"), Some(b"blue"), Expected::Version(2)).unwrap();
        let other = sandbox(&store, "other");
        assert!(other.id > web.id);
        assert!(store.log_head().unwrap().last > 0);
        assert_sound(dir.path());
    }
}

fn owner(service: &SqliteRegistry) -> Tenant {
    service.tenant(&TenantName::owner()).unwrap().expect("there is one")
}

/// What the fixture of a registry holds.
fn fill_service(service: &SqliteRegistry) {
    let name: TenantName = "acme".parse().unwrap();
    service.put_tenant(&Tenant { name: name.clone(), ..owner(service) }).unwrap();
    let token = Token {
        id: "0123456789abcdef".into(),
        tenant: name.clone(),
        role: Role::Operator,
        note: "for the build".into(),
        created: Timestamp(1),
        expires: None,
        revoked: None,
    };
    service.add_token(&token, &[7; 32]).unwrap();
    let confirmation = Confirmation {
        id: "c1".into(),
        tenant: name,
        sandbox: "web".into(),
        title: "rm -rf build".into(),
        reasons: vec!["it deletes much".into()],
        stdin: None,
        hash: "abc".into(),
        asked_by: token.id,
        created: Timestamp(2),
        expires: Timestamp(i64::MAX),
        approved_by: None,
        used: false,
    };
    service.ask(&confirmation).unwrap();
}

#[test]
fn a_registry_of_each_format_is_opened_with_all_that_it_holds() {
    let new = tempfile::tempdir().unwrap();
    drop(SqliteRegistry::open(new.path(), Timestamp(1)).unwrap());
    let path = |dir: &Path| dir.join("service.db");
    let newest: i64 = Connection::open(path(new.path()))
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    for format in 1..=newest {
        let dir = tempfile::tempdir().unwrap();
        lay(dir.path(), "service", SERVICE, format);
        let service = SqliteRegistry::open(dir.path(), Timestamp(9)).unwrap();
        owner(&service);
        let name: TenantName = "acme".parse().unwrap();
        let (token, secret) = service.token("0123456789abcdef").unwrap().expect("a token");
        assert_eq!((&token.tenant, token.role, secret), (&name, Role::Operator, [7; 32]));
        let waiting = service.confirmations(&name, Timestamp(3)).unwrap();
        assert_eq!((waiting.len(), waiting[0].title.as_str()), (1, "rm -rf build"));
        let times = (Timestamp(6), Timestamp(0));
        let again = service.begin_answer((&token.id, "k"), &[0; 32], times).unwrap();
        let again = again.expect("an answer");
        assert_eq!((again.status, again.body.as_slice()), (Some(201), &b"body"[..]));
        assert_eq!(again.headers.len(), if format == 1 { 0 } else { 1 });
        drop(service);
        assert_eq!(schema(&path(dir.path())), schema(&path(new.path())));
    }
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

#[test]
fn what_a_newer_ctrlz_wrote_is_refused_in_words_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    drop(SqliteRegistry::open(dir.path(), Timestamp(1)).unwrap());
    for name in ["store.db", "service.db"] {
        let behind = Connection::open(dir.path().join(name)).unwrap();
        behind.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let before = (read("store.db"), read("service.db"));
    let told = chain(&SqliteStore::open(dir.path()).err().expect("refused"));
    assert!(told.contains("has format 99; this ctrlz reads up to"), "{told}");
    let told = chain(&SqliteRegistry::open(dir.path(), Timestamp(1)).expect_err("refused"));
    assert!(told.contains("service.db is of a newer ctrlz: its format is 99"), "{told}");
    assert_eq!((read("store.db"), read("service.db")), before);
}

/// Writes databases of today's formats to `CTRLZ_TEST_UPGRADE`, whose texts become fixtures.
#[test]
#[ignore = "started by whoever changes a format"]
fn make() {
    let Some(at) = std::env::var_os("CTRLZ_TEST_UPGRADE") else { return };
    fill(&SqliteStore::open(Path::new(&at)).unwrap());
    fill_service(&SqliteRegistry::open(Path::new(&at), Timestamp(1)).unwrap());
}
