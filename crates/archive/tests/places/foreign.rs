//! Images that other tools wrote are read.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ctrlz_archive::ArchiveError;
use ctrlz_archive::image::{Coding, Foreign, Platform};
use ctrlz_archive::place::Directory;

use crate::fixture::{has, publish, run, sha256, tar, text};

/// The content of every regular file in an image's layers; a layer's digest is checked.
fn contents(image: &Foreign) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let mut found = Vec::new();
    for layer in &image.layers {
        let mut bytes = Vec::new();
        image
            .read(layer)?
            .read_to_end(&mut bytes)
            .map_err(|error| ArchiveError::of(error, |error| panic!("{error}")))?;
        let bytes = match layer.coding {
            Coding::None => bytes,
            Coding::Gzip => {
                let mut plain = Vec::new();
                let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
                reader.read_to_end(&mut plain).expect("gzip");
                plain
            }
            Coding::Zstd => panic!("no tool here writes zstd"),
        };
        assert_eq!(sha256(&bytes), layer.diff_id);
        for entry in tar::Archive::new(bytes.as_slice()).entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            if entry.header().entry_type().is_file() {
                found.push((path, content));
            }
        }
    }
    Ok(found)
}

fn open(path: &Path, name: Option<&str>) -> Result<Foreign, ArchiveError> {
    Foreign::open(path, name, &Platform::host())
}

/// A layout that skopeo made of one of ours: `base/name-of-a-file` is in it.
fn layout(directory: &Path) -> PathBuf {
    let path = directory.join("layout");
    publish(&Directory::create(&path).expect("a place"), 1, 1000, None);
    path
}

fn has_the_file(image: &Foreign) {
    let found = contents(image).expect("whole");
    let file = found.iter().find(|(path, _)| path == "base/name-of-a-file").expect("the file");
    assert_eq!(file.1, b"content-of-the-base");
    assert_eq!(image.config.config.as_ref().expect("a config").cmd, ["/bin/sh"]);
    assert_eq!(image.layers.len(), 4);
}

#[test]
fn every_form_that_skopeo_writes() {
    if !has("skopeo") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let from = format!("oci:{}:box.snap-1", text(&layout(directory.path())));
    for (form, name) in [
        ("oci", Some("some:tag")),
        ("oci-archive", Some("tag")),
        ("docker-archive", Some("registry.test/some:tag")),
        ("dir", None),
    ] {
        let path = directory.path().join(form);
        let suffix = name.map_or_else(String::new, |name| format!(":{name}"));
        let to = format!("{form}:{}{suffix}", text(&path));
        run("skopeo", &["--insecure-policy", "copy", &from, &to]);
        has_the_file(&open(&path, None).unwrap_or_else(|error| panic!("{form}: {error}")));
        if name.is_some() {
            has_the_file(&open(&path, Some("tag")).unwrap_or_else(|e| panic!("{form}: {e}")));
            let error = open(&path, Some("other")).expect_err("no such name").to_string();
            assert!(error.contains("tag"), "{form}: it tells what is there: {error}");
        }
    }
}

/// podman and buildah with storage of their own, so that nothing of the host is touched.
fn storage(directory: &Path) -> Vec<String> {
    let path = |name: &str| text(&directory.join(name)).to_owned();
    ["--root", &path("root"), "--runroot", &path("run"), "--storage-driver", "vfs"]
        .map(str::to_owned)
        .to_vec()
}

fn run_in(program: &str, storage: &[String], arguments: &[&str]) {
    let mut all: Vec<&str> = storage.iter().map(String::as_str).collect();
    all.extend(arguments);
    run(program, &all);
}

#[test]
fn what_podman_saves() {
    if !has("podman") || !has("skopeo") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED(only root runs podman without ranges of ids)");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let storage = storage(directory.path());
    let from = format!("oci:{}:box.snap-1", text(&layout(directory.path())));
    // podman takes a path with capital letters for a bad name, a tar file it takes from anywhere.
    let archive = directory.path().join("archive.tar");
    run(
        "skopeo",
        &["--insecure-policy", "copy", &from, &format!("oci-archive:{}", text(&archive))],
    );
    run_in("podman", &storage, &["load", "--quiet", "-i", text(&archive)]);
    let listed = {
        let mut all: Vec<&str> = storage.iter().map(String::as_str).collect();
        all.extend(["images", "--quiet"]);
        String::from_utf8(run("podman", &all)).expect("an id")
    };
    run_in("podman", &storage, &["tag", listed.trim(), "localhost/some:tag"]);
    for form in ["oci-archive", "docker-archive", "oci-dir", "docker-dir"] {
        let path = directory.path().join(form);
        let save = ["save", "--quiet", "--format", form, "-o", text(&path), "localhost/some:tag"];
        run_in("podman", &storage, &save);
        has_the_file(&open(&path, None).unwrap_or_else(|error| panic!("{form}: {error}")));
    }
}

#[test]
fn what_buildah_builds() {
    if !has("buildah") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED(only root runs buildah without ranges of ids)");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let storage = storage(directory.path());
    let with = |arguments: &[&str]| {
        let mut all: Vec<&str> = storage.iter().map(String::as_str).collect();
        all.extend(arguments);
        String::from_utf8(run("buildah", &all)).expect("text").trim().to_owned()
    };
    let file = directory.path().join("name-of-a-file");
    fs::write(&file, "content").expect("written");
    let container = with(&["from", "scratch"]);
    with(&["copy", &container, text(&file), "/built/"]);
    with(&["config", "--env", "A=b", "--cmd", "/bin/true", &container]);
    let (oci, docker) = (directory.path().join("oci"), directory.path().join("docker"));
    with(&["commit", "--quiet", &container, &format!("oci-archive:{}:some", text(&oci))]);
    let docker_to = format!("docker-archive:{}:some:tag", text(&docker));
    with(&["commit", "--quiet", "--format", "docker", &container, &docker_to]);
    for path in [&oci, &docker] {
        let image = open(path, None).expect("an image");
        let found = contents(&image).expect("whole");
        assert_eq!(found, [("built/name-of-a-file".to_owned(), b"content".to_vec())]);
        assert!(image.config.config.expect("a config").env.contains(&"A=b".to_owned()));
    }
}

/// A tar as `docker save` wrote it until version 24: a directory for each layer, and a link for one
/// that is there already.
fn docker_save(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let layer = tar(&[("a", b"content")]);
    let id = sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["A=b"],"Cmd":null}},"rootfs":{{"type":"layers","diff_ids":["{id}","{id}"]}},"history":null}}"#
    );
    let hex = sha256(config.as_bytes()).hex();
    let mut manifest = format!(
        r#"[{{"Config":"{hex}.json","RepoTags":["some:tag"],"Layers":["one/layer.tar","two/layer.tar"]}}]"#
    )
    .into_bytes();
    change(&mut manifest);
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).expect("a tar in memory");
    };
    add(&format!("{hex}.json"), config.as_bytes());
    add("one/VERSION", b"1.0");
    add("one/layer.tar", &layer);
    add("manifest.json", &manifest);
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "two/layer.tar", "../one/layer.tar").expect("a link");
    builder.into_inner().expect("a tar in memory")
}

#[test]
fn what_older_versions_of_docker_save() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("saved.tar");
    fs::write(&path, docker_save(|_| ())).expect("written");
    for name in [None, Some("tag"), Some("some:tag")] {
        let image = open(&path, name).expect("an image");
        assert_eq!(contents(&image).expect("whole").len(), 2);
    }

    let refused = |bytes: &[u8], part: &str| {
        fs::write(&path, bytes).expect("written");
        let error = open(&path, None).map(|image| contents(&image).map(|_| ()));
        let error = match error {
            Err(error) | Ok(Err(error)) => error.to_string(),
            Ok(Ok(())) => panic!("taken, but {part}"),
        };
        assert!(error.contains(part), "{error}");
    };
    let replace = |from: &str, to: &str| {
        docker_save(|manifest| {
            let text = String::from_utf8(manifest.clone()).expect("text");
            assert!(text.contains(from));
            *manifest = text.replace(from, to).into_bytes();
        })
    };
    refused(&replace("two/layer.tar", "../../etc/passwd"), "has no file `../../etc/passwd`");
    refused(&replace(r#","two/layer.tar""#, ""), "it tells of 2 layers, the manifest of 1");
    refused(&replace("[{", "[{},{"), "manifest.json is malformed");
    let whole = docker_save(|_| ());
    let at = whole.windows(12).position(|w| w == b"architecture").expect("the config");
    let mut flipped = whole.clone();
    flipped[at] ^= 1;
    refused(&flipped, "is damaged: the image config has other bytes");
    refused(&whole[..2000], "malformed");
    let twice = [&whole[..whole.len() - 1024], &docker_save(|m| m.push(b' '))].concat();
    refused(&twice, "is in it twice");
    refused(&[0x1f, 0x8b, 8, 0], "decompress it first");
}

#[test]
fn a_directory_leads_nowhere_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = layout(directory.path());
    let image = open(&path, None).expect("an image");
    let blob = image.layers[0].blob.clone().expect("a descriptor");
    let file = path.join("blobs/sha256").join(blob.digest.hex());
    let outside = directory.path().join("outside");
    fs::rename(&file, &outside).expect("moved");
    std::os::unix::fs::symlink(&outside, &file).expect("linked");
    let error = open(&path, None).and_then(|image| contents(&image)).expect_err("leads out");
    assert!(error.to_string().contains(&blob.digest.hex()), "{error}");
}
