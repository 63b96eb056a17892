//! Changes that no command makes, and looking into trees without a mount.

use std::io::Read as _;

use ctrlz_core::changeset::{ChangeKind, FileType};
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{Edit, TreeView};

use super::fixture::{Fixture, MakeDriver, SANDBOX, kinds, mount};
use super::view::{View, assert_same, rel};

const BASE: &str =
    "umask 022; printf one >a; mkdir -p d/sub e; printf two >d/b; printf three >d/sub/c
    ln -s d/b link; chmod 750 a; touch -d 2001-01-01 a d/b d d/sub";

fn write(path: &str, content: &str, mode: Option<u32>) -> Edit {
    Edit::Write { path: rel(path), content: content.into(), mode }
}

fn folder(path: &str, mode: Option<u32>) -> Edit {
    Edit::MakeFolder { path: rel(path), mode }
}

fn remove(path: &str) -> Edit {
    Edit::Remove { path: rel(path) }
}

fn rename(from: &str, to: &str) -> Edit {
    Edit::Move { from: rel(from), to: rel(to) }
}

fn edit(f: &Fixture<'_>, tree: &Tree, edits: &[Edit]) -> Tree {
    let head = f.begin(SANDBOX, tree);
    f.driver.edit(&head, edits).expect("edit");
    f.driver.seal(&head).expect("seal").tree
}

/// Without times, which nobody can make the same twice.
fn timeless(mut view: View) -> View {
    for entry in view.entries.values_mut() {
        entry.mtime = None;
    }
    view
}

/// Each edit leaves what a command would have left, on the base and on other layers.
pub fn an_edit_leaves_what_a_command_would_have_left(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let fresh = f.create();
    let worked =
        f.step(&fresh, "printf more >d/b; rm -r e; mkdir new; printf x >new/x; rm d/sub/c");
    for tree in [&fresh, &worked] {
        for (edits, script) in [
            (vec![write("n", "new", None)], "printf new >n"),
            (vec![write("a", "", None)], ": >a"),
            (vec![write("a", "changed", Some(0o600))], "printf changed >a; chmod 600 a"),
            (vec![write("d/sub/deep", "x", None)], "printf x >d/sub/deep"),
            (
                vec![folder("f", None), folder("f/g", Some(0o711)), write("f/g/h", "h", None)],
                "mkdir -p f/g; chmod 711 f/g; printf h >f/g/h",
            ),
            (vec![remove("a")], "rm a"),
            (vec![remove("d")], "rm -r d"),
            (vec![remove("d"), folder("d", None)], "rm -r d; mkdir d"),
            (vec![remove("a"), write("a", "again", None)], "rm a; printf again >a"),
            (vec![remove("link")], "rm link"),
            (vec![rename("a", "d/sub/a")], "mv a d/sub/a"),
            (vec![rename("a", "d/b")], "mv a d/b"),
            (vec![rename("link", "other")], "mv link other"),
            (vec![rename("a", "t"), rename("t", "u")], "mv a u"),
            (vec![rename("d", "n")], "mv d n"),
            (vec![rename("d/sub", "s")], "mv d/sub s"),
            (vec![rename("d", "n"), rename("n", "d")], "mv d n; mv n d"),
            (vec![rename("d", "n"), remove("n/b"), rename("n", "d")], "mv d n; rm n/b; mv n d"),
            (vec![rename("d", "n"), folder("d", None)], "mv d n; mkdir d"),
            (vec![remove("a"), rename("d", "a"), remove("a/b")], "rm a; mv d a; rm a/b"),
            (
                vec![folder("o", None), rename("d", "o/d"), rename("o", "p")],
                "mkdir o; mv d o; mv o p",
            ),
        ] {
            let edited = edit(&f, tree, &edits);
            let expected = f.step(tree, &format!("umask 022; {script}"));
            assert_same(script, &timeless(f.read(&expected)), &timeless(f.read(&edited)));
            assert_eq!(f.changes(tree, &edited), f.changes(tree, &expected), "{script}");
            // Undone by another step, it is gone without a trace.
            let back = f.driver.without(tree, &edited, std::slice::from_ref(&edited));
            let back = back.expect("without").expect("nothing depends on it");
            f.assert_reads(script, &back, &f.read(tree));
        }
    }
    assert_eq!(f.live().text("a"), "one", "the base is as it was");
}

/// A file that is written anew keeps what is its own, and another name of it its bytes.
pub fn a_written_file_keeps_what_is_its_own(make: MakeDriver<'_>) {
    let Some(f) =
        Fixture::new(make, "printf one >a; ln a b; chmod 4751 a; setfattr -n user.x -v y a")
    else {
        return;
    };
    let tree = edit(&f, &f.create(), &[write("a", "two", None)]);
    let seen = f.read(&tree);
    let entry = seen.get("a").expect("there");
    // Whoever writes takes this bit away.
    assert_eq!((seen.text("a"), entry.mode & 0o7777), ("two", 0o751));
    let attribute = entry.attributes.get(std::ffi::OsStr::new("user.x"));
    assert_eq!(attribute.map(Vec::as_slice), Some(b"y".as_slice()));
    assert_eq!(seen.text("b"), "one");
    // Over another name of its own it is moved all the same.
    let moved = edit(&f, &f.create(), &[rename("a", "b")]);
    let seen = f.read(&moved);
    assert_eq!((seen.get("a").is_none(), seen.text("b")), (true, "one"));
}

/// A folder that is moved keeps all that is in it, in each of its layers.
pub fn a_moved_folder_keeps_what_is_in_it(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(
        make,
        "mkdir -p d/e d/gone; printf one >d/a; ln d/a d/e/linked; ln d/a outside; mkfifo -m 600 d/pipe
        ln -s ../d/a d/link; printf x >d/gone/x; truncate -s 1000000 d/holes; setfattr -n user.x -v y d/e
        chmod 4755 d/a; chmod 1750 d/e; touch -d 2001-01-01 d/pipe d/holes; touch -h -d 2002-01-01 d/link",
    ) else {
        return;
    };
    let fresh = f.create();
    // Above, folders that hide what was there, marks, and other kinds.
    let script =
        "rm -r d/gone; mkdir d/gone; printf new >d/gone/new; rm d/holes; rm d/link; mkdir d/link
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"d/socket\")'
        printf l >d/l; ln d/l d/e/l; chmod 2711 d/link";
    let worked = f.step(&fresh, script);
    let without = |view: View, name: &str| -> Vec<_> {
        let root = rel(name);
        let mut entries: Vec<_> = Vec::new();
        for (path, mut entry) in view.entries {
            let Ok(inside) = path.as_path().strip_prefix(root.as_path()) else { continue };
            // Which names are of one inode, from the folder on; those outside are apart from then on.
            let linked = entry.linked_to.take();
            let linked = linked
                .and_then(|to| Some(to.as_path().strip_prefix(root.as_path()).ok()?.to_owned()));
            entries.push((inside.to_owned(), entry, linked));
        }
        entries
    };
    for tree in [&fresh, &worked] {
        let before = without(f.read(tree), "d");
        let moved = edit(&f, tree, &[rename("d", "n")]);
        let seen = f.read(&moved);
        assert!(seen.entries.keys().all(|path| !path.is_within(&rel("d"))));
        assert_eq!(without(seen, "n"), before);
        let back = f.driver.without(tree, &moved, std::slice::from_ref(&moved));
        f.assert_reads("undone", &back.expect("without").expect("alone"), &f.read(tree));
    }
    let before = without(f.read(&worked), "d");
    f.commit(&edit(&f, &worked, &[rename("d", "n")]));
    assert_eq!(without(f.live(), "n"), before, "committed");
    assert!(f.live().entries.keys().all(|path| !path.is_within(&rel("d"))));
}

/// What fails leaves the tree as it was, and the head can be begun anew.
pub fn an_edit_that_fails_leaves_nothing(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.create();
    let before = f.read(&tree);
    for edits in [
        vec![write("n", "x", None), write("none/n", "x", None)],
        vec![write("n", "x", None), folder("d/b/x", None)],
        vec![remove("a"), rename("a", "z")],
    ] {
        let head = f.begin(SANDBOX, &tree);
        assert!(f.driver.edit(&head, &edits).is_err(), "{edits:?}");
        f.driver.abandon(SANDBOX).expect("abandon");
        f.assert_reads("the tree", &tree, &before);
    }
    f.assert_reads("an empty edit", &edit(&f, &tree, &[]), &before);
}

/// A look into a tree shows what a mount shows, and leads nowhere else.
pub fn a_look_shows_what_a_mount_shows(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let fresh = f.create();
    let worked =
        f.step(&fresh, "printf more >d/b; rm -r e; mkdir -p new/n; printf x >new/n/x; rm d/sub/c");
    for tree in [&fresh, &worked] {
        let mounted = f.read(tree);
        let view = f.driver.view(tree).expect("view");
        let mut count = 0;
        look(&*view, &rel(""), &mounted, &mut count);
        assert_eq!(count + 1, mounted.entries.len());
        assert!(view.entry(&rel("none")).expect("entry").is_none());
        assert!(view.children(&rel("none")).expect("children").is_empty());
        for no_file in ["d", "link", "none", "d/b/x"] {
            assert!(view.open(&rel(no_file)).is_err(), "{no_file}");
        }
        assert!(view.target(&rel("a")).is_err());
    }
}

fn look(view: &dyn TreeView, at: &ctrlz_core::path::RelPath, mounted: &View, count: &mut usize) {
    for (name, about) in view.children(at).expect("children") {
        let path = at.child(&name);
        let seen = mounted.entries.get(&path).expect("the mount shows it");
        assert_eq!((about.file_type, about.mode), (seen.file_type, seen.mode & 0o7777), "{path}");
        assert_eq!(view.entry(&path).expect("entry"), Some(about.clone()), "{path}");
        *count += 1;
        match about.file_type {
            FileType::Directory => look(view, &path, mounted, count),
            FileType::Symlink => assert_eq!(view.target(&path).expect("target"), "d/b"),
            _ => {
                let mut text = String::new();
                let file = std::fs::File::from(view.open(&path).expect("open"));
                { file }.read_to_string(&mut text).expect("read");
                assert_eq!(text, mounted.text(&path.to_string()), "{path}");
            }
        }
    }
}

/// What an operation has written so far is told before it is sealed, and is what it will have changed.
pub fn what_is_written_shows_while_it_is_written(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let fresh = f.create();
    let worked = f.step(&fresh, "printf more >d/b; rm -r e; mkdir new; printf x >new/x");
    for tree in [&fresh, &worked] {
        for script in [
            "true",
            "printf n >n; printf changed >a; chmod 711 d; rm d/sub/c; touch d/sub",
            "rm -r d; mkdir d; printf again >d/b",
            "rm a; mkdir a; printf x >a/x; rm link; mkfifo link",
            "printf x >t; rm t; printf same >u; mv u v; ln v w",
        ] {
            let head = f.begin(SANDBOX, tree);
            let peek = |most| f.driver.peek(SANDBOX, tree, most).expect("a look");
            assert_eq!(kinds(&peek(1000).expect("few")), [], "{script}");
            let mut mounted = mount(&head);
            mounted.run(script);
            let seen = kinds(&peek(1000).expect("few"));
            if script != "true" {
                assert_eq!(peek(1), None, "{script}: more than that have to be looked at");
            }
            drop(mounted);
            let sealed = f.driver.seal(&head).expect("seal").tree;
            let mut expected = f.changes(tree, &sealed);
            // What goes with its folder is not told by itself.
            let gone = |path: &str| {
                let above = path.rsplit_once('/').map(|(above, _)| above.to_owned());
                above.is_some_and(|above| {
                    seen.iter().any(|(one, kind)| *one == above && *kind == ChangeKind::Deleted)
                })
            };
            expected.retain(|(path, kind)| *kind != ChangeKind::Deleted || !gone(path));
            assert_eq!(seen, expected, "{script}");
        }
    }
}
