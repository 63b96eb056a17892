//! Exports and imports.

use super::scene;
use crate::support::{Tree, has};

fn snapshot(scene: &crate::support::Scene) -> String {
    scene.json(&["snapshot"])["snapshot"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn tar_archives_hold_the_files_as_the_sandbox_has_them() {
    let scene = scene();
    let id = snapshot(&scene);
    for (file, decompress) in
        [("x.tar", "cat"), ("x.tar.gz", "gzip -dc"), ("x.tar.zst", "zstd -dc")]
    {
        if decompress.starts_with("zstd") && !has("zstd") {
            continue;
        }
        scene.ok(&["export", &id, "-o", &format!("../{file}")]);
        scene.host(&format!("mkdir ../{file}.d; {decompress} ../{file} | tar -xpC ../{file}.d"));
    }
    scene.ok(&["commit"]);
    let expected = Tree::of(&scene.project);
    expected.assert_same(&Tree::of(&scene.root.join("x.tar.d")));
    expected.assert_same(&Tree::of(&scene.root.join("x.tar.gz.d")));
    if has("zstd") {
        expected.assert_same(&Tree::of(&scene.root.join("x.tar.zst.d")));
    }
}

#[test]
fn an_image_in_one_file_comes_back_elsewhere() {
    let scene = scene();
    scene.ok(&["state", "put", "phase", "1"]);
    let id = snapshot(&scene);
    let then = scene.changes();
    scene.ok(&["export", &id, "-o", "../x.oci"]);
    scene.ok(&["import", "../x.oci", "--to", "../out"]);
    assert_eq!(scene.host("cat ../out/a"), "changed\n");
    scene.ok(&["rm", "-f", "project"]);
    scene.ok(&["import", "../x.oci"]);
    assert_eq!(scene.changes(), then);
    assert_eq!(scene.ok(&["state", "get", "phase"]), "1");
}

#[test]
fn the_same_snapshot_gives_the_same_bytes() {
    let scene = scene();
    let id = snapshot(&scene);
    for format in ["tar", "tar.gz", "tar.zst", "oci-archive"] {
        let first = scene.run(&["export", &id, "-o", "-", "--format", format]).ok().stdout;
        let second = scene.run(&["export", &id, "-o", "-", "--format", format]).ok().stdout;
        assert!(first.len() > 100 && first == second, "{format}");
    }
}

#[test]
fn what_is_there_is_not_overwritten_and_a_failure_leaves_nothing() {
    let scene = scene();
    let id = snapshot(&scene);
    scene.write("../x.tar", "mine");
    scene.run(&["export", &id, "-o", "../x.tar"]).code(125).says(&["x.tar", "exists"]);
    assert_eq!(scene.host("cat ../x.tar"), "mine");
    scene.run(&["export", &id, "-o", "../x"]).code(125).says(&["does not tell", "--format"]);
    scene.run(&["export", &id, "-o", "../no/x.tar"]).code(125).says(&["no/x.tar"]);
    scene.run(&["export", "snap-99", "-o", "../y.tar"]).says(&["no snapshot snap-99"]);
    assert_eq!(scene.host("ls .. | grep -c partial || true"), "0\n");
}

#[test]
fn a_path_that_is_no_text_is_told_by_its_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let scene = scene();
    let name = super::push(&scene);
    let id = snapshot(&scene);
    let run = |words: &[&str], odd: &[u8]| {
        let words = words.iter().map(OsStr::new);
        let words = words.chain([OsStr::from_bytes(odd), OsStr::new("--json")]);
        crate::support::Outcome::of(&mut scene.ctrlz(words)).ok().json()
    };
    let (folder, file) = (b"../out-\xff", b"../x-\xff.tar");
    let told = run(&["pull", &name, "--to"], folder);
    assert_eq!(told["folder"], serde_json::json!({ "bytes": folder.to_vec() }), "{told}");
    let told = run(&["export", &id, "-o"], file);
    assert_eq!(told["file"], serde_json::json!({ "bytes": file.to_vec() }), "{told}");
    assert_eq!(scene.host("ls .. | grep -c '^out-\\|^x-'"), "2\n");
}

#[test]
fn rubbish_is_refused() {
    let scene = scene();
    scene.write("../rubbish", "no archive at all");
    scene.run(&["import", "../rubbish"]).code(125).says(&["rubbish"]);
    scene.run(&["import", "../nothing"]).code(125).says(&["nothing"]);
    scene.host("mkdir ../empty");
    scene.run(&["import", "../empty"]).code(125).says(&["empty"]);
    scene.host("tar -cf ../plain.tar a");
    scene.run(&["import", "../plain.tar"]).code(125);
}
