//! Archives that were made to do harm, each by hand. All are refused, and leave nothing behind.

use std::fs;
use std::path::Path;

use ctrlz_archive::unpack::{Devices, Whiteouts};
use ctrlz_archive::{ArchiveError, Limits, Lost, Restore, Target};

use super::support::{restore_to, target};

/// A header block with everything in its place.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) size: Vec<u8>,
    pub(crate) mode: Vec<u8>,
    pub(crate) device: (Vec<u8>, Vec<u8>),
    pub(crate) data: Vec<u8>,
}

pub(crate) fn raw(name: &[u8], kind: u8, data: &[u8]) -> Raw {
    Raw {
        name: name.to_vec(),
        kind,
        link: Vec::new(),
        size: format!("{:011o}", data.len()).into_bytes(),
        mode: b"0000755".to_vec(),
        device: (b"0000000".to_vec(), b"0000000".to_vec()),
        data: data.to_vec(),
    }
}

impl Raw {
    fn link(mut self, target: &[u8]) -> Self {
        self.link = target.to_vec();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        put(100, &self.mode);
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, &self.size);
        put(136, b"14524770421");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, &self.link);
        put(257, b"ustar\x0000");
        put(329, &self.device.0);
        put(337, &self.device.1);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block.extend_from_slice(&self.data);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }
}

pub(crate) fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Raw::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn pax(records: &[(&str, &[u8])]) -> Raw {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..9).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n);
        text.extend_from_slice(format!("{} {key}=", length.expect("length")).as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    raw(b"x", b'x', &text)
}

fn file(name: &[u8]) -> Raw {
    raw(name, b'0', b"data")
}

fn directory(name: &[u8]) -> Raw {
    raw(name, b'5', b"")
}

fn symlink(name: &[u8], target: &[u8]) -> Raw {
    raw(name, b'2', b"").link(target)
}

fn hard_link(name: &[u8], target: &[u8]) -> Raw {
    raw(name, b'1', b"").link(target)
}

struct Arena {
    dir: tempfile::TempDir,
}

impl Arena {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().expect("temporary directory") };
        fs::create_dir(this.at("outside")).expect("mkdir");
        fs::write(this.at("outside/file"), "precious").expect("write");
        this
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }

    fn target(&self) -> Target {
        Target { devices: Devices::Refuse, ..target(&self.at("back")) }
    }

    /// What the layers, lowest first, are refused for.
    fn refused(&self, target: Target, layers: &[&[u8]]) -> String {
        let error = match restore_to(target, layers) {
            Ok(_) => panic!("it was restored"),
            Err(error) => error,
        };
        assert!(
            matches!(error, ArchiveError::Refused { .. } | ArchiveError::Malformed { .. }),
            "{error:?}"
        );
        let left: Vec<_> = fs::read_dir(self.dir.path())
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        assert_eq!(left, ["outside"], "nothing is left");
        assert_eq!(fs::read_dir(self.at("outside")).expect("list").count(), 1);
        assert_eq!(fs::read(self.at("outside/file")).expect("read"), b"precious");
        error.to_string()
    }
}

#[track_caller]
fn refuses(entries: &[Raw], why: &str) {
    let arena = Arena::new();
    let told = arena.refused(arena.target(), &[&archive(entries)]);
    assert!(told.contains(why), "{told}");
    // The same above another layer, where other rules hold for what is there already.
    let below = archive(&[directory(b"d/"), file(b"d/below"), file(b"below")]);
    let told = arena.refused(arena.target(), &[&below, &archive(entries)]);
    assert!(told.contains(why), "above another layer: {told}");
}

#[test]
fn names_that_leave_the_tree() {
    for name in [&b"../escaped"[..], b"a/../../escaped", b"..", b"d/..", b"a/../b"] {
        refuses(&[file(name)], "`..`");
        refuses(&[pax(&[("path", name)]), file(b"harmless")], "`..`");
        refuses(&[raw(b"L", b'L', name), file(b"harmless")], "`..`");
        refuses(&[directory(name)], "`..`");
    }
    for name in [&b"/escaped"[..], b"//escaped", b"/"] {
        refuses(&[symlink(name, b"x")], "absolute");
        refuses(&[directory(name)], "absolute");
        refuses(&[pax(&[("path", name)]), symlink(b"harmless", b"x")], "absolute");
    }
    refuses(&[file(b"")], "empty");
    refuses(&[file(b".")], "the tree itself");
    refuses(&[symlink(b"./", b"x")], "the tree itself");
    refuses(&[pax(&[("path", b"a\0b")]), file(b"harmless")], "NUL");
}

#[test]
fn links_that_are_walked_through() {
    // A link out of the tree is kept as it is, and nothing ever goes through it.
    for target in [&b"../outside"[..], b"/tmp", b"d", b"."] {
        let through = "lies in something that is no directory";
        refuses(&[symlink(b"link", target), file(b"link/file")], through);
        refuses(&[symlink(b"link", target), directory(b"link/new")], through);
        refuses(&[directory(b"d"), symlink(b"link", target), symlink(b"link/x", b"y")], through);
        refuses(
            &[symlink(b"link", target), file(b"other"), hard_link(b"link/x", b"other")],
            through,
        );
        refuses(&[symlink(b"link", target), hard_link(b"x", b"link/file")], "not there");
    }
    // The link comes from a lower layer.
    let arena = Arena::new();
    let below = archive(&[symlink(b"link", b"../outside")]);
    for above in [
        archive(&[file(b"link/file")]),
        archive(&[directory(b"link/file")]),
        archive(&[hard_link(b"link/x", b"link")]),
    ] {
        let told = arena.refused(arena.target(), &[&below, &above]);
        assert!(told.contains("no directory"), "{told}");
    }
    // A whiteout through it removes nothing out there.
    let whiteouts = archive(&[file(b"link/.wh.file"), file(b"link/.wh..wh..opq")]);
    drop(restore_to(arena.target(), &[&below, &whiteouts]));
    assert_eq!(fs::read(arena.at("outside/file")).expect("read"), b"precious");
}

#[test]
fn hard_links_that_leave_the_tree() {
    refuses(&[hard_link(b"x", b"/etc/passwd")], "absolute");
    refuses(&[hard_link(b"x", b"../outside/file")], "`..`");
    refuses(&[pax(&[("linkpath", b"../outside/file")]), hard_link(b"x", b"y")], "`..`");
    refuses(&[hard_link(b"x", b"not there")], "not there");
    refuses(&[hard_link(b"x", b"x")], "itself");
    refuses(&[directory(b"e"), hard_link(b"x", b"e")], "directory");
    refuses(&[hard_link(b"x", b"")], "target");
    refuses(&[symlink(b"x", b"")], "target");
    refuses(&[hard_link(b"x", b".")], "the tree itself");
}

#[test]
fn entries_that_come_twice() {
    refuses(&[file(b"x"), file(b"x")], "twice");
    refuses(&[file(b"x"), file(b"./x")], "twice");
    refuses(&[file(b"x"), symlink(b"x", b"y")], "twice");
    refuses(&[symlink(b"x", b"y"), file(b"x")], "twice");
    refuses(&[file(b"y"), file(b"x"), hard_link(b"x", b"y")], "twice");
    refuses(&[file(b"x"), directory(b"x")], "twice");
    refuses(&[directory(b"x"), file(b"x")], "twice");
    refuses(&[file(b"x/y"), file(b"x")], "twice");
    let large = raw(b"x", b'0', &vec![1; 300_000]);
    refuses(&[large.clone(), large.clone()], "twice");
    refuses(&[file(b"x"), large], "twice");
    // A file that is not written yet when something is put in it.
    let mut many: Vec<Raw> = (0..50).map(|n| file(format!("f{n}").as_bytes())).collect();
    many.push(file(b"f3/inside"));
    let arena = Arena::new();
    arena.refused(arena.target(), &[&archive(&many)]);
    let below = archive(&[directory(b"f3"), file(b"f3/below")]);
    arena.refused(arena.target(), &[&below, &archive(&many)]);
}

#[test]
fn device_nodes() {
    for kind in [b'3', b'4'] {
        let mut node = raw(b"node", kind, b"");
        node.device = (b"0000001".to_vec(), b"0000003".to_vec());
        refuses(&[node], "device node");
    }
    // overlayfs would take this one for a whiteout.
    refuses(&[raw(b"node", b'3', b"")], "device node");
}

#[test]
fn numbers_that_are_none() {
    let with_size = |size: &[u8]| Raw { size: size.to_vec(), ..file(b"x") };
    refuses(&[with_size(b"-0000000001")], "number");
    refuses(&[with_size(b"0000000008x")], "number");
    refuses(&[with_size(&[0xff; 12])], "size is out of range");
    refuses(&[with_size(&[&[0x80][..], &[0xff; 11]].concat())], "number");
    // More than there is.
    refuses(&[with_size(b"77777777777")], "too early");
    let huge = [&[0x80, 0, 0, 0][..], &[0x7f], &[0xff; 7]].concat();
    refuses(&[with_size(&huge)], "too early");
    refuses(&[pax(&[("size", b"9223372036854775807")]), file(b"x")], "too early");
    refuses(&[pax(&[("size", b"99999999999999999999")]), file(b"x")], "out of range");
    refuses(&[pax(&[("size", b"-1")]), file(b"x")], "out of range");
    refuses(&[pax(&[("uid", b"4294967296")]), file(b"x")], "out of range");
    refuses(&[pax(&[("mtime", b"yesterday")]), file(b"x")], "time");
    refuses(&[Raw { mode: b"0000999".to_vec(), ..file(b"x") }], "number");
    // What has no content must not have any, since readers differ on what follows.
    for kind in [b'1', b'2', b'3', b'5', b'6'] {
        refuses(&[raw(b"x", kind, b"data").link(b"y")], "content");
    }
}

#[test]
fn headers_that_are_none() {
    let refuses_bytes = |bytes: &[u8], why: &str| {
        let arena = Arena::new();
        let told = arena.refused(arena.target(), &[bytes]);
        assert!(told.contains(why), "{told}");
    };
    let good = archive(&[file(b"x")]);
    let mut bad = good.clone();
    bad[0] = b'y';
    refuses_bytes(&bad, "checksum");
    refuses_bytes(&[good.clone(), vec![1]].concat(), "follows its end");
    refuses_bytes(&[good.clone(), good.clone()].concat(), "follows its end");
    refuses_bytes(&[good.clone(), vec![0; 2 << 20]].concat(), "follows its end");
    let lone = [file(b"x").bytes(), vec![0; 512], file(b"y").bytes(), vec![0; 1024]].concat();
    refuses_bytes(&lone, "empty block");
    refuses_bytes(b"", "too early");
    refuses_bytes(&[0; 512], "too early");
    refuses_bytes(&vec![b'x'; 10_000], "");
    refuses(&[raw(b"x", b'Z', b"")], "unknown type");
    refuses(&[raw(b"x", b'V', b"")], "unknown type");
    refuses(&[pax(&[("path", b"y")]), pax(&[("path", b"z")]), file(b"x")], "two extended headers");
    refuses(&[raw(b"x", b'x', b"not a record"), file(b"x")], "format");
    refuses(&[pax(&[("path", b"y")])], "where an entry should be");
    refuses(&[raw(b"g", b'g', &pax(&[("path", b"../y")]).data), file(b"x")], "for all entries");
    refuses(&[raw(b"g", b'g', &pax(&[("size", b"0")]).data), file(b"x")], "for all entries");
    // A comment is what `git archive` writes.
    let arena = Arena::new();
    let comment = raw(b"g", b'g', &pax(&[("comment", b"0123")]).data);
    restore_to(arena.target(), &[&archive(&[comment, file(b"x")])]).expect("restore");
}

#[test]
fn headers_without_end() {
    let most = Limits::default().header;
    refuses(&[pax(&[("comment", &vec![b'c'; most])]), file(b"x")], "longer than");
    refuses(&[raw(b"L", b'L', &vec![b'n'; most + 1]), file(b"x")], "longer than");
    refuses(&[raw(b"L", b'L', &vec![b'n'; 70_000]), file(b"x")], "longer than");
    refuses(&[Raw { size: b"77777777777".to_vec(), ..raw(b"L", b'L', b"n") }], "longer than");
    refuses(&[file(&[b'n'; 100]), raw(b"L", b'L', &[b'n'; 300]), file(b"x")], "longer than");
    let name = format!("SCHILY.xattr.user.{}", "n".repeat(300));
    refuses(&[pax(&[(&name, b"x")]), file(b"x")], "no name");
    refuses(&[pax(&[("SCHILY.xattr.user.x", &vec![1; 70_000])]), file(b"x")], "64 KiB");
}

#[test]
fn maps_of_holes_that_lie() {
    let sparse = |size: &[u8], map: &[u8], data: usize| {
        let mut content = map.to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        content.resize(content.len() + data, 7);
        let words = [
            ("GNU.sparse.major", &b"1"[..]),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"x"),
            ("GNU.sparse.realsize", size),
        ];
        [pax(&words), raw(b"x", b'0', &content)]
    };
    for (size, map, data) in [
        (&b"100"[..], &b"1\n0\n200\n"[..], 200),
        (b"100", b"2\n50\n10\n0\n10\n", 20),
        (b"100", b"2\n0\n20\n10\n20\n", 40),
        (b"100", b"1\n0\n10\n", 20),
        (b"100", b"1\n0\n20\n", 10),
        (b"100", b"99999999999\n", 10),
        (b"100", b"-1\n", 10),
        (b"100", b"2\n0\n5\n", 5),
        (b"100", b"", 0),
        (b"18446744073709551616", b"0\n", 0),
    ] {
        let arena = Arena::new();
        arena.refused(arena.target(), &[&archive(&sparse(size, map, data))]);
    }
    let words = [("GNU.sparse.major", &b"7"[..]), ("GNU.sparse.minor", b"0")];
    refuses(&[pax(&words), file(b"x")], "unknown way");
    refuses(
        &[pax(&[("GNU.sparse.map", b"0,1,2"), ("GNU.sparse.size", b"9")]), file(b"x")],
        "holes",
    );
    refuses(&[pax(&[("GNU.sparse.map", b"0,4")]), file(b"x")], "size is missing");
}

#[test]
fn whiteouts_of_nothing_and_everything() {
    refuses(&[file(b".wh.")], "nothing");
    refuses(&[file(b".wh..")], "nothing");
    refuses(&[file(b"d/.wh...")], "nothing");
    refuses(&[directory(b".wh.x")], "must be a file");
    let arena = Arena::new();
    let below = archive(&[directory(b"d"), file(b"d/x")]);
    let both = archive(&[directory(b"d"), file(b"d/y"), file(b".wh.d")]);
    let told = arena.refused(arena.target(), &[&below, &both]);
    assert!(told.contains("as well"), "{told}");
}

#[test]
fn notes_for_overlayfs_are_not_believed() {
    let arena = Arena::new();
    let noted = [
        pax(&[
            ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.metacopy", b""),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ]),
        directory(b"d"),
    ];
    let target = Target { whiteouts: Whiteouts::KeepUser, ..arena.target() };
    let restored = restore_to(target, &[&archive(&noted)]).expect("restore");
    let losses = restored.losses.first.iter();
    let notes = losses.filter(|loss| matches!(loss.what, Lost::Attribute { .. }));
    assert_eq!(notes.count(), 3, "{:?}", restored.losses);
    let mut list = [0; 100];
    let found = rustix::fs::listxattr(arena.at("back/d"), &mut list[..]);
    assert_eq!(found, Ok(0));
}

#[test]
fn more_than_the_limits_allow() {
    let arena = Arena::new();
    let many = archive(&[file(b"a"), file(b"b"), file(b"c")]);
    for limits in [
        Limits { entries: 2, ..Limits::default() },
        Limits { bytes: 2000, ..Limits::default() },
        Limits { path: 0, ..Limits::default() },
    ] {
        let mut restore = Restore::begin(arena.target()).expect("begin");
        let error = restore.apply(&mut many.as_slice(), &limits, None).expect_err("too much");
        assert!(
            matches!(error, ArchiveError::Malformed { .. } | ArchiveError::Refused { .. }),
            "{error}"
        );
        // A restore of which a layer failed cannot be finished.
        restore.apply(&mut archive(&[file(b"x")]).as_slice(), &limits, None).expect_err("broken");
        restore.finish().expect_err("broken");
        assert!(!arena.at("back").exists() && !arena.at("back.partial").exists());
    }
}

#[test]
fn a_layer_that_is_another_one() {
    let arena = Arena::new();
    let blob = archive(&[file(b"x")]);
    let digest = |bytes: &[u8]| {
        use sha2::Digest;
        ctrlz_core::digest::Digest::sha256(sha2::Sha256::digest(bytes).into())
    };
    let mut restore = Restore::begin(arena.target()).expect("begin");
    let (limits, right) = (Limits::default(), digest(&blob));
    let applied = restore.apply(&mut blob.as_slice(), &limits, Some(&right)).expect("apply");
    assert_eq!(applied.diff_id, Some(right));
    let wrong = digest(b"another one");
    let error = restore.apply(&mut blob.as_slice(), &limits, Some(&wrong)).expect_err("wrong");
    assert!(matches!(error, ArchiveError::Damaged { digest, .. } if digest == wrong), "{error}");
    drop(restore);
    assert!(!arena.at("back.partial").exists());
}

#[test]
fn nothing_that_is_there_is_replaced() {
    let arena = Arena::new();
    let blob = archive(&[file(b"x")]);
    for (there, shown) in [("back", "back"), ("back.partial", "back.partial")] {
        fs::create_dir(arena.at(there)).expect("mkdir");
        fs::write(arena.at(there).join("mine"), "x").expect("write");
        let error = restore_to(arena.target(), &[&blob]).expect_err("occupied");
        assert!(error.to_string().contains(shown), "{error}");
        assert!(Path::new(&arena.at(there)).join("mine").exists());
        fs::remove_dir_all(arena.at(there)).expect("remove");
    }
    // While one restore is at work, another one keeps out.
    let restore = Restore::begin(arena.target()).expect("begin");
    Restore::begin(arena.target()).expect_err("occupied");
    // What a killed one left is taken away.
    std::mem::forget(restore);
    let copy = arena.at("copy");
    fs::rename(arena.at("back.partial"), &copy).expect("rename");
    fs::create_dir(arena.at("back.partial")).expect("mkdir");
    fs::write(arena.at("back.partial/ctrlz-restore"), "").expect("write");
    restore_to(arena.target(), &[&blob]).expect("restore");
    assert!(arena.at("back/x").exists() && !arena.at("back.partial").exists());
}
