//! kill -9 during push, pull and collection: nothing that was told to be there is lost, and no
//! garbage outlives the next collection.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ctrlz_archive::collect::{Collecting, collect};
use ctrlz_archive::place::{self, Directory, Place};
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_archive::transfer::Transfer;
use ctrlz_archive::verify::{Verifying, verify};

#[cfg(feature = "remote")]
use crate::remote;

use crate::fixture::{layers, publish, read_layers, text};

const TASK: &str = "CTRLZ_TEST_TASK";
const FROM: &str = "CTRLZ_TEST_FROM";
const TO: &str = "CTRLZ_TEST_TO";

/// The snapshots that are pushed over and over.
const SNAPSHOTS: u64 = 6;

fn size(seed: u64) -> usize {
    50_000 + usize::try_from(seed).expect("small") * 400_000
}

/// What the killed process does; nothing unless it was started for that.
#[test]
fn child() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let path = |name: &str| PathBuf::from(std::env::var_os(name).expect("a place"));
    let to = open(text(&path(TO)));
    let to = to.as_ref();
    match task.to_str() {
        Some(task @ ("push" | "push-only")) => {
            let from = Directory::open(&path(FROM)).expect("a place");
            for seed in (1..=SNAPSHOTS).cycle() {
                let name = format!("box.snap-{seed}");
                let transfer = Transfer { pause: Duration::from_millis(1), ..Transfer::default() };
                transfer
                    .image((&from, &name), (to, &name), &|_| ())
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                println!("\nTHERE {name}");
                if seed == 3 && task == "push" {
                    println!("\nGOING box.snap-2");
                    to.withdraw("box.snap-2").expect("withdrawn");
                }
            }
        }
        Some("collect") => loop {
            let how = Collecting {
                grace: Duration::ZERO,
                patience: Duration::from_secs(60),
                dry_run: false,
            };
            collect(to, &how).expect("collected");
        },
        other => panic!("no such task: {other:?}"),
    }
}

/// The place that a child was told of: a directory, or a server's port.
fn open(place: &str) -> Box<dyn Place> {
    match place.split_once("://") {
        #[cfg(feature = "remote")]
        Some(("registry", port)) => Box::new(remote::open_registry(number(port), "kills")),
        #[cfg(feature = "remote")]
        Some(("s3", port)) => Box::new(remote::open_s3(number(port), "kills", None)),
        _ => Box::new(Directory::create(Path::new(place)).expect("a place")),
    }
}

#[cfg(feature = "remote")]
fn number(port: &str) -> u16 {
    port.parse().expect("a port")
}

fn start(task: &str, from: &Path, to: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "kills::child", "--nocapture", "--test-threads=1"])
        .envs([(TASK, task), (FROM, text(from)), (TO, text(to))])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Kills it after a while; what it said.
fn kill(mut child: Child, after: Duration) -> Vec<String> {
    thread::sleep(after);
    let ended = child.try_wait().expect("a state");
    child.kill().expect("killed");
    let output = child.wait_with_output().expect("output");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(ended.is_none(), "it ended by itself: {errors}");
    BufReader::new(output.stdout.as_slice()).lines().map_while(Result::ok).collect()
}

#[test]
fn whatever_is_killed_loses_nothing_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    let source = Directory::create(&from).expect("a place");
    for seed in 1..=SNAPSHOTS {
        publish(&source, seed, size(seed), None);
    }
    let place = Directory::create(&to).expect("a place");
    let mut there: BTreeSet<String> = BTreeSet::new();
    let mut rounds_with_names = 0;
    for round in 0..96u64 {
        // On a busy machine it takes longer until the first push gets to its end.
        if round >= 24 && rounds_with_names > 0 {
            break;
        }
        let push = start("push", &from, &to);
        // Alone, and beside a collection that has as little patience for what is young as can be.
        let collector = (round % 2 == 1).then(|| start("collect", &from, &to));
        let said = kill(push, Duration::from_millis(20 + (round * 37) % (400 + round * 20)));
        if let Some(collector) = collector {
            kill(collector, Duration::from_millis(round * 7 % 30));
        }
        for line in &said {
            match line.split_once(' ') {
                Some(("THERE", name)) => drop(there.insert(name.to_owned())),
                // From here on it may be gone or still there.
                Some(("GOING", name)) => drop(there.remove(name)),
                _ => {}
            }
        }
        let names: BTreeSet<String> =
            place.names().expect("an index").into_iter().map(|named| named.name).collect();
        assert!(there.is_subset(&names), "round {round}: {there:?} of {names:?}");
        rounds_with_names += usize::from(!names.is_empty());
        let verified = verify(&place, &Verifying::default(), &|_| ()).expect("an answer");
        assert!(verified.faults.is_empty(), "round {round}: {:?}", verified.faults);
        if round % 6 == 5 {
            only_what_is_named_is_left(&place);
        }
    }
    assert!(rounds_with_names > 0, "no push ever got to its end");
    // What the kills left does not stand in the way of anybody.
    for seed in 1..=SNAPSHOTS {
        let name = format!("box.snap-{seed}");
        Transfer::default().image((&source, &name), (&place, &name), &|_| ()).expect("pushed");
        let snapshot = Snapshot::read(&place, &name, None).expect("read");
        let read = read_layers(&place, &snapshot, None).expect("read");
        assert_eq!(read, layers(seed, size(seed)));
    }
    only_what_is_named_is_left(&place);
}

/// Kills pushes to a place on another machine, and looks whether what is named there is whole.
#[cfg(feature = "remote")]
fn kill_pushes_to(address: &str, collects: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let from = directory.path().join("from");
    let source = Directory::create(&from).expect("a place");
    for seed in 1..=SNAPSHOTS {
        publish(&source, seed, size(seed), None);
    }
    // A registry whose client is gone in the middle of a name answers 500 for a moment, and is asked
    // again, as the program asks.
    let pause = Duration::from_millis(50);
    let place = place::Patient::new(open(address).into(), 6, pause);
    let place: &dyn Place = &place;
    let mut there: BTreeSet<String> = BTreeSet::new();
    // On a busy machine it takes longer until the first push gets to its end.
    for round in 0..40u64 {
        if round >= 8 && !there.is_empty() {
            break;
        }
        let push = start("push-only", &from, Path::new(address));
        let said = kill(push, Duration::from_millis(100 + round * 190));
        there.extend(said.iter().filter_map(|line| line.strip_prefix("THERE ").map(str::to_owned)));
        let names: BTreeSet<String> =
            place.names().expect("an index").into_iter().map(|named| named.name).collect();
        assert!(there.is_subset(&names), "round {round}: {there:?} of {names:?}");
        let verified = verify(place, &Verifying::default(), &|_| ()).expect("an answer");
        assert!(verified.faults.is_empty(), "round {round}: {:?}", verified.faults);
        if collects && round % 3 == 2 {
            let how = Collecting { grace: Duration::ZERO, ..Collecting::default() };
            collect(place, &how).expect("collected");
        }
        // And pulls: into a directory that keeps what it got.
        let to = directory.path().join("back");
        if let Some(name) = names.first() {
            let back = Directory::create(&to).expect("a place");
            let transfer = Transfer::default();
            transfer.image((place, name), (&back, name), &|_| ()).expect("pulled");
        }
    }
    assert!(!there.is_empty(), "no push ever got to its end");
}

#[cfg(feature = "remote")]
#[test]
fn a_killed_push_to_a_registry_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(server) = remote::registry(directory.path()) else { return };
    kill_pushes_to(&format!("registry://{}", server.port), false);
}

#[cfg(feature = "remote")]
#[test]
fn a_killed_push_to_an_object_store_loses_nothing() {
    let Some(server) = remote::s3() else { return };
    kill_pushes_to(&format!("s3://{}", server.port), true);
}

/// Collects, and looks whether exactly the named blobs are there.
fn only_what_is_named_is_left(place: &Directory) {
    let how =
        Collecting { grace: Duration::ZERO, patience: Duration::from_secs(5), dry_run: false };
    collect(place, &how).expect("collected");
    let mut expected = BTreeSet::new();
    for named in place.names().expect("an index") {
        let manifest = place::read_manifest(place, &named.descriptor).expect("a manifest");
        expected.insert(named.descriptor.digest.hex());
        expected.extend(manifest.blobs().map(|blob| blob.digest.hex()));
    }
    let files = |name: &str| -> BTreeSet<String> {
        fs::read_dir(place.path().join(name))
            .expect("listed")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(files("blobs/sha256"), expected);
    assert_eq!(files(".ctrlz/partial"), BTreeSet::new());
    let own = ["index.lock", "lock", "partial", "reserve"].map(str::to_owned);
    assert_eq!(files(".ctrlz"), BTreeSet::from(own));
}
