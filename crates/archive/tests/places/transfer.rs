//! From place to place.

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ctrlz_archive::crypt::{init_keys, merge_keys, open_keys};
use ctrlz_archive::place::{
    Blob, Bytes, Directory, Expect, Hold, Named, Patient, Place, Source, Sweep,
};
use ctrlz_archive::reseal::{Memory, reseal};
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_archive::transfer::{Event, Transfer};
use ctrlz_archive::{ArchiveError, Descriptor};
use ctrlz_core::digest::Digest;

use crate::fixture::{Person, layers, publish, put, read_layers, recipients};

fn place() -> (tempfile::TempDir, Directory) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    (directory, place)
}

fn quick() -> Transfer {
    Transfer { pause: Duration::from_millis(1), ..Transfer::default() }
}

/// A place whose reading fails in the middle now and then, as a network does.
struct Flaky {
    inner: Directory,
    /// How many reads fail before one goes well.
    failures: AtomicU64,
    /// The bytes that were given.
    given: AtomicU64,
}

impl Flaky {
    fn of(inner: Directory, failures: u64) -> Self {
        Self { inner, failures: AtomicU64::new(failures), given: AtomicU64::new(0) }
    }

    fn fails(&self) -> bool {
        self.failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
    }

    fn failure(&self) -> ArchiveError {
        ArchiveError::Place {
            action: "read from".to_owned(),
            place: self.address(),
            transient: true,
            source: "the connection was lost".into(),
        }
    }
}

/// Gives some bytes, then fails.
struct Broken(io::Take<Bytes>, Option<ArchiveError>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.0.read(buffer)?, self.1.take()) {
            (0, Some(error)) => Err(error.into()),
            (length, error) => {
                self.1 = error;
                Ok(length)
            }
        }
    }
}

impl Place for Flaky {
    fn address(&self) -> String {
        "flaky".to_owned()
    }
    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError> {
        self.inner.hold()
    }
    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError> {
        self.inner.find(digest)
    }
    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError> {
        let left = blob.size - from;
        let fails = self.fails();
        let length = if fails { left / 2 } else { left };
        self.given.fetch_add(length, Ordering::Relaxed);
        let bytes = self.inner.read(blob, from)?.take(length);
        Ok(Box::new(Broken(bytes, fails.then(|| self.failure()))))
    }
    fn write(
        &self,
        blob: &Blob,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        self.inner.write(blob, source, sent)
    }
    fn names(&self) -> Result<Vec<Named>, ArchiveError> {
        self.inner.names()
    }
    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        self.inner.roots()
    }
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ArchiveError> {
        self.inner.resolve(name)
    }
    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        self.inner.manifest(descriptor)
    }
    fn store_manifest(&self, _: &Descriptor, _: &[u8]) -> Result<(), ArchiveError> {
        Err(self.failure())
    }
    /// Does it; the answer gets lost as often as a read fails.
    fn publish(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<(), ArchiveError> {
        self.inner.publish(name, manifest, bytes, expect)?;
        match self.fails() {
            true => Err(self.failure()),
            false => Ok(()),
        }
    }
    fn withdraw(&self, _: &str) -> Result<bool, ArchiveError> {
        Err(self.failure())
    }
    fn sweep(&self, _: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError> {
        Err(self.failure())
    }
}

#[test]
fn an_image_arrives_whole_and_what_is_there_is_not_sent_again() {
    let (_a, from) = place();
    let (_b, to) = place();
    for seed in [1, 2] {
        publish(&from, seed, 300_000, None);
    }
    let done = quick().image((&from, "box.snap-1"), (&to, "box.snap-1"), &|_| ()).expect("sent");
    assert_eq!((done.sent.0, done.there.0), (5, 0));
    let planned = Mutex::new(None);
    let progress = |event: Event<'_>| {
        if let Event::Planned { total, there } = event {
            *planned.lock().expect("one thread") = Some((total.0, there.0));
        }
    };
    let done = quick().image((&from, "box.snap-2"), (&to, "other"), &progress).expect("sent");
    assert_eq!((done.sent.0, done.there.0), (3, 2), "state and base are the same");
    assert_eq!(*planned.lock().expect("one thread"), Some((5, 2)));
    let again = quick().image((&from, "box.snap-2"), (&to, "other"), &|_| ()).expect("sent");
    assert_eq!(again.sent, (0, 0));
    let read = Snapshot::read(&to, "other", None).expect("read");
    assert_eq!(read_layers(&to, &read, None).expect("read"), layers(2, 300_000));
    let missing = quick().image((&from, "nobody"), (&to, "nobody"), &|_| ()).expect_err("none");
    assert!(missing.to_string().contains("has no image `nobody`"), "{missing}");
}

#[test]
fn a_lost_connection_is_gone_on_with_where_it_broke() {
    let (_a, inner) = place();
    let (_b, to) = place();
    publish(&inner, 1, 4_000_000, None);
    let from = Flaky::of(inner, 4);
    let again = AtomicU64::new(0);
    let progress = |event: Event<'_>| {
        if matches!(event, Event::Again { .. }) {
            again.fetch_add(1, Ordering::Relaxed);
        }
    };
    let one = Transfer { concurrency: 1, ..quick() };
    let done = one.image((&from, "box.snap-1"), (&to, "box.snap-1"), &progress).expect("sent");
    assert_eq!(again.load(Ordering::Relaxed), 4);
    let given = from.given.load(Ordering::Relaxed);
    assert_eq!(given, done.sent.1, "no byte was asked for twice");
    let read = Snapshot::read(&to, "box.snap-1", None).expect("read");
    assert_eq!(read_layers(&to, &read, None).expect("read"), layers(1, 4_000_000));
    from.failures.store(1000, Ordering::Relaxed);
    to.withdraw("box.snap-1").expect("withdrawn");
    fs::remove_file(to.blob_path(&read.manifest.layers[3].digest)).expect("removed");
    let error = quick().image((&from, "box.snap-1"), (&to, "x"), &|_| ()).expect_err("no end");
    assert!(error.is_transient(), "{error}");
    assert_eq!(to.resolve("x").expect("resolved"), None);
}

#[test]
fn a_patient_place_is_read_on_where_the_connection_broke() {
    let (_a, inner) = place();
    let snapshot = publish(&inner, 1, 4_000_000, None);
    let flaky = Arc::new(Flaky::of(inner, 5));
    let patient = Patient::new(Arc::clone(&flaky) as _, 6, Duration::from_millis(1));
    let read = read_layers(&patient, &snapshot, None).expect("read");
    assert_eq!(read, layers(1, 4_000_000));
    assert_eq!(flaky.failures.load(Ordering::Relaxed), 0);
    let size: u64 = snapshot.manifest.layers.iter().map(|layer| layer.size).sum();
    assert_eq!(flaky.given.load(Ordering::Relaxed), size, "no byte was asked for twice");
    // Whoever asks it does not begin anew once it has given up.
    flaky.failures.store(1000, Ordering::Relaxed);
    let error = read_layers(&patient, &snapshot, None).expect_err("no end");
    assert!(error.to_string().contains("connection was lost") && !error.is_transient(), "{error}");
}

#[test]
fn a_name_whose_confirmation_got_lost_is_there() {
    let (_a, from) = place();
    publish(&from, 1, 10_000, None);
    for patient in [false, true] {
        let (_b, inner) = place();
        let flaky = Arc::new(Flaky::of(inner, 1));
        let wrapped = Patient::new(Arc::clone(&flaky) as _, 6, Duration::from_millis(1));
        let to: &dyn Place = if patient { &wrapped } else { flaky.as_ref() };
        let transfer = Transfer { expect: Expect::Absent, ..quick() };
        transfer.image((&from, "box.snap-1"), (to, "box.snap-1"), &|_| ()).expect("sent");
        assert_eq!(flaky.failures.load(Ordering::Relaxed), 0);
        // Somebody else's is not taken for it.
        let again = transfer.image((&from, "box.snap-1"), (to, "box.snap-1"), &|_| ());
        assert!(matches!(again, Err(ArchiveError::Moved { .. })), "{again:?}");
    }
}

#[test]
fn what_arrives_damaged_is_not_taken_and_the_beginning_of_a_crash_is_not_believed() {
    let (_a, from) = place();
    let (_b, to) = place();
    let snapshot = publish(&from, 1, 500_000, None);
    let layer = snapshot.manifest.layers[3].clone();
    // A beginning with other bytes, as a crash of the machine may leave.
    fs::create_dir_all(to.path().join(".ctrlz/partial")).expect("made");
    let partial = to.path().join(".ctrlz/partial").join(layer.digest.hex());
    fs::write(&partial, vec![0; 200_000]).expect("written");
    quick().image((&from, "box.snap-1"), (&to, "one"), &|_| ()).expect("sent");
    assert!(!partial.exists());

    let (_c, to) = place();
    let path = from.blob_path(&layer.digest);
    let mut bytes = fs::read(&path).expect("a blob");
    bytes[1000] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let error = quick().image((&from, "box.snap-1"), (&to, "one"), &|_| ()).expect_err("damaged");
    assert!(
        matches!(&error, ArchiveError::Damaged { digest, .. } if *digest == layer.digest),
        "{error}"
    );
    fs::write(&path, &bytes[..1000]).expect("written");
    let error = quick().image((&from, "box.snap-1"), (&to, "one"), &|_| ()).expect_err("damaged");
    assert!(
        matches!(&error, ArchiveError::Damaged { digest, .. } if *digest == layer.digest),
        "{error}"
    );
    assert_eq!(to.resolve("one").expect("resolved"), None);
    assert_eq!(to.find(&layer.digest).expect("found"), None);
    // Other blobs that were under way may be half there; this one is not.
    assert!(!to.path().join(".ctrlz/partial").join(layer.digest.hex()).exists());
}

#[test]
fn an_encrypted_image_is_copied_as_it_is() {
    let (_a, from) = place();
    let (_b, to) = place();
    let alice = Person::new();
    let keys = init_keys(&from, &recipients(&[&alice])).expect("keys");
    let snapshot = publish(&from, 1, 10_000, Some(&keys));
    let name = snapshot.reference.as_str();
    merge_keys(&from, &to).expect("merged");
    quick().image((&from, name), (&to, name), &|_| ()).expect("sent");
    let keys = open_keys(&to, &alice.identities()).expect("opened");
    let read = Snapshot::find(&to, "box.snap-1", keys.as_ref()).expect("found");
    assert_eq!(read_layers(&to, &read, keys.as_ref()).expect("read"), layers(1, 10_000));
}

#[test]
fn of_two_that_expect_the_same_one_repeats() {
    let (_a, place) = place();
    let snapshot = publish(&place, 1, 1000, None);
    let bytes = fs::read(place.blob_path(&snapshot.descriptor.digest)).expect("a manifest");
    let publish = |name: &str, expect| place.publish(name, &snapshot.descriptor, &bytes, expect);
    publish("new", Expect::Absent).expect("was absent");
    let error = publish("new", Expect::Absent).expect_err("is there");
    assert!(matches!(error, ArchiveError::Moved { .. }), "{error}");
    publish("new", Expect::Is(snapshot.descriptor.digest)).expect("is that");
    let other = put(&place, b"x", None).digest;
    publish("new", Expect::Is(other)).expect_err("is another");

    // Many at once: none of them is lost.
    std::thread::scope(|scope| {
        for number in 0..8 {
            let publish = &publish;
            scope.spawn(move || publish(&format!("n{number}"), Expect::Absent).expect("published"));
        }
    });
    assert_eq!(place.names().expect("names").len(), 10);
}

/// What was resealed, in memory.
#[derive(Default)]
struct Known(Vec<(Digest, Descriptor)>);

impl Memory for Known {
    fn recall(&self, layer: &Descriptor) -> Option<Descriptor> {
        self.0.iter().find(|(digest, _)| *digest == layer.digest).map(|(_, known)| known.clone())
    }
    fn note(&mut self, layer: &Descriptor, resealed: &Descriptor) -> Result<(), ArchiveError> {
        self.0.push((layer.digest, resealed.clone()));
        Ok(())
    }
}

#[test]
fn a_plain_snapshot_becomes_an_encrypted_one_and_back() {
    let (_a, plain) = place();
    let (_b, sealed) = place();
    let (_c, back) = place();
    let alice = Person::new();
    let keys = init_keys(&sealed, &recipients(&[&alice])).expect("keys");
    let mut memory = Known::default();
    for (seed, made) in [(1, 4), (2, 6)] {
        let snapshot = publish(&plain, seed, 300_000, None);
        let _hold = sealed.hold().expect("held");
        let resealed =
            reseal((&plain, &snapshot, None), (&sealed, Some(&keys)), &mut memory).expect("sealed");
        assert_eq!(memory.0.len(), made, "what was sealed before is not sealed again");
        let name = snapshot.name.parse().expect("a name");
        let there = Snapshot::publish(&sealed, &name, &resealed, Some(&keys), Expect::Absent);
        there.expect("published");
        Snapshot::publish(&sealed, &name, &resealed, None, Expect::Any).expect_err("not plain");
        let read = Snapshot::find(&sealed, &snapshot.name, Some(&keys)).expect("found");
        assert_eq!(read_layers(&sealed, &read, Some(&keys)).expect("read"), layers(seed, 300_000));

        let from = (&sealed as &dyn Place, &read, Some(&keys));
        let opened = reseal(from, (&back, None), &mut Known::default()).expect("opened");
        let again = Snapshot::publish(&back, &name, &opened, None, Expect::Any).expect("published");
        assert_eq!(again.descriptor.digest, snapshot.descriptor.digest, "the very same image");
    }
}
