//! Snapshots at rest.

mod backup;
mod brought_back;
mod damage;
mod encrypted;
mod files;
mod health;
mod kept;
mod kills;
mod losses;
mod mended;
mod names;
mod owners;
mod policy;
mod rebuilt;
mod space;
mod values;

use std::path::PathBuf;

use crate::support::Scene;

/// A project, and changes on it in the sandbox.
fn scene() -> Scene {
    let scene = Scene::with(
        "mkdir -p d/sub; echo one > a; echo two > d/b; ln -s a link; ln d/b d/sub/hard; \
         echo stays > d/sub/s; truncate -s 1M hole; chmod 751 d",
    );
    scene.inside("echo changed > a; rm d/sub/s; mkdir new; echo x > new/x; chmod 600 new/x");
    scene
}

/// Archives where the sandbox stands; its name in the archive.
#[track_caller]
fn push(scene: &Scene) -> String {
    let pushed = scene.json(&["push"]);
    pushed["snapshots"][0]["name"].as_str().expect("a name").to_owned()
}

/// The folder with the archive's blobs.
fn blobs(scene: &Scene) -> Vec<PathBuf> {
    let folder = scene.store.join("archive/blobs/sha256");
    let entries = std::fs::read_dir(folder).expect("the blobs");
    entries.map(|entry| entry.expect("a blob").path()).collect()
}
