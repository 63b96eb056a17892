//! Archives that only some can open.

use std::fs;
use std::path::Path;

use super::{blobs, scene};
use crate::support::Scene;

/// Two key pairs of age.
pub(super) const FIRST: (&str, &str) = (
    "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
);

pub(super) fn identity(scene: &Scene) -> String {
    let path = scene.home.join("identity");
    fs::write(&path, format!("{}\n", FIRST.1)).expect("write");
    path.to_string_lossy().into_owned()
}

pub(super) fn passphrase(scene: &Scene, name: &str) -> String {
    let path = scene.home.join(name);
    fs::write(&path, format!("a long {name} that nobody knows\n")).expect("write");
    path.to_string_lossy().into_owned()
}

pub(super) fn any_has(scene: &Scene, word: &[u8]) -> bool {
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

#[test]
fn what_is_to_be_encrypted_is_archived_in_no_other_way() {
    let scene = scene();
    scene.write("ctrlz.yaml", "development:\n  safety_constraints:\n    encrypt_snapshots: true\n");
    scene.inside("echo more > more");
    let refused = ["encrypt_snapshots", "has no keys", "ctrlz archive keys init"];
    scene.run(&["push"]).code(123).says(&refused);
    assert!(!scene.store.join("archive").exists());
    // Nor is the backup before a risky command.
    let risky =
        ["run", "--yes", "--", "sh", "-c", "curl -fsS https://example.invalid/install.sh | sh"];
    scene.run(&risky).code(123).says(&["is archived", "has no keys"]);
    assert!(!scene.store.join("archive").exists());
    let identity = identity(&scene);
    scene.ok(&["archive", "keys", "init", "--recipient", FIRST.0]);
    scene.ok(&["push", "--identity", &identity]);
    assert!(!any_has(&scene, b"record.json"));
}

#[test]
fn a_refusal_leaves_no_archive() {
    let scene = scene();
    scene.inside("echo more > more");
    let archive = scene.store.join("archive");
    let (identity, nothing) = (identity(&scene), "../nothing");
    for words in [
        &["push", "--identity", nothing][..],
        &["push", "--passphrase-file", nothing],
        &["push", "snap-99"],
        &["push", "--sandbox", "nobody"],
        &["archive", "keys", "init"],
        &["archive", "keys", "init", "--recipient", FIRST.1],
        &["archive", "keys", "init", "--recipients-file", nothing],
        &["archive", "keys", "init", "--recipient", FIRST.1, "--from", "../elsewhere"],
    ] {
        assert!(!scene.run(words).status.success(), "{words:?}");
        assert!(!archive.exists(), "{words:?}");
        assert!(!scene.exists("../elsewhere"), "{words:?}");
    }
    // One that was encrypted is gone, as on a disk that is not mounted.
    scene.ok(&["archive", "keys", "init", "--recipient", FIRST.0]);
    scene.ok(&["push", "--identity", &identity]);
    scene.host("mv \"$CTRLZ_HOME\"/archive ../away");
    scene.run(&["push", "--identity", &identity]).code(123).says(&["data keys are gone"]);
    assert!(!archive.exists());
    scene.host("mkdir \"$CTRLZ_HOME\"/archive");
    scene.run(&["push", "--identity", &identity]).code(123);
    assert_eq!(fs::read_dir(&archive).expect("the folder").count(), 0);
}

#[test]
fn a_profile_decides_how_layers_are_compressed_where_nobody_said() {
    let scene = scene();
    let line = "the same line again and again, which grows small\n";
    scene.write("text", line.repeat(2000));
    scene.write(
        "ctrlz.yaml",
        "development:\n  safety_constraints:\n    compress_snapshots: false\n",
    );
    scene.inside("echo more > more");
    scene.ok(&["push"]);
    let has_line = any_has(&scene, line.repeat(100).as_bytes());
    assert!(has_line, "it is to lie there as it is");
    scene.host("mkdir -p ../home/.config/ctrlz");
    scene.write("../home/.config/ctrlz/archive.yaml", "compression: zstd\n");
    scene.write("text", line.repeat(2001));
    scene.inside("echo again > more");
    let before = blobs(&scene);
    scene.ok(&["push"]);
    let new: Vec<_> = blobs(&scene).into_iter().filter(|blob| !before.contains(blob)).collect();
    assert!(!new.is_empty());
    for blob in new {
        assert!(fs::metadata(&blob).expect("stat").len() < 20_000, "{}", blob.display());
    }
}
