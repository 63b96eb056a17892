//! Reading an OCI image layout (OCI image specification 1.1, image-layout.md and manifest.md).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::layer::Blob;

/// The largest index or manifest, in bytes; real ones have a few thousand.
const LARGEST: u64 = 4 << 20;

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// An index has `manifests`, an image manifest has `layers`.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// The layers of the layout's image, lowest first. Of an image for several platforms this host's
/// is taken.
pub(super) fn layers(layout: &Path) -> io::Result<Vec<Blob>> {
    let mut document = read(&layout.join("index.json"))?;
    // An index may name a further index, once.
    for _ in 0..4 {
        if !document.layers.is_empty() {
            return document.layers.iter().map(|layer| blob(layout, &layer.digest)).collect();
        }
        let chosen = choose(&document.manifests)?;
        document = read(&blob_path(layout, &chosen.digest)?)?;
    }
    Err(io::Error::other("the layout's index leads to no image with layers"))
}

fn choose(manifests: &[Descriptor]) -> io::Result<&Descriptor> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = |descriptor: &&Descriptor| {
        descriptor
            .platform
            .as_ref()
            .is_none_or(|p| p.architecture == architecture && p.os == "linux")
    };
    let mut fitting = manifests.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            Err(io::Error::other(format!("the layout has no image for linux/{architecture}")))
        }
        (Some(_), Some(_)) => {
            Err(io::Error::other("the layout holds several images; make one with a single image"))
        }
    }
}

fn read(path: &Path) -> io::Result<Document> {
    let context =
        |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(|error| context(&error))?.len();
    if size > LARGEST {
        return Err(context(&"larger than 4 MiB"));
    }
    let text = fs::read(path).map_err(|error| context(&error))?;
    serde_json::from_slice(&text).map_err(|error| context(&error))
}

fn blob(layout: &Path, digest: &str) -> io::Result<Blob> {
    Ok(Blob { path: blob_path(layout, digest)?, digest: Some(digest.to_owned()) })
}

/// `blobs/sha256/HEX`. The digest comes from a file that may be hostile, so its form is checked
/// before it becomes a path.
fn blob_path(layout: &Path, digest: &str) -> io::Result<PathBuf> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(layout.join("blobs/sha256").join(hex))
        }
        _ => Err(io::Error::other(format!("`{digest}` is no sha256 digest"))),
    }
}
