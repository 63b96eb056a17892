//! Images in one file: written, read, damaged, and loaded by other tools.

use std::fs;
use std::path::Path;

use ctrlz_archive::ArchiveError;
use ctrlz_archive::crypt::{KEYS, init_keys, merge_keys, open_keys};
use ctrlz_archive::export::export;
use ctrlz_archive::layer::LayerOptions;
use ctrlz_archive::place::{Bundle, Directory, Expect, Place};
use ctrlz_archive::snapshot::{Snapshot, list};
use ctrlz_archive::transfer::Transfer;
use ctrlz_archive::verify::{Verifying, verify};

use crate::fixture::{Person, has, layers, publish, read_layers, recipients, run, text};
use crate::trees;

fn exported(place: &dyn Place, names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(place, names, &mut bytes, &|_| ()).expect("exported");
    bytes
}

#[test]
fn what_was_exported_is_imported_and_keys_travel_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    let alice = Person::new();
    publish(&place, 1, 100_000, None);
    let keys = init_keys(&place, &recipients(&[&alice])).expect("keys");
    let sealed = publish(&place, 2, 100_000, Some(&keys)).reference;
    let file = directory.path().join("export.tar");
    let bytes = exported(&place, &["box.snap-1", &sealed]);
    assert_eq!(bytes, exported(&place, &[&sealed, "box.snap-1", &sealed]), "the same bytes");
    fs::write(&file, bytes).expect("written");

    let bundle = Bundle::open(&file).expect("a bundle");
    let mut names: Vec<String> =
        bundle.names().expect("names").into_iter().map(|named| named.name).collect();
    names.sort();
    assert_eq!(names, ["box.snap-1", KEYS, &sealed]);
    let verified = verify(&bundle, &Verifying::default(), &|_| ()).expect("an answer");
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
    // It is read where it lies, and from there to another place.
    let back = Directory::create(&directory.path().join("back")).expect("a place");
    merge_keys(&bundle, &back).expect("keys");
    for name in ["box.snap-1", &sealed] {
        let transfer = Transfer { expect: Expect::Absent, ..Transfer::default() };
        transfer.image((&bundle, name), (&back, name), &|_| ()).expect("imported");
    }
    for place in [&bundle as &dyn Place, &back] {
        let keys = open_keys(place, &alice.identities()).expect("opened");
        assert_eq!(list(place, keys.as_ref()).expect("listed").snapshots.len(), 2);
        for seed in [1, 2] {
            let name = format!("box.snap-{seed}");
            let snapshot = Snapshot::find(place, &name, keys.as_ref()).expect("found");
            let read = read_layers(place, &snapshot, keys.as_ref()).expect("read");
            assert_eq!(read, layers(seed, 100_000));
        }
    }
    let read_only = bundle.withdraw("box.snap-1").expect_err("nothing is written").to_string();
    assert!(read_only.contains("export.tar") && read_only.contains("import"), "{read_only}");
    assert!(bundle.hold().is_err() && bundle.sweep(std::time::Duration::ZERO).is_err());
}

#[test]
fn what_is_damaged_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    let snapshot = publish(&place, 1, 100_000, None);
    let whole = exported(&place, &["box.snap-1"]);
    let file = directory.path().join("export.tar");
    let import = |bytes: &[u8]| -> Result<(), ArchiveError> {
        fs::write(&file, bytes).expect("written");
        let bundle = Bundle::open(&file)?;
        let back = directory.path().join("back");
        let _ = fs::remove_dir_all(&back);
        let back = Directory::create(&back).expect("a place");
        let name = ("box.snap-1", &back as &dyn Place);
        let done = Transfer::default().image((&bundle, name.0), (name.1, name.0), &|_| ());
        if done.is_err() {
            assert_eq!(back.names().expect("an index"), [], "nothing half has a name");
        }
        done.map(drop)
    };
    import(&whole).expect("nothing is wrong");
    // What is behind the last blob is padding: 1024 bytes of zeros, and the rest of its block.
    let end = whole.iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
    let mut found = 0;
    for at in (0..end).step_by(997).chain([end - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 16;
        // Names, times and padding of the tar do not matter; a blob's bytes always do.
        match import(&changed) {
            Err(_) => found += 1,
            Ok(()) => {
                let bundle = Bundle::open(&file).expect("a bundle");
                let there = Snapshot::read(&bundle, "box.snap-1", None).expect("read");
                assert_eq!(there.descriptor.digest, snapshot.descriptor.digest, "byte {at}");
            }
        }
        assert!(import(&whole[..at]).is_err(), "cut at {at}");
    }
    assert!(found > 80, "{found}");
    // A damaged place is not exported as if it were whole.
    let digest = snapshot.manifest.layers[3].digest;
    let path = place.blob_path(&digest);
    let mut bytes = fs::read(&path).expect("a blob");
    bytes[50_000] ^= 1;
    fs::write(&path, bytes).expect("written");
    let error = export(&place, &["box.snap-1"], &mut Vec::new(), &|_| ()).expect_err("damaged");
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
}

/// An image with a static program that shows `/etc/changed`, and where it lies.
fn shown_by_a_program(directory: &Path) -> Directory {
    let place = Directory::create(&directory.join("archive")).expect("a place");
    let (base, layer) = (directory.join("base"), directory.join("layer"));
    trees::grow(&base, &layer);
    let source = directory.join("show.c");
    fs::write(
        &source,
        "#include <stdio.h>\nint main(void) { int c; FILE *f = fopen(\"/etc/changed\", \"r\");\n\
         if (!f || fopen(\"/etc/removed\", \"r\")) return 1;\n\
         while ((c = getc(f)) != EOF) putchar(c); return 0; }\n",
    )
    .expect("written");
    run("cc", &["-O1", "-static", "-o", text(&base.join("show")), text(&source)]);
    trees::publish(&place, (&base, &layer), &LayerOptions::default(), None, &["/show"]);
    place
}

#[test]
fn podman_runs_what_was_written() {
    if !has("podman") || !has("runc") || !has("cc") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED(only root runs podman without ranges of ids)");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let place = shown_by_a_program(directory.path());
    let file = directory.path().join("export.tar");
    fs::write(&file, exported(&place, &["box.snap-1"])).expect("written");
    let config = directory.path().join("containers.conf");
    fs::write(
        &config,
        "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n\
         [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n",
    )
    .expect("written");
    let (root, state) = (directory.path().join("root"), directory.path().join("run"));
    let podman = |arguments: &[&str]| {
        let config = format!("CONTAINERS_CONF={}", text(&config));
        let own = [&config, "podman", "--root", text(&root), "--runroot", text(&state)];
        let all = [&own[..], &["--storage-driver", "vfs"], arguments].concat();
        String::from_utf8(run("env", &all)).expect("text")
    };
    podman(&["load", "--quiet", "-i", text(&file)]);
    let image = podman(&["images", "--quiet"]);
    let shown = podman(&["run", "--rm", "--network=none", image.trim()]);
    assert_eq!(shown, "what the layer says");
}

#[test]
fn skopeo_reads_the_file_and_umoci_unpacks_it() {
    if !has("skopeo") || !has("umoci") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let place = Directory::create(&directory.path().join("archive")).expect("a place");
    let (base, layer) = (directory.path().join("base"), directory.path().join("layer"));
    trees::grow(&base, &layer);
    trees::publish(&place, (&base, &layer), &LayerOptions::default(), None, &[]);
    let file = directory.path().join("export.tar");
    fs::write(&file, exported(&place, &["box.snap-1"])).expect("written");
    let copy = directory.path().join("copy");
    // What skopeo copies without preserving digests it may compress anew; umoci knows no zstd.
    run(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--dest-compress-format",
            "gzip",
            &format!("oci-archive:{}:box.snap-1", text(&file)),
            &format!("oci:{}:copied", text(&copy)),
        ],
    );
    let bundle = directory.path().join("bundle");
    let image = format!("{}:copied", text(&copy));
    run("umoci", &["raw", "unpack", "--rootless", "--image", &image, text(&bundle)]);
    trees::is_grown(&bundle);
}
