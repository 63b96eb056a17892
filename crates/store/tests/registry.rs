//! Who may use the service, as it is kept.
#![allow(clippy::expect_used, reason = "a test fails by panicking, in its own functions, too")]

use std::path::Path;

use ctrlz_core::tenancy::{
    Answered, Confirmation, Quotas, Registry, Role, Tenant, TenantName, Token,
};
use ctrlz_core::time::Timestamp;
use ctrlz_store::{REGISTRY, SqliteRegistry};

const NOW: Timestamp = Timestamp(1_000);

fn open(directory: &Path) -> SqliteRegistry {
    SqliteRegistry::open(directory, NOW).expect("a registry")
}

fn tenant(name: &str) -> TenantName {
    name.parse().expect("a name")
}

fn token(id: &str, of: &str) -> Token {
    Token {
        id: id.to_owned(),
        tenant: tenant(of),
        role: Role::Operator,
        note: "for tests".to_owned(),
        created: NOW,
        expires: None,
        revoked: None,
    }
}

fn confirmation(id: &str, hash: &str) -> Confirmation {
    Confirmation {
        id: id.to_owned(),
        tenant: TenantName::owner(),
        sandbox: "web".to_owned(),
        title: "make".to_owned(),
        reasons: vec!["because".to_owned()],
        hash: hash.to_owned(),
        asked_by: "a".to_owned(),
        created: NOW,
        expires: Timestamp(NOW.0 + 100),
        approved_by: None,
        used: false,
    }
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().expect("a folder");
    let registry = open(directory.path());
    let quotas = Quotas { running: Some(3), ..Quotas::default() };
    let other = Tenant { name: tenant("other"), created: NOW, quotas };
    registry.put_tenant(&other).expect("written");
    registry.add_token(&token("t", "other"), &[7; 32]).expect("written");
    drop(registry);
    let registry = open(directory.path());
    assert_eq!(registry.tenant(&tenant("other")).expect("read"), Some(other.clone()));
    let names: Vec<_> =
        registry.tenants().expect("read").into_iter().map(|tenant| tenant.name).collect();
    assert_eq!(names, [TenantName::owner(), tenant("other")]);
    assert_eq!(registry.token("t").expect("read"), Some((token("t", "other"), [7; 32])));
    assert!(registry.add_token(&token("t", "other"), &[8; 32]).is_err(), "an id is given once");
    assert!(registry.remove_tenant(&tenant("other")).expect("removed"));
    assert!(!registry.remove_tenant(&tenant("other")).expect("it is gone"));
    assert_eq!(registry.token("t").expect("read"), None);
}

#[test]
fn a_token_is_revoked_by_its_own_tenant_and_once() {
    let directory = tempfile::tempdir().expect("a folder");
    let registry = open(directory.path());
    registry.add_token(&token("t", "default"), &[7; 32]).expect("written");
    assert!(!registry.revoke(&tenant("other"), "t", NOW).expect("not its own"));
    assert!(registry.revoke(&TenantName::owner(), "t", NOW).expect("revoked"));
    assert!(!registry.revoke(&TenantName::owner(), "t", NOW).expect("already"));
    let (found, _) = registry.token("t").expect("read").expect("it stays");
    assert_eq!(found.revoked, Some(NOW));
}

#[test]
fn an_approval_is_used_once_by_what_it_is_for_and_in_time() {
    let directory = tempfile::tempdir().expect("a folder");
    let registry = open(directory.path());
    let owner = TenantName::owner();
    let (later, too_late) = (Timestamp(NOW.0 + 50), Timestamp(NOW.0 + 100));
    for id in ["a", "b"] {
        registry.ask(&confirmation(id, "hash")).expect("asked");
    }
    let use_up = |id: &str, hash: &str, now| registry.use_up(&owner, id, hash, now).expect("asked");
    assert_eq!(use_up("a", "hash", later), None, "nobody approved it");
    assert!(!registry.approve(&tenant("other"), "a", "x", later).expect("another's"));
    assert!(registry.approve(&owner, "a", "x", later).expect("approved"));
    assert!(!registry.approve(&owner, "a", "y", later).expect("already"));
    assert_eq!(use_up("a", "another", later), None, "another operation");
    assert_eq!(registry.use_up(&tenant("other"), "a", "hash", later).expect("asked"), None);
    assert_eq!(use_up("a", "hash", too_late), None, "it has expired");
    assert_eq!(use_up("a", "hash", later), Some("x".to_owned()));
    assert_eq!(use_up("a", "hash", later), None, "it was used");
    assert!(!registry.approve(&owner, "b", "x", too_late).expect("it has expired"));
    let waiting = registry.confirmations(&owner, later).expect("read");
    assert_eq!(waiting, [confirmation("b", "hash")]);
    // What has expired is forgotten by and by.
    let new = Confirmation { created: Timestamp(5_000), ..confirmation("c", "hash") };
    registry.ask(&new).expect("asked");
    assert_eq!(registry.confirmations(&owner, Timestamp(0)).expect("read").len(), 1);
}

#[test]
fn of_two_that_begin_the_same_answer_one_gives_it() {
    let directory = tempfile::tempdir().expect("a folder");
    let registry = open(directory.path());
    let begin = |now: i64, oldest: i64| {
        let times = (Timestamp(now), Timestamp(oldest));
        registry.begin_answer(("token", "key"), &[1; 32], times).expect("begun")
    };
    assert_eq!(begin(10, 0), None);
    let found = begin(10, 0).expect("it was begun");
    assert_eq!((found.request, found.status), ([1; 32], None));
    let headers = [("location".to_owned(), "/v1/here".to_owned())];
    let answer = Answered { status: 201, headers: &headers, body: b"body" };
    registry.end_answer(("token", "key"), Some(answer)).expect("kept");
    let found = begin(11, 0).expect("it is there");
    assert_eq!((found.status, found.body.as_slice()), (Some(201), b"body".as_slice()));
    assert_eq!(found.headers, headers);
    assert_eq!(begin(12, 11), None, "it was forgotten, being old");
    registry.end_answers(500, b"cut short").expect("kept");
    let found = begin(12, 0).expect("it is there");
    assert_eq!((found.status, found.body.as_slice()), (Some(500), b"cut short".as_slice()));
    registry.end_answer(("token", "key"), None).expect("forgotten");
    assert_eq!(begin(13, 0), None);
}

#[test]
fn another_programs_database_is_left_alone() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join(REGISTRY);
    std::fs::write(&path, "no database").expect("written");
    let error = SqliteRegistry::open(directory.path(), NOW).expect_err("refused");
    assert!(error.to_string().contains("registry"), "{error}");
    assert_eq!(std::fs::read(&path).expect("it is there"), b"no database");
}

/// The tables as the first format had them.
const FIRST: &str = "
CREATE TABLE tenants(name TEXT PRIMARY KEY, created INT, quotas TEXT) WITHOUT ROWID;
CREATE TABLE tokens(id TEXT PRIMARY KEY, tenant TEXT, created INT, secret BLOB, body TEXT)
  WITHOUT ROWID;
CREATE INDEX tokens_by_tenant ON tokens(tenant);
CREATE TABLE confirmations(
  id TEXT PRIMARY KEY, tenant TEXT, hash TEXT, created INT, expires INT, approved TEXT, used INT,
  body TEXT
) WITHOUT ROWID;
CREATE TABLE answers(
  token TEXT, key TEXT, request BLOB, created INT, status INT, body BLOB, PRIMARY KEY(token, key)
) WITHOUT ROWID;
INSERT INTO tenants VALUES('acme', 7, '{\"sandboxes\":3}');
INSERT INTO answers VALUES('token', 'key', zeroblob(32), 10, 201, X'626f6479');
PRAGMA application_id = 0x63746c73;
";

#[test]
fn what_an_older_one_knew_is_known() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join(REGISTRY);
    let older = rusqlite::Connection::open(&path).expect("a database");
    older.execute_batch(FIRST).expect("its tables");
    older.pragma_update(None, "user_version", 1).expect("its format");
    drop(older);
    let registry = open(directory.path());
    let acme = registry.tenant(&"acme".parse().expect("a name")).expect("read").expect("there");
    assert_eq!(
        (acme.created, acme.quotas.sandboxes, acme.quotas.disk),
        (Timestamp(7), Some(3), None)
    );
    let times = (Timestamp(11), Timestamp(0));
    let found = registry.begin_answer(("token", "key"), &[0; 32], times).expect("read");
    assert_eq!(found.expect("it is there").body, b"body");
    // Opened again, it is as the newest one is.
    drop(registry);
    drop(open(directory.path()));
    let newer = rusqlite::Connection::open(&path).expect("a database");
    newer.pragma_update(None, "user_version", 99).expect("its format");
    drop(newer);
    let refused = SqliteRegistry::open(directory.path(), Timestamp(0));
    assert!(refused.is_err_and(|error| format!("{error:?}").contains("Newer")));
}
