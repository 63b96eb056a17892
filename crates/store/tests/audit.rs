//! Every kind of edit of a log and of its export is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::path::{Path, PathBuf};

use ctrlz_core::store::Store;
use ctrlz_core::time::Timestamp;
use ctrlz_store::SqliteStore;
use ctrlz_store::audit::{Break, Bundle, Notary, SigningKey, Verifier, VerifyError, verify};
use fixture::{sandbox, store};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

struct Log {
    dir: PathBuf,
    _keep: tempfile::TempDir,
    store: SqliteStore,
    notary: Notary,
}

/// A log of ten events, of which the first six were signed, and then all.
fn log() -> Log {
    let (keep, store) = store();
    let dir = keep.path().join("a/store");
    let notary = Notary::of(&dir);
    for name in 0..6 {
        sandbox(&store, &format!("s{name}"));
    }
    assert_eq!(notary.sign(&store, NOW).unwrap().unwrap().number, 6);
    for name in 6..10 {
        sandbox(&store, &format!("s{name}"));
    }
    assert_eq!(notary.sign(&store, NOW).unwrap().unwrap().number, 10);
    Log { dir, _keep: keep, store, notary }
}

impl Log {
    fn bundle(&self) -> Bundle {
        self.notary.bundle(&self.store, None, None).unwrap()
    }

    fn key(&self) -> Verifier {
        self.notary.verifier().unwrap().unwrap()
    }

    #[track_caller]
    fn refused(&self, bundle: &Bundle) -> VerifyError {
        verify(bundle, Some(&self.key()), true).expect_err("must not be believed")
    }
}

/// Changes the log behind the store's back.
fn tamper(dir: &Path, statement: &str) {
    let behind = rusqlite::Connection::open(dir.join("store.db")).unwrap();
    behind.execute_batch(statement).unwrap();
}

#[test]
fn a_whole_log_and_each_part_of_it_are_good() {
    let log = log();
    let bundle = log.bundle();
    let shown = verify(&bundle, Some(&log.key()), true).unwrap();
    assert_eq!((shown.first, shown.last, shown.signed_to), (Some(1), Some(10), 10));
    assert_eq!(Bundle::parse(&bundle.text()).unwrap(), bundle);
    for from in 1..=10 {
        for to in from..=10 {
            let part = log.notary.bundle(&log.store, Some(from), Some(to)).unwrap();
            let sealed = to == 6 || to == 10;
            let shown = verify(&part, Some(&log.key()), sealed).unwrap();
            assert_eq!((shown.first, shown.last), (Some(from), Some(to)));
            assert_eq!(verify(&part, Some(&log.key()), true).is_ok(), sealed, "{from} to {to}");
        }
    }
    assert_eq!(log.notary.sign(&log.store, NOW).unwrap(), None, "it is signed already");
}

#[test]
fn a_changed_event_is_found() {
    let log = log();
    let whole = log.bundle();
    for at in 0..whole.events.len() {
        let mut changed = whole.clone();
        changed.events[at] = changed.events[at].replacen("create s", "create t", 1);
        let error = log.refused(&changed);
        match at {
            9 => assert_eq!(error, VerifyError::Replaced(10)),
            _ => {
                let before = i64::try_from(at).unwrap() + 1;
                assert_eq!(error, Break::Hash { before, number: before + 1 }.into());
            }
        }
    }
}

#[test]
fn a_dropped_a_repeated_and_a_swapped_event_are_found() {
    let log = log();
    let whole = log.bundle();
    for at in 0..9 {
        let mut dropped = whole.clone();
        dropped.events.remove(at);
        assert!(matches!(log.refused(&dropped), VerifyError::Chain(Break::Order { .. })));
        let mut repeated = whole.clone();
        repeated.events.insert(at, whole.events[at].clone());
        assert!(matches!(log.refused(&repeated), VerifyError::Chain(Break::Order { .. })));
        let mut swapped = whole.clone();
        swapped.events.swap(at, at + 1);
        assert!(matches!(log.refused(&swapped), VerifyError::Chain(Break::Order { .. })));
    }
}

#[test]
fn a_cut_log_is_found() {
    let log = log();
    let whole = log.bundle();
    for kept in 0..10 {
        let mut cut = whole.clone();
        cut.events.truncate(kept);
        let last = i64::try_from(kept).unwrap();
        let signed = if kept < 6 { 6 } else { 10 };
        assert_eq!(log.refused(&cut), VerifyError::Truncated { signed, last });
        // With the checkpoints that tell of it dropped as well.
        cut.checkpoints.truncate(usize::from(kept >= 6));
        match kept {
            0..6 => assert_eq!(log.refused(&cut), VerifyError::NotSigned),
            6 => {}
            _ => {
                let signed_to = 6;
                assert_eq!(log.refused(&cut), VerifyError::Unsigned { signed_to, last });
            }
        }
    }
}

/// Whoever can write the log can make a chain of his own, but not sign it.
#[test]
fn a_log_that_was_written_anew_is_found() {
    let (log, other) = (log(), log());
    let forged = other.bundle();
    assert!(matches!(log.refused(&forged), VerifyError::Checkpoint(_)), "another key");
    let mut mixed = forged.clone();
    mixed.checkpoints = log.bundle().checkpoints;
    assert!(matches!(log.refused(&mixed), VerifyError::ForeignCheckpoint(_)));
    let mut named = log.bundle();
    named.events = forged.events;
    assert!(matches!(log.refused(&named), VerifyError::Chain(Break::Foreign { .. })));
    let mut moved = log.bundle();
    moved.start.source = forged.start.source;
    assert!(verify(&moved, Some(&log.key()), true).is_err());
}

#[test]
fn an_edit_of_the_database_is_found() {
    for edit in [
        "UPDATE events SET body = replace(body, 'create s3', 'create s9') WHERE seq = 4",
        "DELETE FROM events WHERE seq = 4",
        "DELETE FROM events WHERE seq > 4",
        "DELETE FROM events WHERE seq > 9",
        "UPDATE events SET seq = 40 WHERE seq = 4; UPDATE events SET seq = 4 WHERE seq = 5;
         UPDATE events SET seq = 5 WHERE seq = 40",
        "UPDATE events SET body = 'urn:uuid:0' WHERE seq = 0",
    ] {
        let log = log();
        tamper(&log.dir, edit);
        assert!(verify(&log.bundle(), Some(&log.key()), true).is_err(), "{edit}");
    }
}

#[test]
fn a_checkpoint_that_was_changed_or_made_by_another_is_found() {
    let log = log();
    let whole = log.bundle();
    let stranger = SigningKey::new(log.key().name(), &[5; 32]).unwrap();
    for change in [("\n10\n", "\n9\n"), ("2027", "2028"), ("ctrlz event", "Ctrlz event")] {
        let mut changed = whole.clone();
        changed.checkpoints[1] = changed.checkpoints[1].replacen(change.0, change.1, 1);
        assert!(matches!(log.refused(&changed), VerifyError::Checkpoint(_)), "{change:?}");
    }
    let refused = verify(&whole, Some(&stranger.verifier()), true);
    assert!(matches!(refused, Err(VerifyError::Checkpoint(_))));
    assert!(verify(&whole, None, true).is_ok(), "without a key it is only a chain");
}

#[test]
fn the_key_is_for_its_owner_and_stays() {
    use std::os::unix::fs::PermissionsExt;
    let log = log();
    let path = log.dir.join("audit/key");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = log.key();
    sandbox(&log.store, "one-more");
    log.notary.sign(&log.store, NOW).unwrap().unwrap();
    assert_eq!(log.key(), key);
    let public = std::fs::read_to_string(log.dir.join("audit/key.pub")).unwrap();
    assert_eq!(public.trim().parse(), Ok(key));
    std::fs::write(&path, "rubbish").unwrap();
    sandbox(&log.store, "yet-another");
    let error = log.notary.sign(&log.store, NOW).unwrap_err();
    assert!(error.to_string().contains("audit/key cannot be used"), "{error}");
}

#[test]
fn many_signers_use_one_key() {
    let (keep, store) = store();
    sandbox(&store, "web");
    let dir = keep.path().join("a/store");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = SqliteStore::open(&dir).unwrap();
                Notary::of(&dir).sign(&store, NOW).unwrap();
            });
        }
    });
    let notary = Notary::of(&dir);
    let bundle = notary.bundle(&store, None, None).unwrap();
    verify(&bundle, notary.verifier().unwrap().as_ref(), true).unwrap();
    assert_eq!(notary.signed_to().unwrap(), store.log_head().unwrap().last);
    let left = std::fs::read_dir(dir.join("audit")).unwrap().count();
    assert_eq!(left, 3, "key, public key and one checkpoint");
}

#[test]
fn an_export_without_a_signature_shows_nothing() {
    let log = log();
    let whole = log.bundle();
    let unsigned = Bundle { checkpoints: Vec::new(), ..whole.clone() };
    assert_eq!(log.refused(&unsigned), VerifyError::NotSigned);
    let empty = Bundle { events: Vec::new(), ..unsigned.clone() };
    assert_eq!(log.refused(&empty), VerifyError::NotSigned);
    assert_eq!(verify(&unsigned, Some(&log.key()), false).unwrap().by, None);
    for before in ["-10", "9223372036854775807", "-9223372036854775808"] {
        let header = format!("\"before\":{before}");
        let forged = whole.text().replacen("\"before\":0", &header, 1);
        assert!(Bundle::parse(&forged).is_err(), "{before}");
    }
}

#[test]
fn rubbish_is_no_export() {
    let good = log().bundle().text();
    assert!(Bundle::parse("").is_err());
    assert!(Bundle::parse("{}").is_err());
    assert!(Bundle::parse("no json").is_err());
    let lines: Vec<&str> = good.lines().collect();
    let behind = format!("{good}{}\n", lines[1]);
    assert!(Bundle::parse(&behind).unwrap_err().to_string().contains("line 14"));
}
