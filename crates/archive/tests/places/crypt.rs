//! Who can read an encrypted place, and who cannot.

use std::fs;
use std::io::{Read, Write};

use ctrlz_archive::ArchiveError;
use ctrlz_archive::crypt::{
    Identities, KEYS, Keyring, Opener, Passphrase, PassphraseSource, Recipients, Sealer, init_keys,
    merge_keys, open_keys, rewrap_keys,
};
use ctrlz_archive::place::{Directory, Place};
use ctrlz_archive::snapshot::{Snapshot, list};
use proptest::prelude::*;

use crate::fixture::{
    Person, has, layers, noise, passphrase, publish, read_layers, recipients, run, sha256, text,
};

fn place() -> (tempfile::TempDir, Directory) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    (directory, place)
}

fn keyring() -> (tempfile::TempDir, Keyring) {
    let (directory, place) = place();
    let keys = init_keys(&place, &recipients(&[&Person::new()])).expect("keys");
    (directory, keys)
}

fn seal(keys: &Keyring, bytes: &[u8], step: usize) -> Vec<u8> {
    let mut sealer = Sealer::new(Vec::new(), keys.current().expect("current")).expect("a header");
    for part in bytes.chunks(step.max(1)) {
        sealer.write_all(part).expect("written");
    }
    sealer.finish().expect("whole")
}

fn open(keys: &Keyring, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let digest = sha256(bytes);
    let mut plain = Vec::new();
    Opener::new(bytes, digest, keys, None)
        .map_err(|error| error.to_string())?
        .read_to_end(&mut plain)
        .map_err(|error| error.to_string())?;
    Ok(plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_sealed_opens(
        chunks in 0usize..4,
        rest in prop_oneof![Just(0usize), Just(1), Just(65535), 0usize..65536],
        step in prop_oneof![Just(1000usize), Just(65536), Just(1 << 20)],
    ) {
        let (_directory, place) = place();
        let alice = Person::new();
        let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
        let plain = noise(1, chunks * 65536 + rest);
        let sealed = seal(&keys, &plain, step);
        prop_assert_eq!(open(&keys, &sealed).expect("opens"), plain.clone());
        // The crate age, which is somebody else's code, reads the same.
        let key = data_key(&place, &alice);
        prop_assert_eq!(age::decrypt(&key, &sealed).expect("age opens it"), plain);
    }

    #[test]
    fn what_was_changed_does_not_open(length in 0usize..200_000, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (_directory, keys) = keyring();
        let sealed = seal(&keys, &noise(2, length), 1 << 20);
        let mut changed = sealed.clone();
        changed[at.index(sealed.len())] ^= 1 << bit;
        let error = open(&keys, &changed).expect_err("changed");
        prop_assert!(error.contains(&sha256(&changed).to_string()), "{}", error);
        let cut = &sealed[..at.index(sealed.len())];
        let error = open(&keys, cut).expect_err("cut off");
        prop_assert!(error.contains(&sha256(cut).to_string()), "{}", error);
        let longer = [sealed.as_slice(), b"x"].concat();
        prop_assert!(open(&keys, &longer).is_err());
    }
}

/// The identity of a place's data key, taken from where it lies by nothing but the crate age.
fn data_key(place: &Directory, person: &Person) -> age::x25519::Identity {
    let manifest = place.resolve(KEYS).expect("resolved").expect("there");
    let manifest = fs::read(place.blob_path(&manifest.digest)).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let digest = manifest["layers"][0]["digest"].as_str().expect("a digest").parse();
    let file = fs::read(place.blob_path(&digest.expect("a digest"))).expect("a key");
    let person: age::x25519::Identity = person.secret.parse().expect("an identity");
    let text = String::from_utf8(age::decrypt(&person, &file).expect("opens")).expect("text");
    text.lines().nth(1).expect("a line").parse().expect("an identity")
}

fn keys_id(keys: &Keyring) -> String {
    keys.current().expect("current").id().to_string()
}

#[test]
fn an_encrypted_place_tells_nothing_of_names_and_content() {
    let (directory, place) = place();
    let alice = Person::new();
    let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let snapshot = publish(&place, 3, 100_000, Some(&keys));
    let words: [&[u8]; 6] = [
        b"name-of-a-file",
        b"content-of-the-base",
        b"secret-of-the-state",
        b"box.snap",
        b"layer-1",
        b"diff_ids",
    ];
    for entry in walk(directory.path()) {
        let bytes = fs::read(&entry).expect("readable");
        for word in words {
            let found = bytes.windows(word.len()).any(|window| window == word);
            assert!(!found, "{} shows {}", entry.display(), String::from_utf8_lossy(word));
        }
    }
    let keys = open_keys(&place, &alice.identities()).expect("opened").expect("there are keys");
    let read = Snapshot::find(&place, "box.snap-3", Some(&keys)).expect("found");
    assert_eq!(read, snapshot);
    assert_eq!(read_layers(&place, &read, Some(&keys)).expect("read"), layers(3, 100_000));
    let listed = list(&place, None).expect("listed").snapshots;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_deref(), listed[0].encrypted), (None, true));
    let listed = list(&place, Some(&keys)).expect("listed").snapshots;
    assert_eq!(listed[0].name.as_deref(), Some("box.snap-3"));
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn without_its_key_nothing_opens_and_the_error_names_the_blob() {
    let (_directory, place) = place();
    let (alice, mallory) = (Person::new(), Person::new());
    let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let snapshot = publish(&place, 1, 1000, Some(&keys));
    let key_blob = |error: &ArchiveError| matches!(error, ArchiveError::Sealed { .. });

    let error = open_keys(&place, &mallory.identities()).expect_err("not for them");
    assert!(key_blob(&error) && error.to_string().contains("for others"), "{error}");
    let error = open_keys(&place, &Identities::new()).expect_err("nobody");
    assert!(error.to_string().contains("give an identity file"), "{error}");

    let read = |keys| Snapshot::read(&place, &snapshot.reference, keys).expect_err("encrypted");
    let config = |error: &ArchiveError| match error {
        ArchiveError::Sealed { digest, .. } => *digest,
        other => panic!("{other}"),
    };
    let error = read(None);
    assert!(error.to_string().contains("no key was given"), "{error}");
    let (_other, others) = keyring();
    let error = read(Some(&others));
    assert!(error.to_string().contains("which is not at hand"), "{error}");
    assert!(place.find(&config(&error)).expect("found").is_some(), "it names a blob of the place");
}

#[test]
fn several_people_ssh_keys_and_a_passphrase_open_a_place() {
    if !has("ssh-keygen") {
        return;
    }
    let (directory, place) = place();
    let ssh = |name: &str, kind: &str, phrase: &str| {
        let path = directory.path().join(name);
        run("ssh-keygen", &["-q", "-t", kind, "-N", phrase, "-f", text(&path)]);
        path
    };
    let (plain, locked, rsa) =
        (ssh("ed", "ed25519", ""), ssh("locked", "ed25519", "open it"), ssh("rsa", "rsa", ""));
    let alice = Person::new();
    let mut people = recipients(&[&alice]);
    for path in [&plain, &locked, &rsa] {
        let public = fs::read_to_string(path.with_extension("pub")).expect("a public key");
        people.add(&public, "a test").expect("a public key");
    }
    people.set_passphrase(passphrase("correct horse"));
    people.set_work_factor(2);
    let keys = init_keys(&place, &people).expect("keys");
    let snapshot = publish(&place, 1, 1000, Some(&keys));

    let of_file = |path: &std::path::Path, phrase: Option<&Passphrase>| {
        let mut identities = Identities::new();
        identities.add_file(path, phrase).map(|()| identities)
    };
    let mut of_phrase = Identities::new();
    of_phrase.add_passphrase(&passphrase("correct horse"));
    let all = [
        alice.identities(),
        of_file(&plain, None).expect("opens"),
        of_file(&rsa, None).expect("opens"),
        of_file(&locked, Some(&passphrase("open it"))).expect("opens"),
        of_phrase,
    ];
    for identities in &all {
        let keys = open_keys(&place, identities).expect("opened").expect("there are keys");
        Snapshot::read(&place, &snapshot.reference, Some(&keys)).expect("read");
    }
    let error = of_file(&locked, None).expect_err("locked").to_string();
    assert!(error.contains("no passphrase was given"), "{error}");
    let error = of_file(&locked, Some(&passphrase("wrong"))).expect_err("locked").to_string();
    assert!(error.contains("passphrase is wrong"), "{error}");
    let mut wrong = Identities::new();
    wrong.add_passphrase(&passphrase("wrong horse"));
    assert!(open_keys(&place, &wrong).is_err());
}

#[test]
fn rotation_changes_who_can_read_and_no_layer() {
    let (_directory, place) = place();
    let (alice, bob) = (Person::new(), Person::new());
    let first = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let snapshot = publish(&place, 1, 5000, Some(&first));
    let before = place.resolve(&snapshot.reference).expect("resolved");
    let blobs = || {
        let names = fs::read_dir(place.path().join("blobs/sha256")).expect("blobs");
        names.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let old = blobs();

    let changed =
        rewrap_keys(&place, &alice.identities(), &recipients(&[&bob]), true).expect("rewrapped");
    assert!(changed.unchanged.is_empty());
    assert_eq!(place.resolve(&snapshot.reference).expect("resolved"), before);
    // Two keys and their manifest.
    assert_eq!(blobs().iter().filter(|name| !old.contains(name)).count(), 3);

    open_keys(&place, &alice.identities()).expect_err("no longer for her");
    let keys = open_keys(&place, &bob.identities()).expect("opened").expect("there are keys");
    let read = Snapshot::read(&place, &snapshot.reference, Some(&keys)).expect("read");
    assert_eq!(read_layers(&place, &read, Some(&keys)).expect("read"), layers(1, 5000));
    assert_ne!(keys_id(&keys), keys_id(&first), "what comes now has another key");
    let newer = publish(&place, 2, 5000, Some(&keys));
    // Whoever kept the first key opens what was written under it, and nothing newer.
    Snapshot::read(&place, &snapshot.reference, Some(&first)).expect("her old key");
    Snapshot::read(&place, &newer.reference, Some(&first)).expect_err("a newer key");

    let error = rewrap_keys(&place, &bob.identities(), &Recipients::new(), false)
        .expect_err("nobody could read it");
    assert!(error.to_string().contains("there are none"), "{error}");
}

#[test]
fn keys_travel_with_blobs_that_are_copied_as_they_are() {
    let (_a, from) = place();
    let (_b, to) = place();
    let alice = Person::new();
    let keys = init_keys(&from, &recipients(&[&alice])).expect("keys");
    merge_keys(&from, &to).expect("merged");
    let there = open_keys(&to, &alice.identities()).expect("opened").expect("there are keys");
    assert_eq!(keys_id(&there), keys_id(&keys));
    let (_c, own) = place();
    let owns = init_keys(&own, &recipients(&[&alice])).expect("keys");
    merge_keys(&from, &own).expect("merged");
    let both = open_keys(&own, &alice.identities()).expect("opened").expect("there are keys");
    assert_eq!(keys_id(&both), keys_id(&owns), "its own key stays the current one");
    assert_eq!(both.iter().count(), 2);
    assert!(init_keys(&own, &recipients(&[&alice])).is_err(), "keys are not replaced");
}

#[test]
fn a_key_that_is_passed_off_as_another_is_found() {
    let (_directory, place) = place();
    let alice = Person::new();
    init_keys(&place, &recipients(&[&alice])).expect("keys");
    let index = fs::read_to_string(place.path().join("index.json")).expect("an index");
    assert!(index.contains(KEYS));
    let manifest = place.resolve(KEYS).expect("resolved").expect("there");
    let bytes = fs::read_to_string(place.blob_path(&manifest.digest)).expect("a manifest");
    let at = bytes.find("dev.ctrlz.key\":\"").expect("a key's name") + 16;
    let forged = format!("{}{}{}", &bytes[..at], "0123456789abcdef", &bytes[at + 16..]);
    let mut descriptor = manifest.clone();
    descriptor.digest = sha256(forged.as_bytes());
    place
        .publish(KEYS, &descriptor, forged.as_bytes(), ctrlz_archive::place::Expect::Any)
        .expect("published");
    let error = open_keys(&place, &alice.identities()).expect_err("forged").to_string();
    assert!(error.contains("another data key"), "{error}");
}

#[test]
fn passphrases_come_from_files_descriptors_and_variables() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("phrase");
    fs::write(&path, "correct horse\nsecond line\n").expect("written");
    let file = fs::File::open(&path).expect("open");
    let number = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).expect("a descriptor");
    let (_keep, place) = place();
    let mut people = Recipients::new();
    let phrase = Passphrase::read(&PassphraseSource::File(path)).expect("read");
    people.set_passphrase(phrase);
    people.set_work_factor(2);
    init_keys(&place, &people).expect("keys");
    let mut identities = Identities::new();
    let phrase = Passphrase::read(&PassphraseSource::Descriptor(number)).expect("read");
    assert_eq!(format!("{phrase:?}"), "Passphrase");
    identities.add_passphrase(&phrase);
    assert!(open_keys(&place, &identities).expect("opened").is_some());
    let missing = PassphraseSource::Environment("CTRLZ_TEST_NO_SUCH_VARIABLE".to_owned());
    let error = Passphrase::read(&missing).expect_err("not set").to_string();
    assert!(error.contains("$CTRLZ_TEST_NO_SUCH_VARIABLE"), "{error}");
    let empty = directory.path().join("empty");
    fs::write(&empty, "\n").expect("written");
    assert!(Passphrase::read(&PassphraseSource::File(empty)).is_err());
}

#[test]
fn errors_about_keys_never_show_them() {
    let alice = Person::new();
    let mut people = Recipients::new();
    let error = people.add(&alice.secret, "people.txt").expect_err("a private key").to_string();
    assert!(error.contains("line 1 of people.txt") && !error.contains(&alice.secret), "{error}");
    let damaged = format!("{}X", alice.secret);
    let mut identities = Identities::new();
    let error = identities.add(damaged.as_bytes(), "mine", None).expect_err("damaged").to_string();
    assert!(error.contains("mine") && !error.contains(&alice.secret[20..40]), "{error}");
}

#[test]
fn by_hand_age_alone_opens_an_encrypted_layer() {
    if !has("age") {
        return;
    }
    let (directory, place) = place();
    let alice = Person::new();
    let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let snapshot = publish(&place, 1, 300_000, Some(&keys));
    let mine = directory.path().join("mine");
    fs::write(&mine, &alice.secret).expect("written");
    let manifest = place.resolve(KEYS).expect("resolved").expect("there");
    let manifest = fs::read(place.blob_path(&manifest.digest)).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let key = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let key = place.blob_path(&key.parse().expect("a digest"));
    let key = run("age", &["-d", "-i", text(&mine), text(&key)]);
    let data_key = directory.path().join("data.key");
    fs::write(&data_key, key).expect("written");
    for ((_, layer), plain) in snapshot.layers().expect("layers").iter().zip(layers(1, 300_000)) {
        let blob = place.blob_path(&layer.digest);
        assert_eq!(run("age", &["-d", "-i", text(&data_key), text(&blob)]), plain);
    }
}
