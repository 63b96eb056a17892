//! Folders removed and made again, things that change their type, names that look alike.

use crate::support::Scene;

#[test]
fn a_folder_removed_and_made_again_hides_what_was_in_it() {
    let scene = Scene::with("mkdir -p d/sub; echo old > d/old; echo old > d/sub/f; echo k > keep");
    scene.inside("rm -r d; mkdir d; echo new > d/new");
    assert_eq!(scene.inside("find d | sort"), "d\nd/new\n");
    // Made full again by a later step, and emptied by one more.
    scene.inside("mkdir d/sub; echo n > d/sub/n");
    scene.inside("rm -r d; mkdir -p d/sub; echo last > d/sub/last");
    assert_eq!(scene.inside("find d | sort"), "d\nd/sub\nd/sub/last\n");
    let before = scene.live();
    scene.ok(&["commit"]);
    assert_eq!(scene.host("find d | sort; cat d/sub/last"), "d\nd/sub\nd/sub/last\nlast\n");
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
}

#[test]
fn an_opaque_folder_that_is_made_and_unmade_leaves_nothing() {
    let scene = Scene::with("mkdir d; echo old > d/old");
    scene.inside("mv d aside; mkdir d; echo x > d/x");
    scene.inside("rm -r d; mv aside d");
    assert_eq!(scene.inside("find . | sort; cat d/old"), ".\n./d\n./d/old\nold\n");
    let changes = scene.changes();
    assert!(changes.iter().all(|change| change.starts_with("metadata-changed")), "{changes:?}");
    for _ in 0..3 {
        scene.ok(&["undo"]);
    }
    assert_eq!(scene.inside("find . | sort"), ".\n./d\n./d/old\n");
}

#[test]
fn a_folder_replaced_by_a_file_and_back() {
    let scene = Scene::with("mkdir -p d/e; echo old > d/e/f; echo file > g");
    let before = scene.live();
    scene.inside("rm -r d; echo now a file > d; rm g; mkdir g; echo in > g/in");
    assert_eq!(scene.inside("cat d; cat g/in"), "now a file\nin\n");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat d g/in"), "now a file\nin\n");
    let middle = scene.live();
    scene.inside("rm d; mkdir -p d/e; echo again > d/e/f; rm -r g; ln -s d g");
    assert_eq!(scene.inside("cat g/e/f"), "again\n");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat d/e/f; readlink g"), "again\nd\n");
    scene.ok(&["undo"]);
    middle.assert_same(&scene.live());
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    scene.ok(&["undo"]);
    before.assert_same(&scene.live());
}

#[test]
fn every_type_into_every_other() {
    let make = [
        ("file", "echo x > t"),
        ("folder", "mkdir t; echo in > t/in"),
        ("link", "ln -s nowhere t"),
        ("dangling-to-folder", "ln -s . t"),
        ("pipe", "mkfifo t"),
    ];
    for (from, old) in make {
        for (to, new) in make {
            let scene = Scene::with(old);
            let before = scene.live();
            scene.inside(&format!("rm -r t; {new}"));
            let expected = Scene::with(new);
            scene.ok(&["commit"]);
            let look = "find . -printf '%P %y %l\\n' | sort";
            assert_eq!(scene.host(look), expected.host(look), "{from} to {to}");
            scene.ok(&["undo"]);
            before.assert_same(&scene.live());
        }
    }
}

#[test]
fn names_that_differ_in_case_or_in_their_bytes_alone() {
    let scene = Scene::new();
    // é as one character and as two, and one name in both cases.
    scene.inside(
        "printf 1 > \"$(printf 'caf\\303\\251')\"; printf 2 > \"$(printf 'cafe\\314\\201')\"; \
         printf 3 > readme; printf 4 > README; mkdir Dir dir; printf 5 > Dir/f; printf 6 > dir/f",
    );
    assert_eq!(scene.counts(), [8, 0, 0, 0]);
    scene.ok(&["commit"]);
    assert_eq!(scene.host("cat \"$(printf 'caf\\303\\251')\" \"$(printf 'cafe\\314\\201')\" readme README Dir/f dir/f"), "123456");
    scene.inside("rm readme; rm \"$(printf 'caf\\303\\251')\"");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("ls | wc -l; cat README \"$(printf 'cafe\\314\\201')\""), "4\n42");
}

#[test]
fn names_that_ctrlz_and_overlayfs_use_themselves() {
    let scene = Scene::with("echo base > .wh.base; echo real > base; mkdir .wh..wh..opq");
    scene.inside(
        "echo x > .wh.new; echo y > .wh..wh..aufs; echo z > .ctrlz-rename-1-1; \
         echo s > .ctrlz-staging; rm .wh.base; setfattr -n user.mine -v 1 base 2>/dev/null || true; \
         cat base",
    );
    scene.ok(&["commit"]);
    assert_eq!(
        scene
            .host("cat .wh.new .wh..wh..aufs .ctrlz-rename-1-1 .ctrlz-staging base; ls -A | wc -l"),
        "x\ny\nz\ns\nreal\n6\n"
    );
    scene.ok(&["undo"]);
    assert_eq!(scene.host("cat .wh.base base; ls -A | wc -l"), "base\nreal\n3\n");
}

#[test]
fn a_deep_and_a_wide_tree() {
    let scene = Scene::new();
    scene.inside(
        "d=.; for i in $(seq 60); do d=$d/a-rather-long-name-$i; mkdir $d; echo $i > $d/f; done; \
         mkdir wide; cd wide; for i in $(seq 2000); do : > f$i; done",
    );
    assert_eq!(scene.counts(), [60 * 2 + 2001, 0, 0, 0]);
    let text = scene.ok(&["diff"]);
    assert!(text.contains("(2000 entries)"), "{text}");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("find . | wc -l"), format!("{}\n", 60 * 2 + 2001 + 1));
    scene.ok(&["undo"]);
    assert_eq!(scene.host("find . | wc -l"), "1\n");
}
