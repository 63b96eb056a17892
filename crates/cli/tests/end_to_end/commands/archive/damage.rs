//! What is damaged is found and named, and loses nothing.

use std::fs;

use super::{blobs, push, scene};

#[test]
fn every_damaged_blob_is_found_and_nothing_is_restored_half() {
    let scene = scene();
    scene.ok(&["state", "put", "phase", "1"]);
    let name = push(&scene);
    for blob in blobs(&scene) {
        let good = fs::read(&blob).expect("read");
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        for damaged in [bad, good[..good.len() - 1].to_vec(), Vec::new()] {
            fs::write(&blob, damaged).expect("write");
            let digest = blob.file_name().expect("a name").to_string_lossy().into_owned();
            let told = scene.run(&["verify"]).code(1).out();
            assert!(told.contains("DAMAGED") && told.contains(&digest), "{digest}: {told}");
            scene.run(&["drill", &name]).code(1);
            let to = scene.run(&["pull", &name, "--to", "../out"]);
            // The state is no file.
            let is_state = to.status.success();
            assert!(is_state != scene.run(&["pull", &name]).status.success() || !is_state);
            let left = scene.host("ls -A .. | grep out || true");
            assert_eq!(left, if is_state { "out\n" } else { "" }, "{digest}");
            scene.host("rm -rf ../out");
        }
        fs::write(&blob, &good).expect("write");
    }
    scene.ok(&["verify"]);
    scene.ok(&["drill"]);
}

#[test]
fn a_missing_blob_is_pushed_again() {
    let scene = scene();
    push(&scene);
    let mut needed = 0;
    for blob in blobs(&scene) {
        fs::remove_file(&blob).expect("remove");
        // What an earlier round wrote anew, nobody needs any more.
        if scene.run(&["verify"]).status.success() {
            continue;
        }
        needed += 1;
        scene.ok(&["push"]);
        // Without its manifest a name means nothing that could be compared: the folder got another.
        let told = scene.run(&["archive", "ls", "--json"]).json();
        if let Some(name) = told["faults"][0]["name"].as_str() {
            scene.ok(&["archive", "rm", name]);
        }
        scene.ok(&["verify"]);
        scene.ok(&["drill"]);
    }
    assert!(needed >= 2, "{needed}");
}

#[test]
fn damaged_blobs_are_taken_out_and_brought_again() {
    let scene = scene();
    push(&scene);
    let largest = blobs(&scene)
        .into_iter()
        .max_by_key(|path| fs::metadata(path).map(|about| about.len()).unwrap_or(0));
    let largest = largest.expect("a blob");
    let mut bytes = fs::read(&largest).expect("read");
    bytes[3] ^= 0xff;
    fs::write(&largest, &bytes).expect("write");
    scene.run(&["push"]).code(125).says(&["is damaged", "verify --discard"]);
    scene.run(&["verify"]).code(1);
    let told = scene.run(&["verify", "--discard"]).code(1).out();
    assert!(told.contains("1 damaged blobs removed"), "{told}");
    scene.ok(&["push"]);
    scene.ok(&["verify"]);
    scene.ok(&["drill"]);
}
