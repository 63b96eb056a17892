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
        stdin: None,
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
    assert!(!registry.withdraw(&tenant("other"), "b").expect("another's"));
    assert!(!registry.withdraw(&owner, "a").expect("it was approved"));
    assert!(registry.withdraw(&owner, "b").expect("taken back"));
    assert!(!registry.approve(&owner, "b", "x", later).expect("it was taken back"));
    registry.ask(&confirmation("b", "hash")).expect("asked");
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
fn so_many_answers_of_a_token_are_kept_and_the_newest() {
    let directory = tempfile::tempdir().expect("a folder");
    let registry = open(directory.path());
    let begin = |token: &str, key: &str, now: i64| {
        let times = (Timestamp(now), Timestamp(0));
        registry.begin_answer((token, key), &[1; 32], times).expect("begun")
    };
    let body = vec![b'x'; 1 << 20];
    let answer = || Some(Answered { status: 200, headers: &[], body: &body });
    begin("other", "key", 1);
    registry.end_answer(("other", "key"), answer()).expect("kept");
    begin("token", "under way", 1);
    for number in 0..90 {
        let key = number.to_string();
        assert_eq!(begin("token", &key, 10 + number), None);
        registry.end_answer(("token", &key), answer()).expect("kept");
    }
    // It is looked at them now and then.
    for number in 0..64 {
        begin("another", &number.to_string(), 200);
    }
    for number in 0..64 {
        begin("token", &format!("again {number}"), 200);
    }
    assert_eq!(begin("token", "0", 300), None, "it was forgotten");
    assert!(begin("token", "89", 300).is_some_and(|found| found.body == body));
    assert!(begin("token", "under way", 300).is_some(), "it goes on");
    assert!(begin("other", "key", 300).is_some(), "another's is another's");
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
