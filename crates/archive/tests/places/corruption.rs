//! Every region of every kind of blob, flipped, cut, exchanged: all of it is found, by name.

use std::fs;

use ctrlz_archive::crypt::{KEYS, Keyring, init_keys, open_keys};
use ctrlz_archive::image::{Manifest, describe, media};
use ctrlz_archive::place::{self, Directory, Expect, Place};
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_archive::verify::{Verifying, discard, verify};
use ctrlz_archive::{ArchiveError, Descriptor};
use ctrlz_core::digest::Digest;

use crate::fixture::{Person, publish, read_layers, recipients};

struct Scene {
    _directory: tempfile::TempDir,
    place: Directory,
    person: Person,
    keys: Option<Keyring>,
    snapshots: [Snapshot; 2],
}

fn scene(encrypted: bool) -> Scene {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    let person = Person::new();
    let keys = encrypted.then(|| init_keys(&place, &recipients(&[&person])).expect("keys"));
    let snapshots = [1, 2].map(|seed| publish(&place, seed, 150_000, keys.as_ref()));
    Scene { _directory: directory, place, person, keys, snapshots }
}

impl Scene {
    /// Opens the keys, reads the first snapshot and all of its layers.
    fn restore(&self) -> Result<(), ArchiveError> {
        let keys = match &self.keys {
            Some(_) => open_keys(&self.place, &self.person.identities())?,
            None => None,
        };
        let reference = &self.snapshots[0].reference;
        let snapshot = Snapshot::read(&self.place, reference, keys.as_ref())?;
        read_layers(&self.place, &snapshot, keys.as_ref()).map(drop)
    }

    fn faults(&self, keys: Option<&Keyring>) -> Vec<(Option<Digest>, String)> {
        let what = Verifying { keys, ..Verifying::default() };
        let verified = verify(&self.place, &what, &|_| ()).expect("an answer");
        verified.faults.into_iter().map(|fault| (fault.blob, fault.error.to_string())).collect()
    }

    /// Every blob that the first snapshot and the keys consist of.
    fn blobs(&self) -> Vec<Digest> {
        let mut found = Vec::new();
        for name in [self.snapshots[0].reference.as_str(), KEYS] {
            let Some(descriptor) = self.place.resolve(name).expect("resolved") else { continue };
            let manifest = place::read_manifest(&self.place, &descriptor).expect("a manifest");
            found.push(descriptor.digest);
            found.extend(manifest.blobs().map(|blob| blob.digest));
        }
        found
    }
}

/// The regions of a blob: its first bytes, its last ones, and some in between.
fn places(length: usize) -> Vec<usize> {
    let mut found: Vec<usize> = (0..8).map(|at| at * length / 8).collect();
    found.extend((0..6.min(length)).flat_map(|at| [at, length - 1 - at]));
    found.sort_unstable();
    found.dedup();
    found
}

fn each_region_of_each_blob(encrypted: bool) {
    let scene = scene(encrypted);
    scene.restore().expect("nothing is wrong yet");
    assert_eq!(scene.faults(scene.keys.as_ref()), []);
    let blobs = scene.blobs();
    assert_eq!(blobs.len(), if encrypted { 9 } else { 6 });
    for digest in blobs {
        let path = scene.place.blob_path(&digest);
        let whole = fs::read(&path).expect("a blob");
        let mut changes: Vec<(String, Vec<u8>)> = Vec::new();
        for (number, at) in places(whole.len()).into_iter().enumerate() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (number % 8);
            changes.push((format!("byte {at} flipped"), changed));
            if number % 3 == 0 {
                changes.push((format!("cut at {at}"), whole[..at].to_vec()));
            }
        }
        changes.push(("longer".to_owned(), [whole.as_slice(), b"\n"].concat()));
        for (number, (change, bytes)) in changes.into_iter().enumerate() {
            fs::write(&path, bytes).expect("written");
            let what = format!("{digest}: {change}");
            // The config of the keys is `{}`; nobody reads it to restore something.
            if whole != b"{}" {
                let error = scene.restore().expect_err(&what).to_string();
                assert!(error.contains(&digest.to_string()), "{what}: {error}");
            }
            let faults = scene.faults(scene.keys.as_ref().filter(|_| number % 4 == 0));
            assert!(faults.iter().any(|(blob, _)| *blob == Some(digest)), "{what}: {faults:?}");
        }
        fs::remove_file(&path).expect("removed");
        if whole != b"{}" {
            let error = scene.restore().expect_err("missing").to_string();
            assert!(error.contains(&digest.to_string()), "{digest} missing: {error}");
        }
        let faults = scene.faults(None);
        assert!(
            faults.iter().any(|(blob, _)| *blob == Some(digest)),
            "{digest} missing: {faults:?}"
        );
        fs::write(&path, whole).expect("written");
    }
    scene.restore().expect("all is as it was");
}

#[test]
fn each_region_of_each_plain_blob() {
    each_region_of_each_blob(false);
}

#[test]
fn each_region_of_each_encrypted_blob() {
    each_region_of_each_blob(true);
}

#[test]
fn blobs_that_are_exchanged_for_others_are_found() {
    for encrypted in [false, true] {
        let scene = scene(encrypted);
        let layer = |at: usize| scene.snapshots[at].manifest.layers[3].digest;
        let (one, two) = (scene.place.blob_path(&layer(0)), scene.place.blob_path(&layer(1)));
        let (first, second) = (fs::read(&one).expect("a blob"), fs::read(&two).expect("a blob"));
        fs::write(&one, second).expect("written");
        fs::write(&two, first).expect("written");
        let error = scene.restore().expect_err("exchanged").to_string();
        assert!(error.contains(&layer(0).to_string()), "{error}");
        assert_eq!(scene.faults(None).len(), 2);
    }
}

/// Replaces the manifest that `reference` leads to.
fn forge(scene: &Scene, reference: &str, change: impl FnOnce(&mut Manifest)) {
    let descriptor = scene.place.resolve(reference).expect("resolved").expect("there");
    let mut manifest = place::read_manifest(&scene.place, &descriptor).expect("a manifest");
    change(&mut manifest);
    let bytes = manifest.to_bytes().expect("bytes");
    let descriptor = describe(media::MANIFEST, &bytes);
    scene.place.publish(reference, &descriptor, &bytes, Expect::Any).expect("published");
}

#[test]
fn whoever_can_write_to_the_place_cannot_exchange_encrypted_blobs() {
    let names = |scene: &Scene| [0, 1].map(|at| scene.snapshots[at].reference.clone());
    let outer = |scene: &Scene, name: &str| {
        let descriptor = scene.place.resolve(name).expect("resolved").expect("there");
        place::read_manifest(&scene.place, &descriptor).expect("a manifest")
    };

    // One layer of another snapshot.
    let scene1 = scene(true);
    let [one, two] = names(&scene1);
    let other = outer(&scene1, &two).layers[3].clone();
    forge(&scene1, &one, |manifest| manifest.layers[3] = other.clone());
    let error = scene1.restore().expect_err("exchanged").to_string();
    assert!(error.contains(&other.digest.to_string()) && error.contains("exchanged"), "{error}");
    assert!(!scene1.faults(scene1.keys.as_ref()).is_empty());

    // A layer less.
    let scene2 = scene(true);
    let [one, _] = names(&scene2);
    forge(&scene2, &one, |manifest| drop(manifest.layers.pop()));
    let error = scene2.restore().expect_err("cut").to_string();
    assert!(error.contains("tells of 4 layers, the manifest of 3"), "{error}");

    // All of another snapshot under this one's name.
    let scene3 = scene(true);
    let [one, two] = names(&scene3);
    let other = outer(&scene3, &two);
    forge(&scene3, &one, |manifest| *manifest = other);
    let error = scene3.restore().expect_err("exchanged").to_string();
    assert!(error.contains("they were exchanged"), "{error}");

    // Something plain in place of something encrypted is still no record of ours.
    let scene4 = scene(true);
    let [one, _] = names(&scene4);
    forge(&scene4, &one, |manifest| {
        manifest.layers[0].media_type = media::TAR.into();
    });
    let error = scene4.restore().expect_err("another kind").to_string();
    assert!(error.contains("exchanged"), "{error}");
}

#[test]
fn a_damaged_index_is_an_error_and_not_an_empty_place() {
    let scene = scene(false);
    let path = scene.place.path().join("index.json");
    let whole = fs::read(&path).expect("an index");
    let cases: [(&str, Vec<u8>); 6] = [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("another version", br#"{"schemaVersion":1,"manifests":[]}"#.to_vec()),
        ("a manifest", br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_vec()),
        ("a digest that is a path", br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../../etc/passwd","size":3}]}"#.to_vec()),
        ("a negative size", br#"{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":-3}]}"#.to_vec()),
    ];
    for (what, bytes) in cases {
        fs::write(&path, bytes).expect("written");
        let error = scene.place.names().expect_err(what).to_string();
        assert!(error.contains("index"), "{what}: {error}");
        let how = ctrlz_archive::collect::Collecting {
            grace: std::time::Duration::ZERO,
            ..Default::default()
        };
        ctrlz_archive::collect::collect(&scene.place, &how).expect_err("nothing is collected");
    }
    fs::write(&path, whole).expect("written");
    scene.restore().expect("nothing was lost");
}

#[test]
fn what_is_damaged_in_a_copy_is_brought_again() {
    let scene = scene(false);
    let directory = tempfile::tempdir().expect("a directory");
    let copy = Directory::create(&directory.path().join("copy")).expect("a place");
    let name = scene.snapshots[0].reference.as_str();
    let push = || {
        let transfer = ctrlz_archive::transfer::Transfer::default();
        transfer.image((&scene.place, name), (&copy, name), &|_| ()).expect("pushed")
    };
    push();
    let path = copy.blob_path(&scene.snapshots[0].manifest.layers[3].digest);
    let mut bytes = fs::read(&path).expect("a blob");
    bytes[5000] ^= 4;
    fs::write(&path, bytes).expect("written");
    let faults = || verify(&copy, &Verifying::default(), &|_| ()).expect("an answer").faults;
    let found = faults();
    assert_eq!(found.len(), 1);
    assert_eq!(push().sent.0, 0, "by its name and size it is there");
    assert_eq!(discard(&copy, &found, std::time::Duration::ZERO).expect("discarded"), 1);
    assert_eq!(push().sent.0, 1);
    assert!(faults().is_empty());
}

#[test]
fn names_that_were_exchanged_are_found_and_those_of_others_are_not() {
    let scene = scene(false);
    let [one, two] = [0, 1].map(|at| scene.snapshots[at].reference.clone());
    let there = |name: &str| scene.place.resolve(name).expect("resolved").expect("there");
    let manifest = |of: &Descriptor| scene.place.manifest(of).expect("a manifest");
    let named = |name: &str, of: &Descriptor| {
        scene.place.publish(name, of, &manifest(of), Expect::Any).expect("published");
    };
    let record = |name: &str| {
        let snapshot = Snapshot::read(&scene.place, name, None).expect("a snapshot");
        ctrlz_archive::archiver::whole_record(&scene.place, &snapshot, None)
            .map(|(record, _)| record)
    };
    let (first, second) = (there(&one), there(&two));
    // What nobody wrote down is not known.
    assert_eq!(record(&one).expect("a record").losses, None);
    named("mine", &first);
    record("mine").expect("a name of another form");
    assert_eq!(scene.faults(None), []);
    named(&one, &second);
    let error = record(&one).expect_err("exchanged").to_string();
    assert_eq!(error, format!("what is named `{one}` is `{two}`: the names were exchanged"));
    assert_eq!(scene.faults(None), [(None, error)]);
}
