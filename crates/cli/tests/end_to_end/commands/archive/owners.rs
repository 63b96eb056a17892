//! Whose the files are that come back, also for an ordinary user.

use crate::commands::images::layout;
use crate::support::{Scene, skipped};

/// A scene with an image in `../layout`, some of whose files are not root's, and whose program makes a
/// file and gives it to another.
fn with_image() -> Scene {
    let scene = Scene::with(
        r#"echo mine > mine; chmod 600 mine; mkdir d; echo x > d/x; mkdir -p ../root/bin ../root/etc; chmod 755 ../root
cat > ../give.c <<'C'
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **words) {
    struct stat about;
    if (count > 1 && (!fopen(words[1], "w") || chown(words[1], 33, 33) != 0)) return 3;
    if (stat("/srv/page", &about) != 0) return 4;
    printf("%u\n", (unsigned) about.st_uid);
    return 0;
}
C
cc -Os -static -s -o ../root/bin/give ../give.c; chmod 755 ../root/bin/give"#,
    );
    layout(
        &scene,
        "def lower(tar):\n    tar.add('../root', arcname='.', filter=of_root)\n    \
         add(tar, 'srv', kind=tarfile.DIRTYPE, mode=0o755)\n    \
         add(tar, 'srv/page', data=b'page', uid=33, gid=33, mode=0o600)\n\
         fills = [lower]\n",
    );
    scene
}

/// The owner of `path` among the changes of the sandbox.
fn owner(scene: &Scene, path: &str) -> Option<u64> {
    let diff = scene.json(&["diff", "box"]);
    let mut changes = diff["changes"].as_array().expect("changes").iter();
    changes.find(|change| change["path"] == path)?["after"]["uid"].as_u64()
}

#[test]
fn a_root_with_files_of_many_owners_comes_back_with_them() {
    let scene = with_image();
    scene.inside("echo theirs > theirs; chmod 600 theirs; rm d/x");
    let (then, operation) = (scene.changes(), scene.last());
    let plain = super::push(&scene);
    scene.ok(&["new", "box", "--root", "../layout"]);
    let given = scene.run(&["exec", "box", "--", "/bin/give", "/srv/made"]);
    if given.status.code() == Some(3) {
        skipped("no subordinate ids");
        return;
    }
    assert_eq!(given.ok().out(), "33\n");
    assert_eq!(owner(&scene, "srv/made"), Some(33));
    let pushed = scene.json(&["push", "--sandbox", "box"])["snapshots"][0].clone();
    assert_eq!(pushed["losses"]["total"], 0, "{pushed}");
    let name = pushed["name"].as_str().expect("a name").to_owned();
    scene.ok(&["drill", &name]);
    let there = |scene: &Scene| {
        assert_eq!(owner(scene, "srv/made"), Some(33));
        assert_eq!(scene.ok(&["exec", "box", "--", "/bin/give"]), "33\n");
    };
    // Beside it, one of a folder is as whole as it was.
    let shown = scene.json(&["show", &operation])["changes"].clone();
    assert_eq!(shown.as_array().map(Vec::len), Some(then.len()), "{shown}");
    scene.inside("echo more > theirs");
    scene.ok(&["rollback", plain.trim_start_matches("project."), "--verify"]);
    assert_eq!(scene.inside("cat theirs"), "theirs\n");
    // To the sandbox that is there; to one that is made, on the image that is there; and to a store
    // that has nothing.
    scene.ok(&["pull", &name]);
    scene.ok(&["rm", "-f", "box"]);
    scene.ok(&["pull", &name]);
    there(&scene);
    // The layer itself is not there any more, either.
    scene.ok(&["rm", "-f", "box"]);
    scene.ok(&["gc"]);
    scene.ok(&["pull", &name]);
    there(&scene);
    scene.host("mv \"$CTRLZ_HOME\"/archive ../archive; rm -f \"$CTRLZ_HOME\"/store.db*");
    scene.ok(&["recover", "--from-archive", "../archive"]);
    there(&scene);
    assert_eq!(scene.changes(), then);
    assert_eq!(scene.inside("cat mine theirs"), "mine\ntheirs\n");

    // What is of a folder keeps its owner, whatever else is in the store.
    scene.ok(&["pull", &plain, "--from", "../archive", "--sandbox", "again"]);
    assert_eq!(scene.ok(&["exec", "again", "--", "cat", "theirs"]), "theirs\n");
    // In a folder of its own, all of it is the user's, or root's to give away.
    scene.ok(&["pull", &name, "--from", "../archive", "--to", "../out"]);
    assert_eq!(scene.host("cat ../out/srv/page; rm -rf ../out"), "page");
    scene.ok(&["pull", &plain, "--from", "../archive", "--to", "../out"]);
    assert_eq!(scene.host("cat ../out/theirs"), "theirs\n");
}

#[test]
fn snapshots_of_both_kinds_are_pushed_apart() {
    let scene = with_image();
    scene.inside("echo theirs > theirs");
    let plain = scene.json(&["snapshot"])["snapshot"]["id"].clone();
    scene.ok(&["new", "box", "--root", "../layout"]);
    let other = scene.json(&["snapshot", "box"])["snapshot"]["id"].clone();
    let both = ["push", plain.as_str().expect("an id"), other.as_str().expect("an id")];
    let pushed = scene.run(&both);
    match pushed.status.success() {
        // For root, and for a user without further ids, there is no difference.
        true => assert!(pushed.out().contains("project.snap-")),
        false => drop(pushed.code(125).says(&["archived apart", "one by one"])),
    }
    for (id, sandbox) in [(both[1], "project"), (both[2], "box")] {
        scene.ok(&["push", id]);
        scene.ok(&["drill", &format!("{sandbox}.{id}")]);
    }
}
