//! Layers of an overlay: whiteouts there and back.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ctrlz_archive::listing::{Scope, compare, merge};
use ctrlz_archive::unpack::Whiteouts;
use ctrlz_archive::{ArchiveError, Lost, Target};
use ctrlz_core::archive::Stratum;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::support::{is_root, live, picture, restore_to, sealed, set_time, target, write};

fn whiteout(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).expect("whiteout");
}

fn note(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).expect("xattr");
}

/// A base, and a layer that removes, replaces and hides.
fn base_and_layer(dir: &Path) -> (Stratum, Stratum) {
    let (base, layer) = (dir.join("base"), dir.join("layer"));
    for path in ["a/b", "d/inner", "opaque/below", "f"] {
        fs::create_dir_all(base.join(path)).expect("mkdir");
    }
    for path in ["a/b/c", "a/x", "d/inner/y", "opaque/below/z", "opaque/w", "f/in", "g", "h"] {
        fs::write(base.join(path), path).expect("write");
    }
    for path in ["a", "opaque/new", "h"] {
        fs::create_dir_all(layer.join(path)).expect("mkdir");
    }
    whiteout(&layer.join("a/x"));
    whiteout(&layer.join("d"));
    note(&layer.join("opaque"), "user.overlay.opaque", b"y");
    note(&layer.join("opaque"), "user.overlay.origin", b"\0\xfb");
    fs::write(layer.join("opaque/new/n"), "n").expect("write");
    fs::write(layer.join("opaque/w"), "w2").expect("write");
    fs::write(layer.join("f"), "a file now").expect("write");
    fs::write(layer.join("h/in"), "a directory now").expect("write");
    // The layer says nothing about the top itself, of which an overlay shows the upper one's.
    for path in [&base, &layer] {
        set_time(path, (1_500_000_000, 7));
    }
    for path in ["a", "opaque", "opaque/new", "h"] {
        set_time(&layer.join(path), (1_600_000_000, 5));
    }
    (live(&base), sealed(&layer))
}

#[test]
fn a_layer_on_a_base_gives_what_an_overlay_shows() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (base, layer) = base_and_layer(dir.path());
    let (lower, upper) = (write(&base), write(&layer));
    assert_eq!((upper.written.counts.whiteouts, upper.written.counts.opaque), (2, 1));
    assert!(upper.written.losses.is_empty(), "{:?}", upper.written.losses);
    let back = dir.path().join("back");
    restore_to(target(&back), &[&lower.blob, &upper.blob]).expect("restore");
    let found: Vec<String> =
        picture(&back).into_keys().map(|path| path.display().to_string()).collect();
    let expected = [
        "",
        "a",
        "a/b",
        "a/b/c",
        "f",
        "g",
        "h",
        "h/in",
        "opaque",
        "opaque/new",
        "opaque/new/n",
        "opaque/w",
    ];
    assert_eq!(found, expected);
    assert_eq!(fs::read(back.join("opaque/w")).expect("read"), b"w2");
    let time = fs::metadata(back.join("opaque")).expect("stat");
    assert_eq!((time.mtime(), time.mtime_nsec()), (1_600_000_000, 5));

    let mut listing = Vec::new();
    let digest = merge([lower.listing.as_slice(), &upper.listing], &mut listing).expect("merge");
    let compared = compare(listing.as_slice(), &back, Scope::default()).expect("compare");
    assert_eq!(compared.differences, []);
    assert_eq!(digest.bytes, *blake3::hash(&listing).as_bytes());

    // What the kernel shows is the same, where we may ask it.
    if !is_root() {
        println!("SKIPPED(only root can mount an overlay)");
        return;
    }
    let merged = dir.path().join("merged");
    fs::create_dir(&merged).expect("mkdir");
    let status = std::process::Command::new("mount")
        .args(["-t", "overlay", "overlay", "-o"])
        .arg(format!(
            "userxattr,lowerdir={}:{}",
            layer.directory.display(),
            base.directory.display()
        ))
        .arg(&merged)
        .status()
        .expect("mount");
    assert!(status.success());
    let compared = compare(listing.as_slice(), &merged, Scope::default()).expect("compare");
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).expect("unmount");
    assert_eq!(compared.differences, []);
}

#[test]
fn whiteouts_come_before_what_is_beside_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (_, layer) = base_and_layer(dir.path());
    fs::write(layer.directory.join("a/+first"), "x").expect("write");
    whiteout(&layer.directory.join("a/zz"));
    let blob = write(&layer).blob;
    let tar = zstd::decode_all(blob.as_slice()).expect("decode");
    let mut archive = tar::Archive::new(tar.as_slice());
    let names: Vec<String> = archive
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("entry").path().expect("path").display().to_string())
        .collect();
    let expected = [
        ".wh.d",
        "a/",
        "a/.wh.x",
        "a/.wh.zz",
        "a/+first",
        "f",
        "h/",
        "h/in",
        "opaque/",
        "opaque/.wh..wh..opq",
        "opaque/new/",
        "opaque/new/n",
        "opaque/w",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_sealed_layer_can_be_put_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (_, layer) = base_and_layer(dir.path());
    let written = write(&layer);
    let mut kinds = vec![(Whiteouts::KeepUser, "user.overlay.opaque")];
    if is_root() {
        kinds.push((Whiteouts::KeepTrusted, "trusted.overlay.opaque"));
    }
    for (whiteouts, attribute) in kinds {
        let back = dir.path().join(attribute);
        restore_to(Target { whiteouts, ..target(&back) }, &[&written.blob]).expect("restore");
        for path in ["a/x", "d"] {
            let meta = fs::symlink_metadata(back.join(path)).expect("stat");
            assert!(meta.file_type().is_char_device() && meta.rdev() == 0, "{path}");
        }
        let mut value = [0; 4];
        let length = rustix::fs::getxattr(back.join("opaque"), attribute, &mut value[..]);
        assert_eq!((length, value[0]), (Ok(1), b'y'));
        // Archived again, it is the same layer.
        let again = write(&sealed(&back));
        assert!(again.blob == written.blob && again.listing == written.listing);
    }
}

#[test]
fn whiteouts_in_the_form_of_files() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let layer = dir.path().join("layer");
    fs::create_dir_all(layer.join("a/b")).expect("mkdir");
    note(&layer.join("a"), "user.overlay.opaque", b"x");
    for path in ["a/gone", "a/b/not gone"] {
        fs::write(layer.join(path), "").expect("write");
        note(&layer.join(path), "user.overlay.whiteout", b"y");
    }
    let written = write(&sealed(&layer)).written;
    assert_eq!((written.counts.whiteouts, written.counts.files, written.counts.opaque), (1, 1, 0));
}

#[test]
fn what_lies_elsewhere_is_refused() {
    for attribute in ["redirect", "metacopy"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(dir.path().join("renamed")).expect("mkdir");
        note(&dir.path().join("renamed"), &format!("user.overlay.{attribute}"), b"/old");
        let (mut out, mut listing) = (Vec::new(), Vec::new());
        let options = ctrlz_archive::LayerOptions::default();
        let error =
            ctrlz_archive::write_layer(&sealed(dir.path()), &options, &mut out, &mut listing)
                .expect_err("refused");
        assert!(matches!(error, ArchiveError::Refused { .. }), "{error}");
    }
}

#[test]
fn what_cannot_be_kept_is_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let at = |path: &str| dir.path().join(path);
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bind");
    fs::write(at(".wh.own"), "x").expect("write");
    fs::create_dir(at(".wh.own too")).expect("mkdir");
    fs::write(at(".wh.own too/in it"), "x").expect("write");
    fs::write(at("noted"), "x").expect("write");
    note(&at("noted"), "user.overlay.opaque", b"y");
    fs::write(at("fine"), "x").expect("write");
    let layer = write(&live(dir.path()));
    assert_eq!(layer.written.counts.entries(), 3, "the root and two files");
    let losses = layer.written.losses;
    let told: Vec<_> =
        losses.first.iter().map(|loss| (loss.path.to_string(), &loss.what)).collect();
    let overlay = Lost::Attribute { name: "overlay".to_owned() };
    assert_eq!(
        told,
        [
            (".wh.own".to_owned(), &Lost::Name),
            (".wh.own too".to_owned(), &Lost::Name),
            ("noted".to_owned(), &overlay),
            ("socket".to_owned(), &Lost::Socket)
        ]
    );
}

#[test]
fn hidden_paths_and_the_root_are_left_out() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for path in ["store/deep", "kept/mount"] {
        fs::create_dir_all(dir.path().join(path)).expect("mkdir");
    }
    let hidden = ["store", "kept/mount"]
        .map(|path| ctrlz_core::path::RelPath::parse(path).expect("path"))
        .to_vec();
    let layer = write(&Stratum { hidden, root: false, ..live(dir.path()) });
    let text = String::from_utf8(layer.listing).expect("text");
    let paths: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(paths, ["kept"]);
}
