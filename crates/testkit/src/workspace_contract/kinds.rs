//! Every kind of file survives: a snapshot, a rollback, a commit and its undo.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ctrlz_core::changeset::FileType;
use rustix::fs::{CWD, FileType as Kind, Mode, XattrFlags};
use rustix::io::Errno;

use super::fixture::{Fixture, MakeDriver, SANDBOX, skipped};
use super::view::{View, assert_same, keeps_holes, kept};

/// Names are given in octal, since a script is text.
const NAMES: &str = r#"
p() { printf "$1"; }
printf 1 >"$(p 'not\377utf8')"; printf 2 >"$(p 'a b')"; printf 3 >"it's \"quoted\""
printf 4 >"$(printf 'two\nlines')"; printf 5 >"-rf"; printf 6 >'back\slash'; printf 7 >'*'
printf 8 >'colon:comma,equals='; printf 9 >'.wh.hidden'; printf 10 >'...'; printf 11 >'	tab'
printf a >a; printf A >A; mkdir -p d/D; printf x >d/x; printf X >d/X
printf nfc >"$(p 'caf\303\251')"; printf nfd >"$(p 'cafe\314\201')"
printf long >"$(printf 'n%.0s' $(seq 255))"; mkdir "$(printf 'd%.0s' $(seq 255))"
ln -s "$(p 'not\377utf8')" "$(p 'link\376')"
"#;

pub(super) const KINDS: &str = r#"
umask 022
mkfifo pipe; chmod 622 pipe; ln -s nowhere dangling; ln -s /etc/hostname absolute; ln -s . self
mkdir linked; printf hard >linked/one; ln linked/one linked/two; ln linked/one three
truncate -s 64M sparse; printf end >>sparse
printf s >setuid; chmod 4755 setuid; printf g >setgid; chmod 2755 setgid
mkdir sticky; chmod 1777 sticky; mkdir group; chmod 2775 group
printf closed >locked; chmod 000 locked; mkdir shut; printf in >shut/in; chmod 500 shut
mkdir empty; : >nothing; printf now >fine; touch -d '2033-05-18 03:33:20.123456789' fine
touch -d '1969-12-31 23:59:58.5' before-epoch; touch -h -d '2002-02-02 02:02:02.000000001' self
touch -d '1999-09-09 09:09:09.999' pipe
head -c 300000 /dev/zero | tr '\0' x >big
"#;

/// Makes, without a shell, what a shell has no word for.
pub(super) fn make_rare(root: &Path) {
    rustix::fs::mknodat(CWD, root.join("socket"), Kind::Socket, Mode::from_raw_mode(0o640), 0)
        .expect("a socket");
    let set = |name: &str, attribute: &str, value: &[u8]| {
        let at = root.join(name);
        match rustix::fs::setxattr(&at, attribute, value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => skipped(&format!("no {attribute} on this file system")),
            result => result.unwrap_or_else(|error| panic!("{attribute} on {name}: {error}")),
        }
    };
    set("fine", "user.note", b"bytes \x00\xff");
    set("empty", "user.note", b"on a directory");
    set("nothing", "user.empty", b"");
    set("big", "user.large", &[b'v'; 3000]);
    fs::write(root.join("listed"), "listed").expect("write");
    set("listed", "system.posix_acl_access", &acl());
    // The children were there before the default: a copy must not give it to them.
    fs::create_dir(root.join("heirs")).expect("mkdir");
    fs::write(root.join("heirs/before"), "before").expect("write");
    fs::create_dir(root.join("heirs/dir")).expect("mkdir");
    set("heirs", "system.posix_acl_default", &acl());
    fs::write(root.join("heirs/after"), "after").expect("write");
}

/// What only root can make.
fn make_privileged(root: &Path) {
    if !rustix::process::geteuid().is_root() {
        return skipped("owners, file capabilities and device nodes need root");
    }
    for (name, kind, device) in [
        ("null", Kind::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("block", Kind::BlockDevice, rustix::fs::makedev(259, 65_537)),
    ] {
        match rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o620), device) {
            Err(Errno::PERM) => skipped("no device nodes here"),
            result => result.expect("mknod"),
        }
    }
    fs::write(root.join("theirs"), "theirs").expect("write");
    std::os::unix::fs::chown(root.join("theirs"), Some(1234), Some(4321)).expect("chown");
    std::os::unix::fs::lchown(root.join("dangling"), Some(1), Some(2)).expect("lchown");
    fs::set_permissions(root.join("theirs"), std::os::unix::fs::PermissionsExt::from_mode(0o6755))
        .expect("chmod");
    fs::write(root.join("able"), "able").expect("write");
    std::os::unix::fs::chown(root.join("able"), Some(1234), None).expect("chown");
    // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective, capabilities(7).
    let mut capability = vec![1, 0, 0, 2];
    capability.extend((1_u32 << 13).to_le_bytes());
    capability.resize(20, 0);
    let able = root.join("able");
    match rustix::fs::setxattr(&able, "security.capability", &capability, XattrFlags::empty()) {
        Err(Errno::PERM | Errno::OPNOTSUPP) => skipped("no file capabilities here"),
        result => result.expect("security.capability"),
    }
}

/// A user's rw- beside the owner's, in the layout of `linux/posix_acl_xattr.h`.
fn acl() -> Vec<u8> {
    // An ordinary user's namespace knows no other user.
    let us = rustix::process::geteuid();
    let user = if us.is_root() { 1234 } else { us.as_raw() };
    let mut acl = 2_u32.to_le_bytes().to_vec();
    let nobody = u32::MAX;
    for (tag, permissions, id) in
        [(1_u16, 6_u16, nobody), (2, 6, user), (4, 4, nobody), (16, 6, nobody), (32, 0, nobody)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

fn assert_complete(view: &View) {
    for (name, kind) in [
        ("pipe", FileType::Fifo),
        ("socket", FileType::Socket),
        ("dangling", FileType::Symlink),
        ("empty", FileType::Directory),
        ("sparse", FileType::File),
    ] {
        assert_eq!(view.get(name).map(|entry| entry.file_type), Some(kind), "{name}");
    }
    assert_eq!(view.get("setuid").expect("setuid").mode, 0o4755);
    assert_eq!(view.get("group").expect("group").mode, 0o2775);
    let links: Vec<_> = view.entries.values().filter_map(|e| e.linked_to.as_ref()).collect();
    assert_eq!(links.len(), 3, "hard links: {links:?}");
    let time = kept(2_000_000_000_123_456_789);
    assert_eq!(view.get("fine").expect("fine").mtime, Some(time));
    assert!(
        view.get("fine")
            .expect("fine")
            .attributes
            .contains_key("user.note".as_ref() as &std::ffi::OsStr)
    );
}

/// Made in a sandbox, every kind survives its snapshot, further operations, a rollback, a commit
/// and the undo of the commit.
pub fn every_kind_of_file_survives(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf base >base") else { return };
    let before = f.live();
    let start = f.create();
    let (sealed, seen) = f.operate(SANDBOX, &start, |m| {
        m.run(KINDS);
        make_rare(m.root());
        make_privileged(m.root());
    });
    assert_complete(&seen);
    let tree = sealed.tree;
    f.assert_reads("after sealing", &tree, &seen);
    let later = f.step(&tree, "printf more >more; rm -f linked/one pipe; chmod 700 shut");
    f.step(&later, "rm -rf sparse linked empty");
    f.assert_reads("after a rollback", &tree, &seen);
    f.driver.verify(&tree, true).expect("verify");
    assert_eq!(f.changes(&tree, &tree), []);
    // A closed file is still the one that was closed.
    let text = f.run_in(&tree, "chmod 400 locked; cat locked shut/in");
    assert_eq!(text, "closedin");
    assert!(blocks(&f, &tree) < 1 << 20, "the sparse file was filled");

    let (commit, _) = f.commit(&tree);
    assert_same("the live directory after the commit", &seen, &f.live());
    let sparse = fs::metadata(f.base.join("sparse")).expect("stat");
    let filled = sparse.blocks() * 512 >= 1 << 20;
    assert!(!filled || !keeps_holes(), "the sparse file was filled");
    f.revert(commit);
    assert_same("the live directory after the undo", &before, &f.live());
}

fn blocks(f: &Fixture<'_>, tree: &ctrlz_core::snapshot::Tree) -> u64 {
    let text = f.run_in(tree, "stat -c '%b %B' sparse");
    text.split_whitespace().map(|word| word.parse::<u64>().expect("a number")).product()
}

/// Found in the base, every kind is seen unchanged in a sandbox, and only what is touched changes.
pub fn every_kind_of_file_is_seen_from_the_base(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, KINDS) else { return };
    // An ordinary user cannot read it; a driver that has to copy it may refuse the base.
    if !rustix::process::geteuid().is_root() {
        f.outside("chmod 400 locked");
    }
    make_rare(&f.base);
    make_privileged(&f.base);
    assert_complete(&f.live());
    let tree = f.create();
    f.assert_reads("the base", &tree, &f.live());
    let touched = f.step(&tree, "printf x >>fine; mkdir new; rm pipe; printf y >shut.txt");
    let view = f.read(&touched);
    let others = ["", "fine", "new", "pipe", "shut.txt"];
    let rest = |view: &View| {
        let mut rest = view.clone();
        rest.entries.retain(|path, _| !others.contains(&path.to_string().as_str()));
        rest.except(&["new", "fine", "pipe", "shut.txt"])
    };
    assert_same("what was not touched", &rest(&f.live()), &rest(&view));
    f.assert_reads("the base again", &tree, &f.live());
    let (_, committed) = f.commit(&touched);
    assert_same("the commit", &view, &f.live());
    assert_eq!(f.pending(&committed.tree), []);
}

/// Names are bytes: none is changed, none is taken for another, and a commit and its undo keep
/// them, too.
pub fn every_name_survives(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf base >base") else { return };
    let before = f.live();
    let tree = f.step(&f.create(), NAMES);
    let seen = f.read(&tree);
    assert_eq!((seen.text("a"), seen.text("A")), ("a", "A"));
    assert_eq!((seen.text("cafe\u{301}"), seen.text("caf\u{e9}")), ("nfd", "nfc"));
    let count = f.changeset(&f.driver.base_tree(&tree).expect("base"), &tree).changes.len();
    assert_eq!(count + 2, seen.entries.len(), "all but the root and the base's file are added");
    let emptied = f.step(&tree, "find . -mindepth 1 -delete");
    assert_eq!(f.read(&emptied).entries.len(), 1);
    f.assert_reads("after a rollback", &tree, &seen);
    let (commit, _) = f.commit(&tree);
    assert_same("the live directory", &seen, &f.live());
    f.revert(commit);
    assert_same("the undo", &before, &f.live());
}

/// Depth is no limit for a snapshot, a commit and their undo.
pub fn deep_directories_survive(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf base >base") else { return };
    let before = f.live();
    let script =
        "i=0; while [ $i -lt 200 ]; do mkdir deep$i; cd deep$i; printf $i >n; i=$((i+1)); done";
    let tree = f.step(&f.create(), script);
    let seen = f.read(&tree);
    assert_eq!(seen.entries.len(), 402);
    let gone = f.step(&tree, "rm -r deep0");
    assert_eq!(f.changes(&tree, &gone).len(), 400);
    let (commit, _) = f.commit(&tree);
    assert_same("the live directory", &seen, &f.live());
    f.revert(commit);
    assert_same("the undo", &before, &f.live());
}

/// A directory that was removed and made again shows nothing of the old one, at any later point.
pub fn a_directory_made_anew_hides_the_old_one(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir -p d/sub; printf a >d/a; printf b >d/sub/b") else {
        return;
    };
    let start = f.create();
    let one = f.step(&start, "rm -r d; mkdir d; printf c >d/c");
    let two = f.step(&one, "mkdir d/sub; printf x >d/a");
    let three = f.step(&two, "rm -r d");
    let four = f.step(&three, "mkdir -p d/sub");
    let five = f.step(&four, "rmdir d/sub; mkdir d/sub; printf y >d/sub/y");
    assert_eq!(paths(&f.read(&one)), ["", "d", "d/c"]);
    assert_eq!(paths(&f.read(&two)), ["", "d", "d/a", "d/c", "d/sub"]);
    assert_eq!(paths(&f.read(&three)), [""]);
    assert_eq!(paths(&f.read(&four)), ["", "d", "d/sub"]);
    assert_eq!(paths(&f.read(&five)), ["", "d", "d/sub", "d/sub/y"]);
    f.assert_reads("the start", &start, &f.live());
    let seen = f.read(&five);
    f.commit(&five);
    assert_same("the commit", &seen, &f.live());
}

/// A folder becomes a file, a link, a folder again, each time without a trace of the one before.
pub fn a_path_changes_its_type_and_back(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir -p p/q; printf in >p/q/in; printf f >file") else {
        return;
    };
    let start = f.create();
    let mut trees = vec![(start.clone(), f.read(&start))];
    for script in [
        "rm -r p; printf file >p",
        "rm p; mkdir p; printf 2 >p/2",
        "rm -r p; ln -s file p",
        "rm p; mkfifo p; rm file; mkdir file; printf x >file/x",
        "rm p; mkdir -p p/q; printf in >p/q/in; rm -r file; printf f >file",
    ] {
        let tree = f.step(&trees.last().expect("one").0, script);
        let view = f.read(&tree);
        trees.push((tree, view));
    }
    assert_eq!(paths(&trees[2].1), ["", "file", "p", "p/2"]);
    for (tree, view) in &trees {
        f.assert_reads("an earlier type", tree, view);
    }
    let mut since = Vec::new();
    for (tree, _) in &trees {
        since.extend(f.commit_and_revert(tree, &since));
    }
    assert_same("the base", &trees[0].1, &f.live());
}

/// A renamed directory takes everything along.
pub fn a_directory_is_renamed(make: MakeDriver<'_>) {
    let base =
        "umask 022; mkdir -p from/sub; printf a >from/a; printf b >from/sub/b; ln -s a from/l
        chmod 750 from/sub; touch -d 2001-01-01 from/a";
    let Some(f) = Fixture::new(make, base) else { return };
    let start = f.create();
    let one = f.step(&start, "mv from to; printf c >to/c");
    let two = f.step(&one, "mv to/sub sub; mv to from");
    assert_eq!(paths(&f.read(&one)), ["", "to", "to/a", "to/c", "to/l", "to/sub", "to/sub/b"]);
    assert_eq!(paths(&f.read(&two)), ["", "from", "from/a", "from/c", "from/l", "sub", "sub/b"]);
    f.assert_reads("the start", &start, &f.live());
    let since = f.commit_and_revert(&one, &[]);
    f.commit_and_revert(&two, &since);
    f.assert_reads("the start again", &start, &f.live());
}

/// A directory keeps the time that was set on it, through sealing and later steps elsewhere.
pub fn a_directory_keeps_its_time(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf base >base") else { return };
    let stat = "stat -c '%.9Y' d d/e";
    let tree = f.step(
        &f.create(),
        "mkdir -p d/e; printf x >d/x; printf y >d/e/y
         touch -d '2003-03-03 03:03:03.333333333 UTC' d/e d",
    );
    let time = kept(1_046_660_583_333_333_333);
    let time = format!("{}.{:09}\n", time / 1_000_000_000, time % 1_000_000_000);
    let expected = time.repeat(2);
    assert_eq!(f.run_in(&tree, stat), expected);
    let later = f.step(&tree, "printf other >other");
    assert_eq!(f.run_in(&later, stat), expected);
}

/// The paths of a view as text.
pub(super) fn paths(view: &View) -> Vec<String> {
    let text = |path: &ctrlz_core::path::RelPath| {
        if path.is_root() { String::new() } else { path.to_string() }
    };
    view.entries.keys().map(text).collect()
}
