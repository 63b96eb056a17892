//! Restores that are killed, and restores of what is damaged: the tree is there whole, or not at
//! all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ctrlz_archive::archiver::restore;
use ctrlz_archive::crypt::{Keyring, init_keys, open_keys};
use ctrlz_archive::image::Role;
use ctrlz_archive::layer::{LayerOptions, write_layer};
use ctrlz_archive::listing::{Scope, compare};
use ctrlz_archive::place::Directory;
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_archive::{ArchiveError, Target};

use crate::fixture::{Person, noise, recipients, text};
use crate::trees;

const PLACE: &str = "CTRLZ_TEST_RESTORE_FROM";
const TARGET: &str = "CTRLZ_TEST_RESTORE_TO";

const TREE: [Role; 2] = [Role::Base, Role::Sealed];

fn restored(place: &Directory, keys: Option<&Keyring>, to: &Path) -> Result<(), ArchiveError> {
    let snapshot = Snapshot::find(place, "box.snap-1", keys)?;
    let target = Target { durable: false, ..Target::new(to.to_owned()) };
    restore(place, &snapshot, keys, target, &TREE).map(drop)
}

fn listing(directory: &Path) -> Vec<u8> {
    let (stratum, options) = (trees::stratum(directory, None), LayerOptions::default());
    let mut listing = Vec::new();
    write_layer(&stratum, &options, &mut std::io::sink(), &mut listing).expect("listed");
    listing
}

fn is_whole(directory: &Path, listing: &[u8]) {
    let compared = compare(listing, directory, Scope::default()).expect("compared");
    assert_eq!(compared.differences, []);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("listed");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

/// What the killed process does; nothing unless it was started for that.
#[test]
fn child() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let to = PathBuf::from(std::env::var_os(TARGET).expect("a target"));
    let place = Directory::open(Path::new(&place)).expect("a place");
    restored(&place, None, &to).expect("restored");
}

#[test]
fn a_killed_restore_leaves_nothing_half() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let (base, layer) = (directory.join("base"), directory.join("layer"));
    trees::grow(&base, &layer);
    for number in 0..120u64 {
        fs::write(base.join(format!("usr/{number}")), noise(number, 9000)).expect("a file");
    }
    fs::write(base.join("usr/large"), noise(1000, 4 << 20)).expect("a file");
    let archive = directory.join("archive");
    let place = Directory::create(&archive).expect("a place");
    trees::publish(&place, (&base, &layer), &LayerOptions::default(), None, &[]);
    let spot = directory.join("spot");
    fs::create_dir(&spot).expect("a directory");
    let whole = directory.join("whole");
    restored(&place, None, &whole).expect("restored");
    let expected = listing(&whole);

    let to = spot.join("tree");
    let start = || {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "restores::child", "--test-threads=1"])
            .envs([(PLACE, text(&archive)), (TARGET, text(&to))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child")
    };
    let started = Instant::now();
    assert!(start().wait().expect("ended").success());
    let takes = started.elapsed();
    fs::remove_dir_all(&to).expect("removed");
    let (mut half, mut done) = (0, 0);
    for round in 0..96u32 {
        // On a busy machine nothing takes as long as it took.
        if round >= 16 && half > 0 && done > 0 {
            break;
        }
        let mut restoring = start();
        std::thread::sleep(takes * round / 13 + Duration::from_millis(1));
        let _ = restoring.kill();
        restoring.wait().expect("ended");
        let there = names(&spot);
        if there.contains(&"tree".to_owned()) {
            done += 1;
            is_whole(&to, &expected);
            fs::remove_dir_all(&to).expect("removed");
        } else if !there.is_empty() {
            half += 1;
            assert_eq!(there, ["tree.partial"]);
        }
        // What it left is in nobody's way, and goes.
        restored(&place, None, &to).expect("restored");
        is_whole(&to, &expected);
        fs::remove_dir_all(&to).expect("removed");
        assert_eq!(names(&spot), Vec::<String>::new());
    }
    assert!(half > 0 && done > 0, "{half} were killed on the way, {done} too late");
}

#[test]
fn what_a_kill_may_leave_is_in_nobodys_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let (base, layer) = (directory.join("base"), directory.join("layer"));
    trees::grow(&base, &layer);
    let place = Directory::create(&directory.join("archive")).expect("a place");
    trees::publish(&place, (&base, &layer), &LayerOptions::default(), None, &[]);
    let (to, partial) = (directory.join("tree"), directory.join("tree.partial"));
    // Before it is marked, and after the mark went; marked, with something in it.
    for marked in [false, true] {
        fs::create_dir(&partial).expect("a directory");
        if marked {
            fs::write(partial.join("ctrlz-restore"), "").expect("a mark");
            fs::create_dir_all(partial.join("tree/with/something")).expect("a directory");
        }
        restored(&place, None, &to).expect("restored");
        assert!(!partial.exists());
        trees::is_grown(&to);
        fs::remove_dir_all(&to).expect("removed");
    }
    // Somebody else's stays.
    fs::create_dir(&partial).expect("a directory");
    fs::write(partial.join("precious"), "").expect("a file");
    let error = restored(&place, None, &to).expect_err("occupied").to_string();
    assert!(error.contains("tree.partial"), "{error}");
    assert!(partial.join("precious").exists() && !to.exists());
}

#[test]
fn of_what_is_damaged_nothing_is_restored() {
    for encrypted in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        let (base, layer) = (directory.join("base"), directory.join("layer"));
        trees::grow(&base, &layer);
        fs::write(base.join("usr/noise"), noise(1, 300_000)).expect("a file");
        let place = Directory::create(&directory.join("archive")).expect("a place");
        let alice = Person::new();
        let keys = encrypted.then(|| init_keys(&place, &recipients(&[&alice])).expect("keys"));
        let published = (base.as_path(), layer.as_path());
        let snapshot =
            trees::publish(&place, published, &LayerOptions::default(), keys.as_ref(), &[]);
        let spot = directory.join("spot");
        fs::create_dir(&spot).expect("a directory");
        let attempt = || {
            let keys = open_keys(&place, &alice.identities())?;
            restored(&place, keys.as_ref(), &spot.join("tree"))
        };
        attempt().expect("nothing is wrong yet");
        fs::remove_dir_all(spot.join("tree")).expect("removed");
        let [.., base_layer, sealed_layer] = snapshot.manifest.layers.as_slice() else {
            panic!("two layers of the tree")
        };
        for layer in [base_layer, sealed_layer] {
            let path = place.blob_path(&layer.digest);
            let blob = fs::read(&path).expect("a blob");
            let length = blob.len();
            let mut spots: Vec<usize> = (0..12).map(|part| part * length / 12).collect();
            spots.extend([1, 5, length - 2, length - 1]);
            for at in spots {
                let mut flipped = blob.clone();
                flipped[at] ^= 1 << (at % 8);
                for damaged in [flipped, blob[..at].to_vec()] {
                    fs::write(&path, damaged).expect("written");
                    let error = attempt().expect_err("damaged").to_string();
                    assert!(error.contains(&layer.digest.hex()), "byte {at}: {error}");
                    assert_eq!(names(&spot), Vec::<String>::new(), "byte {at}");
                }
            }
            fs::remove_file(&path).expect("removed");
            let error = attempt().expect_err("missing").to_string();
            assert!(error.contains(&layer.digest.hex()), "missing: {error}");
            fs::write(&path, &blob).expect("written");
        }
        attempt().expect("all is as it was");
    }
}
