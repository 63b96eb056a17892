//! Trees beyond what a path can say.

use std::fs;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::support::{live, restore_to, target, write};

#[test]
fn depth_is_no_matter() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    fs::create_dir(&tree).expect("mkdir");
    let open = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(CWD, &tree, open, Mode::empty()).expect("open");
    let name = "n".repeat(150);
    // 300 levels: 45,000 bytes of path, and more directories than may be open at once.
    for _ in 0..300 {
        rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).expect("mkdir");
        at = rustix::fs::openat(&at, name.as_str(), open, Mode::empty()).expect("open");
    }
    rustix::fs::symlinkat("the end", &at, "link").expect("link");
    let layer = write(&live(&tree));
    assert_eq!(layer.written.counts.directories, 301);
    restore_to(target(&back), &[&layer.blob]).expect("restore");
    let mut at = rustix::fs::openat(CWD, &back, open, Mode::empty()).expect("open");
    for _ in 0..300 {
        at = rustix::fs::openat(&at, name.as_str(), open, Mode::empty()).expect("open");
    }
    rustix::fs::statat(&at, "link", AtFlags::SYMLINK_NOFOLLOW).expect("the end");
    let again = write(&live(&back));
    assert!(again.blob == layer.blob && again.listing == layer.listing);
}
