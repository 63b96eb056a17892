//! Small snapshots to work with.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ctrlz_archive::Descriptor;
use ctrlz_archive::crypt::{Identities, KeyId, Keyring, Passphrase, Recipients, Sealer};
use ctrlz_archive::image::{
    Assembled, Coding, Execution, LayerForm, Part, Platform, Role, Tag, annotation, assemble,
};
use ctrlz_archive::place::{Blob, Directory, Expect, Place};
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_core::digest::Digest;

/// A tar file with these files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, *content).expect("a tar in memory");
    }
    builder.into_inner().expect("a tar in memory")
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes a blob, encrypted with keys.
pub(crate) fn put(place: &Directory, bytes: &[u8], keys: Option<&Keyring>) -> Blob {
    let writer = place.begin_blob().expect("a new blob");
    match keys {
        None => {
            let mut writer = writer;
            writer.write_all(bytes).expect("written");
            writer.finish().expect("whole")
        }
        Some(keys) => {
            let key = keys.current().expect("a current key");
            let mut sealer = Sealer::new(writer, key).expect("a header");
            sealer.write_all(bytes).expect("written");
            sealer.finish().expect("encrypted").finish().expect("whole")
        }
    }
}

fn part(place: &Directory, role: Role, bytes: &[u8], keys: Option<&Keyring>) -> Part {
    let blob = put(place, bytes, keys);
    let form = LayerForm { coding: Coding::None, encrypted: keys.is_some() };
    let mut annotations = BTreeMap::new();
    if let Some(keys) = keys {
        let id: &KeyId = keys.current().expect("a current key").id();
        annotations.insert(annotation::KEY.to_owned(), id.to_string());
    }
    let descriptor = Descriptor {
        media_type: form.media_type(),
        digest: blob.digest,
        size: blob.size,
        annotations,
    };
    let id = (role == Role::Sealed).then(|| format!("layer-{}", blob.size));
    Part { descriptor, diff_id: sha256(bytes), role, id, created_by: None }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    Digest::sha256(digest)
}

/// What `box.snap-NUMBER` with so many sealed layers says of itself, in the words of the first
/// version of ctrlz that archived anything.
pub(crate) fn record(number: u64, sealed: usize) -> Vec<u8> {
    let point = serde_json::json!({ "tree": "", "state_version": 0 });
    let layer = serde_json::json!({ "id": null, "root": false, "whole": false });
    let record = serde_json::json!({
        "format": "ctrlz snapshot 1",
        "scope": "full",
        "snapshot": {
            "id": format!("snap-{number}"), "sandbox": "sandbox-1", "kind": "manual",
            "scope": "full", "message": "", "tags": [], "operation": "op-3", "point": point,
            "created": 1_767_323_045_000_000_000_i64, "good": null
        },
        "sandbox": {
            "id": "sandbox-1", "name": "box", "folder": null, "root": { "kind": "host" },
            "base": "/base", "driver": "overlay", "point": point,
            "created": 1_767_323_045_000_000_000_i64, "used": 1_767_323_045_000_000_000_i64,
            "open_operation": null, "guard": { "contained": null, "watched": 0 }, "life": {}
        },
        "tree": null,
        "layers": vec![layer; sealed],
    });
    record.to_string().into_bytes()
}

/// The tars of a snapshot: record, state, base and one sealed layer of `size` bytes.
pub(crate) fn layers(seed: u64, size: usize) -> [Vec<u8>; 4] {
    [
        tar(&[(".ctrlz/record.json", &record(seed, 1))]),
        tar(&[(".ctrlz/state.jsonl", b"{\"key\":\"secret-of-the-state\"}\n")]),
        tar(&[("base/name-of-a-file", b"content-of-the-base"), ("base/b", &noise(7, 3000))]),
        tar(&[("sealed/noise", &noise(seed, size))]),
    ]
}

/// The documents of a snapshot whose layers are written to `place`.
pub(crate) fn assembled(
    place: &Directory,
    seed: u64,
    size: usize,
    keys: Option<&Keyring>,
) -> Assembled {
    let roles = Role::ALL.into_iter().zip(layers(seed, size));
    let parts: Vec<Part> = roles.map(|(role, bytes)| part(place, role, &bytes, keys)).collect();
    let run = Execution { cmd: vec!["/bin/sh".to_owned()], ..Execution::default() };
    assemble(&parts, "2026-01-02T03:04:05Z", &Platform::host(), run, BTreeMap::new())
        .expect("a snapshot's layers")
}

/// Publishes snapshot `seed`; its real name is `box.snap-SEED`.
pub(crate) fn publish(
    place: &Directory,
    seed: u64,
    size: usize,
    keys: Option<&Keyring>,
) -> Snapshot {
    let hold = place.hold().expect("no collection");
    let assembled = assembled(place, seed, size, keys);
    let name = Tag::of_snapshot("box", seed).expect("a name");
    let snapshot =
        Snapshot::publish(place, &name, &assembled, keys, Expect::Any).expect("published");
    drop(hold);
    snapshot
}

/// All layers of a snapshot, read, decrypted and checked to their ends.
pub(crate) fn read_layers(
    place: &dyn Place,
    snapshot: &Snapshot,
    keys: Option<&Keyring>,
) -> Result<Vec<Vec<u8>>, ctrlz_archive::ArchiveError> {
    let read = |(_, layer): (Role, &Descriptor)| {
        let mut reader = Snapshot::open_layer(place, layer, keys)?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| {
            ctrlz_archive::ArchiveError::of(error, |e| panic!("an error of ours, not {e}"))
        })?;
        reader.finish()?;
        Ok(bytes)
    };
    snapshot.layers()?.into_iter().map(read).collect()
}

/// A person with a new key.
pub(crate) struct Person {
    pub(crate) public: String,
    pub(crate) secret: String,
}

impl Person {
    pub(crate) fn new() -> Self {
        use age::secrecy::ExposeSecret;
        let identity = age::x25519::Identity::generate();
        let secret = identity.to_string().expose_secret().to_owned();
        Self { public: identity.to_public().to_string(), secret }
    }

    pub(crate) fn identities(&self) -> Identities {
        let mut identities = Identities::new();
        identities.add(self.secret.as_bytes(), "a test's identity", None).expect("an identity");
        identities
    }
}

pub(crate) fn recipients(people: &[&Person]) -> Recipients {
    let mut recipients = Recipients::new();
    for person in people {
        recipients.add(&person.public, "a test").expect("a public key");
    }
    recipients
}

pub(crate) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

/// Whether a program is there; says so when it is not.
pub(crate) fn has(program: &str) -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    });
    if !there {
        println!("SKIPPED({program} is not installed)");
    }
    there
}

/// Runs a program; its output when it succeeds.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    if program == "skopeo" {
        // Else it looks for logins in /run/containers, which is closed where root ever ran podman.
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}: {errors}", output.status);
    output.stdout
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a test's path is UTF-8")
}
