use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType as Kind, Mode, XattrFlags};

use super::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn assert_copied(from: &Path, to: &Path) {
    let (a, b) =
        (version(from).expect("from").expect("there"), version(to).expect("to").expect("copied"));
    assert_eq!(
        (a.mode, a.uid, a.gid, a.rdev),
        (b.mode, b.uid, b.gid, b.rdev),
        "{}",
        from.display()
    );
    assert_eq!(a.mtime, b.mtime, "{}", from.display());
    assert!(same_content(from, to).expect("content"), "{}", from.display());
    assert!(same_xattrs(from, to).expect("xattrs"), "{}", from.display());
}

#[test]
fn copies_every_kind_of_node() {
    let dir = tempfile::tempdir().expect("tempdir");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), b"content").expect("write");
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    rustix::fs::setxattr(at("file"), "user.note", b"kept", XattrFlags::empty()).expect("xattr");
    rustix::fs::setxattr(at("file"), "user.overlay.opaque", b"y", XattrFlags::empty())
        .expect("xattr");
    fs::create_dir(at("dir")).expect("mkdir");
    fs::set_permissions(at("dir"), fs::Permissions::from_mode(0o1770)).expect("chmod");
    symlink("no\u{e9}where", at("link")).expect("symlink");
    rustix::fs::mknodat(CWD, at("fifo"), Kind::Fifo, Mode::from_raw_mode(0o620), 0).expect("fifo");
    drop(UnixListener::bind(at("socket")).expect("socket"));
    let mut names = vec!["file", "dir", "link", "fifo", "socket"];
    if is_root() {
        let kind = Kind::CharacterDevice;
        rustix::fs::mknodat(
            CWD,
            at("null"),
            kind,
            Mode::from_raw_mode(0o604),
            rustix::fs::makedev(1, 3),
        )
        .expect("mknod");
        names.push("null");
        for name in &names {
            std::os::unix::fs::lchown(at(name), Some(1234), Some(4321)).expect("chown");
        }
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o4751)).expect("chmod");
        // VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE permitted and effective.
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        rustix::fs::setxattr(at("file"), "security.capability", &capability, XattrFlags::empty())
            .expect("capability");
        rustix::fs::lsetxattr(at("link"), "trusted.note", b"on a link", XattrFlags::empty())
            .expect("xattr");
    }
    for name in names {
        let copy = at(&format!("{name}.copy"));
        copy_node(&at(name), &copy).expect(name);
        assert_copied(&at(name), &copy);
        assert!(copy_node(&at(name), &copy).is_err(), "{name} overwrote");
    }
    let kept = rustix::fs::getxattr(at("file.copy"), "user.overlay.opaque", &mut [0_u8; 8]);
    assert_eq!(kept, Err(rustix::io::Errno::NODATA));
}

/// user:1000:rw- in the layout of posix_acl_xattr(5).
fn acl() -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    for (tag, permissions, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 6, 1000),
        (4, 4, u32::MAX),
        (16, 6, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

#[test]
fn keeps_acls_and_drops_inherited_ones() {
    let dir = tempfile::tempdir().expect("tempdir");
    let at = |name: &str| dir.path().join(name);
    for name in ["plain", "listed"] {
        fs::write(at(name), name).expect("write");
    }
    rustix::fs::setxattr(at("listed"), "system.posix_acl_access", &acl(), XattrFlags::empty())
        .expect("acl");
    fs::create_dir(at("heir")).expect("mkdir");
    rustix::fs::setxattr(at("heir"), "system.posix_acl_default", &acl(), XattrFlags::empty())
        .expect("acl");
    for name in ["plain", "listed"] {
        copy_node(&at(name), &at("heir").join(name)).expect(name);
        assert_copied(&at(name), &at("heir").join(name));
    }
    copy_node(&at("heir"), &at("heir2")).expect("directory");
    assert_copied(&at("heir"), &at("heir2"));
}

#[test]
fn keeps_holes() {
    use std::io::{Seek, SeekFrom, Write};
    let dir = tempfile::tempdir().expect("tempdir");
    let from = dir.path().join("sparse");
    let mut file = fs::File::create(&from).expect("create");
    file.write_all(b"start").expect("write");
    file.seek(SeekFrom::Start(8 << 20)).expect("seek");
    file.write_all(b"middle").expect("write");
    file.set_len(32 << 20).expect("grow");
    drop(file);
    let to = dir.path().join("copy");
    copy_node(&from, &to).expect("copy");
    assert_copied(&from, &to);
    assert!(fs::metadata(&to).expect("stat").blocks() * 512 < 4 << 20);
}

#[test]
fn copies_a_tree_with_its_links_and_closed_directories() {
    let dir = tempfile::tempdir().expect("tempdir");
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("a/b")).expect("mkdir");
    fs::write(from.join("a/one"), b"x").expect("write");
    fs::hard_link(from.join("a/one"), from.join("a/b/two")).expect("link");
    fs::set_permissions(from.join("a/b"), fs::Permissions::from_mode(0o500)).expect("chmod");
    let to = dir.path().join("to");
    copy_tree(&from, &to).expect("copy");
    for name in ["", "a", "a/b", "a/one", "a/b/two"] {
        assert_copied(&from.join(name), &to.join(name));
    }
    let ino = |path: &str| fs::metadata(to.join(path)).expect("stat").ino();
    assert_eq!(ino("a/one"), ino("a/b/two"));
    assert_ne!(ino("a/one"), fs::metadata(from.join("a/one")).expect("stat").ino());
    remove_tree(&to).expect("remove");
    assert_eq!(version(&to).expect("version"), None);
}

#[test]
fn removes_deep_trees_and_follows_no_link() {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::write(dir.path().join("outside"), b"stays").expect("write");
    let root = dir.path().join("deep");
    fs::create_dir(&root).expect("mkdir");
    let mut at = open_directory(&root, OFlags::RDONLY).expect("open");
    for _ in 0..5000 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o700)).expect("mkdirat");
        rustix::fs::symlinkat(dir.path(), &at, "link").expect("symlinkat");
        at = rustix::fs::openat(&at, "d", OFlags::RDONLY, Mode::empty()).expect("openat");
    }
    let copy = dir.path().join("copy");
    copy_tree(&root, &copy).expect("copy");
    let path = copy.join("d/".repeat(5000));
    assert!(version(&path).expect("version").is_some_and(|v| v.is_directory()));
    for tree in [&root, &copy] {
        remove_tree(tree).expect("remove");
        assert_eq!(version(tree).expect("version"), None);
    }
    assert_eq!(fs::read(dir.path().join("outside")).expect("read"), b"stays");
    remove_tree(&root).expect("removing nothing is fine");
}

#[test]
fn tells_contents_and_absences_apart() {
    let dir = tempfile::tempdir().expect("tempdir");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("a"), vec![7; 300_000]).expect("write");
    let mut other = vec![7; 300_000];
    fs::write(at("b"), &other).expect("write");
    assert!(same_content(&at("a"), &at("b")).expect("compare"));
    other[299_999] = 8;
    fs::write(at("b"), &other).expect("write");
    assert!(!same_content(&at("a"), &at("b")).expect("compare"));
    assert_eq!(version(&at("none")).expect("version"), None);
    assert_eq!(version(&at("a/below")).expect("version"), None);
    assert_eq!(entries(dir.path()).expect("entries"), ["a", "b"]);
}
