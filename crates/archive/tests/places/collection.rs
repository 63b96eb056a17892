//! What is collected, and what is not.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::time::Duration;

use ctrlz_archive::ArchiveError;
use ctrlz_archive::collect::{Collected, Collecting, collect};
use ctrlz_archive::crypt::{init_keys, open_keys, rewrap_keys};
use ctrlz_archive::image::{Index, IndexEntry, describe, media};
use ctrlz_archive::place::{Directory, Expect, Place};
use ctrlz_archive::snapshot::Snapshot;

use crate::fixture::{Person, layers, publish, put, read_layers, recipients};

fn place() -> (tempfile::TempDir, Directory) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    (directory, place)
}

fn now() -> Collecting {
    Collecting { grace: Duration::ZERO, patience: Duration::ZERO, dry_run: false }
}

fn files(place: &Directory) -> usize {
    let count = |name: &str| fs::read_dir(place.path().join(name)).expect("listed").count();
    count("blobs/sha256") + count(".ctrlz/partial")
}

#[test]
fn only_what_no_name_leads_to_goes() {
    let (_directory, place) = place();
    let one = publish(&place, 1, 1000, None);
    publish(&place, 2, 1000, None);
    put(&place, b"nobody's", None);
    fs::write(place.path().join(".ctrlz/partial/new-0123"), "half").expect("written");
    let before = files(&place);
    let dry = collect(&place, &Collecting { dry_run: true, ..now() }).expect("collected");
    assert_eq!((dry.removed, dry.unfinished, files(&place)), ((1, 8), (1, 4), before));
    let young = Collecting { grace: Duration::from_secs(3600), ..now() };
    let young = collect(&place, &young).expect("collected");
    assert_eq!((young.young, young.removed, young.unfinished), ((1, 8), (0, 0), (0, 0)));
    let done = collect(&place, &now()).expect("collected");
    assert_eq!((done.removed, done.unfinished), (dry.removed, dry.unfinished));
    assert_eq!(done.kept.0, 10, "four blobs of their own and two shared layers");
    assert_eq!(collect(&place, &now()).expect("collected").removed, (0, 0));

    assert!(place.withdraw("box.snap-2").expect("withdrawn"));
    assert!(!place.withdraw("box.snap-2").expect("nothing to withdraw"));
    assert_eq!(collect(&place, &now()).expect("collected").removed.0, 4);
    let read = read_layers(&place, &one, None).expect("the other one is whole");
    assert_eq!(read, layers(1, 1000));
    assert_eq!(files(&place), 6);
}

#[test]
fn what_other_tools_laid_there_stays() {
    let (_directory, place) = place();
    let inner = publish(&place, 1, 1000, None).descriptor;
    let hidden = put(&place, b"named in a way unknown here", None);
    // An index with the image in it, and a field of some later version that names a blob.
    let mut index = Index::default();
    index.manifests.push(IndexEntry {
        descriptor: inner.clone(),
        platform: None,
        other: BTreeMap::from([("new".to_owned(), hidden.digest.to_string().into())]),
    });
    let bytes = index.to_bytes().expect("bytes");
    let outer = describe(media::INDEX, &bytes);
    place.publish("several", &outer, &bytes, Expect::Any).expect("published");
    place.withdraw("box.snap-1").expect("withdrawn");
    // An entry without a name leads to blobs, too.
    let path = place.path().join("index.json");
    let nameless = fs::read_to_string(&path).expect("an index");
    let nameless = nameless.replace("org.opencontainers.image.ref.name", "another.word");
    fs::write(&path, nameless).expect("written");
    let collected = collect(&place, &now()).expect("collected");
    assert_eq!(collected.removed, (0, 0));
    assert_eq!(collected.kept.0, 8);
}

#[test]
fn with_a_damaged_manifest_nothing_is_collected() {
    let (_directory, place) = place();
    let snapshot = publish(&place, 1, 1000, None);
    put(&place, b"nobody's", None);
    let path = place.blob_path(&snapshot.descriptor.digest);
    let whole = fs::read(&path).expect("a manifest");
    let before = files(&place);
    for damage in [&whole[..whole.len() - 1], b"", b"{}"] {
        fs::write(&path, damage).expect("written");
        let error = collect(&place, &now()).expect_err("damaged").to_string();
        assert!(error.contains(&snapshot.descriptor.digest.to_string()), "{error}");
        assert_eq!(files(&place), before);
    }
    fs::remove_file(&path).expect("removed");
    collect(&place, &now()).expect_err("missing");
    assert_eq!(files(&place), before - 1);
}

#[test]
fn nobody_collects_while_somebody_writes() {
    let (_directory, place) = place();
    let hold = place.hold().expect("held");
    let blob = put(&place, b"about to be named", None);
    let error = collect(&place, &now()).expect_err("in use");
    assert!(matches!(error, ArchiveError::Busy { .. }), "{error}");
    let second = place.hold().expect("two may write");
    drop((hold, second));
    assert_eq!(collect(&place, &now()).expect("collected").removed, (1, 17));
    assert_eq!(place.find(&blob.digest).expect("found"), None);
    let sweep = place.sweep(Duration::ZERO).expect("alone");
    assert!(place.sweep(Duration::ZERO).is_err(), "one collects at a time");
    drop(sweep);
}

#[test]
fn a_blob_under_way_is_not_taken_for_garbage() {
    let (_directory, place) = place();
    let mut writer = place.begin_blob().expect("a blob");
    writer.write_all(b"half").expect("written");
    let collected = collect(&place, &now()).expect("collected");
    assert_eq!(collected, Collected::default());
    writer.write_all(b" and whole").expect("written");
    let blob = writer.finish().expect("whole");
    assert_eq!(place.find(&blob.digest).expect("found"), Some(14));
    drop(place.begin_blob().expect("given up"));
    assert_eq!(files(&place), 1, "what is given up leaves nothing");
}

#[test]
fn the_files_of_former_recipients_are_collected() {
    let (_directory, place) = place();
    let (alice, bob) = (Person::new(), Person::new());
    let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let snapshot = publish(&place, 1, 1000, Some(&keys));
    rewrap_keys(&place, &alice.identities(), &recipients(&[&bob]), false).expect("rewrapped");
    let collected = collect(&place, &now()).expect("collected");
    assert_eq!(collected.removed.0, 2, "the former manifest of the keys, and hers");
    let keys = open_keys(&place, &bob.identities()).expect("opened");
    Snapshot::read(&place, &snapshot.reference, keys.as_ref()).expect("read");
}
