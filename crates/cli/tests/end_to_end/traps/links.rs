//! Hard links: copy-up breaks them inside; a commit must not break them in the real folder.

use std::os::unix::fs::MetadataExt;

use crate::support::Scene;

fn inode(scene: &Scene, path: &str) -> u64 {
    scene.project.join(path).symlink_metadata().expect("metadata").ino()
}

#[test]
fn a_file_with_several_names_keeps_its_inode() {
    let scene = Scene::with("echo one > a; mkdir d; ln a d/b; ln a ../outside");
    let before = inode(&scene, "a");
    scene.inside("echo two > a");
    scene.ok(&["commit"]);
    assert_eq!(inode(&scene, "a"), before);
    // All names see the new content, the one outside the folder, too.
    assert_eq!(scene.host("cat a d/b ../outside"), "two\ntwo\ntwo\n");
    assert_eq!(scene.host("stat -c %h a"), "3\n");
    scene.ok(&["undo"]);
    assert_eq!(inode(&scene, "a"), before);
    assert_eq!(scene.host("cat a d/b ../outside; stat -c %h a"), "one\none\none\n3\n");
    scene.ok(&["redo"]);
    assert_eq!(inode(&scene, "a"), before);
    assert_eq!(scene.host("cat a d/b ../outside; stat -c %h a"), "two\ntwo\ntwo\n3\n");
}

#[test]
fn metadata_of_a_file_with_several_names_changes_in_place() {
    let scene = Scene::with("echo one > a; ln a b; chmod 644 a");
    let before = inode(&scene, "a");
    scene.inside("chmod 600 a; touch -d '2001-02-03 04:05:06.5' a");
    scene.ok(&["commit"]);
    assert_eq!((inode(&scene, "a"), inode(&scene, "b")), (before, before));
    assert_eq!(scene.host("stat -c '%a %Y' b"), "600 981173106\n");
    scene.ok(&["undo"]);
    assert_eq!(scene.host("stat -c %a b"), "644\n");
    assert_eq!((inode(&scene, "a"), inode(&scene, "b")), (before, before));
}

#[test]
fn one_name_of_several_removed_leaves_the_others() {
    let scene = Scene::with("echo one > a; ln a b; ln a c");
    let before = inode(&scene, "a");
    scene.inside("rm b; mv c moved");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("ls; cat a moved"), "a\nmoved\none\none\n");
    assert_eq!(inode(&scene, "a"), before);
    scene.ok(&["undo"]);
    assert_eq!(scene.host("ls"), "a\nb\nc\n");
    for name in ["a", "b", "c"] {
        assert_eq!(inode(&scene, name), before, "{name}");
    }
    scene.write("b", "through b\n");
    assert_eq!(scene.host("cat a c"), "through b\nthrough b\n");
}

#[test]
fn different_changes_through_two_names_are_refused_or_kept_apart() {
    let scene = Scene::with("echo one > a; ln a b");
    // Inside, copy-up may part them: each name may then hold something else.
    let seen = scene.inside("echo A >> a; echo B >> b; cat a; echo -; cat b");
    let outcome = scene.run(&["commit"]);
    if outcome.status.success() {
        assert_eq!(scene.host("cat a; echo -; cat b"), seen, "{outcome}");
    } else {
        assert_eq!(scene.host("cat a b; stat -c %h a"), "one\none\n2\n", "{outcome}");
    }
    // Nothing that was written inside is lost in either case.
    scene.run(&["undo"]).ok();
    assert_eq!(scene.host("cat a b; stat -c %h a"), "one\none\n2\n");
}

#[test]
fn links_made_inside_arrive_as_links() {
    let scene = Scene::with("echo base > base");
    scene.inside("echo x > new; ln new second; ln base third; mkdir d; ln new d/fourth");
    scene.ok(&["commit"]);
    assert_eq!(inode(&scene, "new"), inode(&scene, "second"));
    assert_eq!(inode(&scene, "new"), inode(&scene, "d/fourth"));
    assert_eq!(scene.host("cat third; stat -c %h new"), "base\n3\n");
    scene.ok(&["undo"]);
    assert_eq!(scene.host("ls; stat -c %h base"), "base\n1\n");
}

#[test]
fn a_commit_and_its_undo_leave_no_extra_names() {
    let scene = Scene::with("echo one > a; ln a b; echo s > single");
    scene.inside("rm a; echo two > single");
    scene.ok(&["commit"]);
    scene.ok(&["undo"]);
    // `find -links`, rsync -H and tar look at the count.
    assert_eq!(scene.host("stat -c %h a b single"), "2\n2\n1\n");
}

#[test]
fn a_backup_does_not_change_with_the_file() {
    let scene = Scene::with("echo one > a; echo one > b");
    scene.inside("rm a; echo two > b");
    scene.ok(&["commit"]);
    scene.ok(&["undo"]);
    // Someone writes in place, and redo and undo go their way.
    scene.host("sleep 0.02; printf 'mine\\n' 1<> a");
    scene.run(&["redo"]).code(123).says(&["a was changed outside"]);
    assert_eq!(scene.read("a"), "mine\n");
    scene.ok(&["redo", "--conflict", "ours"]);
    assert!(!scene.exists("a"));
    scene.ok(&["undo"]);
    assert_eq!(scene.host("cat a b"), "mine\none\n");
}
