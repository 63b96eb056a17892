//! What lies between two trees.

use std::fs;

use ctrlz_core::changeset::ChangeKind::{Added, Deleted, MetadataChanged, Modified, TypeChanged};
use ctrlz_core::changeset::{ChangeCounts, FileType};
use rustix::fs::XattrFlags;

use super::fixture::{Fixture, MakeDriver, SANDBOX, these};
use super::view::rel;

const BASE: &str = "umask 022; printf one >keep; printf two >edit; printf three >gone
    mkdir dir; printf x >dir/inner; ln -s keep link; printf m >mode; printf t >time
    printf f >file-to-dir; mkdir dir-to-file; printf c >dir-to-file/child; mkdir empty
    printf same >rewritten; printf g >grown; mkdir -p old/deep; printf d >old/deep/er";

const STEP: &str = "umask 022; printf new >added; printf TWO >edit; rm gone
    rm file-to-dir; mkdir file-to-dir; printf i >file-to-dir/in
    rm -r dir-to-file; printf z >dir-to-file; chmod 700 mode
    touch -d '2001-02-03 04:05:06.789' time; mkdir fresh; printf y >fresh/file
    ln -sfn edit link; chmod 750 dir; rmdir empty; printf more >>grown; rm -r old";

const CHANGES: &[(&str, ctrlz_core::changeset::ChangeKind)] = &[
    ("added", Added),
    ("dir", MetadataChanged),
    ("dir-to-file", TypeChanged),
    ("dir-to-file/child", Deleted),
    ("edit", Modified),
    ("empty", Deleted),
    ("file-to-dir", TypeChanged),
    ("file-to-dir/in", Added),
    ("fresh", Added),
    ("fresh/file", Added),
    ("gone", Deleted),
    ("grown", Modified),
    ("link", Modified),
    ("mode", MetadataChanged),
    ("old", Deleted),
    ("old/deep", Deleted),
    ("old/deep/er", Deleted),
    ("time", MetadataChanged),
];

/// Every kind of change is reported as such, in both directions, with its numbers.
pub fn every_kind_of_change_is_reported(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let from = f.create();
    let (sealed, _) = f.operate(SANDBOX, &from, |m| _ = m.run(STEP));
    let to = sealed.tree;
    assert_eq!(f.changes(&from, &to), these(CHANGES));
    assert_eq!(
        sealed.counts,
        ChangeCounts { added: 4, modified: 5, deleted: 6, metadata: 3 },
        "what sealing counted"
    );
    assert_eq!(f.pending(&to), these(CHANGES), "against the base");
    let back: Vec<_> = CHANGES
        .iter()
        .map(|(path, kind)| match kind {
            Added => (*path, Deleted),
            Deleted => (*path, Added),
            other => (*path, *other),
        })
        .collect();
    assert_eq!(f.changes(&to, &from), these(&back), "the other way round");
    assert_eq!(f.changes(&to, &to), []);
}

/// The same, between two trees of which neither is the base.
pub fn changes_lie_between_any_two_trees(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir base-dir; printf b >base-file") else { return };
    let before = f.step(&f.create(), BASE);
    let after = f.step(&before, STEP);
    assert_eq!(f.changes(&before, &after), these(CHANGES));
    let fork = f.step(&before, "printf other >edit; printf 1 >forked");
    let found = f.changes(&fork, &after);
    assert!(found.contains(&("forked".to_owned(), Deleted)), "{found:?}");
    assert!(found.contains(&("edit".to_owned(), Modified)), "{found:?}");
    assert!(found.contains(&("added".to_owned(), Added)), "{found:?}");
    assert!(!found.iter().any(|(path, _)| path.starts_with("base-")), "{found:?}");
    // Its content is the old one; its time is not, also where parts of seconds are lost.
    let undone = f.step(&after, "printf two >edit; touch -d @1000000000 edit");
    let found = f.changes(&before, &undone);
    assert!(found.contains(&("edit".to_owned(), MetadataChanged)), "{found:?}");
}

/// A change carries what was and what is: metadata, and where the contents can be read.
pub fn a_change_tells_before_and_after(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let from = f.create();
    let to = f.step(&from, STEP);
    for change in f.changeset(&from, &to).changes {
        let path = change.path.to_string();
        assert_eq!(change.before.is_some(), change.kind != Added, "{path}: before");
        assert_eq!(change.after.is_some(), change.kind != Deleted, "{path}: after");
        let (old, new) = match path.as_str() {
            "edit" => (Some("two"), Some("TWO")),
            "added" => (None, Some("new")),
            "gone" => (Some("three"), None),
            "dir-to-file" => (None, Some("z")),
            "file-to-dir" => (Some("f"), None),
            "old/deep/er" => (Some("d"), None),
            "fresh/file" => (None, Some("y")),
            _ => continue,
        };
        let read = |at: &Option<std::path::PathBuf>| {
            at.as_ref().map(|at| fs::read_to_string(at).unwrap_or_else(|e| panic!("{path}: {e}")))
        };
        if let Some(old) = old {
            assert_eq!(read(&change.old_content).as_deref(), Some(old), "{path}: old content");
        }
        if let Some(new) = new {
            assert_eq!(read(&change.new_content).as_deref(), Some(new), "{path}: new content");
        }
        if path == "edit" {
            let (before, after) = (change.before.expect("before"), change.after.expect("after"));
            assert_eq!((before.file_type, before.size), (FileType::File, 3));
            assert!(before.mtime < after.mtime);
        }
    }
    let view = f.read(&to);
    let changeset = f.changeset(&from, &to);
    let mode = changeset.changes.iter().find(|c| c.path == rel("mode")).expect("mode changed");
    let (before, after) =
        (mode.before.as_ref().expect("before"), mode.after.as_ref().expect("after"));
    assert_eq!((before.mode, after.mode), (0o644, 0o700));
    let entry = view.get("mode").expect("mode");
    assert_eq!((after.uid, after.gid, after.size), (entry.uid, entry.gid, 1));
}

/// Metadata alone: mode, time, attributes, on files and directories and on the root itself.
pub fn metadata_alone_is_a_change(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "printf a >a; printf b >b; mkdir d; printf c >c; chmod 755 .")
    else {
        return;
    };
    let from = f.create();
    let (sealed, seen) = f.operate(SANDBOX, &from, |m| {
        let set = |path: &str, name: &str| {
            rustix::fs::setxattr(m.root().join(path), name, b"value", XattrFlags::empty())
                .expect("setxattr");
        };
        set("a", "user.note");
        set("d", "user.note");
        m.run("touch -h -d '2010-10-10 10:10:10.123456789' b; chmod 700 .");
    });
    f.assert_reads("the tree", &sealed.tree, &seen);
    assert_eq!(
        f.changes(&from, &sealed.tree),
        these(&[
            (".", MetadataChanged),
            ("a", MetadataChanged),
            ("b", MetadataChanged),
            ("d", MetadataChanged)
        ])
    );
    assert_eq!(seen.get("").expect("root").mode, 0o700);
    let (back, _) = f.operate(SANDBOX, &sealed.tree, |m| {
        rustix::fs::removexattr(m.root().join("a"), "user.note").expect("removexattr");
    });
    assert_eq!(f.changes(&sealed.tree, &back.tree), these(&[("a", MetadataChanged)]));
    assert!(f.read(&back.tree).get("a").expect("a").attributes.is_empty());
}

/// A directory whose time alone differs is no change.
pub fn a_directory_time_alone_is_no_change(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, "mkdir -p d/e; touch d/e/x") else { return };
    let from = f.create();
    let (sealed, _) = f.operate(SANDBOX, &from, |m| {
        m.run("touch d/y d/e/y; rm d/y d/e/y; touch -d 2001-01-01 d d/e .");
    });
    assert_eq!(f.changes(&from, &sealed.tree), []);
    assert!(sealed.counts.is_empty(), "{:?}", sealed.counts);
}
