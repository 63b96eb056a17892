//! What ctrlz wrote is read by other tools.

use std::fs;

use ctrlz_archive::crypt::{KEYS, init_keys, open_keys};
use ctrlz_archive::place::Directory;
use ctrlz_archive::snapshot::Snapshot;

use crate::fixture::{Person, has, layers, publish, read_layers, recipients, record, run, text};

/// skopeo demands a policy; without one of the host's this allows everything.
const ANY: &str = "--insecure-policy";

#[test]
fn skopeo_copies_what_was_written_and_it_stays_the_same() {
    if !has("skopeo") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("archive");
    let place = Directory::create(&path).expect("a place");
    let alice = Person::new();
    let plain = publish(&place, 1, 100_000, None);
    let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let sealed = publish(&place, 2, 100_000, Some(&keys));
    let to = directory.path().join("copy");
    for name in [plain.reference.as_str(), sealed.reference.as_str(), KEYS] {
        let from = format!("oci:{}:{name}", text(&path));
        let to = format!("oci:{}:{name}", text(&to));
        run("skopeo", &[ANY, "copy", "--preserve-digests", &from, &to]);
    }
    let copy = Directory::open(&to).expect("a place");
    let read = Snapshot::read(&copy, "box.snap-1", None).expect("read");
    assert_eq!(read.descriptor.digest, plain.descriptor.digest);
    assert_eq!(read_layers(&copy, &read, None).expect("read"), layers(1, 100_000));
    let keys = open_keys(&copy, &alice.identities()).expect("opened");
    let read = Snapshot::find(&copy, "box.snap-2", keys.as_ref()).expect("found");
    assert_eq!(read_layers(&copy, &read, keys.as_ref()).expect("read"), layers(2, 100_000));

    let archive = directory.path().join("archive.tar");
    let from = format!("oci:{}:box.snap-1", text(&path));
    run("skopeo", &[ANY, "copy", &from, &format!("oci-archive:{}", text(&archive))]);
    let inspected = run("skopeo", &[ANY, "inspect", "--config", &from]);
    let inspected: serde_json::Value = serde_json::from_slice(&inspected).expect("JSON");
    assert_eq!(inspected["config"]["Cmd"][0], "/bin/sh");
}

#[test]
fn umoci_unpacks_what_was_written() {
    if !has("umoci") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("archive");
    publish(&Directory::create(&path).expect("a place"), 1, 100_000, None);
    let bundle = directory.path().join("bundle");
    let image = format!("{}:box.snap-1", text(&path));
    run("umoci", &["raw", "unpack", "--rootless", "--image", &image, text(&bundle)]);
    let read = |name: &str| fs::read(bundle.join(name)).expect(name);
    assert_eq!(read("base/name-of-a-file"), b"content-of-the-base");
    assert_eq!(read("sealed/noise").len(), 100_000);
    assert_eq!(read(".ctrlz/record.json"), record(1, 1));
}
