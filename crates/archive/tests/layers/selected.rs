//! Some paths only.

use std::fs;

use ctrlz_archive::Target;
use ctrlz_core::path::RelPath;

use super::support::{live, picture, restore_to, target, write};

fn paths(paths: &[&str]) -> Vec<RelPath> {
    paths.iter().map(|path| RelPath::parse(path).expect("path")).collect()
}

#[test]
fn only_what_was_asked_for_comes_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    for path in ["a/b/c", "ab", "d"] {
        fs::create_dir_all(tree.join(path)).expect("mkdir");
    }
    for path in ["a/b/c/f", "a/b/g", "a/b.c", "ab/h", "d/i"] {
        fs::write(tree.join(path), path).expect("write");
    }
    let layer = write(&live(&tree));
    let asked = Target { paths: paths(&["a/b", "d/i"]), ..target(&back) };
    restore_to(asked, &[&layer.blob]).expect("restore");
    let (expected, found) = (picture(&tree), picture(&back));
    let names: Vec<String> = found.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(names, ["", "a", "a/b", "a/b/c", "a/b/c/f", "a/b/g", "d", "d/i"]);
    for (path, text) in &found {
        assert_eq!(Some(text), expected.get(path), "{}", path.display());
    }
}

#[test]
fn a_name_whose_first_name_was_not_asked_for_has_its_content() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    fs::create_dir_all(tree.join("in")).expect("mkdir");
    fs::write(tree.join("first"), "content").expect("write");
    for path in ["in/second", "in/third"] {
        fs::hard_link(tree.join("first"), tree.join(path)).expect("link");
    }
    let large: Vec<u8> = vec![7; 400_000];
    fs::write(tree.join("large"), &large).expect("write");
    fs::hard_link(tree.join("large"), tree.join("in/large")).expect("link");
    let layer = write(&live(&tree));
    let asked = Target { paths: paths(&["in"]), ..target(&back) };
    restore_to(asked, &[&layer.blob]).expect("restore");
    assert_eq!(fs::read(back.join("in/second")).expect("read"), b"content");
    assert_eq!(fs::read(back.join("in/large")).expect("read"), large);
    assert!(!back.join("first").exists());
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &str| fs::metadata(back.join(path)).expect("stat").ino();
    assert_eq!(inode("in/second"), inode("in/third"));
    // Without the second pass it would be half a restore, which cannot be finished.
    let again = dir.path().join("again");
    let asked = Target { paths: paths(&["in"]), ..target(&again) };
    let mut restore = ctrlz_archive::Restore::begin(asked).expect("begin");
    let limits = ctrlz_archive::Limits::default();
    restore.apply(&mut layer.blob.as_slice(), &limits, None).expect("apply");
    assert!(restore.is_incomplete());
    restore.finish().expect_err("half of it");
    assert!(!again.exists());
}
