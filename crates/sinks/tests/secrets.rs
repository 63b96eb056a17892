//! Secrets that a sink's failure would tell: of its configuration, of the environment, by their looks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::event::{Happening, RollbackRequired};
use ctrlz_core::sink::{SecretSource, SinkConfig, SinkTarget};
use ctrlz_core::span::Span;
use ctrlz_core::store::Store;
use ctrlz_sinks::{Office, Probed, deliver, probe, retry};
use ctrlz_store::SqliteStore;

const LONG: Duration = Duration::from_secs(60);

/// What looks like a secret to the caller's rule.
fn rule(text: &str) -> String {
    text.replace("AKIA-looks-like-one", "‹a key›")
}

/// Lets an event fail for good, tries it again and asks whether another is taken; answers all that
/// was told and kept of that.
fn told(target: SinkTarget) -> String {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("store")).unwrap();
    let sinks = dir.path().join("store/sinks");
    let office = Office { store: &store, sinks: &sinks, redact: &rule };
    let sink = SinkConfig { name: "test".to_owned(), types: Vec::new(), attempts: 1, target };
    deliver(office, &sink, LONG).unwrap();
    let happening = RollbackRequired { reason: "odd".to_owned(), to: None };
    let number = store.emit(None, Happening::RollbackRequired(happening)).unwrap();
    let done = deliver(office, &sink, LONG).unwrap();
    assert_eq!(done.died, 1, "{done:?}");
    let again = retry(office, &sink).unwrap().unwrap();
    assert_eq!(again.left, 1);
    let probed = probe(office, &sink, number).unwrap();
    let Probed::Refused(reason) = probed else { panic!("taken") };
    let kept: Vec<String> = kept(&sinks.join("test"));
    format!("{}\n{}\n{reason}\n{}", done.position.error, again.error, kept.join("\n"))
}

/// The text of every file below `folder`.
fn kept(folder: &Path) -> Vec<String> {
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kept: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert!(kept.iter().any(|text| text.contains("attempts")), "the dead letter: {kept:?}");
    kept
}

fn command(argv: &[&str]) -> SinkTarget {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    SinkTarget::Command { argv, timeout: Span(Duration::from_secs(20)) }
}

#[track_caller]
fn hides(target: SinkTarget, secrets: &[&str], told_all_the_same: &str) {
    let told = told(target);
    for secret in secrets {
        assert!(!told.contains(secret), "{secret} is told: {told}");
    }
    assert!(told.contains(told_all_the_same), "{told}");
}

#[test]
fn a_command_that_repeats_what_it_was_given_tells_no_secret() {
    // `sh -x` says each command with its arguments.
    let script =
        "curl() { return 22; }; curl -H 'X-Key: s3same' https://h.example/hooks/T1/zZ9qWv7";
    hides(command(&["sh", "-xc", script]), &["s3same", "zZ9qWv7"], "sh failed (exit status: 22)");
    let repeats = "echo \"no such token: $2\" >&2; exit 3";
    hides(
        command(&["sh", "-c", repeats, "hook", "--token", "opensesame"]),
        &["opensesame"],
        "no such token",
    );
    hides(
        command(&["sh", "-c", repeats, "hook", "--token=opensesame", "opensesame"]),
        &["opensesame"],
        "no such",
    );
}

#[test]
fn a_command_that_says_what_it_read_tells_no_secret() {
    hides(
        command(&["sh", "-c", "printf 'is AKIA-%s known' looks-like-one >&2; exit 1"]),
        &["AKIA-looks"],
        "is ‹a key› known",
    );
    // Only so much is read; half a secret at its end would not be recognised.
    let secret = "s3".repeat(750);
    let thrice = "echo \"$1 $1 $1\" >&2; exit 1";
    hides(command(&["sh", "-c", thrice, "hook", &secret]), &["s3s3"], "‹redacted› ‹redacted›");
}

#[test]
fn a_command_in_one_word_tells_its_name_alone() {
    let one = "/nonexistent/hook --token opensesame";
    hides(command(&[one]), &["opensesame", "--token"], "cannot start /nonexistent/hook …");
}

#[test]
fn a_webhook_tells_neither_its_path_nor_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "whsec_opensesame\n").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, host) in [
        (
            format!("http://user:opensesame@{closed}/services/T0/opensesame"),
            format!("http://{closed}"),
        ),
        ("http://[::1/opensesame".to_owned(), "invalid authority".to_owned()),
    ] {
        for secret in [None, Some(SecretSource::File(file.clone()))] {
            let timeout = Span(Duration::from_secs(20));
            let target =
                SinkTarget::Webhook { url: url.clone(), secret: secret.clone(), ca: None, timeout };
            // A key that is no base64 is told before anything is sent.
            let what = if secret.is_some() { "is not base64".to_owned() } else { host.clone() };
            hides(target, &["opensesame", "services"], &what);
        }
    }
}
