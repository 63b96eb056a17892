//! Archives that only some can open.

use std::fs;
use std::path::Path;

use super::{blobs, scene};
use crate::support::Scene;

/// Two key pairs of age.
const FIRST: (&str, &str) = (
    "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
);

fn identity(scene: &Scene) -> String {
    let path = scene.home.join("identity");
    fs::write(&path, format!("{}\n", FIRST.1)).expect("write");
    path.to_string_lossy().into_owned()
}

fn passphrase(scene: &Scene, name: &str) -> String {
    let path = scene.home.join(name);
    fs::write(&path, format!("a long {name} that nobody knows\n")).expect("write");
    path.to_string_lossy().into_owned()
}

fn any_has(scene: &Scene, word: &[u8]) -> bool {
    let has =
        |path: &Path| fs::read(path).expect("read").windows(word.len()).any(|bytes| bytes == word);
    blobs(scene).iter().any(|path| has(path)) || has(&scene.store.join("archive/index.json"))
}

#[test]
fn nothing_of_it_is_readable_and_the_key_opens_all_of_it() {
    let scene = scene();
    let secret: String = (0..200).map(|n| format!("line {n} of a well-known content\n")).collect();
    scene.write("names-of-files-are-content-too", secret);
    scene.inside("echo more");
    let identity = identity(&scene);
    scene.ok(&["archive", "keys", "init", "--recipient", FIRST.0]);
    scene.run(&["push"]).code(123).says(&["cannot be decrypted", "--identity"]);
    scene.ok(&["push", "--identity", &identity]);
    for word in ["names-of-files", "well-known", "project", "record.json"] {
        assert!(!any_has(&scene, word.as_bytes()), "{word} is readable");
    }
    let listed = scene.ok(&["archive", "ls"]);
    assert!(!listed.contains("project"), "{listed}");
    scene.run(&["drill"]).code(123).says(&["cannot be decrypted"]);
    scene.host("mkdir -p ../home/.config/ctrlz");
    scene.write("../home/.config/ctrlz/archive.yaml", format!("identities: [{identity}]\n"));
    let listed = scene.ok(&["archive", "ls"]);
    assert!(listed.contains("project.snap-") && listed.contains("yes"), "{listed}");
    scene.ok(&["drill"]);
    scene.ok(&["verify"]);
}

#[test]
fn a_rotation_writes_no_layer_again_and_shuts_out_who_is_left_out() {
    let scene = scene();
    let (identity, phrase) = (identity(&scene), passphrase(&scene, "phrase"));
    scene.ok(&["archive", "keys", "init", "--recipient", FIRST.0]);
    scene.ok(&["push", "--identity", &identity]);
    let before = blobs(&scene);
    let told = scene.ok(&[
        "archive",
        "keys",
        "rotate",
        "--new-passphrase-file",
        &phrase,
        "--identity",
        &identity,
    ]);
    assert!(told.contains("may have kept its keys"), "{told}");
    for blob in before {
        assert!(blob.exists(), "{}", blob.display());
    }
    scene.run(&["drill", "--identity", &identity]).code(123);
    scene.ok(&["drill", "--passphrase-file", &phrase]);
    let other = passphrase(&scene, "other");
    scene.run(&["drill", "--passphrase-file", &other]).code(123).says(&["cannot be decrypted"]);
    scene.inside("echo more >> a");
    scene.ok(&["push", "--passphrase-file", &phrase]);
    scene.ok(&["drill", "--passphrase-file", &phrase]);
}

#[test]
fn a_key_that_somebody_put_there_is_not_used() {
    let scene = scene();
    scene.ok(&["push"]);
    // As somebody who can write to the archive, from another store.
    let (other, archive) = (scene.root.join("other"), scene.store.join("archive"));
    let place = archive.to_string_lossy().into_owned();
    let mut command =
        scene.ctrlz(["archive", "keys", "init", "--recipient", FIRST.0, "--from", &place]);
    crate::support::Outcome::of(command.env("CTRLZ_HOME", &other)).ok();
    let identity = identity(&scene);
    scene.inside("echo more >> a");
    scene.run(&["push", "--identity", &identity]).code(123).says(&[
        "did not make",
        "nothing was archived",
        "archive keys trust",
    ]);
    scene.ok(&["archive", "keys", "trust", "--identity", &identity]);
    scene.ok(&["push", "--identity", &identity]);
}

#[test]
fn a_private_key_is_not_taken_for_a_public_one_and_not_shown() {
    let scene = scene();
    let told = scene.run(&["archive", "keys", "init", "--recipient", FIRST.1]).code(123);
    assert!(!told.err().contains(FIRST.1), "{told}");
    told.says(&["private key"]);
    scene.run(&["archive", "keys", "init"]).code(123).says(&["nobody could open"]);
}
