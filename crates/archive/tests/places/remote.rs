//! An object store and a registry as places, end to end.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ctrlz_archive::ArchiveError;
use ctrlz_archive::collect::{Collecting, collect};
use ctrlz_archive::crypt::{init_keys, merge_keys, open_keys, rewrap_keys};
use ctrlz_archive::place::{Blob, Bytes, Directory, Expect, Login, Object, Place, Registry};
use ctrlz_archive::snapshot::{Snapshot, list};
use ctrlz_archive::transfer::{Event, Transfer};
use ctrlz_archive::verify::{Verifying, verify};

use crate::fixture::{
    Person, has, layers, noise, publish, read_layers, recipients, run, sha256, text,
};

/// A server on loopback, ended with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub(crate) fn serve(mut command: Command, port: u16) -> Server {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a server");
    let mut server = Server { child, port };
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = server.child.try_wait().expect("a state");
        assert!(ended.is_none() && started.elapsed() < Duration::from_secs(60), "{ended:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// Debian's registry, with its files in `directory`.
pub(crate) fn registry(directory: &Path) -> Option<Server> {
    if !has("docker-registry") {
        return None;
    }
    let port = free_port();
    let config = directory.join("registry.yml");
    let (root, address) = (directory.join("registry"), format!("127.0.0.1:{port}"));
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\n  delete: {{enabled: true}}\nhttp: {{addr: {address:?}}}\nlog: {{level: error}}\n",
        root.display().to_string()
    );
    fs::write(&config, text).expect("written");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config);
    Some(serve(command, port))
}

pub(crate) fn open_registry(port: u16, name: &str) -> Registry {
    let address = format!("127.0.0.1:{port}/{name}");
    Registry::open(&address, Login::Anonymous, true).expect("a registry")
}

/// moto's S3, from `$CTRLZ_MOTO_SERVER` or the path.
pub(crate) fn s3() -> Option<Server> {
    let program = match std::env::var_os("CTRLZ_MOTO_SERVER") {
        Some(program) => program,
        None if has("moto_server") => "moto_server".into(),
        None => return None,
    };
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let server = serve(command, port);
    let bucket = format!("http://127.0.0.1:{port}/bucket");
    run("curl", &["-sSf", "-X", "PUT", &bucket]);
    Some(server)
}

pub(crate) fn open_s3(port: u16, prefix: &str, notes: Option<&Path>) -> Object {
    let options = [
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("GOOGLE_BUCKET", "something else".to_owned()),
        ("PATH", "/bin".to_owned()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    Object::open(&format!("s3://bucket/{prefix}"), options, notes).expect("an address")
}

fn directory() -> (tempfile::TempDir, Directory) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    (directory, place)
}

fn quick() -> Transfer {
    Transfer { pause: Duration::from_millis(1), ..Transfer::default() }
}

/// What every place has to do: there and back, plain and encrypted, nothing twice.
pub(crate) fn contract(place: &dyn Place) {
    let (_a, local) = directory();
    let alice = Person::new();
    let (small, large) = (10_000, 20_000_000);
    publish(&local, 1, large, None);
    let keys = init_keys(&local, &recipients(&[&alice])).expect("keys");
    let sealed = publish(&local, 2, small, Some(&keys));

    assert_eq!(place.names().expect("no names yet"), []);
    assert_eq!(place.resolve("box.snap-1").expect("no name yet"), None);
    let transfer = |from: &dyn Place, to: &dyn Place, name: &str| {
        quick().image((from, name), (to, name), &|_| ()).expect(name)
    };
    let done = transfer(&local, place, "box.snap-1");
    assert_eq!((done.sent.0, done.there.0), (5, 0));
    assert_eq!(transfer(&local, place, "box.snap-1").sent.0, 0, "nothing is sent twice");
    merge_keys(&local, place).expect("merged");
    transfer(&local, place, &sealed.reference);
    let names: Vec<String> =
        place.names().expect("names").into_iter().map(|named| named.name).collect();
    assert_eq!(names.len(), 3, "{names:?}");

    let keys = open_keys(place, &alice.identities()).expect("opened");
    assert_eq!(list(place, keys.as_ref()).expect("listed").snapshots.len(), 2);
    let verified = verify(place, &Verifying { keys: keys.as_ref(), ..Default::default() }, &|_| ());
    let verified = verified.expect("an answer");
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
    assert_eq!(verified.names, 3);
    let read = Snapshot::read(place, "box.snap-1", None).expect("read");
    assert_eq!(read_layers(place, &read, None).expect("read"), layers(1, large));
    let read = Snapshot::find(place, "box.snap-2", keys.as_ref()).expect("found");
    assert_eq!(read_layers(place, &read, keys.as_ref()).expect("read"), layers(2, small));
    let bob = Person::new();
    rewrap_keys(place, &alice.identities(), &recipients(&[&bob]), true).expect("rewrapped");
    open_keys(place, &alice.identities()).expect_err("no longer for her");

    // From the middle on, and from the very end.
    let layer = Snapshot::read(place, "box.snap-1", None).expect("read").manifest.layers[3].clone();
    let blob = Blob::from(&layer);
    let from_the_middle = |from: u64| -> Bytes { place.read(&blob, from).expect("open") };
    let mut tail = Vec::new();
    from_the_middle(blob.size - 10).read_to_end(&mut tail).expect("read");
    let whole = fs::read(local.blob_path(&blob.digest)).expect("a blob");
    assert_eq!(tail, whole[whole.len() - 10..]);
    assert_eq!(from_the_middle(blob.size).read(&mut [0]).expect("nothing"), 0);
    let missing = Blob { digest: sha256(b"nobody's"), size: 8 };
    assert!(matches!(place.read(&missing, 0), Err(ArchiveError::Missing(_))));
    assert_eq!(place.find(&missing.digest).expect("found"), None);

    // Back into another directory.
    let (_b, back) = directory();
    transfer(place, &back, "box.snap-1");
    let read = Snapshot::read(&back, "box.snap-1", None).expect("read");
    assert_eq!(read_layers(&back, &read, None).expect("read"), layers(1, large));

    // What has other bytes than its name says is not taken.
    let source = |_: u64| -> Result<Bytes, ArchiveError> { Ok(Box::new(&b"nobodys!"[..])) };
    let error = place.write(&missing, &source, &|_| ()).expect_err("other bytes");
    assert!(
        matches!(&error, ArchiveError::Damaged { digest, .. } if *digest == missing.digest),
        "{error}"
    );
    assert_eq!(place.find(&missing.digest).expect("found"), None);

    let bytes = fs::read(local.blob_path(&read.descriptor.digest)).expect("a manifest");
    let error = place
        .publish("box.snap-1", &read.descriptor, &bytes, Expect::Absent)
        .expect_err("is there");
    assert!(matches!(error, ArchiveError::Moved { .. }), "{error}");
    assert!(place.withdraw("box.snap-1").expect("withdrawn"));
    assert_eq!(place.resolve("box.snap-1").expect("resolved"), None);
    assert!(!place.withdraw("box.snap-1").expect("nothing to withdraw"));
}

#[test]
fn a_registry_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(server) = registry(directory.path()) else { return };
    let place = open_registry(server.port, "team/snapshots");
    contract(&place);
    let error = collect(&place, &Collecting::default()).expect_err("not from outside");
    assert!(matches!(error, ArchiveError::Unsupported { .. }), "{error}");
}

#[test]
fn memory_as_an_object_store_keeps_the_contract() {
    contract(&Object::in_memory("some/prefix", None).expect("a place"));
}

#[test]
fn s3_keeps_the_contract() {
    let Some(server) = s3() else { return };
    contract(&open_s3(server.port, "some/prefix", None));
    let other = open_s3(server.port, "other", None);
    assert_eq!(other.names().expect("its own names"), []);
}

#[test]
fn a_tag_of_a_registry_that_shares_its_manifest_is_not_removed_with_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(server) = registry(directory.path()) else { return };
    let place = open_registry(server.port, "shared");
    let (_a, local) = self::directory();
    publish(&local, 1, 1000, None);
    for name in ["one", "two"] {
        quick().image((&local, "box.snap-1"), (&place, name), &|_| ()).expect("sent");
    }
    match place.withdraw("one") {
        // A registry that can remove a tag.
        Ok(true) => assert_eq!(place.resolve("one").expect("resolved"), None),
        Ok(false) => panic!("it was there"),
        Err(error) => {
            assert!(error.to_string().contains("`two` is one of them"), "{error}");
            assert!(place.resolve("one").expect("resolved").is_some());
        }
    }
    assert!(place.resolve("two").expect("resolved").is_some());
}

#[test]
fn what_was_pushed_to_a_registry_is_pulled_by_skopeo() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(server) = registry(directory.path()) else { return };
    if !has("skopeo") {
        return;
    }
    let place = open_registry(server.port, "shared");
    let (_a, local) = self::directory();
    let snapshot = publish(&local, 1, 1000, None);
    quick().image((&local, "box.snap-1"), (&place, "box.snap-1"), &|_| ()).expect("sent");
    let to = directory.path().join("copy");
    let from = format!("docker://127.0.0.1:{}/shared:box.snap-1", server.port);
    let to_layout = format!("oci:{}:box.snap-1", text(&to));
    let copy = ["--insecure-policy", "copy", "--src-tls-verify=false", "--preserve-digests"];
    run("skopeo", &[&copy[..], &[&from, &to_layout]].concat());
    let copy = Directory::open(&to).expect("a place");
    let read = Snapshot::read(&copy, "box.snap-1", None).expect("read");
    assert_eq!(read.descriptor.digest, snapshot.descriptor.digest);
}

#[test]
fn an_address_with_a_password_or_none_at_all_is_refused() {
    let open = |address: &str| Object::open(address, [], None).expect_err(address).to_string();
    let error = open("s3://me:secret@bucket/x");
    assert!(error.contains("give these as options") && !error.contains("secret"), "{error}");
    open("ftp://host/x");
    open("nonsense");
    for address in ["name", "host.test/Name", "host.test/name:tag", "host.test/", "host.test"] {
        let error = Registry::open(address, Login::Anonymous, true).expect_err(address);
        assert!(error.to_string().contains("HOST[:PORT]/NAME"), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_and_tried_again() {
    let port = free_port();
    let registry = Registry::open(&format!("127.0.0.1:{port}/x"), Login::Anonymous, true);
    let registry = registry.expect("an address");
    let again = AtomicU64::new(0);
    let progress = |event: Event<'_>| {
        if matches!(event, Event::Again { .. }) {
            again.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (_a, local) = directory();
    publish(&local, 1, 1000, None);
    let transfer = Transfer { tries: 3, ..quick() };
    let error = transfer
        .image((&local, "box.snap-1"), (&registry, "x"), &progress)
        .expect_err("nobody is there");
    assert!(error.is_transient() && error.to_string().contains(&port.to_string()), "{error}");
    assert_eq!(again.load(Ordering::Relaxed), 2);
}

fn now() -> Collecting {
    Collecting { grace: Duration::ZERO, patience: Duration::ZERO, dry_run: false }
}

/// What is collected in an object store, and what whoever pushes notices of it.
pub(crate) fn collection(place: &Object) {
    let (_a, local) = directory();
    for seed in [1, 2] {
        publish(&local, seed, 1000, None);
    }
    let push = |name: &str| quick().image((&local, name), (place, name), &|_| ()).expect("sent");
    push("box.snap-1");
    push("box.snap-2");
    assert_eq!(collect(place, &now()).expect("collected").removed.0, 0);
    place.withdraw("box.snap-2").expect("withdrawn");
    assert_eq!(collect(place, &now()).expect("collected").removed.0, 4);
    assert_eq!(push("box.snap-2").sent.0, 3);

    // Between the look for a blob and the name, somebody collects: the blob is sent again.
    place.withdraw("box.snap-2").expect("withdrawn");
    let once = AtomicU64::new(0);
    let collected = |event: Event<'_>| {
        if matches!(event, Event::Planned { .. }) && once.fetch_add(1, Ordering::Relaxed) == 0 {
            assert_eq!(collect(place, &now()).expect("collected").removed.0, 4);
        }
    };
    let done = quick().image((&local, "box.snap-2"), (place, "box.snap-2"), &collected);
    let done = done.expect("sent");
    assert_eq!((done.there.0, done.sent.0), (5, 3), "three of those that were there were lost");
    let read = Snapshot::read(place, "box.snap-2", None).expect("read");
    assert_eq!(read_layers(place, &read, None).expect("read"), layers(2, 1000));

    // One collects at a time, and a kill ends by its time.
    let sweep = place.sweep(Duration::ZERO).expect("free");
    assert!(matches!(place.sweep(Duration::ZERO), Err(ArchiveError::Busy { .. })));
    drop(sweep);
    place.sweep(Duration::ZERO).expect("free again");
}

#[test]
fn an_object_store_is_collected_without_a_lock() {
    collection(&Object::in_memory("x", None).expect("a place"));
    if let Some(server) = s3() {
        collection(&open_s3(server.port, "x", None));
    }
}

#[test]
fn many_who_change_an_index_at_once_lose_nothing() {
    let place = Object::in_memory("x", None).expect("a place");
    let (_a, local) = directory();
    let snapshot = publish(&local, 1, 1000, None);
    let bytes = fs::read(local.blob_path(&snapshot.descriptor.digest)).expect("a manifest");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (place, bytes, descriptor) = (&place, &bytes, &snapshot.descriptor);
            scope.spawn(move || {
                let name = format!("n{number}");
                place.publish(&name, descriptor, bytes, Expect::Absent).expect("published");
            });
        }
    });
    assert_eq!(place.names().expect("names").len(), 8);
}

/// What a source gives.
type Given<'a> = Result<Box<dyn Read + Send + 'a>, ArchiveError>;

/// A source whose connection breaks after `bytes`.
fn breaking<'a>(bytes: &'a [u8]) -> impl Fn(u64) -> Given<'a> + Sync + 'a {
    |_| {
        let error = ArchiveError::Place {
            action: "read from".to_owned(),
            place: "flaky".to_owned(),
            transient: true,
            source: "the connection was lost".into(),
        };
        Ok(Box::new(bytes.chain(Failing(Some(error)))))
    }
}

/// Fails, once.
struct Failing(Option<ArchiveError>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        match self.0.take() {
            Some(error) => Err(error.into()),
            None => Ok(0),
        }
    }
}

#[test]
fn an_upload_that_broke_is_gone_on_with_by_the_next_process() {
    let Some(server) = s3() else { return };
    let notes = tempfile::tempdir().expect("a directory");
    let noted = || -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(notes.path()).expect("listed");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let place = open_s3(server.port, "x", Some(notes.path()));
    let bytes = noise(1, 40_000_000);
    let blob = Blob { digest: sha256(&bytes), size: bytes.len() as u64 };
    let error = place.write(&blob, &breaking(&bytes[..30_000_000]), &|_| ()).expect_err("half");
    assert!(error.is_transient(), "{error}");
    let note = fs::read_to_string(&noted()[0]).expect("a note");
    assert!(note.matches("\",\"").count() >= 2, "parts are there: {note}");

    let another = open_s3(server.port, "x", Some(notes.path()));
    let sent = AtomicU64::new(0);
    let whole = |_: u64| -> Given<'_> { Ok(Box::new(bytes.as_slice())) };
    let count = |bytes| {
        sent.fetch_add(bytes, Ordering::Relaxed);
    };
    another.write(&blob, &whole, &count).expect("whole");
    assert_eq!(sent.load(Ordering::Relaxed), blob.size);
    assert_eq!(noted().len(), 0);
    let mut back = Vec::new();
    another.read(&blob, 0).expect("open").read_to_end(&mut back).expect("read");
    assert!(back == bytes);

    // One that nobody goes on with is given up by a collection.
    let other = noise(2, 40_000_000);
    let other_blob = Blob { digest: sha256(&other), size: other.len() as u64 };
    place.write(&other_blob, &breaking(&other[..30_000_000]), &|_| ()).expect_err("half");
    assert_eq!(noted().len(), 1);
    assert_eq!(collect(&place, &now()).expect("collected").unfinished.0, 1);
    assert_eq!(noted().len(), 0);
}

#[test]
fn an_upload_that_the_store_has_forgotten_begins_anew() {
    let notes = tempfile::tempdir().expect("a directory");
    let place = Object::in_memory("x", Some(notes.path())).expect("a place");
    let bytes = noise(1, 40_000_000);
    let blob = Blob { digest: sha256(&bytes), size: bytes.len() as u64 };
    place.write(&blob, &breaking(&bytes[..30_000_000]), &|_| ()).expect_err("half");
    let path = fs::read_dir(notes.path()).expect("listed").next().expect("one").expect("an entry");
    let note = fs::read_to_string(path.path()).expect("a note");
    let id = note.split('"').nth(3).expect("an id");
    let other = note.replace(&format!("\"{id}\""), "\"987654\"");
    assert_ne!(other, note);
    fs::write(path.path(), other).expect("written");
    let whole = |_: u64| -> Given<'_> { Ok(Box::new(bytes.as_slice())) };
    place.write(&blob, &whole, &|_| ()).expect("from the beginning");
    assert_eq!(place.find(&blob.digest).expect("found"), Some(blob.size));
    assert_eq!(fs::read_dir(notes.path()).expect("listed").count(), 0);
}
